"""Programs at a running gateway: API tokens made on the command line, Basic, and what reaches the site behind."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from tests.ports import free_port
from tests.site.houses import DEMUR, Process
from tests.site.wire import SCRIPT, Answer, Pairs, exchange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

CONFIG = """
version = 1

[gateway]
listen = "127.0.0.1:{port}"
check_listen = "127.0.0.1:{check}"
workers = 2

[accounts]
hashing = "OWASP_19_MIB"

[[site]]
origin = "http://localhost:{port}"
name = "Workshop"
upstream = "http://127.0.0.1:{upstream}"
accepts = ["bearer"]
authorization_servers = ["https://issuer.example"]

[site.permissions]
"report:read" = ["staff"]
"report:write" = ["staff"]

[[site.rule]]
path = "/**"
allow = "signed-in"

[[site.rule]]
path = "/reports/**"
allow = {{ permission = "report:read" }}

[[site.rule]]
path = "/people/**"
allow = "signed-in"
accepts = []

[[site.rule]]
path = "/machines/**"
allow = "signed-in"
accepts = ["bearer", "basic"]
"""


class Echo(BaseHTTPRequestHandler):
    """A site that says what it was sent."""

    def do_GET(self) -> None:
        said = json.dumps([(name.lower(), value) for name, value in self.headers.items()]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that is asked for
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """A running gateway, and its command line."""

    folder: Path
    port: int
    check: int

    def demur(self, *args: str, said: str = "", ends: int = 0) -> str:
        """Run a command; what it writes on standard output."""
        done = subprocess.run(
            [*DEMUR, *args], cwd=self.folder, input=said, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == ends, done.stderr
        return done.stdout

    def token(self, user: str, *args: str) -> str:
        """A new token of somebody."""
        return self.demur("token", "create", "--user", user, "--label", "test", *(args or ("--everything",))).strip()

    def ask(self, path: str, authorization: str = "", *more: tuple[str, str], method: str = "GET") -> Answer:
        """One request through the gateway."""
        sent: Pairs = [("Host", f"localhost:{self.port}"), *more]
        sent += [("Authorization", authorization)] if authorization else []
        return exchange(("127.0.0.1", self.port), method, path, sent)

    def checked(self, path: str, authorization: str) -> Answer:
        """The same, as another proxy asks about it."""
        about = {"Method": "GET", "Proto": "http", "Host": f"localhost:{self.port}", "Uri": path, "For": "192.0.2.1"}
        sent: Pairs = [(f"X-Forwarded-{name}", value) for name, value in about.items()]
        sent += [("Host", f"127.0.0.1:{self.check}"), ("Authorization", authorization)]
        return exchange(("127.0.0.1", self.check), "GET", "/check", sent)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Anna is in the staff, bo is not."""
    folder = tmp_path_factory.mktemp("workshop")
    here = Workshop(folder, free_port(), free_port())
    site = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    site.daemon_threads = True
    threading.Thread(target=site.serve_forever, daemon=True).start()
    config = CONFIG.format(port=here.port, check=here.check, upstream=site.server_address[1])
    (folder / "demur.toml").write_text(config)
    here.demur("user", "add", "anna", "-g", "staff", "--password-stdin", said="poppy seeds\n")
    here.demur("user", "add", "bo", "--password-stdin", said="runner beans\n")
    gateway = Process((*DEMUR, "serve"), folder, folder / "gateway.log")
    try:
        gateway.start(("127.0.0.1", here.check))
        yield here
    finally:
        gateway.stop()
        site.shutdown()
        site.server_close()


def fields(answer: Answer) -> dict[str, str]:
    """What the site was sent."""
    assert answer.status == 200, answer.text
    return dict(json.loads(answer.body))


def refused(answer: Answer) -> tuple[int, str]:
    """The status and the reason."""
    return answer.status, answer.problem["reason"]


def basic(said: str) -> str:
    """The field for a name and a password."""
    return f"Basic {base64.b64encode(said.encode()).decode()}"


def test_a_token_from_the_command_line(workshop: Workshop) -> None:
    """It is good at once, in every worker; the site knows who it is, and never sees the token."""
    token = workshop.token("anna")
    for _ in range(8):
        seen = fields(workshop.ask("/plans", f"Bearer {token}"))
        assert seen["remote-user"] == "anna"
        assert "authorization" not in seen
        assert token not in str(seen)


def test_scopes(workshop: Workshop) -> None:
    """A token opens what its scopes name, and nothing else; a scope is no permission."""
    narrow, bos = workshop.token("anna", "--scope", "report:read"), workshop.token("bo", "--scope", "report:read")
    other = workshop.token("anna", "--scope", "report:write")
    assert workshop.ask("/reports/1", f"Bearer {narrow}").status == 200
    assert refused(workshop.ask("/plans", f"Bearer {narrow}")) == (403, "scope-insufficient")
    assert refused(workshop.ask("/reports/1", f"Bearer {bos}")) == (403, "not-permitted")
    answer = workshop.ask("/reports/1", f"Bearer {other}")
    assert refused(answer) == (403, "scope-insufficient")
    (challenge,) = answer.values("www-authenticate")
    assert challenge.startswith("Bearer ")
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="report:read"' in challenge
    assert refused(workshop.ask("/people/1", f"Bearer {workshop.token('anna')}")) == (401, "credentials-invalid")


def test_revoking_is_at_once(workshop: Workshop) -> None:
    """The next request is refused, and says when it was; so it is for all of a person's."""
    token, other = workshop.token("bo"), workshop.token("bo")
    (handle, *_) = next(
        line for line in workshop.demur("token", "list", "--user", "bo").splitlines() if "(everything)" in line
    ).split("\t")
    assert workshop.ask("/plans", f"Bearer {other}").status == 200
    assert workshop.demur("token", "revoke", handle) == "Revoked 1 token.\n"
    answer = workshop.ask("/plans", f"Bearer {other}")
    assert refused(answer) == (401, "token-revoked")
    assert answer.problem["ended_at"].endswith("Z")
    assert [line.partition(" ")[0] for line in answer.values("www-authenticate")] == ["Cookie", "Bearer"]
    assert workshop.ask("/plans", f"Bearer {token}").status == 200
    assert "of bo" in workshop.demur("token", "revoke", "--user", "bo")
    assert refused(workshop.ask("/plans", f"Bearer {token}")) == (401, "token-revoked")


def test_a_token_and_its_person(workshop: Workshop) -> None:
    """It outlives a new password, rests while its person is disabled, and ends with them."""
    workshop.demur("user", "add", "cara", "--password-stdin", said="dill and chives\n")
    token = f"Bearer {workshop.token('cara')}"
    workshop.demur("user", "password", "cara", "--password-stdin", said="sage and thyme\n")
    workshop.demur("sessions", "end", "--user", "cara")
    assert workshop.ask("/plans", token).status == 200
    workshop.demur("user", "disable", "cara")
    assert refused(workshop.ask("/plans", token)) == (401, "token-revoked")
    workshop.demur("user", "enable", "cara")
    assert workshop.ask("/plans", token).status == 200
    workshop.demur("user", "delete", "cara", "--yes")
    assert refused(workshop.ask("/plans", token)) == (401, "token-revoked")
    assert "ended_at" in workshop.ask("/plans", token).problem


def test_the_last_use_is_known(workshop: Workshop) -> None:
    """A moment after the first use; and no session of anybody comes of it."""
    token = workshop.token("anna", "--scope", "report:read", "--expires", "2d")

    def listed() -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(workshop.demur("token", "list", "--json"))
        return found[0]

    assert listed()["last_used_at"] is None
    assert workshop.ask("/reports/1", f"Bearer {token}").status == 200
    deadline = time.monotonic() + 15
    while listed()["last_used_at"] is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert listed()["created_at"] <= listed()["last_used_at"] < listed()["expires_at"]
    assert workshop.demur("sessions", "list") == ""


def test_tokens_are_no_sessions(workshop: Workshop) -> None:
    """A person's own page lists neither, and cannot end them: not one by its handle, and not all others."""
    token = workshop.token("anna")
    handle = json.loads(workshop.demur("token", "list", "--json"))[0]["handle"]

    def send(path: str, cookie: str, **form: str) -> Answer:
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        sent: Pairs = [("Host", f"localhost:{workshop.port}"), *SCRIPT, kind, ("Cookie", f"demur-dev={cookie}")]
        method, body = ("POST", urlencode(form).encode()) if form else ("GET", b"")
        return exchange(("127.0.0.1", workshop.port), method, f"/.demur/{path}", sent, body)

    cookies = [
        send("sign-in", "", username="anna", password="poppy seeds").cookies["demur-dev"].partition(";")[0]
        for _ in range(2)
    ]
    assert [one["current"] for one in json.loads(send("sessions", cookies[0]).body)["sessions"]] == [True, False]
    assert json.loads(send("sessions", cookies[0], end=handle).body) == {"ended": 0}
    assert json.loads(send("sessions", cookies[0], end="others").body) == {"ended": 1}
    assert send("sign-out", cookies[0], out="1").status < 400
    assert workshop.ask("/plans", f"Bearer {token}").status == 200
    # nor does a token stand for a session there
    assert refused(workshop.ask("/.demur/sessions", f"Bearer {token}", *SCRIPT)) == (401, "credentials-invalid")


def test_forward_auth(workshop: Workshop) -> None:
    """Another proxy is told who it is, and to pass no credentials of ours on; a refusal is whole."""
    token = f"Bearer {workshop.token('anna')}"
    answer = workshop.checked("/plans", token)
    assert (answer.status, answer.value("remote-user"), answer.value("authorization")) == (200, "anna", "")
    answer = workshop.checked("/machines/1", basic("anna:poppy seeds"))
    assert (answer.status, answer.value("remote-user"), answer.value("authorization")) == (200, "anna", "")
    assert refused(workshop.checked("/plans", token[:-1])) == (401, "credentials-invalid")
    assert refused(workshop.checked("/machines/1", basic("anna:wrong"))) == (401, "credentials-invalid")


def test_basic(workshop: Workshop) -> None:
    """Where a rule accepts it; elsewhere it is the site's own affair, and no sign-in."""
    seen = fields(workshop.ask("/machines/1", basic("anna:poppy seeds")))
    assert seen["remote-user"] == "anna"
    assert "authorization" not in seen
    answer = workshop.ask("/machines/1", basic("anna:wrong"), *SCRIPT)
    assert refused(answer) == (401, "credentials-invalid")
    assert [line.partition(" ")[0] for line in answer.values("www-authenticate")] == ["Cookie", "Bearer", "Basic"]
    assert refused(workshop.ask("/plans", basic("anna:poppy seeds"))) == (401, "sign-in-required")
    assert refused(workshop.ask("/machines/1")) == (401, "sign-in-required")


def test_a_new_password_counts_at_once(workshop: Workshop) -> None:
    """In every worker, however well the old one was known."""
    workshop.demur("user", "add", "dov", "--password-stdin", said="rivet and rope\n")
    for _ in range(6):
        assert workshop.ask("/machines/1", basic("dov:rivet and rope")).status == 200
    workshop.demur("user", "password", "dov", "--password-stdin", said="nut and bolt\n")
    assert {workshop.ask("/machines/1", basic("dov:rivet and rope")).status for _ in range(4)} == {401}
    assert workshop.ask("/machines/1", basic("dov:nut and bolt")).status == 200
    workshop.demur("user", "disable", "dov")
    assert workshop.ask("/machines/1", basic("dov:nut and bolt")).status in {401, 429}


def test_where_tokens_come_from(workshop: Workshop) -> None:
    """The challenge leads to a document that anybody may read, and that the site behind never sees."""
    (_, challenge) = workshop.ask("/plans").values("www-authenticate")
    where = f"http://localhost:{workshop.port}/.well-known/oauth-protected-resource"
    assert f'resource_metadata="{where}"' in challenge
    answer = workshop.ask("/.well-known/oauth-protected-resource")
    assert (answer.status, answer.value("content-type")) == (200, "application/json")
    assert json.loads(answer.body) == {
        "resource": f"http://localhost:{workshop.port}",
        "authorization_servers": ["https://issuer.example"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Workshop",
        "scopes_supported": ["report:read"],
    }
    head = workshop.ask("/.well-known/oauth-protected-resource", method="HEAD")
    assert (head.status, head.body, head.value("content-length")) == (200, b"", str(len(answer.body)))
    post = workshop.ask("/.well-known/oauth-protected-resource", "", ("Content-Length", "0"), method="POST")
    assert (post.status, post.value("allow")) == (405, "GET, HEAD")
    # another address, however alike, is the site's
    assert refused(workshop.ask("/.well-known/oauth-protected-resource/")) == (401, "sign-in-required")
