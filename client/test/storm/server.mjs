/**
 * A small model of the server, from docs/reference/wire.md: sessions, reasons, `Demur-Processed`, `Demur-Subject`,
 * and a site behind it that writes down each execution with the person it was executed as.
 */
const IDLE = 3600_000;
const ABSOLUTE = 86_400_000;
const REPLACED = 30_000;
const FRESH = 900_000;

const STATUS = { "not-permitted": 403, "subject-changed": 412, unavailable: 503 };
const TITLE = { "subject-changed": "You are signed in as somebody else" };

/** The site's own addresses, by the first word after `/app/`. */
export const PLACES = ["plain", "fresh", "closed", "late", "open"];

export class Server {
  /** @param {() => number} clock */
  constructor(clock) {
    this.clock = clock;
    /** By cookie: whose it is, and when it was begun, seen, ended or replaced. */
    this.sessions = new Map();
    /** @type {{call: string, method: string, as: string, body: string}[]} */
    this.executed = [];
    this.asked = 0;
    this.signedIn = 0;
    this.down = false;
  }

  /** What a cookie proves now. */
  evidence(cookie) {
    if (!cookie) return { reason: "sign-in-required" };
    const session = this.sessions.get(cookie);
    if (!session) return { reason: "credentials-invalid" };
    const { subject, began, seen, ended, replaced } = session;
    const now = this.clock();
    if (replaced !== undefined)
      return { subject, reason: now - replaced < REPLACED ? "session-replaced" : "session-ended" };
    if (ended) return { subject, reason: ended };
    if (now >= began + ABSOLUTE) return { subject, reason: "session-expired" };
    if (now >= seen + IDLE) return { subject, reason: "session-idle" };
    return { subject, session };
  }

  /** The person a cookie stands for, or "". */
  person(cookie) {
    const { session } = this.evidence(cookie);
    return session?.subject ?? "";
  }

  /** @param {{method: string, url: string, headers: Headers, cookie: string, body?: string}} request */
  handle({ method, url, headers, cookie, body = "" }) {
    const { pathname, searchParams } = new URL(url);
    const [, place] = pathname.split("/").slice(1);
    const { reason, subject, session } = this.evidence(cookie);
    const seen = () => headers.get("demur-background") === "?1" || (session.seen = this.clock());
    const expected = headers.get("demur-subject");
    const execute = () =>
      this.executed.push({ call: searchParams.get("call"), method, as: session?.subject ?? "", body });
    const own = pathname.startsWith("/.demur/");
    if (pathname === "/.demur/sign-out") {
      if (this.down) return this.refuse("unavailable", {});
      return { status: 204, cookie: this.signOut(cookie) };
    }
    if (!own && place === "open") {
      if (session && expected && expected !== session.subject) return this.refuse("subject-changed", {});
      execute();
      return this.allow(session, {});
    }
    if (this.down && cookie) return this.refuse("unavailable", {});
    if (!session) return this.refuse(reason, { subject });
    if (expected && expected !== subject) return this.refuse("subject-changed", {});
    if (own) {
      if (pathname === "/.demur/session") this.asked++;
      else session.seen = this.clock();
      return this.allow(session, this.told(session));
    }
    seen();
    if (place === "closed") return this.refuse("not-permitted", {});
    const fresh = this.clock() - session.began < FRESH;
    if (place === "fresh" && !fresh) return this.refuse("step-up-required", { max_age: 900 });
    execute();
    if (place === "late" && !fresh) return this.refuse("step-up-required", { max_age: 900 }, true);
    return this.allow(session, {});
  }

  /** A page: the person it is made for, or the sign-in form in its place. */
  page(path, cookie) {
    if (path === "/signed-out" || path === "/.demur/signed-out") return { kind: "signed-out" };
    if (path === "/.demur/sign-in") return { kind: "sign-in" };
    if (path === "/public") return { kind: "site", person: "" };
    if (this.down && cookie) return { kind: "trouble" };
    const { session } = this.evidence(cookie);
    if (!session) return { kind: "sign-in" };
    session.seen = this.clock();
    return { kind: "site", person: session.subject, timing: this.timing(session) };
  }

  /** Sign in: a new session; the one before it is over. */
  signIn(subject, cookie) {
    const now = this.clock();
    const { session } = this.evidence(cookie);
    if (session?.subject === subject) session.replaced = now;
    else if (session) session.ended = "session-ended";
    const id = `s${this.sessions.size + 1}`;
    this.sessions.set(id, { subject, began: now, seen: now });
    this.signedIn++;
    return id;
  }

  /** Signing out by the page's own form: the cookie goes. */
  signOut(cookie) {
    const { session } = this.evidence(cookie);
    if (session) session.ended = "session-ended";
    return "";
  }

  /** An administrator ends what a person has open. */
  revoke(subject) {
    for (const session of this.sessions.values()) {
      if (session.subject === subject && session.replaced === undefined) session.ended ??= "session-revoked";
    }
  }

  told({ subject, began, seen }) {
    const now = this.clock();
    const [idle, absolute] = [seen + IDLE, began + ABSOLUTE];
    const iso = (at) => new Date(at).toISOString();
    return {
      subject,
      name: subject,
      display_name: subject,
      idle_ends_at: iso(Math.min(idle, absolute)),
      expires_at: iso(absolute),
      idle_ends_in: Math.floor((idle - now) / 1000),
      expires_in: Math.floor((absolute - now) / 1000),
      draft_key: `key of ${subject}`,
    };
  }

  timing(session) {
    const { idle_ends_in, expires_in, subject } = this.told(session);
    return [
      { name: "session", duration: Math.min(idle_ends_in, expires_in), description: String(expires_in) },
      { name: "subject", duration: 0, description: subject },
    ];
  }

  allow(session, json) {
    const timing = session ? this.timing(session) : [];
    return {
      status: 200,
      headers: { "content-type": "application/json" },
      body: JSON.stringify(json),
      timing,
    };
  }

  refuse(reason, more, processed = false) {
    const status = STATUS[reason] ?? 401;
    const said = reason === "step-up-required" ? "insufficient_user_authentication" : reason;
    const problem = {
      type: `https://demur.readthedocs.io/reasons/${reason}`,
      title: TITLE[reason] ?? reason,
      status,
      reason,
    };
    const headers = { "content-type": "application/problem+json", "cache-control": "no-store" };
    if (status === 401) {
      const error = reason === "sign-in-required" ? "" : `, error="${said}"`;
      headers["www-authenticate"] =
        `Cookie realm="Club", form-action="/.demur/sign-in", cookie-name="demur-dev"${error}`;
    }
    if (status === 503) headers["retry-after"] = "2";
    if (!processed) headers["demur-processed"] = "?0";
    return {
      status,
      headers,
      body: JSON.stringify({ ...problem, ...more, ...(processed ? {} : { processed: false }) }),
    };
  }
}
