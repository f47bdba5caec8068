import { QueryClient, QueryObserver } from "@tanstack/query-core";
import { fetchOk, install, retry } from "demur/hands/query";
import { buttons, file } from "../show.js";

const client = new QueryClient({ defaultOptions: { queries: { retry } } });
install(client);

const said = async (path, init) => (await (await fetchOk(path, init)).json()).said;
const post = (body) => said("/api/notes", { method: "POST", body });

buttons(
  {
    save: () => client.getMutationCache().build(client, { mutationFn: post }).execute("a note"),
    upload: () => client.getMutationCache().build(client, { mutationFn: post }).execute(file()),
    admin: () => client.fetchQuery({ queryKey: ["admin"], queryFn: () => said("/api/admin/notes"), retry }),
  },
  (error) => `${error.status} ${error.refusal.reason}`,
);

// A query that is looked at: whatever it came to without a session is asked again when there is one.
const list = document.createElement("p");
list.id = "list";
document.body.append(list);
new QueryObserver(client, { queryKey: ["notes"], queryFn: () => said("/api/notes") }).subscribe(
  ({ status, data, error }) => {
    list.textContent = status === "error" ? "refused: " + error.status : (data ?? status);
  },
);
document.body.append(Object.assign(document.createElement("button"), {
  id: "refetch",
  textContent: "Ask again",
  onclick: () => client.refetchQueries({ queryKey: ["notes"] }),
}));
