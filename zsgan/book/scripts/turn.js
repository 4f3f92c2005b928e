// Stage 1 in closed form: the simplex of variations and the turn of the first moment, for any K and epsilon.
"use strict";
(() => {
  const root = document.currentScript.parentElement;
  const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const escaped = (text) => Object.assign(document.createElement("p"), { innerText: text }).innerHTML;

  const live = document.createElement("div");
  live.className = "live";
  live.innerHTML = `
    <label class="slider"><span><i>K</i> = <b class="k"></b> variations</span>
      <input class="k" type="range" min="${data.least}" max="${data.most}" step="1" value="6"></label>
    <label class="slider"><span><i>ε</i> = <b class="epsilon"></b> |<i>t</i>|</span>
      <input class="epsilon" type="range" min="0.05" max="${data.longest}" step="0.05" value="1"></label>
    <div class="planes">
      <figure><figcaption>In the plane of the two texts</figcaption><svg class="texts" role="img"></svg></figure>
      <figure><figcaption>Across it: the simplex, seen along <i>t</i></figcaption>
        <svg class="simplex" viewBox="-1.35 -1.35 2.7 2.7" role="img"></svg></figure>
    </div>
    <div class="numbers">
      <p>The first moment turns by <b class="turn"></b></p>
      <p>A variation and the target text: cos(<i>v<sub>i</sub></i>, <i>t</i>) <b class="near"></b></p>
      <p>Two variations: cos(<i>v<sub>i</sub></i>, <i>v<sub>j</sub></i>) <b class="apart"></b></p>
    </div>
    <p class="said unseen" aria-live="polite"></p>`;
  root.append(live);
  root.classList.add("lively");
  const part = (selector) => live.querySelector(selector);
  const [k, epsilon] = [part("input.k"), part("input.epsilon")];

  // Unit features: t = (1, 0), and the source text at (cosine, across). All that is drawn of the text set lies on
  // the line through t.
  const across = Math.sqrt(1 - data.cosine ** 2);
  const degrees = (radians) => radians * 180 / Math.PI;

  function show() {
    const [K, e] = [Number(k.value), Number(epsilon.value)];
    const lean = e / Math.sqrt(K);                // how far the centre of the variations is beyond t
    const pull = lean * K / (K + 1);              // ... and the mean of the text set
    const turn = degrees(Math.atan2(across, 1 - data.cosine) - Math.atan2(across, 1 - data.cosine + pull));
    const squared = 1 + 2 * lean + e ** 2;        // |v_i|^2
    const [near, apart] = [(1 + lean) / Math.sqrt(squared), (1 + 2 * lean) / squared];
    part("b.k").textContent = K;
    part("b.epsilon").textContent = e.toFixed(2);
    epsilon.setAttribute("aria-valuetext", `${e.toFixed(2)} lengths of t`);
    part(".turn").textContent = `${turn.toFixed(1)}°`;
    part(".near").textContent = near.toFixed(2);
    part(".apart").textContent = apart.toFixed(2);
    part(".said").textContent = `K = ${K}, epsilon = ${e.toFixed(2)}: the first moment turns by ${turn.toFixed(1)} degrees.`;
    texts(pull, lean, turn);
    simplex(K, e);
  }

  const text = (x, y, words, look = "") => `<text x="${x}" y="${y}" ${look}>${escaped(words)}</text>`;
  function arrow(x, name) { // from the source text to a place on the line through t
    const [dx, dy] = [x - data.cosine, across], length = Math.hypot(dx, dy), [ux, uy] = [dx / length, dy / length];
    const [bx, by] = [x - 0.09 * ux, -0.09 * uy]; // y grows downwards, and the line is at 0
    return `<g class="${name}"><line x1="${data.cosine}" y1="${-across}" x2="${bx}" y2="${by}"/>
      <path d="M${x} 0L${bx - 0.035 * uy} ${by + 0.035 * ux}L${bx + 0.035 * uy} ${by - 0.035 * ux}z"/></g>`;
  }
  function texts(pull, lean, turn) {
    const picture = part(".texts"), [left, right] = [data.cosine - 0.3, 2.3];
    const at = (x, part) => [x + part * (data.cosine - x), -part * across]; // on the way from the line to the source
    const [[ax, ay], [bx, by]] = [at(1, 0.6), at(1 + pull, 0.6)];
    picture.setAttribute("viewBox", `${left} ${-across - 0.2} ${right - left} ${across + 0.5}`);
    picture.setAttribute("aria-label", "Arrows from the source text to the target text and to the first moment, "
      + `${turn.toFixed(1)} degrees apart`);
    picture.innerHTML = `<line class="edge" x1="${left}" y1="0" x2="${right}" y2="0"/>
      ${arrow(1 + pull, "B")}${arrow(1, "A")}
      <circle cx="${data.cosine}" cy="${-across}" r="0.025"/><circle cx="1" cy="0" r="0.025"/>
      <circle class="other" cx="${1 + lean}" cy="0" r="0.04"/>
      ${text(data.cosine, -across - 0.06, data.source, 'text-anchor="middle"')}
      ${text(1, 0.13, data.target, 'text-anchor="middle"')}
      ${text(1 + lean, 0.25, "centre of the variations", 'text-anchor="middle" class="other"')}
      ${text(ax - 0.05, ay, "ΔT", 'text-anchor="end" class="A"')}
      ${text(bx + 0.05, by, "first moment", 'class="B"')}`;
  }
  function simplex(K, e) {
    // K orthonormal directions in a plane in which they are a regular K-gon; two differ along one line only.
    const radius = K > 2 ? e * Math.sqrt(2 / K) : e / Math.SQRT2;
    const corners = Array.from({ length: K }, (_, i) => 2 * Math.PI * i / K - Math.PI / 2)
      .map((angle) => [radius * Math.cos(angle), radius * Math.sin(angle)]);
    const edges = corners.flatMap(([x, y], i) => corners.slice(i + 1).map(([u, v]) =>
      `<line class="edge" x1="${x}" y1="${y}" x2="${u}" y2="${v}"/>`));
    const picture = part(".simplex");
    picture.setAttribute("aria-label", `A simplex of ${K} corners, all ${(e * Math.SQRT2).toFixed(2)} apart`);
    picture.innerHTML = `${edges.join("")}<circle cx="0" cy="0" r="0.03"/>${text(0.06, 0.12, "t")}
      ${corners.map(([x, y]) => `<circle class="B" cx="${x}" cy="${y}" r="0.06"/>`).join("")}`;
  }

  for (const slider of [k, epsilon]) slider.addEventListener("input", show);
  show();
})();
