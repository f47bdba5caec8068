/**
 * What a page finds in its window, all of it wired to the one world.
 */
import { Blob, Request, Response } from "./wire.mjs";

export const ORIGIN = "https://club.example";

/** `BroadcastChannel` in a page. */
export function channelOf(page) {
  const { world } = page;
  return class BroadcastChannel extends EventTarget {
    constructor(name) {
      super();
      this.name = name;
      this.onmessage = null;
      this.closed = false;
      page.channels.add(this);
    }

    postMessage(data) {
      const copy = structuredClone(data);
      for (const other of world.pages) {
        for (const channel of other.channels) {
          if (channel === this || channel.name !== this.name || channel.closed) continue;
          world.add(`${page.name} tells ${other.name} ${copy.type}`, "message", () => channel.receive(copy), {
            page: other,
          });
        }
      }
    }

    receive(data) {
      // A page that is kept in memory hears nothing.
      if (page.frozen || this.closed) return;
      page.stimuli++;
      if (data.type === "signed-in") page.heard++;
      const event = Object.assign(new Event("message"), { data });
      this.onmessage?.(event);
      this.dispatchEvent(event);
    }

    close() {
      this.closed = true;
    }
  };
}

/** What a page has, and nothing else: a name that is missing here is missing in the tab. */
export function globals(page) {
  const { world, tab, answer } = page;
  const events = (target) => {
    const heart = new EventTarget();
    for (const name of ["addEventListener", "removeEventListener", "dispatchEvent"])
      target[name] = heart[name].bind(heart);
    return target;
  };
  const element = () => events({ style: {}, dataset: {}, lang: "en", hidden: false, isConnected: true });
  const seen = tab.visible ? "visible" : "hidden";
  const document = events({
    visibilityState: seen,
    hidden: !tab.visible,
    readyState: "complete",
    currentScript: null,
    documentElement: element(),
    body: element(),
    activeElement: null,
    querySelector: () => null,
    querySelectorAll: () => [],
  });
  const wait = (run, after = 0, ...rest) => {
    const timer = {
      due: world.now + Math.max(0, after),
      order: ++world.order,
      page,
      run: () => run(...rest),
    };
    world.timers.push(timer);
    return timer;
  };
  const forget = (timer) => {
    world.timers = world.timers.filter((other) => other !== timer);
  };
  const storage = () => {
    const kept = new Map();
    return {
      getItem: (name) => kept.get(name) ?? null,
      setItem: (name, value) => void kept.set(name, String(value)),
      removeItem: (name) => void kept.delete(name),
    };
  };
  const wall = () => world.now + world.skew;
  class PageDate extends Date {
    constructor(...parts) {
      super(...(parts.length ? parts : [wall()]));
    }

    static now() {
      return wall();
    }
  }
  class PerformanceObserver {
    constructor(hear) {
      this.see = (entries) => hear({ getEntries: () => entries }, this);
    }

    observe() {
      page.observers.add(this);
    }

    disconnect() {
      page.observers.delete(this);
    }
  }
  const navigation = {
    name: `${ORIGIN}${page.path}`,
    entryType: "navigation",
    type: page.type,
    serverTiming: answer.timing ?? [],
    responseStart: 0,
    transferSize: 1000,
  };
  const math = Object.create(Math, { random: { value: () => world.random() } });
  const window = events({
    Request,
    Response,
    Headers,
    FormData,
    Blob,
    File: globalThis.File,
    ReadableStream,
    URL,
    URLSearchParams,
    AbortController,
    AbortSignal,
    DOMException,
    Event,
    EventTarget,
    CustomEvent: Told,
    TextEncoder,
    TextDecoder,
    structuredClone,
    queueMicrotask,
    console,
    Math: math,
    Date: PageDate,
    document,
    navigator: { onLine: true, language: "en" },
    performance: {
      now: () => world.now - page.born,
      timeOrigin: page.born,
      getEntriesByType: (type) => (type === "navigation" ? [navigation] : []),
    },
    PerformanceObserver,
    BroadcastChannel: channelOf(page),
    setTimeout: wait,
    clearTimeout: forget,
    setInterval: (run, every, ...rest) => {
      const again = () => {
        forget(timer);
        timer.due += Math.max(1, every);
        world.timers.push(timer);
        run(...rest);
      };
      const timer = wait(again, every);
      return timer;
    },
    clearInterval: forget,
    sessionStorage: storage(),
    localStorage: storage(),
    location: {
      origin: ORIGIN,
      href: `${ORIGIN}${page.path}`,
      pathname: page.path,
      host: new URL(ORIGIN).host,
      protocol: "https:",
      reload: () => tab.go(page.path, "reload"),
      assign: (to) => tab.go(new URL(to, ORIGIN).pathname),
      replace: (to) => tab.go(new URL(to, ORIGIN).pathname),
    },
    fetch: (input, init) => page.fetch(input, init),
    // What a page may or may not have.
    EventSource: undefined,
    WebSocket: undefined,
  });
  return Object.assign(window, { window, self: window, globalThis: window, parent: window, top: window });
}

/** `CustomEvent`, which the oldest node that we use does not have. */
class Told extends Event {
  constructor(type, { detail = null, ...init } = {}) {
    super(type, init);
    this.detail = detail;
  }
}
