// Controls that look alike say to a screen reader which one they are.
window.addEventListener("load", () => {
  document.querySelectorAll("button.copybtn").forEach((button, k) => {
    button.setAttribute("aria-label", `Copy block of code ${k + 1}`);
  });
  for (const button of document.querySelectorAll(".admonition .toggle-button")) {
    const title = button.closest(".admonition").querySelector(".admonition-title").textContent.trim();
    button.setAttribute("aria-label", `Show or hide: ${title}`);
  }
  for (const toggle of document.querySelectorAll("summary:has(.toctree-toggle)")) {
    const chapter = toggle.closest("li").querySelector("a").textContent;
    toggle.setAttribute("aria-label", `Pages of ${chapter}`);
  }
});

// The heads of a table of the class "sortable" sort it: from low to high, from high to low, as it was.
window.addEventListener("load", () => {
  document.querySelectorAll("table.sortable").forEach((table, k) => {
    const name = table.querySelector(".caption-number")?.textContent.trim() ?? `table ${k + 1}`;
    const body = table.tBodies[0], before = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const title = head.textContent.trim(), button = document.createElement("button");
      button.textContent = title;
      button.setAttribute("aria-label", `${title}: sort ${name}`);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: null }[head.ariaSort];
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (next !== null) head.setAttribute("aria-sort", next ?? "ascending");
        body.append(...sorted(before, column, head.ariaSort));
      });
      head.setAttribute("aria-label", title); // the head of a cell is read without "sort"
      head.replaceChildren(button);
    });
  });
});

// Rows by one column: numbers if all of its cells begin with one, else text. Cells without a value come last.
function sorted(rows, column, side) {
  if (!side) return rows;
  const text = (row) => row.cells[column].textContent.trim().replace("\u2212", "-");
  const known = rows.filter((row) => !["", "-", "–"].includes(text(row)));
  const compare = known.every((row) => /^[+-]?\d/.test(text(row)))
    ? (a, b) => parseFloat(text(a)) - parseFloat(text(b))
    : (a, b) => text(a).localeCompare(text(b));
  const sign = side === "descending" ? -1 : 1;
  return [...known.sort((a, b) => sign * compare(a, b)), ...rows.filter((row) => !known.includes(row))];
}

// A page is printed as it looks by day: dark on white.
let shown;
window.addEventListener("beforeprint", () => {
  shown = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
window.addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = shown;
});
