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
  let there = false;
  // Who left before the client was there, and comes back, gets the page anew: browsers may have broken off its loading.
  addEventListener("pageshow", ({ persisted }) => persisted && !there && location.reload());
  const ready = import(new URL("client/core.js", src)).then(({ demur }) => {
    there = true;
    return demur.install({ ...dataset }, fetch);
  });
  // What the page asks for before the client is there waits for it.
  if (!/\bfetch\b/.test(dataset.off)) {
    window.fetch = (...call) => ready.then((demur) => demur.fetch(...call), () => fetch(...call));
    window.fetch.native = fetch;
  }
}
