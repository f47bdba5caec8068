/**
 * One storm: tabs, people, an administrator and a network that do what chance says, and afterwards calm weather in
 * which everything has to heal. The same seed is the same storm; a script (the keys of a storm) is that storm again,
 * or less of it.
 */
import { Chance } from "./chance.mjs";
import { settled, Tab, World } from "./browser.mjs";
import { Judge } from "./judge.mjs";
import { Server } from "./server.mjs";
import { words } from "./wire.mjs";

const MINUTE = 60_000;
const KINDS = [
  "get",
  "get",
  "head",
  "poll",
  "post",
  "json",
  "form",
  "bytes",
  "delete",
  "request",
  "stream",
  "hand",
];
const PLACES = ["plain", "plain", "plain", "plain", "fresh", "late", "open", "closed"];
const PAGES = ["/members", "/members", "/public"];

/** How a page makes a call: what is sent, and what the caller does with it right after. */
const MAKE = {
  get: () => ({ method: "GET" }),
  head: () => ({ method: "HEAD" }),
  poll: () => ({ method: "GET", headers: { "demur-background": "?1" } }),
  post: (text) => ({ method: "post", body: new URLSearchParams({ text }) }),
  json: (text) => ({
    method: "PUT",
    body: JSON.stringify({ text }),
    headers: { "content-type": "application/json" },
  }),
  form: (text) => {
    const body = new FormData();
    body.append("text", text);
    body.append("file", new Blob([text], { type: "text/plain" }), "a.txt");
    return { method: "POST", body };
  },
  bytes: (text) => ({ method: "PUT", body: new TextEncoder().encode(text) }),
  delete: () => ({ method: "DELETE" }),
  request: (text) => ({ method: "POST", body: text }),
  stream: (text) => ({
    method: "POST",
    duplex: "half",
    body: new ReadableStream({
      start(to) {
        to.enqueue(text);
        to.close();
      },
    }),
  }),
  hand: (text) => ({ method: "POST", body: text }),
};

/** A caller that goes on with what it has sent. */
function scribble({ body }) {
  if (body instanceof FormData || body instanceof URLSearchParams)
    body.append("later", "not part of the call");
  else if (ArrayBuffer.isView(body)) body.fill(46);
}

export class Storm {
  /** @param {{seed: number, root: URL, sources?: Record<string, string>, script?: string[]}} options */
  constructor({ seed, root, sources, script }) {
    this.chance = new Chance(seed);
    const random = new Chance(seed + 1);
    this.script = script;
    this.world = new World({
      server: (clock) => new Server(clock),
      root,
      sources,
      random: () => random.next(),
    });
    this.judge = new Judge(this.world);
    this.trace = [];
    this.made = 0;
    const { chance } = this;
    // Each storm has its own weather: some things happen often, some not at all.
    const some = (most) => (chance.often(0.4) ? 0 : chance.next() * most);
    this.weights = {
      call: 8,
      act: 1 + chance.next() * 4,
      lost: some(0.6),
      time: some(2),
      revoke: some(1),
      pass: some(1.5),
      "sign-out": some(0.6),
      leave: some(0.4),
      login: some(0.8),
      dialog: 1 + chance.next() * 4,
      close: some(1.5),
      fail: some(0.3),
      abort: some(0.8),
      warning: 1,
      look: some(2),
      reload: some(0.6),
      shut: some(0.3),
      freeze: some(0.6),
      down: some(1),
      skew: some(0.3),
      key: some(0.5),
      ask: some(0.5),
      want: some(0.4),
    };
    this.others = chance.often(0.6) ? 0.4 : 0;
    this.length = chance.between(20, 160);
  }

  /** Everything that could come next. */
  choices() {
    const { world, weights } = this;
    const list = [];
    const add = (key, weight) => weight > 0 && list.push({ key, weight });
    for (const { key, kind, weight, page } of world.pending.values()) {
      if (page?.frozen && kind !== "up") continue;
      add(key, kind === "lost" ? weight * weights.lost : weight);
    }
    const timer = world.timer();
    if (timer) add("time", timer.due - world.now < 5000 ? 2 : weights.time * 0.3);
    const act = (verb, about, weight = weights[verb]) =>
      add(`: ${verb} ${about}`, weight * weights.act * 0.3);
    for (const tab of world.tabs) {
      const { name, page } = tab;
      if (!page?.alive) {
        act("open", name, page || !tab.going ? 1 : 0);
        continue;
      }
      if (page.frozen) {
        act("thaw", name, 1);
        continue;
      }
      act("look", name);
      act("reload", name);
      act("shut", name);
      act("leave", name);
      act("login", `${name} ${this.somebody()}`);
      if (!page.demur) continue;
      act("call", `${name} ${this.chance.one(KINDS)} ${this.chance.one(PLACES)} #${this.made + 1}`);
      act("sign-out", name);
      act("key", name);
      act("ask", `${name} ${this.chance.one(["session", "extend"])}`);
      act("want", name);
      const open = page.calls.filter(({ settled, kind }) => !settled && kind !== "hand");
      if (open.length) act("abort", `${name} #${this.chance.one(open).number}`);
      if (this.still(page)) act("freeze", name);
      for (const { name: dialog, busy } of tab.visible ? page.dialogs : []) {
        if (!busy) act("dialog", `${name} ${this.somebody()} | ${dialog}`);
        act("close", `${name} | ${dialog}`);
        act("fail", `${name} | ${dialog}`);
      }
      for (const { name: warning } of tab.visible ? page.warnings : []) {
        act("warning", `${name} ${this.chance.one(["stay", "sign-in", "sign-out", "close"])} | ${warning}`);
      }
    }
    act("revoke", this.somebody());
    act("pass", this.chance.one(["1", "20", "58", "59.5", "61", "1441"]));
    act(world.server.down ? "up" : "down", "", world.server.down ? 1 : weights.down);
    act("skew", this.chance.one(["-120", "5", "120"]));
    return list;
  }

  somebody() {
    return this.chance.often(this.others) ? "bob" : "alice";
  }

  /** Nothing of the page is on the way; only then a browser keeps it in its memory. */
  still(page) {
    return ![...this.world.pending.values()].some((entry) => entry.page === page && entry.kind !== "message");
  }

  /** Do it; false if it cannot be done (any more). */
  async step(key) {
    const { world } = this;
    if (key.startsWith(": ")) {
      const [about, name] = key.slice(2).split(" | ");
      const [verb, ...words] = about.split(" ");
      if (!this.act(verb, words, name)) return false;
      await settled();
    } else if (key === "time") {
      const timer = world.timer();
      if (!timer) return false;
      timer.page.stimuli++;
      // Who has seen the end coming may go on at once.
      timer.page.declined = false;
      await world.fire();
    } else {
      if (!world.pending.has(key)) return false;
      await world.happen(key);
    }
    this.trace.push(key);
    this.judge.look(key);
    return true;
  }

  act(verb, [first, second, third, fourth], name) {
    const { world } = this;
    const tab = world.tabs.find((other) => other.name === first);
    const page = tab?.page?.alive ? tab.page : undefined;
    const somewhere = !["begin", "revoke", "pass", "down", "up", "skew"].includes(verb);
    if (somewhere && !tab) return false;
    if (somewhere && verb !== "open" && (!page || (page.frozen && verb !== "thaw"))) return false;
    if (page && (verb === "ask" || verb === "warning")) page.stimuli++;
    const doing = {
      call: () => page.demur && this.call(page, second, third, fourth),
      begin: () => {
        if (tab) return false;
        const begun = new Tab(world, first, { prevents: fourth === "-" ? [] : fourth.split(",") });
        begun.visible = third === "seen";
        begun.go(second);
        return true;
      },
      open: () => !page && (tab.go("/members"), true),
      thaw: () => page.frozen && (page.thaw(), true),
      freeze: () => page.window && this.still(page) && (page.freeze(), true),
      look: () => (page.look(!tab.visible), true),
      reload: () => (tab.go(page.path, "reload"), true),
      shut: () => ((tab.going += 1), page.leave(), true),
      leave: () => (tab.go("/.demur/signed-out", "navigate", () => world.server.signOut(world.jar)), true),
      login: () => (tab.go("/members", "navigate", (cookie) => world.server.signIn(second, cookie)), true),
      "sign-out": () => page.demur && this.judge.promise(page, "signOut()", page.demur.signOut()),
      abort: () => this.judge.abort(second.slice(1)),
      key: () =>
        page.window && ((page.declined = page.quiet = false), page.tell(page.window, "keydown"), true),
      ask: () => page.demur && this.judge.promise(page, `${second}()`, page.demur[second]()),
      want: () =>
        page.demur &&
        ((page.declined = page.quiet = false), true) &&
        this.judge.promise(page, "signIn()", page.demur.signIn()),
      dialog: () => this.dialog(page, name, (dialog) => !dialog.busy && (page.signIn(dialog, second), true)),
      close: () =>
        this.dialog(page, name, (dialog) => ((page.declined = page.quiet = true), dialog.end(false), true)),
      fail: () =>
        this.dialog(
          page,
          name,
          (dialog) => (
            (page.declined = page.quiet = true),
            dialog.end(Promise.reject(new TypeError("no module"))),
            true
          ),
        ),
      warning: () => {
        const warning = [...page.warnings].find((other) => other.name === name);
        return warning && tab.visible && (warning.end(second === "close" ? null : second), true);
      },
      revoke: () => (world.server.revoke(first), true),
      pass: () => ((world.now += first * MINUTE), true),
      down: () => !world.server.down && (world.server.down = true),
      up: () => world.server.down && !(world.server.down = false),
      skew: () => ((world.skew += first * MINUTE), true),
    };
    return doing[verb]();
  }

  dialog(page, name, does) {
    const dialog = [...page.dialogs].find((other) => other.name === name);
    return dialog && page.tab.visible && does(dialog);
  }

  call(page, kind, place, id) {
    const { demur, window } = page;
    const number = id.slice(1);
    this.made = Math.max(this.made, +number);
    const control = new AbortController();
    const init = { ...MAKE[kind](`what ${number} says`), signal: control.signal };
    const url = `/app/${place}?call=${number}`;
    const method = init.method.toUpperCase();
    const record = { number, kind, place, page, method, control, sends: 0, executed: 0, settled: null };
    record.body = kind === "stream" ? `what ${number} says` : "";
    if (kind !== "stream") words(init.body ?? null).then((text) => (record.body = text));
    this.judge.expect(record);
    const by = {
      request: () => window.fetch(new window.Request(url, init)),
      hand: () => this.byHand(page, url, init),
    };
    const promise = (by[kind] ?? (() => window.fetch(url, init)))();
    scribble(init);
    promise.then(
      (answer) => this.judge.settle(record, answer),
      (error) => this.judge.settle(record, null, error),
    );
    return Boolean(demur);
  }

  /** As an XMLHttpRequest's user does it. */
  async byHand(page, url, { method, body }) {
    const { demur } = page;
    const send = (first) => page.fetch(url, { method, body, headers: demur.headers(first) });
    const answer = await send(method);
    const { status, headers } = answer;
    const refusal = await demur.read({ status, headers, url, text: () => answer.clone().text() });
    return refusal && (await demur.recover(refusal, { method, body })) ? send() : answer;
  }

  /** All of it: the storm, and what comes after. */
  async run() {
    const { world, chance, judge } = this;
    world.jar = world.server.signIn("alice", "");
    const script = this.script?.slice();
    for (const key of script ? [] : this.beginning()) await this.step(key);
    let calm = `calm ${chance.often(this.others / 2) ? "bob" : "alice"}`;
    for (let i = 0; !judge.wrong.length && (script || i < this.length); i++) {
      if (script) {
        const key = script.shift();
        if (key?.startsWith("calm")) calm = key;
        if (!key || key === calm) break;
        await this.step(key);
      } else await this.step(chance.weighed(this.choices()).key);
    }
    this.trace.push(calm);
    if (!judge.wrong.length) await this.calm(calm.split(" ")[1], script);
    return judge.wrong;
  }

  /** The tabs: where they are, whether somebody looks at them, and what their pages do not want. */
  beginning() {
    const { chance } = this;
    return [..."abcd"].slice(0, chance.between(1, 4)).map((name) => {
      const seen = name === "a" || chance.often(0.3) ? "seen" : "unseen";
      const prevents = ["switched", "required", "refused"].filter(() => chance.often(0.06));
      return `: begin ${name} ${chance.one(PAGES)} ${seen} ${prevents.join(",") || "-"}`;
    });
  }

  /** Let everything arrive that is on the way; no timers. */
  async drain(script) {
    const { world, judge } = this;
    for (let i = 0; !judge.wrong.length; i++) {
      const open = [...world.pending.values()].filter(({ kind, page }) => kind !== "lost" && !page?.frozen);
      if (!open.length) return;
      if (i > 1500) return judge.fail("it never comes to rest");
      // A script may leave things out; what it does not name comes in the order in which it was begun.
      while (script?.length && !/^(: |time)/.test(script[0]) && !world.pending.has(script[0])) script.shift();
      const { key } = !script ? this.chance.one(open) : (world.pending.get(script[0]) ?? open[0]);
      if (script?.[0] === key) script.shift();
      await this.step(key);
    }
  }

  /** Fair weather: one sign-in has to heal everything that waits, in every tab. */
  async calm(person, script) {
    const { world, judge, chance } = this;
    const step = (key) => {
      if (script?.[0] === key) script.shift();
      return this.step(key);
    };
    await step(": up ");
    for (const tab of world.tabs) await step(`: thaw ${tab.name}`);
    await this.drain(script);
    // Somebody comes back, and each page asks for something.
    for (const page of world.pages) {
      if (!page.demur) continue;
      await step(`: key ${page.tab.name}`);
      const kind = script?.[0]?.startsWith(": call") ? script[0].split(" ")[3] : chance.one(["get", "json"]);
      if (await step(`: call ${page.tab.name} ${kind} plain #${this.made + 1}`)) judge.probe(page);
    }
    await this.drain(script);
    const open = () => world.pages.flatMap((page) => (page.tab.visible ? [...page.dialogs] : []));
    for (let turn = 0; turn < 20 && !judge.wrong.length; turn++) {
      const [dialog] = open();
      if (dialog?.spent) {
        await step(`: close ${dialog.page.tab.name} | ${dialog.name}`);
        continue;
      }
      if (dialog) {
        const hoped = judge.hopes(person);
        await step(`: dialog ${dialog.page.tab.name} ${person} | ${dialog.name}`);
        await this.drain(script);
        judge.healed(hoped, person);
        continue;
      }
      // Somebody goes through the tabs, those with something unanswered first.
      const hidden = world.pages.filter((page) => page.demur && !page.tab.visible);
      const next = hidden.find((page) => judge.waits(page)) ?? hidden[0];
      if (!next) break;
      await step(`: look ${next.tab.name}`);
      await this.drain(script);
    }
    // What did not come at first is tried again after a few seconds.
    for (let i = 0; i < 20 && !judge.wrong.length && world.timer()?.due < world.now + 5000; i++) {
      await step("time");
      await this.drain(script);
    }
    if (!judge.wrong.length) judge.calm(person);
    if (!judge.wrong.length) await this.rest(script);
  }

  /** An hour in which nobody does anything: the clients may ask now and then, and no more. */
  async rest(script) {
    const { world, judge } = this;
    const before = world.pages.map((page) => [page, page.sent]);
    const until = world.now + 50 * MINUTE;
    for (let i = 0; i < 400 && !judge.wrong.length; i++) {
      const timer = world.timer();
      if (!timer || timer.due > until) break;
      if (script?.[0] === "time") script.shift();
      await this.step("time");
      await this.drain(script);
    }
    judge.rested(before);
  }
}
