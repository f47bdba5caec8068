// Svelte: who is signed in, as a store.
//
//   import { session } from "demur/hands/svelte";
//   {#if $session.session} Hello {$session.session.display_name} {/if}

import { current, subscribe } from "./state.js";

/** @typedef {import("./state.js").State} State */

export const session = {
  /** @param {(state: State) => void} run */
  subscribe(run) {
    run(current());
    return subscribe(() => run(current()));
  },
};
