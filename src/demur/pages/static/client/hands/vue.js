// Vue 3: who is signed in, as a composable. It is given Vue, and imports nothing.
//
//   import * as Vue from "vue";
//   import { session } from "demur/hands/vue";
//   const useSession = session(Vue);
//   const state = useSession();          state.value.session, state.value.over

import { current, subscribe } from "./state.js";

/** @typedef {import("./state.js").State} State */

/**
 * @param {{shallowRef(value: any): any, onScopeDispose(end: () => void): void}} vue
 * @returns {() => {readonly value: State}}
 */
export const session =
  ({ shallowRef, onScopeDispose }) =>
  () => {
    const state = shallowRef(current());
    onScopeDispose(subscribe(() => (state.value = current())));
    return state;
  };
