/* Toasts go by themselves, but never while somebody points at one or is in it. */
import { onClick, onContent } from "./dom.js";

const STAYS = 12000;

const LATER = "counterseal.say";

export function watchToasts() {
  const left = sessionStorage.getItem(LATER);
  if (left) {
    sessionStorage.removeItem(LATER);
    say(left);
  }
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

/** A complaint of our own, in the words of the page. */
export function say(sentence) {
  const toast = document.createElement("div");
  toast.className = "toast error";
  const text = document.createElement("p");
  text.textContent = sentence;
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.dismiss = "";
  button.textContent = "×";
  button.setAttribute("aria-label", "Dismiss");
  toast.append(text, button);
  document.getElementById("toasts")?.append(toast);
  toast.setAttribute("data-timed", "");
  leaveLater(toast);
}

export const sayAfterReload = (sentence) => sessionStorage.setItem(LATER, sentence);
