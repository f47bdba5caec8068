// React 18 and newer: who is signed in, as a hook. It is given React, and imports nothing.
//
//   import * as React from "react";
//   import { session } from "demur/hands/react";
//   const useSession = session(React);
//   const { session, over } = useSession();

import { current, subscribe } from "./state.js";

/** @typedef {import("./state.js").State} State */

/**
 * @param {{useSyncExternalStore(subscribe: (changed: () => void) => () => void, get: () => any): any}} react
 * @returns {() => State}
 */
export const session = (react) => () => react.useSyncExternalStore(subscribe, current);
