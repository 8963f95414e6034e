/* Toasts go by themselves, but never while somebody points at one or is in it. */
import { onClick, onContent } from "./dom.js";

const STAYS = 12000;

export function watchToasts() {
  onClick("[data-dismiss]", (button) => button.closest(".toast").remove());
  onContent(() => {
    for (const toast of document.querySelectorAll(".toast:not([data-timed])")) {
      toast.setAttribute("data-timed", "");
      leaveLater(toast);
    }
  });
}

function leaveLater(toast) {
  setTimeout(() => (toast.matches(":hover, :focus-within") ? leaveLater(toast) : toast.remove()), STAYS);
}
