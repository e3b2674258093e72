// Ages and countdowns: the page says the moment, and they are counted here, so that a page
// in which nothing has happened is the same page. By the server's clock, as it was when
// the page was made.
"use strict";

(() => {
  if (!document.body.dataset.now) return;
  const aheadBy = Date.parse(document.body.dataset.now) - Date.now();

  const units = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];

  function inWords(seconds) {
    const [size, unit] = units.find(([size]) => seconds >= size * 2) ?? units.at(-1);
    return `${Math.floor(seconds / size)} ${unit}`;
  }

  function count() {
    const now = Date.now() + aheadBy;
    for (const moment of document.querySelectorAll("time[data-shown]")) {
      const seconds = Math.round((now - Date.parse(moment.dateTime)) / 1000);
      moment.title ||= moment.textContent;
      moment.textContent = seconds < 0 ? `in ${inWords(-seconds)}` : `${inWords(seconds)} ago`;
      // Later than this many seconds it is late, or too late.
      const { late, toolate } = moment.dataset;
      moment.classList.toggle("too-late", toolate !== undefined && seconds >= Number(toolate));
      moment.classList.toggle("late", late !== undefined && seconds >= Number(late));
    }
  }

  document.addEventListener("htmx:after:swap", count);
  setInterval(count, 1000);
  count();
})();
