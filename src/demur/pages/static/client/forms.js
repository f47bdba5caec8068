// Plain HTML forms: nothing that was typed is lost.
//
// - Look before the leap. While the session is believed alive a form is sent as ever, with no request more.
//   When it is known to be over, the server is asked first and the person signs in; then the browser sends
//   the form by itself, with its files and the button that was pressed. Offline, it shows its own page.
// - Drafts. What is typed into a long form is kept in this tab, encrypted for the person who typed it, and is
//   back after a reload or a crash. It goes when the form was sent or reset, or the person signed out.

/** @typedef {typeof import("./core.js").demur} Demur */
/** @typedef {string | boolean | undefined} Value */
/**
 * Under which name a form is kept, what the server had put into it, whether its draft is back, and whether it
 * is about to be written.
 * @typedef {{name: string, blank: Map<string, Value>, back?: boolean, due?: boolean}} Open
 */

const DRAFT = "demur:draft:";
const DAY = 86_400_000;
const MOST = 65_536;
/** What is kept: nothing secret, and no list of several choices. */
const FIELDS = "textarea,select:not([multiple]),input:not([type=password],[type=hidden],[type=file],"
  + "[autocomplete*=-password i],[autocomplete*=one-time i],[autocomplete*=cc- i])";

/** @param {HTMLInputElement} field */
const what = ({ type }) => (/checkbox|radio/.test(type) ? "checked" : "value");

/** The fields by place and name: `3title`. @param {HTMLFormElement} form @returns {Map<string, any>} */
const fields = (form) => {
  const all = [...form.elements].filter((field) => field.matches(FIELDS));
  const kept = all.filter((field) => !field.closest("[data-demur-draft=off]"));
  return new Map(kept.map((field, place) => [place + /** @type {any} */ (field).name, field]));
};

/** @param {HTMLFormElement} form @returns {Map<string, Value>} */
const read = (form) => new Map([...fields(form)].map(([key, field]) => [key, field[what(field)]]));

/** @param {Demur} demur @param {Storage} store
 * @returns {(form: HTMLFormElement) => void} to be called when one is sent */
const drafts = (demur, store) => {
  /** @type {WeakMap<HTMLFormElement, Open>} */
  const opened = new WeakMap();
  /** @type {Promise<CryptoKey> | undefined} */
  let key;
  let queue = Promise.resolve();

  /** Asked for when it is needed, and once. */
  const secret = () => key ??= demur.session().then((session) => {
    if (session?.subject !== demur.person) throw new Error("demur: nobody");
    const jwk = { kty: "oct", k: session.draft_key };
    return crypto.subtle.importKey("jwk", jwk, "AES-GCM", false, ["encrypt", "decrypt"]);
  });

  /** @param {HTMLFormElement} form @param {string} kept @param {CryptoKey} key */
  const restore = async (form, kept, key) => {
    const [, iv, sealed] = JSON.parse(kept);
    const how = { name: "AES-GCM", iv: new Uint8Array(iv) };
    const plain = await crypto.subtle.decrypt(how, key, new Uint8Array(sealed));
    const there = fields(form);
    // What the server or the person has changed meanwhile stays.
    const values = (await new Response(plain).json()).flatMap((/** @type {Value[]} */ [key, now, before]) => {
      const field = there.get(/** @type {string} */ (key));
      return field?.[what(field)] === before ? [[field, now]] : [];
    });
    const event = new CustomEvent("demur:draft", { bubbles: true, cancelable: true, detail: { values } });
    if (!values.length || !form.dispatchEvent(event)) return;
    for (const [field, now] of values) {
      // Frameworks listen to a box being clicked, and watch `value` by a property of the element itself.
      if (typeof now === "boolean") field.checked === now || field.click();
      else {
        Reflect.set(Object.getPrototypeOf(field), "value", now, field);
        for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
      }
    }
  };

  /** @param {HTMLFormElement} form @param {Open} state */
  const write = async (form, state) => {
    const { name, blank, back } = state;
    state.due = false;
    // What cannot be read, as the server's keys were changed, is of no use to anybody.
    if (!back && store[name]) await restore(form, store[name], await secret()).catch(() => 0);
    state.back = true;
    const values = [...read(form)].map(([key, now]) => [key, now, blank.get(key) ?? now])
      .filter(([, now, before]) => now !== before);
    if (!values.length) return store.removeItem(name);
    const text = new TextEncoder().encode(JSON.stringify(values));
    if (text.length > MOST) return;
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, await secret(), text);
    store[name] = JSON.stringify([Date.now(), [...iv], [...new Uint8Array(sealed)]]);
  };

  /** At once, as nothing can be finished when the page goes. @param {HTMLFormElement} form */
  const keep = (form) => {
    let state = opened.get(form);
    if (!state) {
      if (!demur.person || !form.matches?.("form[data-demur-draft],form[method=post]")
        || !form.matches("[data-demur-draft],:has(textarea)") && fields(form).size < 5) return;
      const copy = document.createElement("form");
      copy.append(...[...fields(form).values()].map((field) => field.cloneNode(true)));
      copy.reset();
      const id = form.getAttribute("id") ?? [...document.forms].indexOf(form) + form.action;
      state = { name: `${DRAFT}${demur.person} ${location.href}#${id}`, blank: read(copy) };
      opened.set(form, state);
    }
    if (!state.due) queue = queue.then(() => write(form, state)).catch(() => {});
    state.due = true;
  };

  // The page before sent a form: this one is what came of it. After an error page, Back finds the draft.
  const [page] = /** @type {any[]} */ (performance.getEntriesByType("navigation"));
  const sent = page.type === "navigate" && !(page.responseStatus > 399) && store["demur:sent"];
  store.removeItem("demur:sent");

  /** @param {unknown} [all] */
  const drop = (all) => {
    for (const name of Object.keys(store)) {
      if (!name.startsWith(DRAFT)) continue;
      if (all || name === sent || JSON.parse(store[name])[0] < Date.now() - DAY) store.removeItem(name);
    }
  };
  drop();
  demur.on("switched", drop);
  // Not when the session has only ended by itself.
  demur.on("signed-out", ({ detail }) => drop(!/idle|expired|revoked/.test(detail.refusal.reason)));
  // What is typed after the end can be kept, too.
  demur.on("expiring", () => [...document.forms].some((form) => opened.has(form)) && secret().catch(() => 0));
  demur.on("restored", () => (key = undefined));
  /** A reset is done by then. @param {any} event */
  const later = ({ target }) => setTimeout(keep, 0, target.form ?? target);
  for (const kind of ["focusin", "input", "change", "reset"]) addEventListener(kind, later, true);
  for (const form of document.forms) keep(form);
  return (form) => (store["demur:sent"] = opened.get(form)?.name ?? "");
};

/** @param {Demur} demur */
export const install = (demur) => {
  /** @type {(form: HTMLFormElement) => void} */
  let sent = () => {};
  try {
    if (!demur.options.off.includes("drafts")) sent = drafts(demur, sessionStorage);
  } catch {
    // Storage is forbidden here: no drafts.
  }
  /** @type {EventTarget | undefined} */
  let passing;
  const waiting = new WeakSet();

  // The app's own listeners saw this when the button was pressed; many would take it for a second submission.
  addEventListener("submit", (event) => event.target === passing && event.stopImmediatePropagation(), true);

  addEventListener("submit", async (event) => {
    const form = /** @type {HTMLFormElement} */ (event.target);
    const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
    /** @param {string} name */
    const said = (name) => button?.getAttribute("form" + name) ?? form.getAttribute(name) ?? "";
    const { origin, pathname } = new URL(said("action"), document.baseURI);
    const ours = origin === location.origin && !pathname.startsWith(demur.options.prefix + "/");
    if (!ours || event.defaultPrevented || /dialog|_blank/i.test(said("method") + said("target"))) return;
    // Where nobody was signed in, a form may be for everybody.
    if (!demur.over || !demur.person || form.matches("[data-demur=off]")) return sent(form);
    event.preventDefault();
    if (waiting.has(form)) return;
    waiting.add(form);
    // Who cannot be asked decides nothing: the browser goes on, and says itself that it is offline.
    const go = await demur.session().then(
      (session) => (session ? session.subject === demur.person : demur.signIn()), () => true);
    waiting.delete(form);
    if (!go) return;
    passing = form;
    try {
      // Many pages switch the button off once it is pressed, and then it would not be sent.
      if (button) button.disabled = false;
      form.requestSubmit(button);
      sent(form);
    } finally {
      passing = undefined;
    }
  });
};
