/* Three panes where there is room, pages where there is not. */
import { isNarrow, onClick, onContent } from "./dom.js";
import { say, sayAfterReload } from "./toasts.js";

export function watchPanes() {
  onClick("[data-toggle-rail]", (button) => {
    const isOpen = button.closest(".rail").classList.toggle("open");
    button.setAttribute("aria-expanded", String(isOpen));
  });

  // without room for a second pane, a row is an ordinary link
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    const row = event.detail.elt;
    if (isNarrow() && row.matches("[data-pane]")) {
      event.preventDefault();
      location.assign(row.href);
    }
  });

  // reloading the page that shows a new key must not make another
  if (document.getElementById("secret")) history.replaceState(history.state, "", location.href);

  onContent(() => {
    markRow(document.querySelector("section[data-row]"));
    const pane = document.querySelector("[data-url]");
    if (!pane || isNarrow() || pane.hasAttribute("data-open")) return;
    // the first case is shown beside the list: name it, so that a later refresh shows the same one
    history.replaceState(history.state, "", pane.dataset.url);
    pane.setAttribute("data-open", "");
  });

  onContent(() => {
    if (isNarrow()) document.querySelectorAll("[data-fold]:not([data-folded])").forEach((fold) => {
      fold.open = false;
      fold.setAttribute("data-folded", "");
    });
  });

  // the page is asked for anew, and says why
  document.body.addEventListener("htmx:responseError", (event) => {
    sayAfterReload(`That did not work: the server answered ${event.detail.xhr.status}. Here is how things stand.`);
    location.reload();
  });
  document.body.addEventListener("htmx:sendError", () => say("The server cannot be reached. Nothing was done; try again."));
}

function markRow(pane) {
  if (!pane) return;
  for (const row of document.querySelectorAll("[id^='row-'][aria-current]")) {
    if (row.id !== pane.dataset.row) row.removeAttribute("aria-current");
  }
  const row = document.getElementById(pane.dataset.row);
  row?.setAttribute("aria-current", "true");
  if (!isNarrow()) row?.scrollIntoView({ block: "nearest" });
}
