// What a page shows is asked for again every two seconds, and put in when it has changed;
// nothing is asked for while the page is paused or hidden. When there is no answer, what is
// shown stays, and it says so.
"use strict";

(() => {
  const live = document.getElementById("live");
  if (!live) return;
  const button = document.getElementById("pause");
  const trouble = document.getElementById("trouble");
  let paused = sessionStorage.getItem("paused") === "yes";

  function showPause() {
    button.textContent = paused ? "Paused" : "Live";
    button.title = paused ? "Go on (p)" : "Pause (p)";
    button.setAttribute("aria-pressed", String(paused));
  }

  function tell(sentence) {
    trouble.textContent = sentence;
    trouble.hidden = !sentence;
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    sessionStorage.setItem("paused", paused ? "yes" : "no");
    showPause();
  });

  live.addEventListener("htmx:config:request", (event) => {
    if (event.target !== live) return;
    if (paused || document.hidden) {
      event.preventDefault();
      return;
    }
    event.detail.ctx.request.headers["If-None-Match"] = `"${live.dataset.etag}"`;
  });

  live.addEventListener("htmx:after:request", (event) => {
    if (event.target !== live) return;
    const { status, headers } = event.detail.ctx.response;
    const tag = headers.get("ETag");
    if (status < 400) {
      if (tag) live.dataset.etag = tag.replaceAll('"', "");
      tell("");
    } else if (status === 401) {
      tell("Your session is over: load the page again to sign in. What you see is as it was.");
    } else {
      tell(`The service answers ${status}. What you see is as it was.`);
    }
  });

  live.addEventListener("htmx:error", () => {
    tell("The service does not answer. What you see is as it was.");
  });

  showPause();
})();
