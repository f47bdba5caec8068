/** Ways to break the client, as text that is replaced. A storm has to notice each. */
const core = (from, to) => ({ "client/core.js": [from, to] });

export const MUTANTS = {
  "a refused call is repeated twice": core(
    "return again ? attempt(spare) : response;",
    "return again ? (attempt(spare.clone()), attempt(spare)) : response;",
  ),
  "it is repeated as often as it is refused": core(
    "return again ? attempt(spare) : response;",
    "return again ? call(input, init) : response;",
  ),
  "it is repeated although the app has seen it": core("(!processed || READS.test(method))", "true"),
  "a call is sent again when its answer was lost": core(
    "const response = await attempt(first);",
    "const response = await attempt(first).catch(() => send(first.url));",
  ),
  "it is not repeated": core("return again ? attempt(", "return false ? attempt("),
  "a stream is repeated": core("!spent && (!processed", "(!processed"),
  "the body is what the page has made of it since": core(
    "return again ? attempt(spare) : response;",
    "return again ? attempt(new Request(input.method ? spare : input, init)) : response;",
  ),
  "the answer that says why is used up": core("(response.clone?.() ?? response).text()", "response.text()"),
  "the server is not told whose call it is": core('request.headers.set("demur-subject", person)', "0"),
  "nobody looks who has signed in": core(
    "if (person && found.subject !== person) leave(found);",
    "if (false) leave(found);",
  ),
  "what waits is sent as whoever has signed in": core(
    '  done(false);\n  if (!emit("switched"',
    '  done(true);\n  if (!emit("switched"',
  ),
  "the page of somebody who has left stays": core(
    '!== "reload" || performance.now() > 9000) location.reload();',
    ") {}",
  ),
  "a dialog opens in a tab that nobody sees": core("mine.shown || document.hidden", "mine.shown"),
  "each call has its own dialog": core("  if (!waiting) {\n    if (!emit(", "  {\n    if (!emit("),
  "a dialog stays when all is well": core("  mine?.control.abort();\n", ""),
  "what waits is forgotten": core("  mine?.settle(signedIn);\n", ""),
  "only the tab of the dialog is healed": core('healed(type === "signed-in");', "0;"),
  "a message from another tab gives up what waits": core(
    "if (signedIn && found && mine && mine === waiting) done(true);",
    "if (mine && mine === waiting) done(!!found);",
  ),
  "a message from another tab is a confirmation": core("if (signedIn && found && mine", "if (found && mine"),
  "who declined is asked again at once": core("quiet = !signedIn;", ""),
  "who declined once is never asked again": core(
    "addEventListener(kind, () => (quiet = false), true)",
    "addEventListener(kind, () => 0, true)",
  ),
  "a page that does not want a dialog gets one": core(
    'if (!emit("required", { refusal })) return false;',
    'emit("required", { refusal });',
  ),
  "what is hidden stays hidden": core(
    "else if (!found || found.subject === person) hide(false);",
    "else if (found) hide(true);",
  ),
  "a call that was given up waits on": core("() => fail(signal.reason)", "null"),
  "a new id of the session is a reason to ask": core('if (remedy === "repeat") return repeatable;', ""),
  "asking keeps the session alive": core('{ "demur-background": "?1" }', "{}"),
  "asking asks again": core(
    "if (response.status !== 401 || !refusal) throw",
    "if (response.status !== 401) return session();\n  if (!refusal) throw",
  ),
  "each answer of another person is a reason to ask": core(
    "|| responseStart < heard) continue;",
    ") continue;",
  ),
  "hearing is a reason to ask": {
    "client/expiry.js": ["clearTimeout(timer);", "clearTimeout(timer), demur.session().catch(() => 0);"],
  },
};

/** The source of a mutant, by file. */
export function mutate(changes, read) {
  return Object.fromEntries(
    Object.entries(changes).map(([file, [from, to]]) => {
      const source = read(file);
      if (source.split(from).length !== 2)
        throw new Error(`mutants.mjs: say what has become of this in ${file}, there once: ${from}`);
      return [file, source.replace(from, () => to)];
    }),
  );
}
