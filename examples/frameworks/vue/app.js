import * as Vue from "/modules/vue/dist/vue.runtime.esm-browser.prod.js";
import { demur } from "/.demur/client/core.js";
import { session } from "/.demur/client/hands/vue.js";

const useSession = session(Vue);
const { createApp, h, ref } = Vue;

const App = {
  setup() {
    const state = useSession();
    const said = ref("");
    const save = async () => {
      const response = await demur.fetch("/api/notes", { method: "POST", body: "a note" });
      said.value = response.ok ? (await response.json()).said : "refused: " + response.status;
    };
    return () => {
      const { session, over } = state.value;
      if (!session) return h("p", { id: "who" }, session === null ? "nobody" : "…");
      return [
        h("p", { id: "who" }, session.name + (over ? ", who has to sign in again" : "")),
        h("input", { id: "text", "aria-label": "Note" }),
        h("button", { id: "save", onClick: save }, "Save a note"),
        h("button", { id: "leave", onClick: () => demur.signOut() }, "Sign out"),
        h("output", { id: "out" }, said.value),
      ];
    };
  },
};

createApp(App).mount("#app");
