// Dark, light, or as the system has it; kept in this browser. It is the one script that is
// not put off, so that no page is shown in another scheme first.
"use strict";

(() => {
  const themes = ["system", "dark", "light"];
  const signs = { system: "◐", dark: "●", light: "○" };
  const kept = "theme";
  let theme = themes.find((name) => name === localStorage.getItem(kept)) ?? "system";

  function show() {
    document.documentElement.dataset.theme = theme;
  }

  function name(button) {
    button.textContent = signs[theme];
    button.title = `Colours: ${theme}`;
    button.setAttribute("aria-label", `Colours: ${theme}`);
  }

  show();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    button.hidden = false;
    name(button);
    button.addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      localStorage.setItem(kept, theme);
      show();
      name(button);
    });
  });
})();
