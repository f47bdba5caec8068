// Who is signed in, for whoever draws pages: React, Vue, Svelte.
//
// - `session` is undefined until it is known, then the last one there was; null if there is none.
// - `over` is true while somebody has to sign in again. The session stays where it is meanwhile: a page that
//   took itself away would take with it what the person has typed.

import { demur } from "../core.js";

/** @typedef {{session: import("../core.js").Session | null | undefined, over: boolean}} State */

/** @type {State} */
let state = { session: undefined, over: false };
let asked = false;
/** @type {Set<() => void>} */
const listeners = new Set();

/** @param {Partial<State>} change */
const set = (change) => {
  state = { ...state, ...change };
  for (const listener of [...listeners]) listener();
};

const ask = async () => {
  asked = true;
  const before = state;
  const session = await demur.session().catch(() => undefined);
  // An answer that comes late brings nobody back, and no answer is no answer.
  if (before === state && session !== undefined) set({ session });
  else asked = state.session !== undefined;
};

demur.on("restored", () => {
  set({ over: false });
  if (!state.session) ask();
});
demur.on("switched", ({ detail }) => set({ ...detail, over: false }));
demur.on("required", ({ detail }) => detail.refusal.remedy === "sign-in" && set({ over: true }));
demur.on("signed-out", () => set({ session: null }));

export const current = () => state;

/** @param {() => void} listener */
export const subscribe = (listener) => {
  listeners.add(listener);
  if (!asked) ask();
  return () => void listeners.delete(listener);
};
