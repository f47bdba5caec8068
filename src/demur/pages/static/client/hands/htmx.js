// htmx 2 and 4: a fragment waits for the sign-in, and what is swapped in is never a refusal.
//
//   import { install } from "demur/hands/htmx";
//   install();

import { demur } from "../core.js";
import { recovering } from "./xhr.js";

/** Answers that are no fragments. @type {WeakSet<Response>} */
const refused = new WeakSet();

/** @param {Parameters<typeof fetch>} call */
const ask = async (...call) => {
  const response = await demur.fetch(...call);
  if (response.headers.has("demur-processed") || (await demur.read(response))) refused.add(response);
  return response;
};

/** As htmx sends it: nothing beyond Latin-1 fits. @param {string} name @param {string} value */
const field = (name, value) => {
  if (/^[\0-\xff]*$/.test(value)) return [[name, value]];
  return [[name, encodeURIComponent(value)], [name + "-URI-AutoEncoded", "true"]];
};

export const install = () => {
  /** @param {string} name @param {(detail: any, event: any) => void} listener */
  const on = (name, listener) =>
    document.addEventListener(name, (/** @type {any} */ event) => listener(event.detail, event));
  // 2: it is open, and has its fields.
  on("htmx:beforeSend", ({ xhr, requestConfig: { verb, headers }, pathInfo: { finalRequestPath: url } }) => {
    const fields = Object.entries(headers).flatMap(([name, value]) => field(name, String(value)));
    recovering(xhr, { method: verb.toUpperCase(), url, headers: fields });
  });
  // 4
  on("htmx:before:request", ({ ctx }) => (ctx.fetch = ask));
  on("htmx:before:swap", ({ ctx }, event) => refused.has(ctx?.response?.raw) && event.preventDefault());
};
