/* What the other modules share. */
const narrow = matchMedia("(max-width: 899px)");

export const isNarrow = () => narrow.matches;

export const openDialog = () => document.querySelector("dialog[open]");

/** Call `act` for the page as it is, and again for every part that htmx or a refresh puts in. */
export function onContent(act) {
  act(document.body);
  document.body.addEventListener("htmx:afterSwap", () => act(document.body));
  document.body.addEventListener("refreshed", () => act(document.body));
}

/** One listener for all present and future elements that match. */
export function onClick(selector, act) {
  document.addEventListener("click", (event) => {
    const found = event.target.closest?.(selector);
    if (found) act(found, event);
  });
}
