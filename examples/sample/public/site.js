// The members' page asks an API, and shows what came of it: the status, and the reason if it was refused. To sign in
// again, to repeat the call then and to say who may not is the business of demur's client (/.demur/client.js).
"use strict";

const shelf = document.getElementById("shelf");
const wire = document.getElementById("wire");

const element = (name, text, kind) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
};

const record = (method, path, answer, body) => {
  const entry = element("li");
  const kind = answer.ok ? "badge ok" : answer.status < 500 ? "badge" : "badge warn";
  entry.append(element("span", String(answer.status), kind), element("code", `${method} ${path}`));
  if (!answer.ok) {
    const said = element("p");
    if (body.reason) said.append(element("span", body.reason, "reason"), " ");
    said.append(body.title ? `${body.title}. ${body.detail ?? ""}` : body.error ?? "");
    entry.append(said);
    if (body.ended_at) entry.append(element("p", `Ended at ${new Date(body.ended_at).toLocaleTimeString()}.`, "again"));
    // demur says so where it decided before anything was passed on: then repeating is safe, whatever the method.
    if (body.processed === false && method !== "GET")
      entry.append(element("p", "Nothing was changed; it is safe to try again.", "again"));
  }
  wire.prepend(entry);
  while (wire.children.length > 6) wire.lastChild.remove();
};

const show = (state) => {
  shelf.replaceChildren();
  for (const seed of state.shelf) {
    const item = element("li");
    const picture = element("img");
    Object.assign(picture, { src: `/public/plants/${seed.slug}.svg`, alt: "", width: 56, height: 56 });
    const name = element("span", seed.name);
    name.append(element("small", `sow ${seed.sow}`));
    const back = element("button", "Bring back", "quiet");
    back.setAttribute("aria-label", `Bring back ${seed.name}`);
    back.addEventListener("click", () => ask("POST", "/api/return", { seed: seed.slug }));
    item.append(picture, name, back);
    shelf.append(item);
  }
  if (!state.shelf.length) shelf.append(element("li", "Nothing yet.", "empty"));
  for (const left of document.querySelectorAll("[data-left]")) left.textContent = `${state.counter[left.dataset.left]} left`;
};

const ask = async (method, path, body) => {
  const options = { method, headers: { accept: "application/json" } };
  if (body) {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    return record(method, path, { ok: false, status: 0 }, { title: "No answer", detail: "Is the site still running?" });
  }
  const said = await answer.json().catch(() => ({}));
  record(method, path, answer, said);
  if (answer.ok) show(said);
};

document.getElementById("refresh").addEventListener("click", () => ask("GET", "/api/shelf"));
for (const button of document.querySelectorAll("[data-borrow]"))
  button.addEventListener("click", () => ask("POST", "/api/borrow", { seed: button.dataset.borrow }));
ask("GET", "/api/shelf");
