// TanStack Query: a refusal does not go away by asking again, and is forgotten when somebody signs in.
//
//   import { fetchOk, install, retry } from "demur/hands/query";
//   const client = new QueryClient({ defaultOptions: { queries: { retry } } });
//   install(client);
//   useQuery({ queryKey: ["reports"], queryFn: async () => (await fetchOk("/api/reports")).json() });

import { demur } from "../core.js";

/** Three times, as is usual; but never what was refused. @param {number} failures @param {any} error */
export const retry = (failures, error) => {
  const status = error?.status ?? error?.response?.status;
  return failures < 3 && !(status >= 400 && status < 500 && status !== 408);
};

/** As `demur.fetch`, but whatever is not 2xx is an error, which knows why. @type {typeof fetch} */
export const fetchOk = async (...call) => {
  const response = await demur.fetch(...call);
  if (response.ok) return response;
  const refusal = await demur.read(response);
  const message = refusal?.title ?? `${response.status} ${response.statusText}`;
  throw Object.assign(new Error(message), { status: response.status, response, refusal });
};

/** @param {{invalidateQueries(filters: any): any, clear(): void}} client */
export const install = (client) => {
  const failed = (/** @type {any} */ query) => query.state.status === "error";
  const all = [
    demur.on("restored", () => client.invalidateQueries({ predicate: failed })),
    // What one person was shown is not for the next.
    demur.on("switched", () => client.clear()),
    demur.on("signed-out", () => client.clear()),
  ];
  return () => all.forEach((off) => off());
};
