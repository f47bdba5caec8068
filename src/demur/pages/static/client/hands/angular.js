// Angular: an interceptor for HttpClient. It is given rxjs, and imports nothing.
//
//   import * as rxjs from "rxjs";
//   import { interceptor } from "demur/hands/angular";
//   provideHttpClient(withInterceptors([interceptor(rxjs)]))

import { demur } from "../core.js";

/** @param {any} error @param {any} request @returns {Promise<boolean>} */
const recovered = async ({ status, url, headers, error }, request) => {
  const said = error?.constructor === Object ? JSON.stringify(error) : new Response(error).text();
  const redirected = url !== new URL(request.urlWithParams, document.baseURI).href.split("#")[0];
  const refusal = await demur.read({ status, url: url ?? "", redirected, headers, text: () => said });
  const background = request.headers.has("demur-background");
  return !!refusal && demur.recover(refusal, { method: request.method, background });
};

/** @param {{catchError: any, defer: any, from: any, switchMap: any, throwError: any}} rxjs */
export const interceptor =
  ({ catchError, defer, from, switchMap, throwError }) =>
  /** @param {any} request @param {(request: any) => any} next */
  (request, next) => {
    if (new URL(request.urlWithParams, document.baseURI).origin !== location.origin) return next(request);
    /** @param {string} [method] */
    const attempt = (method) => next(request.clone({ setHeaders: demur.headers(method) }));
    return defer(() => attempt(request.method)).pipe(
      catchError((/** @type {any} */ failed) => {
        // What went by fetch (withFetch) was seen to there already.
        const seen = failed.responseType && fetch === demur.fetch;
        if (seen || !failed.headers) return throwError(() => failed);
        const next = (/** @type {boolean} */ again) => (again ? attempt() : throwError(() => failed));
        return from(recovered(failed, request)).pipe(switchMap(next));
      }),
    );
  };
