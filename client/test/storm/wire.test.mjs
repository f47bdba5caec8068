/** The model of Request and Response says what node's own say. */
import assert from "node:assert/strict";
import test from "node:test";

import { Request as ModelRequest, Response as ModelResponse } from "./wire.mjs";

const AT = "https://club.example/a";
const stream = () => new ReadableStream({ start: (to) => to.close() });

/** What came of it: a value, or the name of the error. */
async function told(does) {
  try {
    return await does();
  } catch (error) {
    return error.name;
  }
}

const CASES = {
  "a method is written in capitals": (Q) => new Q(AT, { method: "post" }).method,
  "patch is not": (Q) => new Q(AT, { method: "patch" }).method,
  "GET has no body": (Q) => new Q(AT, { body: "x" }).method,
  "a body has a type": (Q) => new Q(AT, { method: "POST", body: "x" }).headers.get("content-type"),
  "a type that is said stays": (Q) =>
    new Q(AT, { method: "POST", body: "{}", headers: { "content-type": "application/json" } }).headers.get(
      "content-type",
    ),
  "a body is read once": async (Q) => {
    const request = new Q(AT, { method: "POST", body: "x" });
    return [await request.text(), request.bodyUsed, await told(() => request.text())];
  },
  "no body is never used": async (Q) => {
    const request = new Q(AT);
    return [await request.text(), await request.text(), request.bodyUsed];
  },
  "a clone has the body too": async (Q) => {
    const request = new Q(AT, { method: "PUT", body: "x" });
    const copy = request.clone();
    return [await copy.text(), request.bodyUsed, await request.text(), copy.method];
  },
  "what was read cannot be cloned": async (Q) => {
    const request = new Q(AT, { method: "POST", body: "x" });
    await request.text();
    return told(() => request.clone().method);
  },
  "another request takes the body": async (Q) => {
    const request = new Q(AT, { method: "POST", body: "x" });
    const other = new Q(request, { headers: { a: "b" } });
    return [
      request.bodyUsed,
      await other.text(),
      other.headers.get("a"),
      await told(() => new Q(request).method),
    ];
  },
  "another request may have another body": async (Q) => {
    const request = new Q(AT, { method: "POST", body: "x" });
    const other = new Q(request, { body: "y" });
    return [await other.text(), request.bodyUsed];
  },
  "a stream says duplex": (Q) => told(() => new Q(AT, { method: "POST", body: stream() }).method),
  "a stream is read once": async (Q) => {
    const body = stream();
    const request = new Q(AT, { method: "POST", body, duplex: "half" });
    await request.text();
    return told(() => new Q(AT, { method: "POST", body, duplex: "half" }).method);
  },
  "a form keeps its entries": async (Q) => {
    const body = new FormData();
    body.append("a", "1");
    const request = new Q(AT, { method: "POST", body });
    body.append("b", "2");
    return [...(await request.clone().formData())].join();
  },
  "an answer is read once": async (_, A) => {
    const answer = new A("x", { status: 401, headers: { a: "b" } });
    const copy = answer.clone();
    return [
      await copy.text(),
      answer.status,
      answer.ok,
      copy.headers.get("a"),
      await answer.text(),
      answer.bodyUsed,
    ];
  },
  "an aborted signal is passed on": (Q) => new Q(AT, { signal: AbortSignal.abort() }).signal.aborted,
  "a request has a signal of its own": (Q) => {
    const control = new AbortController();
    const { signal } = new Q(AT, { signal: control.signal });
    const before = signal.aborted;
    control.abort();
    return [signal === control.signal, before, signal.aborted, signal.reason.name];
  },
  "a clone listens to the same signal": (Q) =>
    new Q(AT, { signal: AbortSignal.abort() }).clone().signal.aborted,
};

for (const [title, says] of Object.entries(CASES)) {
  test(title, async () => {
    assert.deepEqual(
      await told(() => says(ModelRequest, ModelResponse)),
      await told(() => says(Request, Response)),
    );
  });
}
