// Before a session ends: a notice in time, a dialog at last, and none while somebody is at work.
//
// - What is left goes by two clocks and is the server's to say: it is asked before anything is shown.
// - Only what a person does keeps a session alive, and what is typed is as good as what is sent.

/** @param {typeof import("./core.js").demur} demur */
export function install(demur) {
  /** @type {AbortController | undefined} */
  let warning;
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  /** Milliseconds that a session may be idle, as far as we have seen. */
  let full = 0;
  let extending = false;

  const calm = () => {
    warning?.abort();
    warning = undefined;
  };

  const look = () => {
    clearTimeout(timer);
    // Infinity: nobody is known to be signed in.
    if (demur.left < Infinity) full = Math.max(full, demur.left);
    // "at least 20 seconds to extend the time limit" (WCAG 2.2, 2.2.1)
    const rest = demur.left - Math.max(demur.options.warn, 20) * 1000;
    if (rest > 0) {
      calm();
      timer = setTimeout(look, Math.min(rest, 60_000));
    } else if (!warning && !document.hidden) warn();
  };

  const warn = async () => {
    const mine = (warning = new AbortController());
    // Another tab may have gone on.
    await demur.session().catch(() => 0);
    if (warning !== mine) return;
    const about = { ends: Date.now() + demur.left, absolute: demur.fixed };
    timer = setTimeout(end, Math.min(demur.left, 1e9));
    if (demur.over || !demur.emit("expiring", about)) return;
    const choice = await demur.ui.expiring(about, mine.signal);
    // What could not be done is still to be chosen.
    const again = () => (calm(), look());
    if (choice === "stay") demur.extend().catch(again);
    if (choice === "sign-in") demur.signIn();
    if (choice === "sign-out") demur.signOut().catch(again);
  };

  // The server is asked whether this is the end, and who has seen it coming may go on at once.
  const end = async () => {
    const seen = warning;
    if ((await demur.session().catch(() => 0)) === null && seen && seen === warning) demur.signIn();
  };

  // It hears about ten times in an idle time that somebody is there.
  const act = () => {
    if (extending || demur.over || demur.fixed || demur.left > full * 0.9) return;
    extending = true;
    demur.extend().catch(() => 0).finally(() => (extending = false));
  };

  for (const kind of ["keydown", "pointerdown"]) addEventListener(kind, act, true);
  for (const name of ["required", "switched"]) demur.on(name, calm);
  demur.on("heard", look);
  // Another tab may have gone on.
  new BroadcastChannel("demur").onmessage = () => warning && demur.session().catch(() => 0);
  addEventListener("visibilitychange", look);
  look();
}
