// What a person sees of demur: the dialog to sign in, the warnings before an end, the panel about a 403.
//
// - Text is text: no markup is read here, and every style is in ui.css, so the strictest policy holds, Trusted
//   Types included.
// - Each box has a shadow root of its own, where the page's sheets do not reach, and goes when it is answered.
// - Modal is only what cannot wait: to sign in, and the last seconds of a session. What is not modal takes no
//   focus, is announced, hides nothing that has the focus, and is the next stop of Tab.

/** @typedef {typeof import("./core.js").demur} Demur */
/** @typedef {import("./core.js").Refusal} Refusal */
/** @typedef {import("./core.js").Session} Session */

/** The texts of lang/*.js for the language of the page; the site's own come before them. @type {any} */
let texts = {};
/** @param {string} key */
const say = (key) => texts[key] ?? key;

/** An element with its properties, and what is in it: elements, and keys of texts.
 * @param {string} tag @param {object} properties @param {any[]} inside @returns {any} */
const make = (tag, properties, ...inside) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...inside.map(say));
  return made;
};

/**
 * Show a box until it is answered. Closing it answers `closed`, and the signal null.
 * @param {Demur} demur @param {AbortSignal} signal @param {boolean} modal @param {any} closed
 * @param {(end: (answer: any) => void) => [object, any[], (() => void)?]} fill its properties, what is in it,
 *   and what happens four times a second
 * @returns {Promise<any>}
 */
const open = async ({ options }, signal, modal, closed, fill) => {
  const [code = "en"] = /^(ar|de|es|fr|zh)\b/.exec(document.documentElement.lang) ?? [];
  // Without words it is still possible to sign in.
  texts = { ...(await import(`./lang/${code}.js`).catch(() => 0)).default, ...options.strings };
  const host = make("div", { lang: say("lang"), dir: say("dir") });
  /** @type {any} */
  let box;
  /** @type {any} */
  let before;
  let timer = 0;
  const answer = await new Promise((end) => {
    const shut = () => end(closed);
    const show = () => {
      if (!host.isConnected) return;
      const [properties, inside, tick] = fill(end);
      inside.push(make("button", { className: "x", ariaLabel: say("close"), onclick: shut }, "×"));
      box = make(modal ? "dialog" : "section", properties, ...inside);
      box.onclose = shut;
      box.onkeydown = (/** @type {KeyboardEvent} */ event) => {
        // What the page does on keys is not meant here, such as closing what is behind.
        event.stopPropagation();
        if (event.key === "Escape") shut();
      };
      root.append(box);
      const beat = () => {
        tick?.();
        // "not entirely hidden due to author-created content" (WCAG 2.2, 2.4.11)
        const { top = 0, bottom = 0 } = document.querySelector(":focus")?.getBoundingClientRect() ?? {};
        box.classList.toggle("top", top + bottom > innerHeight);
      };
      timer = setInterval(beat, 250);
      before = document.activeElement;
      if (modal) return beat(), box.showModal();
      box.popover = "manual";
      box.showPopover({ source: before });
    };
    const root = host.attachShadow({ mode: "open" });
    const href = new URL("ui.css", import.meta.url);
    root.append(make("link", { rel: "stylesheet", href, onload: show, onerror: show }));
    // What is outside a modal dialog of the page cannot be used.
    (document.querySelector("dialog:modal") ?? document.documentElement).append(host);
    signal.onabort = () => end(null);
    if (signal.aborted) end(null);
  });
  clearInterval(timer);
  box?.close?.();
  if (document.activeElement === host) before.focus();
  host.remove();
  return answer;
};

/** @type {Promise<boolean> | undefined} */
let asking;

/** The server's own sign-in page in a frame, so every way to sign in works that it has. False: they closed it.
 * @param {Demur} demur @param {Refusal} refusal @param {AbortSignal} signal @returns {Promise<boolean>} */
export const signIn = (demur, refusal, signal) => asking ??= open(demur, signal, true, false, (end) => {
  const page = demur.options.prefix + "/sign-in?";
  const title = say("title");
  const frame = make("iframe", { title, src: page + "embed&lang=" + say("lang"), autofocus: true });
  const leave = () => location.assign(page + "next=" + encodeURIComponent(location.href));
  frame.onload = () => {
    // A frame that a policy or a fault forbids has another document, or none that we may read; in Firefox it is
    // never loaded.
    if (!frame.contentDocument?.URL.includes(page)) return leave();
    frame.focus();
    // Who comes back from another window may have signed in there, at an origin that no message comes from.
    frame.contentWindow.onfocus = () => demur.session().catch(() => 0);
  };
  addEventListener("securitypolicyviolation", ({ effectiveDirective }) => {
    if (effectiveDirective === "frame-src") leave();
  }, { signal });
  addEventListener("message", ({ source, origin, data }) => {
    if (source !== frame.contentWindow || origin !== location.origin) return;
    if (data.demur === "close") end(false);
    else frame.style.height = data.height + "px";
  }, { signal });
  return [{ ariaLabel: title, className: "frame" }, [frame]];
}).then((answer) => answer !== false).finally(() => asking = undefined);

/** Before a session ends: a quiet notice, and a dialog in the last seconds.
 * @param {Demur} demur @param {{ends: number, absolute: boolean}} about @param {AbortSignal} signal
 * @returns {Promise<"stay" | "sign-in" | "sign-out" | null>} */
export const expiring = async (demur, { ends, absolute }, signal) => {
  // By the clock on the wall each time, and so right after sleep.
  const left = () => Math.ceil((ends - Date.now()) / 1000);
  const { urge } = demur.options;
  /** @param {boolean} modal @param {number} until seconds before the end */
  const stage = (modal, until) => open(demur, signal, modal, absolute ? null : "stay", (end) => {
    const [seen, heard] = [make("p", { ariaHidden: true }), make("p", { role: "status" })];
    const time = new Intl.RelativeTimeFormat(say("lang"));
    const title = absolute ? "absolute" : "idle";
    const [act, out] = [absolute ? "sign-in" : "stay", "sign-out"].map((answer) =>
      make("button", { onclick: () => end(answer) }, answer));
    const tick = () => {
      const rest = left();
      if (rest <= until) end(modal && null);
      const when = rest > 99 ? time.format(Math.round(rest / 60), "minute") : time.format(rest, "second");
      const text = seen.textContent = say("time").replace("{time}", when);
      if ((rest % 15 < 1 || !heard.textContent) && heard.textContent !== text) heard.textContent = text;
    };
    return [
      { role: modal ? "alertdialog" : "region", ariaLabel: say(title), ariaDescribedByElements: [heard] },
      [make("h2", {}, title), seen, heard, act, modal ? out : ""],
      tick,
    ];
  });
  const first = left() > urge && await stage(false, urge);
  return first === false ? stage(true, 0) : first;
};

let last = new AbortController();

/** Why somebody who is signed in may not have something, and where to go from there. A later refusal takes the
 * place of an earlier one. Not modal: a page may have made the call by itself.
 * @param {Demur} demur @param {Refusal} refusal @param {Session | null} session */
export const forbidden = (demur, refusal, session) => {
  const { reason, title = reason, detail = "", missing = [], instance = "", request_access } = refusal;
  last.abort();
  last = new AbortController();
  return open(demur, last.signal, false, null, () => {
    const facts = Object.entries({
      name: session?.display_name || session?.name,
      missing: missing.map(say).join(", "),
      instance: instance.slice(9),
    });
    const link = make("a", { href: request_access ?? "" }, "request_access");
    const safe = link.origin === location.origin || link.protocol === "https:";
    return [{ role: "dialog", ariaLabel: say(title) }, [
      make("div", { role: "alert" }, make("h2", {}, title), make("p", {}, detail)),
      ...facts.map(([key, textContent]) =>
        textContent ? make("p", {}, key, " ", make("b", { textContent, dir: "auto" })) : ""),
      request_access && safe ? link : "",
      session ? make("button", { onclick: () => demur.signOut(location.href) }, "other") : "",
    ]];
  });
};
