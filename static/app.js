/* The dashboard's own script: small modules, no build step. The pages work without it, only less briskly. */
import { watchDialogs } from "./js/dialogs.js";
import { watchKeys } from "./js/keys.js";
import { watchLetters } from "./js/letters.js";
import { watchChanges } from "./js/live.js";
import { watchPanes } from "./js/panes.js";
import { watchToasts } from "./js/toasts.js";

document.documentElement.classList.add("js");
watchPanes();
watchLetters();
watchDialogs();
watchToasts();
watchKeys();
watchChanges();
