/**
 * A browser of several tabs in which nothing happens by itself: whatever is under way (a request, its answer,
 * a message to another tab, a timer) is an entry in `pending`, and whoever drives the world says what is next.
 */
import { loader } from "./load.mjs";
import { channelOf, globals, ORIGIN } from "./window.mjs";
import { Request, Response, words } from "./wire.mjs";

const EVENTS = ["refused", "required", "expiring", "restored", "switched", "forbidden", "signed-out"];

/** The same for the same name: what might go either way, without another source of chance. */
export const either = (name) =>
  [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) | 0, 7) & 1;

/** Let everything run that needs nothing from outside. */
export const settled = () => new Promise((done) => setImmediate(done));

export class World {
  constructor({ server, root, sources = {}, random }) {
    this.random = random;
    this.now = Date.UTC(2026, 10, 23);
    this.skew = 0;
    this.server = server(() => this.now);
    this.root = root;
    this.sources = sources;
    this.jar = "";
    /** @type {Map<string, {key: string, kind: string, weight: number, page?: Page, run: () => void}>} */
    this.pending = new Map();
    /** @type {{due: number, order: number, page: Page, run: () => void}[]} */
    this.timers = [];
    this.order = 0;
    /** @type {Tab[]} */
    this.tabs = [];
    this.wrong = [];
    this.watchers = {};
  }

  /** Something that is under way. */
  add(key, kind, run, { page = undefined, weight = 3 } = {}) {
    while (this.pending.has(key)) key += "'";
    this.pending.set(key, { key, kind, weight, page, run });
    return key;
  }

  /** Let it happen. */
  async happen(key) {
    const entry = this.pending.get(key);
    this.pending.delete(key);
    this.now += 1;
    entry.run();
    await settled();
  }

  /** The next timer, if one may fire. */
  timer() {
    return this.timers
      .filter(({ page }) => page.alive && !page.frozen)
      .sort((a, b) => a.due - b.due || a.order - b.order)[0];
  }

  async fire() {
    const next = this.timer();
    this.timers.splice(this.timers.indexOf(next), 1);
    this.now = Math.max(this.now + 1, next.due);
    next.run();
    await settled();
  }

  get pages() {
    return this.tabs.map(({ page }) => page).filter((page) => page?.alive);
  }

  fail(what) {
    this.wrong.push(what);
  }
}

export class Tab {
  constructor(world, name, traits) {
    Object.assign(this, { world, name, traits, page: undefined, visible: true, loads: 0, going: 0 });
    world.tabs.push(this);
  }

  /** Begin to load a page; what is there stays until the answer has come. */
  go(path, type = "navigate", post = undefined) {
    const { world } = this;
    const turn = ++this.going;
    const name = `${this.name} load ${turn}`;
    const cookie = world.jar;
    world.add(`${name} ^`, "up", () => {
      const set = post?.(cookie);
      const answer = world.server.page(path, set ?? cookie);
      world.add(`${name} v`, "down", () => {
        if (set !== undefined) world.jar = set;
        if (turn === this.going) this.arrive(path, type, answer);
      });
    });
  }

  arrive(path, type, answer) {
    this.page?.leave();
    this.page = new Page(this, path, type, answer);
    this.page.start();
  }
}

export class Page {
  constructor(tab, path, type, answer) {
    const { world } = tab;
    const name = `${tab.name}.${++tab.loads}`;
    Object.assign(this, {
      tab,
      world,
      name,
      path,
      answer,
      type,
      alive: true,
      frozen: false,
      born: world.now,
    });
    this.person = answer.person ?? "";
    this.numbers = {};
    this.channels = new Set();
    this.observers = new Set();
    this.dialogs = new Set();
    this.warnings = new Set();
    this.calls = [];
    this.events = [];
    this.asks = this.sent = 0;
    // What has happened to the page that it may ask the server about.
    this.stimuli = 1;
    // How often it heard that somebody has signed in, and how often before a sign-in was required.
    this.heard = this.heardBefore = 0;
    // Its questions about the session: how many there were, how many before a sign-in was required, and the
    // last one to which the server said that somebody is signed in.
    this.asked = this.askedBefore = this.toldLive = 0;
    this.prevents = tab.traits.prevents ?? [];
  }

  /** The site's pages have the client; the others are demur's own. */
  start() {
    const { kind } = this.answer;
    if (kind === "signed-out") {
      new (channelOf(this))("demur").postMessage({ type: "signed-out" });
    }
    if (kind !== "site") return;
    this.window = globals(this);
    const given = { "client/watch.js": { install() {} }, "client/forms.js": { install() {} } };
    const load = loader({
      globals: this.window,
      root: this.world.root,
      sources: this.world.sources,
      given,
      site: `${ORIGIN}/.demur/`,
    });
    this.demur = load("client/core.js").demur;
    this.demur.ui.signIn = (refusal, signal) => this.dialog(refusal, signal);
    this.demur.ui.expiring = (about, signal) => this.warn(about, signal);
    this.demur.ui.forbidden = () => {};
    for (const name of EVENTS) this.demur.on(name, (event) => this.hear(name, event));
    this.demur.on("heard", () => this.world.watchers.heard(this));
    this.demur.install(this.tab.traits.options ?? {});
  }

  number(what) {
    return (this.numbers[what] = (this.numbers[what] ?? 0) + 1);
  }

  /** Whom the page is for: what it was loaded as, or the first person that the client knew. */
  get madeFor() {
    return (this.person ||= this.demur?.person ?? "");
  }

  get hiddenContent() {
    const { body, documentElement } = this.window.document;
    return body.style.visibility === "hidden" || documentElement.style.visibility === "hidden";
  }

  hear(name, event) {
    this.events.push(name);
    if (this.prevents.includes(name)) event.preventDefault();
    this.world.watchers.event(this, name, event);
  }

  tell(target, type, properties = {}) {
    target.dispatchEvent(Object.assign(new Event(type), properties));
  }

  /** Another tab comes to the front, or this one. */
  look(visible) {
    if (this.tab.visible === visible) return;
    this.tab.visible = visible;
    if (!this.window) return;
    this.stimuli++;
    const seen = visible ? "visible" : "hidden";
    Object.assign(this.window.document, { visibilityState: seen, hidden: !visible });
    this.tell(this.window.document, "visibilitychange");
    this.tell(this.window, "visibilitychange");
  }

  freeze() {
    this.tell(this.window, "pagehide", { persisted: true });
    this.frozen = true;
  }

  thaw() {
    this.frozen = false;
    this.stimuli++;
    this.tell(this.window, "pageshow", { persisted: true });
  }

  /** The document goes: nothing of it runs any more, and what it has on the way may arrive or not. */
  leave() {
    if (this.window) this.tell(this.window, "pagehide", { persisted: false });
    this.alive = false;
    for (const channel of this.channels) channel.close();
    for (const entry of [...this.world.pending.values()]) {
      if (entry.page !== this) continue;
      if (entry.kind !== "up" || either(entry.key)) this.world.pending.delete(entry.key);
    }
    this.world.timers = this.world.timers.filter(({ page }) => page !== this);
  }

  // --- what the person sees -------------------------------------------------------------------------

  dialog(refusal, signal) {
    this.world.watchers.dialog(this, refusal);
    return new Promise((answer) => {
      const name = `${this.name} dialog ${this.number("dialog")}`;
      const dialog = {
        name,
        refusal,
        busy: false,
        open: true,
        end: undefined,
        spent: false,
        page: this,
      };
      dialog.end = (value) => {
        if (!dialog.open) return;
        dialog.open = false;
        this.dialogs.delete(dialog);
        this.stimuli++;
        answer(value);
      };
      this.dialogs.add(dialog);
      if (signal.aborted) dialog.end(true);
      else {
        const withdraw = () => {
          if (dialog.open) this.world.watchers.withdrawn(this, dialog);
          dialog.end(true);
        };
        signal.addEventListener("abort", withdraw);
      }
    });
  }

  /** The person signs in, in the frame of the dialog. */
  signIn(dialog, subject) {
    const { world } = this;
    dialog.busy = true;
    const name = `${dialog.name} as ${subject}`;
    const cookie = world.jar;
    world.add(
      `${name} ^`,
      "up",
      () => {
        if (world.server.down) return void (dialog.busy = false);
        const set = world.server.signIn(subject, cookie);
        world.add(`${name} v`, "down", () => {
          // A frame that went away in between: whether its cookie came is anybody's guess.
          if (dialog.open || either(name)) world.jar = set;
          if (!dialog.open) return;
          world.add(
            `${name} done`,
            "down",
            () => {
              if (!dialog.open) return;
              this.stimuli++;
              new (channelOf(this))("demur").postMessage({ type: "signed-in" });
              // What is left in the frame says "You are signed in", and can be closed.
              // Where it says so itself and nobody is signed in any more, nothing waits on.
              if (either(`${name} says`)) this.vain = true;
              if (either(`${name} says`)) dialog.end(true);
              dialog.spent = true;
            },
            { page: this },
          );
        });
      },
      { page: this },
    );
  }

  warn(about, signal) {
    return new Promise((answer) => {
      const warning = { name: `${this.name} warning ${this.number("warning")}`, about, end: undefined };
      warning.end = (value) => {
        if (!this.warnings.delete(warning)) return;
        this.stimuli++;
        answer(value);
      };
      this.warnings.add(warning);
      if (signal.aborted) warning.end(null);
      else signal.addEventListener("abort", () => warning.end(null));
    });
  }

  // --- the network ----------------------------------------------------------------------------------

  fetch(input, init) {
    const { world } = this;
    let request, source;
    try {
      request = new Request(input, init);
      if (request.signal.aborted) throw request.signal.reason;
      source = request.take();
    } catch (error) {
      return Promise.reject(error);
    }
    let body = "";
    words(source).then((text) => (body = text));
    const { pathname, searchParams } = new URL(request.url);
    const call = searchParams.get("call");
    const what = call ? `call ${call}` : pathname.slice(pathname.lastIndexOf("/") + 1);
    const name = `${this.name} ${what} send ${this.number(what)}`;
    const cookie = world.jar;
    world.watchers.sent(this, request, call);
    const asked = call ? 0 : ++this.asked;
    return new Promise((resolve, reject) => {
      const wire = { page: this };
      const gone = () => this.alive && reject(new TypeError("Failed to fetch"));
      const deliver = ({ status, headers, body: text, timing, cookie: set }) => {
        if (set !== undefined) world.jar = set;
        if (request.signal.aborted || !this.alive) return;
        if (status === 403 || status === 412) this.stimuli++;
        // Close to the end the server is asked before anything is said.
        if (timing?.some(({ name, duration }) => name === "session" && duration <= 120)) this.stimuli++;
        world.watchers.answered(this, call, status, headers);
        const responseStart = world.now - this.born - 0.5;
        const answer = new Response(status === 204 || request.method === "HEAD" ? null : text, {
          status,
          headers,
          url: request.url,
        });
        world.add(
          `${name} timing`,
          "timing",
          () => {
            const entry = {
              name: request.url,
              entryType: "resource",
              serverTiming: timing ?? [],
              responseStart,
            };
            const subject = timing?.find(({ name }) => name === "subject")?.description;
            if (what !== "session" && subject && subject !== this.madeFor) this.stimuli++;
            for (const observer of this.observers) observer.see([entry]);
          },
          wire,
        );
        resolve(answer);
      };
      world.add(
        `${name} lost`,
        "lost",
        () => {
          world.pending.delete(`${name} ^`);
          gone();
        },
        { page: this, weight: 1 },
      );
      world.add(
        `${name} ^`,
        "up",
        () => {
          world.pending.delete(`${name} lost`);
          const { method, url, headers } = request;
          const answered = world.server.handle({ method, url, headers, cookie, body });
          if (answered.status === 200) this.toldLive = Math.max(this.toldLive, asked);
          world.add(
            `${name} answer lost`,
            "lost",
            () => {
              world.pending.delete(`${name} v`);
              gone();
            },
            { page: this, weight: 0.5 },
          );
          world.add(
            `${name} v`,
            "down",
            () => {
              world.pending.delete(`${name} answer lost`);
              deliver(answered);
            },
            wire,
          );
        },
        wire,
      );
      request.signal.addEventListener("abort", () => reject(request.signal.reason));
    });
  }
}
