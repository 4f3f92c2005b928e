// The explorer: two rows of a scenario at one step of their runs. A film is a picture with a column for each step
// and a line for each latent, of which this copies one column into a strip.
"use strict";
(() => {
  const root = document.currentScript.parentElement;
  const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const narrow = matchMedia("(max-width: 600px)");
  const films = new Map();
  for (const image of root.querySelectorAll("[data-film]")) data.pictures[image.dataset.film] = image.src;
  const escaped = (text) => Object.assign(document.createElement("p"), { innerText: text }).innerHTML;

  const live = document.createElement("div");
  live.className = "live";
  live.innerHTML = `
    <label class="scenario">Scenario <select></select></label>
    <div class="strip source"><p class="head"></p><canvas role="img"></canvas></div>
    <div class="strip ideal"><p class="head"></p><canvas role="img"></canvas></div>
    ${["A", "B"].map((name) => `
      <div class="strip side ${name}">
        <p class="head"><label><b aria-hidden="true">${name}</b><span class="unseen">Row ${name}</span> <select></select></label>
          <span class="numbers"></span></p>
        <canvas role="img"></canvas>
      </div>`).join("")}
    <label class="slider"><span>Step <b class="at"></b></span><input type="range" min="0" step="1"></label>
    <div class="curves"></div>
    <p class="said unseen" aria-live="polite"></p>`;
  root.append(live);
  root.classList.add("lively");

  const part = (selector) => live.querySelector(selector);
  const [chosen, slider] = [part(".scenario select"), part("input")];
  const sides = ["A", "B"].map((name) => ({ name, box: part(`.${name}`), select: part(`.${name} select`) }));
  const options = (select, labels) => {
    select.innerHTML = labels.map((label, k) => `<option value="${k}">${escaped(label)}</option>`).join("");
  };
  let scenario, steps; // the scenario shown, and all steps of its rows

  function film(name) {
    if (!films.has(name)) {
      const image = new Image();
      image.src = data.pictures[name];
      films.set(name, image.decode().then(() => image));
    }
    return films.get(name);
  }

  // The index of a row's last step that is not after one of the slider's: runs differ in length.
  const at = (row, step) => row.steps.findLastIndex((own) => own <= step);

  async function draw(canvas, name, column, words) {
    canvas.setAttribute("aria-label", words);
    canvas.dataset.wanted = `${name} ${column}`;
    const image = await film(name);
    if (canvas.dataset.wanted !== `${name} ${column}`) return; // dragged on while the film was loading
    const { side, latents } = data, gap = 4, across = narrow.matches ? latents / 2 : latents;
    canvas.width = across * (side + gap) - gap;
    canvas.height = Math.ceil(latents / across) * (side + gap) - gap;
    const context = canvas.getContext("2d");
    for (let k = 0; k < latents; k++) {
      const [x, y] = [(k % across) * (side + gap), Math.floor(k / across) * (side + gap)];
      context.drawImage(image, column * side, k * side, side, side, x, y, side, side);
    }
    canvas.dataset.drawn = canvas.dataset.wanted;
  }

  function show() {
    const step = steps[slider.value], last = steps.at(-1), said = [`Step ${step}.`];
    part(".at").textContent = `${step} of ${last}`;
    slider.setAttribute("aria-valuetext", `step ${step} of ${last}`);
    for (const { name, box, select } of sides) {
      const row = scenario.rows[select.value], index = at(row, step), own = row.steps[index];
      const numbers = scenario.measures.map(({ label }, k) => [label, row.numbers[k][index]]);
      const ended = own === step ? [] : [["at its step", own]];
      box.querySelector(".numbers").innerHTML = [...ended, ...numbers]
        .map(([label, value]) => `<span>${label} <b>${value}</b></span>`).join(" ");
      said.push(`${name}, ${row.label}: ${[...ended, ...numbers].map((pair) => pair.join(" ")).join(", ")}.`);
      draw(box.querySelector("canvas"), row.picture, index, `${row.label}, step ${own}: ${data.latents} images`);
    }
    for (const [k, curve] of live.querySelectorAll(".curves figure").entries()) mark(curve, k, step);
    part(".said").textContent = said.join(" ");
  }

  // Curves of a measure over the steps: all rows in grey, the two that are shown in their colours.
  const [wide, high] = [200, 90];
  const range = (k) => {
    const all = scenario.rows.flatMap((row) => row.numbers[k].map(Number)).filter(Number.isFinite);
    return [Math.min(...all), Math.max(...all)];
  };
  function point(row, k, index) {
    const [low, top] = range(k);
    const x = 4 + (wide - 8) * row.steps[index] / steps.at(-1);
    const y = high - 4 - (high - 8) * (Number(row.numbers[k][index]) - low) / (top - low || 1);
    return Number.isFinite(y) ? [x, y] : null;
  }
  function line(row, k, name) {
    const points = row.steps.map((_, index) => point(row, k, index)).filter(Boolean);
    return `<polyline class="${name}" points="${points.map((place) => place.map((v) => v.toFixed(1)))
      .join(" ")}"/>`;
  }
  function curves() {
    part(".curves").innerHTML = scenario.measures.map(({ label, hint }, k) => {
      const [low, top] = range(k);
      const lines = scenario.rows.map((row) => line(row, k, "other")).join("")
        + sides.map(({ name, select }) => line(scenario.rows[select.value], k, name)).join("");
      return `<figure><figcaption><b>${label}</b> <span>${hint}</span></figcaption>
        <div class="plot"><span>${top}</span><span>${low}</span>
        <svg viewBox="0 0 ${wide} ${high}" role="img" aria-label="${label} over the steps, ${low} to ${top}">
        <line class="cursor" y1="0" y2="${high}"/>${lines}<g></g></svg></div></figure>`;
    }).join("");
  }
  function mark(curve, k, step) {
    const x = 4 + (wide - 8) * step / steps.at(-1);
    for (const end of ["x1", "x2"]) curve.querySelector(".cursor").setAttribute(end, x);
    curve.querySelector("g").innerHTML = sides.map(({ name, select }) => {
      const row = scenario.rows[select.value], place = point(row, k, at(row, step));
      return place ? `<circle class="${name}" cx="${place[0]}" cy="${place[1]}" r="4"/>` : "";
    }).join("");
  }

  function choose() {
    scenario = data.scenarios[chosen.value];
    steps = [...new Set(scenario.rows.flatMap((row) => row.steps))].sort((a, b) => a - b);
    const labels = scenario.rows.map((row) => row.label);
    for (const [k, { select }] of sides.entries()) {
      options(select, labels);
      select.value = Math.max(0, labels.indexOf(data.compare[k]));
    }
    slider.max = steps.length - 1;
    slider.value = slider.max;
    still();
    change();
  }
  function still() { // what stays the same at every step
    part(".source .head").textContent = `source: ${scenario.source}`;
    draw(part(".source canvas"), scenario.rows[0].picture, 0, `source: ${data.latents} images of ${scenario.source}`);
    part(".ideal").hidden = !scenario.ideal;
    if (!scenario.ideal) return;
    part(".ideal .head").textContent = `ideal answers: drawn as ${scenario.target}`;
    draw(part(".ideal canvas"), scenario.ideal, 0, `ideal answers: ${data.latents} images of ${scenario.target}`);
  }
  function change() {
    curves();
    show();
  }

  options(chosen, data.scenarios.map(({ source, target }) => `${source} → ${target}`));
  part(".scenario").hidden = data.scenarios.length < 2;
  chosen.addEventListener("change", choose);
  for (const { select } of sides) select.addEventListener("change", change);
  slider.addEventListener("input", show);
  narrow.addEventListener("change", () => { still(); show(); });
  choose();
})();
