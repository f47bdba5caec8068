// Each button makes one call. Everything that then happens, the dialog, the repetition, the panel, is the client's doing:
// here is only what a page's own script would do, and what it saw.
import { demur } from "/.demur/client.js";

const plain = { "content-type": "application/json" };
const post = (path, more) => fetch(path, { method: "POST", ...more });

// What makes the next call fail. None of it is a thing that a page would do.
const before = {
  "": () => ({}),
  "sign-out": async () => void (await post("/.demur/sign-out")),
  end: async (how) => ((await post(`/try/api/end/${how}`)).ok ? {} : null),
  "made-up": async () => {
    await post("/.demur/sign-out");
    const name = location.protocol === "https:" ? "__Host-demur=made-up; Secure" : "demur-dev=made-up";
    document.cookie = `${name}; Path=/; Max-Age=60`;
  },
  malformed: () => ({ authorization: "Bearer demur_ one two" }),
  token: async (kind) => {
    const made = await post(`/try/api/token/${kind}`);
    return made.ok ? { authorization: `Bearer ${(await made.json()).token}` } : null;
  },
};

const wire = (path, response, body) => {
  const lines = [`POST ${path}`, "", `${response.status}`];
  for (const name of ["www-authenticate", "demur-processed", "retry-after"]) {
    if (response.headers.has(name)) lines.push(`${name}: ${response.headers.get(name)}`);
  }
  return [...lines, "", body].join("\n");
};

const pretty = (text) => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
};

for (const button of document.querySelectorAll("[data-try]")) {
  button.addEventListener("click", async () => {
    const [said, told] = ["pre", "[role=status]"].map((which) => button.closest("li").querySelector(which));
    const { path } = button.dataset;
    const [step, detail] = button.dataset.before.split("/");
    const events = [];
    const off = ["refused", "required", "restored", "forbidden", "switched"].map((name) => demur.on(name, ({ detail }) => {
      events.push(name);
      if (name !== "refused") return;
      said.hidden = false;
      said.textContent = wire(path, { status: detail.refusal.status, headers: new Headers() }, pretty(JSON.stringify(detail.refusal)));
    }));
    told.textContent = "";
    button.disabled = true;
    try {
      const headers = await before[step](detail);
      if (headers === null) return (told.textContent = "Sign in first.");
      const response = await post(path, { headers: { ...plain, ...headers }, body: "{}" });
      const body = await response.text();
      if (!response.ok) {
        said.hidden = false;
        said.textContent = wire(path, response, pretty(body));
      }
      const count = response.ok ? JSON.parse(body).count : null;
      told.textContent = response.ok
        ? `${events.includes("restored") ? "Refused, signed in, repeated" : "Allowed"}: executed for you ${count} times now.`
        : `The page’s script was given ${response.status}${events.length > 1 ? `, after ${events.slice(1).join(", ")}` : ""}.`;
      if (response.ok && document.getElementById("count")) document.getElementById("count").textContent = count;
    } finally {
      button.disabled = false;
      for (const stop of off) stop();
    }
  });
}
