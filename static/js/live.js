/* Keep the page true. The server says only that something changed; the page asks again for itself and takes
   over the parts marked data-live that differ. Focus, scrolling, open dialogs and typed text stay. */
import { openDialog } from "./dom.js";

const POLL = 15000; // without a stream
const TICK = 60000; // with one, for times that grow old

let stream = null;
let isDue = false;
let isAsking = false;

export function watchChanges() {
  const address = document.body.dataset.events;
  if (!address || !document.querySelector("[data-live]")) return;
  connect(address);
  setInterval(() => { if (!isStreaming()) refresh(); }, POLL);
  setInterval(() => { if (isStreaming()) refresh(); }, TICK);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && isDue) refresh(); });
  document.addEventListener("close", () => { if (isDue) refresh(); }, true);
  addEventListener("pagehide", () => stream?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) connect(address); });
}

const isStreaming = () => stream?.readyState === EventSource.OPEN;

function connect(address) {
  stream = new EventSource(address);
  stream.addEventListener("changed", refresh);
}

async function refresh() {
  isDue = true;
  // a case that a dialog is open about changes when the dialog is closed; the server has the last word anyway
  if (document.hidden || openDialog() || isAsking) return;
  isAsking = true;
  isDue = false;
  const asked = location.href;
  try {
    const answer = await fetch(asked, { headers: { "X-Refresh": "1" }, credentials: "same-origin" });
    // signed out meanwhile: what stands here is no longer for whoever looks at it
    if (answer.redirected) return location.reload();
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (location.href === asked && !openDialog() && answer.ok) takeOver(fresh);
  } catch {
    // offline or restarting: the next poll tries again
  } finally {
    isAsking = false;
    if (isDue) setTimeout(refresh, 250);
  }
}

function takeOver(fresh) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const twin = fresh.getElementById(part.id);
    if (!twin || same(part, twin) || isBusy(part)) continue;
    if (part.dataset.live === "list") mergeList(part, twin);
    else replace(part, twin);
  }
  document.body.dispatchEvent(new Event("refreshed"));
}

/** Entry by entry, known by their ids, so that whoever reads one keeps it as it is. */
function mergeList(list, twin) {
  const known = new Map([...list.children].map((entry) => [entry.id, entry]));
  [...twin.children].forEach((fresh, at) => {
    const entry = known.get(fresh.id) ?? document.importNode(fresh, true);
    if (known.delete(fresh.id)) {
      entry.className = fresh.className;
      if (!same(entry, fresh)) replace(entry, fresh);
    }
    if (list.children[at] !== entry) list.insertBefore(entry, list.children[at] ?? null);
  });
  for (const gone of known.values()) gone.remove();
  window.htmx?.process(list);
}

function replace(part, twin) {
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const key = focused && (focused.id ? `#${CSS.escape(focused.id)}` : focused.dataset.key && `[data-key="${focused.dataset.key}"]`);
  const top = part.scrollTop;
  const folds = new Map([...part.querySelectorAll("details[id]")].map((fold) => [fold.id, fold.open]));
  part.innerHTML = twin.innerHTML;
  for (const fold of part.querySelectorAll("details[id]")) fold.open = folds.get(fold.id) ?? fold.open;
  window.htmx?.process(part);
  part.scrollTop = top;
  if (key) part.querySelector(key)?.focus({ preventScroll: true });
}

/** htmx marks what it has seen to, panes.js which row is open, a reader opens folds, and each look has a
    new form of the same token: none of it is news. */
function same(part, twin) {
  return plain(part) === plain(twin);
}

function plain(part) {
  const copy = part.cloneNode(true);
  for (const one of copy.querySelectorAll("details[id]")) one.removeAttribute("open");
  for (const one of copy.querySelectorAll("[name=csrfmiddlewaretoken]")) one.removeAttribute("value");
  for (const one of copy.querySelectorAll("[aria-current], [class]")) {
    one.removeAttribute("aria-current");
    one.classList.remove("htmx-added", "htmx-settling", "htmx-swapping", "htmx-request");
    if (!one.className) one.removeAttribute("class");
  }
  return copy.innerHTML;
}

/** Somebody types here, or a request is under way. */
function isBusy(part) {
  const field = document.activeElement;
  if (part.contains(field) && field.matches("input:not([type=hidden]), textarea, select")) return true;
  return part.querySelector(".htmx-request") !== null || part.closest(".htmx-request") !== null;
}
