/**
 * `Request` and `Response` as the Fetch standard has them, as far as a client can tell, without a stream or a thread
 * behind them: everything settles in microtasks, so that one storm is always the same storm. `wire.test.mjs` holds
 * them to node's own.
 */
import stream from "node:stream";

const NORMAL = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"]);

/** What a body is made of, and the type that it brings. */
function extract(value) {
  if (value === null || value === undefined) return { value: null, type: null };
  if (value instanceof URLSearchParams) {
    return { value: String(value), type: "application/x-www-form-urlencoded;charset=UTF-8" };
  }
  if (value instanceof FormData) {
    const copy = new FormData();
    for (const [name, entry] of value) copy.append(name, entry);
    return { value: copy, type: "multipart/form-data; boundary=storm" };
  }
  if (value instanceof globalThis.Blob) return { value, type: value.type || null };
  if (value instanceof ReadableStream) {
    if (value.locked || stream.isDisturbed(value)) throw new TypeError("the stream is disturbed or locked");
    return { value, type: null };
  }
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value))
    return { value: structuredClone(value), type: null };
  return { value: String(value), type: "text/plain;charset=UTF-8" };
}

class Body {
  #source = null;
  #used = false;

  get bodyUsed() {
    const source = this.#source;
    return this.#used || (source instanceof ReadableStream && stream.isDisturbed(source));
  }

  get body() {
    return this.#source instanceof ReadableStream || this.#source === null
      ? this.#source
      : { locked: this.#used };
  }

  /** Sets what the body is; not part of the standard. */
  fill(source) {
    this.#source = source;
  }

  /** What the body is, left as it is; not part of the standard. */
  peek() {
    return this.#source;
  }

  /** Takes the body away, as sending it and building another request from this one do; ours as well. */
  take() {
    if (this.#source === null) return null;
    if (this.bodyUsed || this.#source.locked) throw new TypeError("the body has been read already");
    this.#used = true;
    return this.#source;
  }

  /** Two bodies from one. */
  tee() {
    if (this.bodyUsed || this.#source?.locked)
      throw new TypeError("a body that has been read cannot be cloned");
    if (!(this.#source instanceof ReadableStream)) return this.#source;
    const [mine, yours] = this.#source.tee();
    this.#source = mine;
    return yours;
  }

  async text() {
    return words(this.take());
  }

  async json() {
    return JSON.parse(await this.text());
  }

  async blob() {
    const source = this.take();
    if (source instanceof globalThis.Blob) return source;
    const text = await words(source);
    return new Blob([text], { type: this.headers.get("content-type") ?? "" });
  }

  async arrayBuffer() {
    return new TextEncoder().encode(await words(this.take())).buffer;
  }

  async formData() {
    const source = this.take();
    if (source instanceof FormData) return source;
    throw new TypeError("not a form");
  }
}

/** What is in a Blob; node reads one in a thread. @type {WeakMap<globalThis.Blob, string>} */
const told = new WeakMap();

/** A Blob of which is known what is in it. */
export class Blob extends globalThis.Blob {
  constructor(parts = [], options = {}) {
    super(parts, options);
    told.set(this, parts.map((part) => told.get(part) ?? plain(part)).join(""));
  }
}

const plain = (part) => (typeof part === "string" ? part : new TextDecoder().decode(part));

/** A signal of its own that is aborted with another. */
function follow(other) {
  const own = new AbortController();
  if (other?.aborted) own.abort(other.reason);
  else other?.addEventListener("abort", () => own.abort(other.reason));
  return own.signal;
}

/** A body as one text: the same content, the same text. */
export async function words(source) {
  if (source === null) return "";
  if (source instanceof FormData) {
    return [...source]
      .map(([name, entry]) => `${name}=${typeof entry === "string" ? entry : file(entry)}`)
      .join("&");
  }
  if (source instanceof globalThis.Blob) return told.get(source) ?? file(source);
  if (source instanceof ReadableStream) {
    let all = "";
    const reader = source.getReader();
    for (let part; !(part = await reader.read()).done;) all += part.value;
    return all;
  }
  return source instanceof URLSearchParams ? String(source) : plain(source);
}

const file = (blob) => `[${blob.name ?? "blob"} ${blob.type} ${blob.size}]`;

export class Request extends Body {
  static base = "https://club.example/";

  constructor(input, init = {}) {
    super();
    const from = input instanceof Request ? input : null;
    const method = String(init.method ?? from?.method ?? "GET");
    this.method = NORMAL.has(method.toUpperCase()) ? method.toUpperCase() : method;
    this.url = from ? from.url : new URL(String(input), Request.base).href;
    this.headers = new Headers(init.headers ?? from?.headers);
    const chosen = (name, otherwise) => init[name] ?? from?.[name] ?? otherwise;
    this.mode = chosen("mode", "cors");
    this.credentials = chosen("credentials", "same-origin");
    this.cache = chosen("cache", "default");
    this.redirect = chosen("redirect", "follow");
    this.referrer = chosen("referrer", "about:client");
    this.keepalive = chosen("keepalive", false);
    this.signal = follow((init.signal === undefined ? from?.signal : init.signal) ?? undefined);
    const idle = this.method === "GET" || this.method === "HEAD";
    if (idle && (init.body ?? null) !== null) throw new TypeError("GET and HEAD have no body");
    if (init.body instanceof ReadableStream && init.duplex !== "half")
      throw new TypeError("a stream needs duplex: half");
    if ((init.body ?? null) !== null) {
      const { value, type } = extract(init.body);
      this.fill(value);
      if (type && !this.headers.has("content-type")) this.headers.set("content-type", type);
    } else if (from && from.peek() !== null) {
      if (idle) throw new TypeError("GET and HEAD have no body");
      this.fill(from.take());
    }
  }

  clone() {
    const copy = new Request(this.url, { ...this, headers: this.headers });
    copy.fill(this.tee());
    return copy;
  }
}

export class Response extends Body {
  constructor(body = null, { status = 200, statusText = "", headers = {}, url = "" } = {}) {
    super();
    this.status = status;
    this.statusText = statusText;
    this.headers = new Headers(headers);
    this.url = url;
    this.type = "basic";
    this.redirected = false;
    const { value, type } = extract(body);
    this.fill(value);
    if (type && !this.headers.has("content-type")) this.headers.set("content-type", type);
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  clone() {
    const { status, statusText, headers, url } = this;
    const copy = new Response(null, { status, statusText, headers, url });
    copy.fill(this.tee());
    return copy;
  }

  static json(data, init = {}) {
    return new Response(JSON.stringify(data), {
      ...init,
      headers: { "content-type": "application/json", ...init.headers },
    });
  }
}
