/* A sandboxed frame cannot tell how tall its mail is. The plain text, laid out as wide, can. */
import { onContent } from "./dom.js";

const LEAST = 160;
const MOST = 1400;

export function watchLetters() {
  onContent(fitAll);
  addEventListener("resize", fitAll);
}

function fitAll() {
  for (const frame of document.querySelectorAll("iframe[data-fit]")) fit(frame);
}

function fit(frame) {
  const text = frame.closest(".letter")?.querySelector(".view.text");
  const width = frame.clientWidth;
  if (!text || !width) return;
  const twin = text.cloneNode(true);
  twin.removeAttribute("tabindex");
  Object.assign(twin.style, { display: "block", position: "absolute", visibility: "hidden", width: `${width}px` });
  text.after(twin);
  const height = twin.offsetHeight * 1.05 + 40;
  twin.remove();
  // an attribute, not a style: htmx copies attributes onto what it swaps in, and the policy forbids it styles
  frame.height = String(Math.round(Math.min(MOST, Math.max(LEAST, height))));
}
