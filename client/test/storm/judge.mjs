/**
 * What has to hold in every storm. Each of these is a sentence of docs/explanation/browser-client.md.
 */
export class Judge {
  constructor(world) {
    this.world = world;
    this.calls = new Map();
    this.wrong = [];
    this.judged = 0;
    /** What the pages asked of the client beside calls. */
    this.promises = [];
    this.probes = [];
    /** What can be judged when a step is over. */
    this.later = [];
    this.numbers = {
      calls: 0,
      answered: 0,
      repeated: 0,
      executed: 0,
      dialogs: 0,
      asks: 0,
      restored: 0,
      switched: 0,
    };
    world.watchers = {
      sent: (page, request, call) => this.sent(page, request, call),
      event: (page, name, event) => this.event(page, name, event),
      dialog: (page, refusal) => this.dialog(page, refusal),
      answered: (page, call, status, headers) => {
        const [, reason] = /error="([\w-]+)"/.exec(headers?.["www-authenticate"]) ?? [];
        if (call) this.calls.get(call).refused = reason;
        if (status === 401 && reason !== "insufficient_user_authentication") page.ended = true;
      },
      heard: (page) => this.heard(page),
      withdrawn: (page, dialog) => this.withdrawn(page, dialog),
    };
  }

  fail(what) {
    this.wrong.push(what);
  }

  expect(record) {
    this.numbers.calls++;
    this.calls.set(record.number, record);
    record.page.calls.push(record);
  }

  settle(record, answer, error) {
    if (record.settled) this.fail(`call ${record.number} was answered twice`);
    record.settled = {
      status: answer?.status,
      error: error && `${error.name}: ${error.message}`,
      refused: answer?.headers,
    };
    const lawful = record.aborted ? /^AbortError/ : /^TypeError: Failed to fetch/;
    if (error && !lawful.test(record.settled.error))
      this.fail(`call ${record.number} failed with ${record.settled.error}`);
    if (answer?.status === 401 && this.givenUp(record, answer)) {
      this.fail(`call ${record.number} of ${record.page.name} was given up though nobody declined`);
    }
    record.excused = record.page.quiet || record.page.vain;
    if (answer?.bodyUsed) this.fail(`call ${record.number} got an answer that had been read`);
    this.numbers.answered++;
  }

  /** Whether a call that could be repeated came back refused, and nobody wanted it so. */
  givenUp({ sends, kind, method, page }, { headers }) {
    if (sends > 1 || kind === "stream" || page.quiet || page.vain || page.prevents.length || page.gone)
      return false;
    return headers.get("demur-processed") === "?0" || method === "GET" || method === "HEAD";
  }

  /** Something that has to come to an end, whichever. */
  promise(page, what, promise) {
    const one = { page, what, settled: false };
    this.promises.push(one);
    promise.catch(() => 0).then(() => (one.settled = true));
    return true;
  }

  abort(number) {
    const record = this.calls.get(number);
    if (!record || record.settled) return false;
    record.aborted = true;
    record.control.abort();
    this.later.push(() => record.settled || this.fail(`call ${number} was given up and waits on`));
    return true;
  }

  /** The last call that was made is one that has to come off. */
  probe(page) {
    this.probes.push(page.calls.at(-1));
  }

  sent(page, request, call) {
    page.sent++;
    if (!call) {
      if (request.url.endsWith("/session")) {
        page.asks++;
        this.numbers.asks++;
        if (request.headers.get("demur-background") !== "?1")
          this.fail(`${page.name} keeps the session alive by asking`);
        if (page.asks > page.stimuli)
          this.fail(`${page.name} asked ${page.asks} times for ${page.stimuli} reasons`);
      }
      return;
    }
    const record = this.calls.get(call);
    record.sends++;
    record.sentAs = page.demur.person;
    if (record.aborted) this.fail(`call ${call} was sent after it had been given up`);
    if (record.sends === 2) this.numbers.repeated++;
    if (record.sends > 2) this.fail(`call ${call} was sent ${record.sends} times`);
    const healed = record.refused !== "session-replaced";
    const back = this.world.server.person(this.world.jar) === page.madeFor;
    if (record.sends > 1 && healed && page.gone && !back)
      this.fail(`call ${call} was repeated after somebody else had signed in`);
  }

  event(page, name, event) {
    if (name === "required") Object.assign(page, { askedBefore: page.asked, heardBefore: page.heard });
    if (name === "switched" && !event.defaultPrevented) page.gone = true;
    if (name === "restored") page.vain = page.quiet = false;
    if (name === "required") page.quiet = false;
    if (name === "restored" || name === "signed-out") page.declined = false;
    if (name in this.numbers) this.numbers[name]++;
    if (name === "restored" && page.demur.over) this.fail(`${page.name} was restored and is over`);
    if (name === "restored" && page.events.filter((other) => other === "restored").length > page.stimuli) {
      this.fail(`${page.name} was restored without end`);
    }
  }

  /** The client heard that a session lives: who declined to sign in is asked again when that has ended, too. */
  heard(page) {
    if (page.ended) page.declined = page.ended = false;
  }

  dialog(page, refusal) {
    this.numbers.dialogs++;
    if (!page.tab.visible) this.fail(`${page.name} opened a dialog that nobody sees`);
    page.shown = (page.shown ?? 0) + 1;
    const required = page.events.filter((name) => name === "required").length;
    if (page.shown > required) this.fail(`${page.name} opened a dialog that it had not announced`);
    if (page.prevents.includes("required"))
      this.fail(`${page.name} opened a dialog that the page did not want`);
    if (page.declined && refusal.remedy) this.fail(`${page.name} asks again who has declined`);
    if (page.dialogs.size) this.fail(`${page.name} opened a second dialog`);
    if (page.frozen || !page.alive) this.fail(`${page.name} opened a dialog after it had gone`);
  }

  /** The client closes a dialog that somebody may be typing in. */
  withdrawn(page, { name, refusal }) {
    const confirmed = page.heard > page.heardBefore;
    const live = page.toldLive > page.askedBefore;
    if (confirmed || (live && refusal.remedy !== "confirm")) return;
    this.later.push(
      () =>
        page.events.includes("switched") || this.fail(`${name} (${refusal.reason}) was closed for nothing`),
    );
  }

  /** After each step. */
  look() {
    for (const check of this.later.splice(0)) check();
    const { executed } = this.world.server;
    for (; this.judged < executed.length; this.judged++) this.execution(executed[this.judged]);
    for (const page of this.world.pages) {
      if (!page.demur) continue;
      const { person } = page.demur;
      if (page.was && person && person !== page.was)
        this.fail(`${page.name} was for ${page.was} and is for ${person}`);
      page.was ||= person;
    }
  }

  execution({ call, as, body }) {
    const record = this.calls.get(call);
    const { page, place, method, sends } = record;
    record.executed++;
    this.numbers.executed++;
    const safe = method === "GET" || method === "HEAD";
    if (record.executed > (place === "late" && safe ? 2 : 1)) {
      this.fail(`call ${call} (${method} ${place}) was executed ${record.executed} times`);
    }
    const expected = page.answer.person || record.sentAs;
    // The first time, a GET goes without the field: it may lead to another origin.
    if (as && expected && as !== expected && !(safe && sends === 1))
      this.fail(`call ${call} of ${page.name}, made for ${expected}, was executed as ${as}`);
    if (body !== record.body)
      this.fail(`call ${call} was executed with "${body}" in place of "${record.body}", send ${sends}`);
  }

  waits(page) {
    return page.demur && page.calls.some((record) => !record.settled);
  }

  /** The calls that a sign-in as `person` has to answer. */
  hopes(person) {
    const hoped = [];
    for (const page of this.world.pages) {
      if (!page.demur || (page.madeFor && page.madeFor !== person) || page.gone || page.prevents.length)
        continue;
      for (const record of page.calls) {
        const repeatable =
          record.kind !== "stream" && (record.place !== "late" || ["GET", "HEAD"].includes(record.method));
        if (!record.settled && !record.aborted && record.sends === 1) hoped.push({ record, repeatable });
      }
    }
    return hoped;
  }

  /** One person has signed in, once, and everything has arrived. */
  healed(hoped, person) {
    for (const { record, repeatable } of hoped) {
      const { number, page, settled, executed, place } = record;
      const about = `call ${number} of ${page.name} (made for "${page.madeFor}", ${person} signed in)`;
      if (!page.alive) this.fail(`${about}: its tab was loaded again`);
      else if (!settled) this.fail(`${about} is still not answered`);
      else if (repeatable && settled.status !== (place === "closed" ? 403 : 200))
        this.fail(`${about} ended with ${settled.status ?? settled.error}`);
      else if (repeatable && executed !== 1 && !["late", "closed"].includes(place))
        this.fail(`${about} was executed ${executed} times`);
    }
  }

  /** After everything has healed. */
  calm(person) {
    const { world } = this;
    for (const record of this.calls.values()) {
      const { page, settled, number, executed, place, method } = record;
      if (page.alive && !settled) this.fail(`call ${number} of ${page.name} is never answered`);
      if (settled?.status === 200 && executed < 1)
        this.fail(`call ${number} was answered and never executed`);
      const refused = settled?.status && settled.status !== 200;
      if (refused && place !== "late" && executed) this.fail(`call ${number} was refused and executed`);
      if (refused && place === "late" && executed > 1 && !["GET", "HEAD"].includes(method)) {
        this.fail(`call ${number} was refused after it ran, and repeated`);
      }
    }
    for (const page of world.pages) {
      if (!page.demur) continue;
      if (page.dialogs.size) this.fail(`${page.name} still shows a dialog`);
      if (page.gone && page.path !== "") this.fail(`${page.name} was to be loaded again and stays`);
      const live = world.server.person(world.jar);
      if (live && page.madeFor === live && page.hiddenContent)
        this.fail(`${page.name} stays hidden from ${person}`);
    }
    for (const { page, what, settled } of this.promises) {
      if (page.alive && !settled) this.fail(`${what} of ${page.name} is never answered`);
    }
    for (const { page, number, settled, excused } of this.probes) {
      // The cookie of a sign-in whose frame was closed too early.
      const replaced = /session-replaced/.test(settled?.refused?.get("www-authenticate"));
      const free =
        ["switched", "required", "refused"].some((name) => page.prevents.includes(name)) || excused;
      if (page.alive && !free && settled?.status !== 200 && !replaced) {
        this.fail(`${page.name} does not work: ${settled?.status ?? settled?.error}, call ${number}`);
      }
    }
  }

  rested(before) {
    for (const [page, sent] of before) {
      if (page.alive && page.sent - sent > 60)
        this.fail(`${page.name} sent ${page.sent - sent} requests while nobody did anything`);
    }
  }
}
