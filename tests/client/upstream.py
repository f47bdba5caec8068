"""The site behind: it counts what it executes, and shows pages under a policy that allows very little."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from demur.core.model import Refused
from demur.core.reasons import Reason

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; img-src 'self'; "
    "require-trusted-types-for 'script'"
)
"""What the client has to live under, and images, which some pages show."""

CLIENT = '<script src="/.demur/client.js" defer></script>'

WATCHER = """
// What went wrong in this page, and which events of the client there were.
window.lab = { violations: [], errors: [], events: [] };
addEventListener("securitypolicyviolation", (event) => {
  lab.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
});
addEventListener("error", (event) => { if (event.message) lab.errors.push(event.message); });
addEventListener("unhandledrejection", (event) => lab.errors.push(String(event.reason)));
for (const name of ["refused", "required", "expiring", "restored", "switched", "forbidden", "signed-out"]) {
  addEventListener(`demur:${name}`, (event) => {
    lab.events.push(name);
    if (event.detail && event.detail.refusal) lab.refusal = event.detail.refusal;
  });
}
// A call as pages make it: status and parsed body.
lab.call = async (path, init) => {
  const answer = await fetch(path, init);
  const text = await answer.text();
  let body = text;
  try { body = JSON.parse(text); } catch {}
  return { status: answer.status, body };
};
// The client as a module, for tests that use it by hand.
lab.demur = async () => (await import("/.demur/client.js")).demur;
"""


@dataclass(frozen=True, slots=True)
class Executed:
    """One execution by the app: by whom, and what was sent. `fields` are those of a form, `files` their names and
    contents."""

    method: str
    path: str
    query: str
    subject: str
    headers: dict[str, str]
    body: bytes
    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        """The body, as JSON."""
        return json.loads(self.body)


def parsed(kind: str, body: bytes) -> tuple[dict[str, list[str]], dict[str, tuple[str, bytes]]]:
    """The fields and the files of a form; nothing of any other body."""
    if kind.startswith("application/x-www-form-urlencoded"):
        return parse_qs(body.decode(), keep_blank_values=True), {}
    if not kind.startswith("multipart/form-data"):
        return {}, {}
    fields: dict[str, list[str]] = {}
    files: dict[str, tuple[str, bytes]] = {}
    whole: Any = message_from_bytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + body, policy=HTTP)
    for part in whole.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True) or b""
        if (filename := part.get_filename()) is None:
            fields.setdefault(name, []).append(content.decode())
        else:
            files[name] = (filename, content)
    return fields, files


@dataclass(slots=True)
class Page:
    """A page of the site: everything in `body` stands in the document as it is."""

    body: str
    csp: str = POLICY
    script: str = ""
    client: bool = True
    lang: str = "en"
    head: str = ""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()

    def document(self, path: str, subject: str) -> bytes:
        """The page for somebody. `{subject}` in the body is their name."""
        script = f'<script type="module" src="{path}?script"></script>' if self.script else ""
        client = CLIENT if self.client else ""
        return (
            f'<!doctype html><html lang="{self.lang}"><head><meta charset="utf-8"><title>{escape(path)}</title>'
            f'<script src="/public/lab.js"></script>{client}{self.head}{script}</head>'
            f"<body>{self.body.replace('{subject}', escape(subject))}</body></html>"
        ).encode()


PAGES = {
    "/": Page('<h1>Start</h1><p><a href="/app">To the app</a></p>'),
    "/public": Page("<h1>Public</h1>"),
    "/app": Page(
        '<h1>The app</h1><p id="who">{subject}</p><p><button id="save">Save</button> <output id="out"></output></p>'
        '<p><a id="to-form" href="/form">Form</a></p>',
        script='document.querySelector("#save").onclick = async () => {\n'
        '  const said = await lab.call("/api/echo", { method: "POST", body: JSON.stringify({ n: 1 }) });\n'
        '  document.querySelector("#out").textContent = `${said.status} ${said.body.subject}`;\n};\n',
    ),
    "/other": Page('<h1>Another page</h1><p id="who">{subject}</p>'),
    "/form": Page(
        '<h1>Form</h1><form method="post" action="/form"><label>Note <input name="note" id="note"></label>'
        '<button id="send">Send</button> <button id="draft" name="draft" value="yes">Keep as a draft</button></form>'
    ),
    "/long-form": Page(
        '<h1>Long form</h1><form method="post" action="/long-form" id="long">'
        '<label>Title <input name="title" id="title"></label>'
        '<label>Text <textarea name="text" id="text"></textarea></label>'
        '<label>Kind <select name="kind" id="kind"><option>one<option>two</select></label>'
        '<label><input type="checkbox" name="urgent" id="urgent">Urgent</label>'
        '<label>Secret <input type="password" name="secret" id="secret" autocomplete="off"></label>'
        '<button id="send">Send</button></form>'
    ),
    "/upload": Page(
        '<h1>Upload</h1><form method="post" action="/upload" enctype="multipart/form-data">'
        '<label>Note <input name="note" id="note"></label><label>File <input type="file" name="file" id="file"></label>'
        '<button id="send" name="how" value="now">Send</button></form>'
    ),
    "/thanks": Page("<h1>Thank you, {subject}</h1>"),
    "/slow-page": Page("<h1>Slow</h1>"),
}
FORMS = frozenset(("/form", "/long-form", "/upload"))
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><rect width="30" height="20"/></svg>'


@dataclass(slots=True)
class Upstream:
    """The app. Everything it executes is noted first and answered then; a path that is held waits in between."""

    executed: list[Executed] = field(default_factory=list)
    pages: dict[str, Page] = field(default_factory=lambda: dict(PAGES))
    answers: dict[str, Callable[[Executed], tuple[int, str, bytes]]] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    held: dict[str, asyncio.Event] = field(default_factory=dict)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        passed = scope["demur"]
        subject = passed.allow.subject.name if passed.allow.subject else ""
        if scope["type"] == "websocket":
            await self._socket(scope, subject, receive, send)
            return
        if scope["path"] == "/public/lab.js":
            await _send(send, 200, "text/javascript", WATCHER.encode())
            return
        if scope["query_string"] == b"script":
            await _send(send, 200, "text/javascript", self.pages[scope["path"]].script.encode())
            return
        done = await _read(scope, receive, subject)
        with self.changed:
            self.executed.append(done)
            self.changed.notify_all()
        if (event := self.held.get(done.path)) is not None:
            await event.wait()
        if done.path == "/events":
            await _events(receive, send, done)
            return
        await self._answer(done, send)

    async def _answer(self, done: Executed, send: Any) -> None:
        if done.path in self.answers:
            status, kind, body = self.answers[done.path](done)
            await _send(send, status, kind, body)
        elif done.path == "/api/refused-after":
            await _refuse_after(done, send)
        elif done.method == "POST" and done.path in FORMS:
            await _send(send, 303, "text/plain", b"", ("location", "/thanks"))
        elif done.path in self.pages:
            shown = self.pages[done.path]
            more = (("content-security-policy", shown.csp), *shown.headers)
            document = shown.document(done.path, done.subject)
            await _send(send, shown.status, "text/html; charset=utf-8", document, *more)
        elif done.path.endswith(".svg"):
            await _send(send, 200, "image/svg+xml", SVG)
        elif done.path.endswith(".js"):
            await _send(send, 200, "text/javascript", b'export const answer = "here";\n')
        elif done.path.startswith("/api/"):
            said = {
                "method": done.method,
                "path": done.path,
                "subject": done.subject,
                "body": done.body.decode("latin-1"),
                "fields": done.fields,
                "files": {name: [file[0], len(file[1])] for name, file in done.files.items()},
            }
            await _send(send, 200, "application/json", json.dumps(said).encode())
        else:
            await _send(send, 404, "text/plain", b"The site has no such page.\n")

    async def _socket(self, scope: Any, subject: str, receive: Any, send: Any) -> None:
        await receive()
        with self.changed:
            self.executed.append(Executed("WEBSOCKET", scope["path"], scope["query_string"].decode(), subject, {}, b""))
            self.changed.notify_all()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": f"hello {subject}"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"echo {message.get('text', '')}"})


async def _read(scope: Any, receive: Any, subject: str) -> Executed:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    fields, files = parsed(headers.get("content-type", ""), body)
    query = scope["query_string"].decode("latin-1")
    return Executed(scope["method"], scope["path"], query, subject, headers, body, fields, files)


async def _refuse_after(done: Executed, send: Any) -> None:
    """The app has done something, and refuses only then: `?reason=` by an exception, `?field=` by `Demur-Refuse`."""
    asked = parse_qs(done.query)
    if "field" in asked:
        await _send(send, 403, "text/plain", b"", ("demur-refuse", asked["field"][0]))
        return
    raise Refused(Reason(asked.get("reason", ["step-up-required"])[0]))


async def _events(receive: Any, send: Any, done: Executed) -> None:
    head = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    hello = f"retry: 50\ndata: hello {done.subject}\n\n".encode()
    await send({"type": "http.response.body", "body": hello, "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Any, status: int, kind: str, body: bytes, *more: tuple[str, str]) -> None:
    lines = [("content-type", kind), ("content-length", str(len(body))), *more]
    head = [(name.encode(), value.encode()) for name, value in lines]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
