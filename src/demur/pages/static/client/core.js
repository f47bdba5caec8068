// demur in the browser: it reads refusals, has the person sign in again in place, and repeats what was refused.
//
// - Only the server ends a session. A clock, a message from another tab, a closed socket: each only makes us ask.
// - A refused call is repeated once, never more; only if the app never saw it ("Demur-Processed: ?0") or it is a GET
//   or HEAD; and only as the person that the page was made for, which the server checks again ("Demur-Subject").
// - Nothing is held while a person types: each visible tab shows its own dialog, and one sign-in closes all.

import { remedies } from "./reasons.js";

/**
 * Why a call was refused: the members of the problem (RFC 9457), and what the fields of the answer say.
 * @typedef {object} Refusal
 * @property {number} status
 * @property {string} reason one of the table of reasons
 * @property {string} remedy what to do about it
 * @property {boolean} processed false only where it is certain that the app never saw the call
 * @property {string} url
 * @property {string} [title]
 * @property {string} [detail]
 * @property {string} [instance] the reference, `urn:uuid:…`
 * @property {string} [subject] whose session it was, if it was one
 * @property {string[]} [missing]
 * @property {string} [request_access]
 */
/**
 * A live session. Ends are in seconds from now; `idle_ends_in` is null if idleness does not end it.
 * @typedef {{subject: string, name: string, display_name: string, idle_ends_in: number | null, expires_in: number,
 *   draft_key: string}} Session
 */
/**
 * What `read` needs of an answer: a Response, or what an XMLHttpRequest knows.
 * @typedef {{status: number, url?: string, redirected?: boolean, headers: {get(name: string): string | null},
 *   text(): string | Promise<string>, clone?(): Response}} Answer
 */
/**
 * `prefix` is where demur's own addresses are. `warn` and `urge` are seconds before the end: of the notice, of the
 * dialog. `off` names what is not wanted: fetch, forms, drafts, watch, expiry, hide.
 * @typedef {{prefix: string, warn: number, urge: number, off: string, strings: Record<string, string>}} Options
 */
/**
 * What the page shows; each may be replaced.
 * @typedef {object} Ui
 * @property {(refusal: Refusal, signal: AbortSignal) => Promise<boolean>} signIn
 * @property {(about: {ends: number, absolute: boolean}, signal: AbortSignal) =>
 *   Promise<"stay" | "sign-in" | "sign-out" | null>} expiring
 * @property {(refusal: Refusal, session: Session | null) => void} forbidden
 */

const [, prefix = "/.demur"] = /[^/:](\/.*)\/client\/core\.js/.exec(import.meta.url) ?? [];
let send = fetch;
const channel = new BroadcastChannel("demur");
const [entry] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));

/** @type {Options} */
const options = { prefix, warn: 120, urge: 30, off: "", strings: {} };
let person = "";
let over = false;
/** For how long the session lasts, whether nothing makes that longer, and when we heard it: by the clock on the wall, and
 * by one that nobody sets. @type {{rest: number, fixed: boolean, wall: number, steady: number} | undefined} */
let ends;
/** @typedef {{refusal: Refusal, control: AbortController, promise: Promise<boolean>, shown?: boolean,
 *   settle(signedIn: boolean): void}} Waiting */
/** Set while somebody has to sign in. @type {Waiting | undefined} */
let waiting;
/** What changes nothing. */
const READS = /^(GET|HEAD)$/i;
/** Whether a sign-in was declined and nothing was done since: what runs by itself does not ask again. */
let quiet = false;
/** When the server last said something, by the steady clock. */
let heard = 0;
/** @type {Refusal} */
let last = { status: 401, reason: "sign-in-required", remedy: "sign-in", processed: true, url: "" };

/** Tell the page; false if it does not want what would follow.
 * @param {string} name @param {object} [detail] */
const emit = (name, detail) => dispatchEvent(new CustomEvent("demur:" + name, { cancelable: true, detail }));

/** @param {string} name */
const wanted = (name) => !options.off.includes(name);

/** @param {boolean} on */
const hide = (on) => {
  // What sets its own visibility would be seen all the same, and what lies on top of all has an opacity of its own.
  const [visibility, opacity] = on ? ["hidden", "0"] : ["", ""];
  if (wanted("hide")) Object.assign(document.body.style, { visibility, opacity });
};

// --- the session -----------------------------------------------------------------------------------

/** @param {number | null} idle @param {number} absolute @param {number} [ago] milliseconds */
const lasts = (idle, absolute, ago = 0) => {
  const rest = Math.min(idle ?? absolute, absolute) * 1000;
  ends = { rest, fixed: rest === absolute * 1000, wall: Date.now() - ago, steady: performance.now() - ago };
  if (over) over = quiet = false;
  emit("heard");
};

/** Milliseconds that are left. Sleep stops one clock, and people set the other: the one that went further counts. */
const left = () =>
  ends ? ends.rest - Math.max(Date.now() - ends.wall, performance.now() - ends.steady) : Infinity;

/** What an answer tells in Server-Timing. @param {PerformanceResourceTiming[]} entries */
const learn = (entries) => {
  for (const { name, serverTiming = [], responseStart } of entries) {
    const told = Object.fromEntries(serverTiming.map((metric) => [metric.name, metric]));
    if (!told.session || !told.subject || !name.startsWith(location.origin + "/") || responseStart < heard) continue;
    heard = responseStart;
    person ||= told.subject.description;
    if (told.subject.description !== person) look();
    else lasts(told.session.duration, +told.session.description, performance.now() - responseStart);
  }
};

/** The server's own word. @param {string} path @param {RequestInit} init @returns {Promise<Session | null>} */
const ask = async (path, init) => {
  const before = waiting;
  const response = await send(options.prefix + path, init);
  if (response.ok) {
    const found = await response.json();
    const ended = over;
    heard = performance.now();
    lasts(found.idle_ends_in, found.expires_in);
    if (person && found.subject !== person) leave(found);
    else {
      person = found.subject;
      // Who has to confirm is signed in all the while, and an answer to an older question proves nothing.
      if (before === waiting && before?.refusal.remedy === "sign-in") done(true);
      else if (ended && !waiting) emit("restored");
    }
    return found;
  }
  const refusal = await read(response);
  if (response.status !== 401 || !refusal) throw new Error("demur: " + response.status);
  end(refusal);
  return null;
};

/** @returns {Promise<Session | null>} */
const session = () => ask("/session", { headers: { "demur-background": "?1" } });

/** The same where it does not matter why nobody answered: then it is undefined. @returns {Promise<any>} */
const look = () => session().catch(() => {});

/** @returns {Promise<Session | null>} */
const extend = async () => {
  const found = await ask("/session/extend", { method: "POST" });
  channel.postMessage({ type: "alive", subject: person });
  return found;
};

/** The server said that the session is over. @param {Refusal} refusal */
const end = (refusal) => {
  last = refusal;
  person ||= refusal.subject ?? "";
  over = true;
  ends = undefined;
  heard = performance.now();
};

/** Somebody else is signed in: nothing of this page is sent as them. @param {Session} found */
const leave = (found) => {
  done(false);
  if (!emit("switched", { session: found })) return hide(false);
  hide(true);
  // A page out of a cache that nobody empties would be loaded again for ever.
  if (entry?.type !== "reload" || performance.now() > 9000) location.reload();
  else location.replace(options.prefix + "/account");
};

/** The page may belong to somebody who has left: nothing is seen of it until the server says otherwise. */
const verify = async () => {
  if (!person) return;
  hide(true);
  const found = await look();
  if (found === undefined) setTimeout(verify, 3000);
  else if (!found && emit("signed-out", { refusal: last }) && !(await restore(last))) location.reload();
  else if (!found || found.subject === person) hide(false);
};

// --- signing in again ------------------------------------------------------------------------------

/** Have the person sign in. All that waits, waits for the same. @param {Refusal} refusal @returns {Promise<boolean>} */
const restore = async (refusal) => {
  if (!waiting) {
    if (!emit("required", { refusal })) return false;
    quiet = false;
    const mine = (waiting = /** @type {Waiting} */ ({ refusal, control: new AbortController() }));
    mine.promise = new Promise((settle) => (mine.settle = settle));
    show();
  }
  return waiting.promise;
};

/** The dialog, in a tab that somebody looks at. */
const show = async () => {
  const mine = waiting;
  if (!mine || mine.shown || document.hidden) return;
  mine.shown = true;
  // What cannot be shown here has a page of its own.
  const signedIn = await demur.ui.signIn(mine.refusal, mine.control.signal).catch(() =>
    location.assign(options.prefix + "/sign-in?next=" + encodeURIComponent(location.href)));
  if (signedIn && mine === waiting) await healed(true);
  if (mine === waiting) done(false);
};

/** @param {boolean} signedIn */
const done = (signedIn) => {
  const mine = waiting;
  waiting = undefined;
  quiet = !signedIn;
  mine?.control.abort();
  mine?.settle(signedIn);
  if (signedIn) emit("restored");
};

/** Somebody may have signed in: is it the person of this page? Only who closes the dialog gives up, and only a sign-in
 * confirms who somebody is. @param {boolean} [signedIn] */
const healed = async (signedIn) => {
  const mine = waiting;
  const found = await look();
  if (signedIn && found && mine && mine === waiting) done(true);
  if (found?.subject === person) hide(false);
};

// --- calls -----------------------------------------------------------------------------------------

/** What an answer says, or null if it is no refusal of demur's. @param {Answer} response
 * @returns {Promise<Refusal | null>} */
const read = async (response) => {
  const { status, headers, url = "", redirected } = response;
  if (status < 400) return null;
  /** @param {string} name */
  const field = (name) => headers.get(name) ?? "";
  /** @type {any} */
  let problem;
  if (field("content-type").includes("problem+json")) {
    try {
      problem = JSON.parse(await (response.clone?.() ?? response).text());
    } catch {} // a HEAD has none; the challenge says the same
  }
  const [, error = "sign-in-required"] = /Cookie .*?(?:error="(.*?)"|$)/.exec(field("www-authenticate")) ?? [, ""];
  const reason = problem?.reason ?? (/^insuff/.test(error) ? "step-up-required" : error);
  const remedy = remedies[reason];
  // What led to another address may have been executed before that was refused.
  const processed = redirected || field("demur-processed") !== "?0";
  return remedy ? { ...problem, status, reason, remedy, processed, url } : null;
};

/**
 * Do what the reason asks for. True: repeat the call now, once.
 * @param {Refusal} refusal @param {{method?: string, background?: boolean, spent?: boolean}} [call] `spent`: it
 *   cannot be sent again @returns {Promise<boolean>}
 */
const recover = async (refusal, { method = "GET", background, spent } = {}) => {
  if (!emit("refused", { refusal })) return false;
  const { remedy, status, processed, reason } = refusal;
  const repeatable = !spent && (!processed || READS.test(method));
  if (remedy === "repeat") return repeatable;
  if (remedy === "sign-in" || remedy === "confirm") {
    if (remedy === "sign-in") end(refusal);
    return !quiet && (await restore(refusal)) && repeatable;
  }
  if (reason === "subject-changed") await look();
  if (status === 403 && remedy !== "reload" && !background && emit("forbidden", { refusal })) {
    demur.ui.forbidden(refusal, await look());
  }
  return false;
};

/** As `fetch`, but refused calls wait until they can be answered. @type {typeof fetch} */
const call = async (input, init) => {
  const spent = init?.body instanceof ReadableStream;
  const first = new Request(input, init);
  const { method, mode, signal, url } = first;
  if (!url.startsWith(location.origin + "/") || mode === "no-cors") return send(first);
  // As it is now: the page may go on to change it, or be elsewhere. Browsers share a body, but hold a stream in memory.
  const spare = spent ? first : first.clone();
  /** @param {Request} request */
  const attempt = (request) => {
    // Before other origins, to which a GET may lead, a browser asks for leave to send a field of ours. That a GET was
    // answered to somebody else is seen by its Server-Timing, and only what is repeated is done in somebody's name.
    if (person && (request === spare || !READS.test(method))) request.headers.set("demur-subject", person);
    return send(request);
  };
  const response = await attempt(first);
  const refusal = await read(response);
  if (!refusal) return response;
  const background = first.headers.has("demur-background");
  signal.throwIfAborted();
  const aborted = new Promise((_, fail) => (signal.onabort = () => fail(signal.reason)));
  const again = await Promise.race([recover(refusal, { method, background, spent }), aborted]);
  return again ? attempt(spare) : response;
};

// --- what pages use --------------------------------------------------------------------------------

/** @param {Refusal} [refusal] */
const signIn = (refusal = person && !over ? { ...last, reason: "step-up-required", remedy: "confirm" } : last) =>
  restore(refusal);

/** End the session, here and in every tab. @param {string} [next] where to go then */
const signOut = async (next = options.prefix + "/signed-out") => {
  const response = await send(options.prefix + "/sign-out", { method: "POST" });
  if (!response.ok) throw new Error("demur: " + response.status);
  channel.postMessage({ type: "signed-out" });
  location.assign(next);
};

/** @param {Partial<Record<keyof Options, any>>} [given]
 * @param {any} [native] what `fetch` was before others wrapped what waits for us */
const install = (given = {}, native) => {
  Object.assign(options, given);
  send = native ?? send;
  if (wanted("fetch") && (!native || "native" in fetch)) window.fetch = call;
  for (const part of ["expiry", "forms", "watch"]) {
    if (wanted(part)) import(`./${part}.js`).then(({ install }) => install(demur));
  }
  // What comes back from the browser's memory is not seen before the server was asked.
  addEventListener("pagehide", () => person && hide(true));
  addEventListener("pageshow", ({ persisted }) => persisted && verify());
  if (entry?.type === "back_forward" || entry?.transferSize === 0) verify();
  return demur;
};

export const demur = {
  options,
  get person() {
    return person;
  },
  /** Whether the session is known to be over, or has lasted as long as it can. */
  get over() {
    return over || left() <= 0;
  },
  /** Milliseconds until the session ends, as far as we know; Infinity if we do not. */
  get left() {
    return left();
  },
  /** Whether nothing makes that longer. */
  get fixed() {
    return /** @type {any} */ (ends)?.fixed;
  },
  /** Why, when we last heard. */
  get last() {
    return last;
  },
  emit,
  /** @param {Partial<Record<keyof Options, any>>} given */
  configure: (given) => void Object.assign(options, given),
  install,
  fetch: call,
  read,
  recover,
  session,
  extend,
  signIn,
  signOut,
  /** @param {string} name @param {(event: CustomEvent) => void} listener */
  on(name, listener) {
    addEventListener("demur:" + name, /** @type {any} */ (listener));
    return () => removeEventListener("demur:" + name, /** @type {any} */ (listener));
  },
  /** What calls by other means than `fetch` have to carry. With `method`, when they are sent for the first time. */
  headers: (method = "") => (person && !READS.test(method) ? { "demur-subject": person } : {}),
  /** @type {Ui} */
  ui: /** @type {any} */ ({}),
};

for (const name of /** @type {const} */ (["signIn", "expiring", "forbidden"])) {
  demur.ui[name] = async (/** @type {any[]} */ ...about) => /** @type {any} */ (await import("./ui.js"))[name](demur, ...about);
}
channel.onmessage = ({ data: { type, subject } }) => {
  if (type === "signed-out") verify();
  else if (type === "signed-in" || over || waiting || (person && subject !== person)) healed(type === "signed-in");
};
// Who declined and does something may be asked again.
for (const kind of ["keydown", "pointerdown"]) addEventListener(kind, () => (quiet = false), true);
addEventListener("visibilitychange", () => {
  if (waiting && !document.hidden) look().then(show);
});
if (entry) learn([entry]);
new PerformanceObserver((list) => learn(/** @type {any} */ (list.getEntries()))).observe({ type: "resource" });
if (person) channel.postMessage({ type: "alive", subject: person });
