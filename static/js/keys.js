/* Single keys for people who do this all day. Off inside inputs, and with one switch altogether. */
import { isNarrow, openDialog } from "./dom.js";

const SWITCH = "counterseal.keys";
const MOVES = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };

export function watchKeys() {
  const box = document.querySelector("[data-keys-switch]");
  if (box) {
    box.checked = areOn();
    box.addEventListener("change", () => localStorage.setItem(SWITCH, box.checked ? "on" : "off"));
  }
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") return escape(event);
    if (!areOn() || openDialog() || isTyping(event.target)) return;
    if (act(event)) event.preventDefault();
    else if (event.key.length === 1 && !bound(event.key)) strayAt = event.timeStamp;
  });
}

/* Somebody who types text while no field has the focus (the dialog was slow) must not decide with it: a
   letter that means nothing here shows that text is being typed, and what follows closely is text too. */
const TYPING = 500; // ms
let strayAt = -Infinity;
const TAP = 300; // ms
let decidedAt = -Infinity;

const areOn = () => localStorage.getItem(SWITCH) !== "off";

function isTyping(target) {
  return target.matches?.("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox], [type=button])");
}

function act(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key in MOVES) return isScrolling(event) ? false : move(MOVES[key]);
  if (key === "o") return openRow();
  if (key === "Enter" && event.target === document.body) return openRow();
  if (key === "?") return show("keys");
  if (key === "/") return search();
  // a key that is held down repeats; one press is one decision
  if (event.repeat || event.timeStamp - strayAt < TYPING) return false;
  const button = bound(key, ":not(:disabled)");
  if (button?.type === "submit") {
    // a second tap would decide about the next case before anybody has read it
    if (event.timeStamp - decidedAt < TAP) return true;
    decidedAt = event.timeStamp;
  }
  return press(button);
}

function bound(key, also = "") {
  return document.querySelector(`[data-key="${CSS.escape(key.toLowerCase())}"]${also}`);
}

/** Arrows belong to whoever scrolls or chooses with them. */
function isScrolling(event) {
  return event.key.startsWith("Arrow") && event.target.matches?.(".scroll, .scroll *, .side *, .view, [type=radio], summary");
}

function press(button) {
  button?.click();
  return Boolean(button);
}

function show(id) {
  document.getElementById(id)?.showModal();
  return true;
}

function search() {
  const box = document.querySelector("[data-search]");
  if (box) box.focus();
  else location.assign("/log#search");
  return true;
}

function rows() {
  return [...document.querySelectorAll("[data-row]:is(a)")];
}

function current(all) {
  const focused = all.indexOf(document.activeElement);
  return focused >= 0 ? focused : all.findIndex(isCurrent);
}

const isCurrent = (row) => row.closest("[aria-current='true']") !== null;

function move(step) {
  const all = rows();
  if (!all.length) return false;
  const at = current(all);
  const to = all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
  to.focus();
  if (!isNarrow() && to.matches("[data-pane]") && !isCurrent(to)) to.click();
  return true;
}

function openRow() {
  const all = rows();
  const row = all[Math.max(0, current(all))];
  if (!row) return false;
  const pane = document.querySelector("#case, #story");
  if (isNarrow() || !pane || !row.matches("[data-pane]")) row.click();
  else (pane.querySelector(".scroll, .timeline") ?? pane).focus();
  return true;
}

/** Out of a field first, then out of the case; a dialog closes by itself. */
function escape(event) {
  if (openDialog()) return;
  if (isTyping(event.target)) return event.target.blur();
  const pane = document.querySelector("#case[data-list]");
  if (!pane) return;
  if (isNarrow()) location.assign(pane.dataset.list);
  else document.getElementById(pane.dataset.row)?.focus();
}
