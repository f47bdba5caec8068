// axios: below its interceptors, so that they see one request and one answer, whatever happens in between.
//
//   import { install } from "demur/hands/axios";
//   install(axios);          or, for an instance: install(axios, api)

import { demur } from "../core.js";

/** @param {any} axios @param {any} [api] */
export const install = (axios, api = axios) => {
  const adapter = axios.getAdapter(api.defaults.adapter);
  /** @param {any} config */
  api.defaults.adapter = async (config) => {
    const url = new URL(api.getUri(config), document.baseURI);
    if (url.origin !== location.origin) return adapter(config);
    const send = (/** @type {string | undefined} */ method = undefined) => {
      for (const [name, value] of Object.entries(demur.headers(method))) config.headers.set(name, value);
      return adapter(config);
    };
    /** @type {{failed?: boolean, error?: any, response: any}} */
    const end = await send(config.method).then(
      (/** @type {any} */ response) => ({ response }),
      (/** @type {any} */ error) => ({ failed: true, error, response: error.response }),
    );
    // What went by fetch was seen to there already.
    const seen = end.response?.request instanceof Request && fetch === demur.fetch;
    if (end.response && !seen && (await recovered(config, url.href, end.response))) return send();
    if (end.failed) throw end.error;
    return end.response;
  };
};

/** @param {any} config @param {string} url @param {any} response @returns {Promise<boolean>} */
const recovered = async (config, url, { status, data, headers, request }) => {
  const redirected = (request?.responseURL ?? url) !== url.split("#")[0];
  const said = await demur.read({ status, url, redirected, headers, text: () => new Response(data).text() });
  const background = config.headers.has("demur-background");
  const spent = config.data instanceof ReadableStream;
  return !!said && demur.recover(said, { method: config.method, background, spent });
};
