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

// A page is printed as it looks by day: dark on white.
let shown;
window.addEventListener("beforeprint", () => {
  shown = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
window.addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = shown;
});
