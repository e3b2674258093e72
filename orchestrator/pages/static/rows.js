// A list of runs: ids are copied by a button, and all rows are chosen at once. What is
// listed changes while it is looked at, so it is listened to from outside.
"use strict";

(() => {
  const SHOWN_MS = 1_200;
  const live = document.getElementById("live");

  async function copy(button) {
    await navigator.clipboard.writeText(button.dataset.id);
    button.dataset.copied = "";
    setTimeout(() => delete button.dataset.copied, SHOWN_MS);
  }

  function uncover() {
    for (const hidden of live.querySelectorAll("[data-script][hidden]")) {
      hidden.hidden = hidden.matches("[data-id]") && !navigator.clipboard;
    }
  }

  live.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-id]");
    if (button) copy(button);
  });

  // The list stands still while one that is chosen would leave it: it would be chosen no more,
  // and when none is, an act is offered on all that match. It is asked for whole until then.
  live.addEventListener("htmx:after:request", (event) => {
    const { text, response } = event.detail.ctx;
    if (event.target !== live || response.status !== 200) return;
    const chosen = [...live.querySelectorAll("input[name='run']:checked")];
    if (chosen.every((box) => text.includes(`id="run-${box.value}"`))) return;
    event.preventDefault();
    live.dataset.etag = "";
  });

  live.addEventListener("change", (event) => {
    if (event.target.id !== "choose-all") return;
    for (const box of live.querySelectorAll("input[name='run']")) box.checked = event.target.checked;
  });

  document.addEventListener("htmx:after:swap", uncover);
  uncover();
})();
