// Keys, for those who do not leave the keyboard: rows are those of the page's first table
// with `data-rows`; what a key does beside stands on the element with its `data-key`.
"use strict";

(() => {
  const dialog = document.getElementById("keys");
  const button = document.getElementById("keys-button");

  const rows = () => [...document.querySelectorAll("table[data-rows] tbody tr")];
  const chosen = () => document.querySelector("tr[aria-current='true']");

  function move(by) {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(chosen());
    const to = all[Math.min(all.length - 1, Math.max(0, at + by))];
    for (const row of all) row.removeAttribute("aria-current");
    to.setAttribute("aria-current", "true");
    to.querySelector("a")?.focus({ preventScroll: true });
    to.scrollIntoView({ block: "nearest" });
  }

  function press(key) {
    const found = document.querySelector(`[data-key="${key}"]`);
    if (!found) return;
    if (found.matches("input, select, textarea")) found.focus();
    else found.click();
  }

  const does = {
    "/": () => document.querySelector("input[type='search']")?.focus(),
    j: () => move(1),
    k: () => move(-1),
    x: () => chosen()?.querySelector("input[type='checkbox']")?.click(),
    r: () => press("r"),
    a: () => press("a"),
    p: () => document.getElementById("pause")?.click(),
    "?": () => dialog.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (event.target.closest("textarea, select, input:not([type='checkbox'])")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (!Object.hasOwn(does, event.key)) return;
    event.preventDefault();
    does[event.key]();
  });

  button.hidden = false;
  button.addEventListener("click", does["?"]);
})();
