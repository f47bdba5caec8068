// A page with and without better-auth: /open for anybody, /page for whoever is signed in. Sessions are in memory.
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { fromNodeHeaders, toNodeHandler } from "better-auth/node";

const server = createServer();
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const origin = `http://127.0.0.1:${server.address().port}`;
const auth = betterAuth({
  baseURL: origin,
  secret: "a secret for measuring, long enough to be one",
  database: memoryAdapter({ user: [], session: [], account: [], verification: [] }),
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
});
const handle = toNodeHandler(auth);
const hello = (answer) => answer.writeHead(200, { "content-type": "text/plain" }).end("hello\n");

server.on("request", async (asked, answer) => {
  if (asked.url === "/open") return hello(answer);
  if (asked.url.startsWith("/api/auth/")) return handle(asked, answer);
  if (asked.url === "/login") {
    const body = { name: "Bob", email: "bob@example.com", password: "correct horse battery" };
    const made = await auth.api.signUpEmail({ body, asResponse: true });
    return answer.writeHead(200, { "set-cookie": made.headers.getSetCookie() }).end("welcome\n");
  }
  const found = await auth.api.getSession({ headers: fromNodeHeaders(asked.headers) });
  return found ? hello(answer) : answer.writeHead(401).end("sign in\n");
});
console.log(server.address().port);
