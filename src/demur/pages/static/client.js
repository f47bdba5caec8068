// @ts-nocheck
/* The one address of demur in the browser.
 *
 *   <script src="/.demur/client.js" defer></script>    by itself: over fetch, forms, streams, and with warnings
 *   import { demur } from "/.demur/client.js";          by hand
 *
 * The line below exports in a module and does nothing in a classic script, where nothing may be exported. There `await`
 * is a name like any other (ECMAScript, 13.1), so that what follows it is a division by a text, up to the last quote; in
 * a module it is a keyword, and what follows is a regular expression with a quote in it.
 *
 * Options are attributes of the script: data-warn="300", data-off="fetch drafts".
 */
typeof await /'/; export { demur } from "./client/core.js"; //'

if (document.currentScript) {
  const { src, dataset } = document.currentScript;
  const { fetch } = window;
  let back = false;
  // Who leaves before the client is there, and comes back, is asked for as well.
  addEventListener("pageshow", ({ persisted }) => (back = persisted));
  const ready = import(new URL("client/core.js", src)).then(({ demur }) => demur.install({ ...dataset }, back, fetch));
  // What the page asks for before the client is there waits for it.
  if (!/\bfetch\b/.test(dataset.off)) {
    window.fetch = (...call) => ready.then((demur) => demur.fetch(...call), () => fetch(...call));
    window.fetch.native = fetch;
  }
}
