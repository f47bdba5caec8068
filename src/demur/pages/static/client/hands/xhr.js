// What jQuery and htmx 2 share: an XMLHttpRequest that waits while a person signs in, and is sent once more.

import { demur } from "../core.js";

/** @param {string} url */
export const own = (url) => new URL(url, document.baseURI).origin === location.origin;

/** @typedef {{method: string, url: string, headers: string[][]}} Call */

/**
 * Have a request wait. Its end is held back from all who listen, until it is known which end it is.
 * @param {XMLHttpRequest} xhr @param {Call} [call] if it is open already
 */
export const recovering = (xhr, call = { method: "GET", url: "", headers: [] }) => {
  const { open, setRequestHeader, send: sends, abort } = xhr;
  let turn = "first";
  /** @type {XMLHttpRequestBodyInit | null | undefined} */
  let body;
  /** @param {string} [method] */
  const send = (method) => {
    if (own(call.url)) for (const each of Object.entries(demur.headers(method))) setRequestHeader.apply(xhr, each);
    sends.call(xhr, body);
  };
  /** @param {string[]} kinds */
  const tell = (...kinds) => kinds.forEach((kind) => xhr.dispatchEvent(new ProgressEvent(kind)));
  xhr.open = (/** @type {any[]} */ ...given) => {
    call = { method: given[0], url: String(given[1]), headers: [] };
    turn = given[2] === false ? "last" : "first";
    open.apply(xhr, /** @type {any} */ (given.length < 3 ? [...given, true] : given));
  };
  xhr.setRequestHeader = (...field) => {
    setRequestHeader.apply(xhr, field);
    call.headers.push(field);
  };
  xhr.send = (given) => ((body = /** @type {any} */ (given)), send(call.method));
  xhr.abort = () => {
    if (turn === "asking") (turn = "last"), tell("abort", "loadend");
    abort.call(xhr);
  };
  /** @param {Event} event */
  const hold = async (event) => {
    const { status, readyState, responseURL: url } = xhr;
    if (turn === "last" || readyState < 4 || status < 400 || !own(url)) return;
    event.stopImmediatePropagation();
    if (turn === "asking" || event.type !== "loadend") return;
    turn = "asking";
    const headers = { get: (/** @type {string} */ name) => xhr.getResponseHeader(name) };
    const said = xhr.responseType === "json" ? JSON.stringify(xhr.response) : xhr.response;
    const text = () => new Response(said).text();
    const redirected = url !== new URL(call.url, document.baseURI).href.split("#")[0];
    const refusal = await demur.read({ status, url, redirected, headers, text }).catch(() => null);
    const background = call.headers.some(([name]) => name.toLowerCase() === "demur-background");
    const again = refusal && (await demur.recover(refusal, { method: call.method, background }));
    if (turn !== "asking") return;
    turn = "last";
    if (!again) return tell("readystatechange", "load", "loadend");
    open.call(xhr, call.method, call.url, true);
    for (const [name, value] of call.headers) setRequestHeader.call(xhr, name, value);
    send();
  };
  // Who has been told first before, is told after us.
  const { onreadystatechange, onload, onloadend } = xhr;
  xhr.onreadystatechange = xhr.onload = xhr.onloadend = null;
  for (const kind of ["readystatechange", "load", "loadend"]) xhr.addEventListener(kind, hold);
  return Object.assign(xhr, { onreadystatechange, onload, onloadend });
};
