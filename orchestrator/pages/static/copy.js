// A button that copies the text of the element that its `data-copy` names. Where the
// browser keeps the clipboard to itself the text is selected, to be copied by hand.
"use strict";

(() => {
  const SHOWN_MS = 2_000;

  async function copy(button) {
    const shown = document.getElementById(button.dataset.copy);
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(shown.textContent);
    } catch {
      getSelection().selectAllChildren(shown);
      said = "Selected";
    }
    button.textContent = said;
    setTimeout(() => { button.textContent = "Copy"; }, SHOWN_MS);
  }

  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
})();
