"""What the how-to pages say to type is typed, and what they show is seen, with a running demur and a site behind it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import bcrypt
import pytest
from tests.docs.console import Step, pattern, steps, type_in
from tests.ports import free_port
from tests.site.houses import Process, needs_php
from tests.site.settlers import settle
from tests.site.wire import SCRIPT, Answer, exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PASSWORD = "a walrus in the attic"
GATEWAY = """
version = 1

[gateway]
listen = "127.0.0.1:{port}"
"""
SITE = """
[[site]]
origin = "http://localhost:{port}"
upstream = "http://127.0.0.1:{behind}"
"""
RULES = """
[[site.rule]]
path = "/public/**"
allow = "anyone"

[[site.rule]]
path = "/**"
allow = "signed-in"
"""
CONFIG = GATEWAY + SITE + RULES


def blocks(page: str, kind: str) -> list[str]:
    """The blocks of that language on a page."""
    return re.findall(rf"^```{kind}\n(.*?)^```", (HOW_TO / page).read_text(), re.MULTILINE | re.DOTALL)


def as_written(site: str) -> str:
    """A site of a page, with the ports of the test."""
    ports = {"localhost:8000": "localhost:{port}", "127.0.0.1:9000": "127.0.0.1:{behind}"}
    text = site.replace("{", "{{").replace("}", "}}")
    for shown, used in ports.items():
        text = text.replace(shown, used)
    return text


class Site(BaseHTTPRequestHandler):
    """A site that says what it was told, and refuses as it is asked to: `/refuse?FIELD`."""

    def do_GET(self) -> None:
        """Every path is there."""
        body = json.dumps({name.lower(): text for name, text in self.headers.items()}).encode()
        self.send_response(200)
        if self.path.startswith("/refuse?"):
            self.send_header("Demur-Refuse", bytes.fromhex(self.path.partition("?")[2]).decode())
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own signature
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Shop:
    """A running demur in a folder."""

    folder: Path
    port: int
    gateway: Process

    def run(self, *arguments: str, stdin: str = "") -> None:
        """A command of ours, before the page begins."""
        demur = str(Path(sys.executable).with_name("demur"))
        subprocess.run([demur, *arguments], cwd=self.folder, input=stdin, text=True, check=True, capture_output=True)

    def ask(self, path: str, token: str = "", method: str = "GET", body: str = "") -> Answer:
        """Ask as a script does."""
        fields = [("Host", f"localhost:{self.port}"), *SCRIPT, ("Cookie", f"demur-dev={token}")]
        if body:
            fields.append(("Content-Type", "application/x-www-form-urlencoded"))
        return exchange(("127.0.0.1", self.port), method, path, fields, body.encode())

    def sign_in(self, name: str = "anna") -> str:
        """The token of somebody's new session; also in the file `jar`, as curl keeps it."""
        answer = self.ask("/.demur/sign-in", "", "POST", urlencode({"username": name, "password": PASSWORD}))
        assert answer.status == 200, answer.text
        token = answer.cookies["demur-dev"].partition(";")[0]
        line = f"#HttpOnly_localhost\tFALSE\t/\tFALSE\t0\tdemur-dev\t{token}"
        (self.folder / "jar").write_text(f"# Netscape HTTP Cookie File\n{line}\n")
        return token

    def follow(self, page: str, *before: str) -> None:
        """Type in what a page says, and compare; `before` is done by whoever prepares it."""
        text = (HOW_TO / page).read_text()
        todo = steps(re.sub(r"\b8000\b", str(self.port), text))
        assert todo, "nothing on this page can be typed in"
        for step, seen in type_in([*(Step(line, None) for line in before), *todo], self.folder):
            if step.output is not None:
                assert pattern(step.output).fullmatch(seen), f"{page}\n$ {step.command}\n{seen}"


@pytest.fixture
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """demur before a site, with anna, who is an administrator. A parameter is the site as a page writes it."""
    site = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    port = free_port()
    config = CONFIG if not hasattr(request, "param") else GATEWAY + request.param
    (tmp_path / "demur.toml").write_text(config.format(port=port, behind=site.server_address[1]))
    demur = str(Path(sys.executable).with_name("demur"))
    gateway = Process((demur, "serve"), tmp_path, tmp_path / "demur.log")
    made = Shop(tmp_path, port, gateway)
    settle(tmp_path, {"anna": PASSWORD}, {"anna": ("staff", "admins")})
    with ExitStack() as stack:
        stack.callback(site.server_close)
        stack.callback(site.shutdown)
        threading.Thread(target=site.serve_forever, daemon=True).start()
        stack.callback(gateway.stop)
        gateway.start(("127.0.0.1", port))
        yield made


def test_people(shop: Shop) -> None:
    """Adding, changing and deleting, while demur runs."""
    (shop.folder / "bo.txt").write_text(PASSWORD)
    (shop.folder / "new.txt").write_text("another walrus in the attic")
    shop.follow("people.md")


def test_sessions(shop: Shop) -> None:
    """Listing and ending, and what is said to whoever held the session."""
    shop.sign_in()
    shop.follow("sessions.md")


@pytest.mark.parametrize("shop", [as_written(blocks("api-tokens.md", "toml")[0])], indirect=True, ids=["page"])
def test_api_tokens(shop: Shop) -> None:
    """Making, using, listing and revoking, with the configuration of the page."""
    shop.follow("api-tokens.md")


@pytest.mark.parametrize("shop", [SITE + as_written(blocks("basic.md", "toml")[0])], indirect=True, ids=["page"])
def test_basic(shop: Shop) -> None:
    """Name and password with the request, under the rule of the page."""
    shop.follow("basic.md")


def test_import(shop: Shop) -> None:
    """The files of the page come in, and their people with the old password."""
    encoded = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode().replace("$2b$", "$2y$")
    (table,) = blocks("import-people.md", "csv")
    files = {
        "people.htpasswd": f"cy:{encoded}\ndee:{encoded}\n",
        "people.csv": table.replace("$2y$10$…", encoded).replace("anna,", "eve,"),
        "old.htpasswd": "ed:$apr1$abcdefgh$abcdefghijklmnopqrstuv\n",
    }
    for name, text in files.items():
        (shop.folder / name).write_text(text)
    shop.follow("import-people.md")
    who = json.loads(shop.ask("/.demur/account", shop.sign_in("eve")).body)
    assert (who["groups"], who["email"], who["display_name"]) == (["admins", "staff"], "anna@example.com", "Anna Alm")
    shop.sign_in("cy")


@pytest.mark.php
@needs_php
def test_the_table_that_php_writes(shop: Shop) -> None:
    """The lines of PHP, run on rows as PDO gives them, write a file that comes in."""
    (lines,) = blocks("import-people.md", "php")
    rows = f"[['fay', password_hash({json.dumps(PASSWORD)}, PASSWORD_DEFAULT), 'staff', 'fay@example.com']]"
    # PDO itself may be missing in this PHP: what is tried is what the page does with the rows.
    pdo = "if (!class_exists('PDO')) { class PDO { const FETCH_NUM = 3; } }\n"
    table = f"$db = new class {{ function query($sql, $how) {{ return {rows}; }} }};\n"
    subprocess.run(["php", "-r", pdo + table + lines], cwd=shop.folder, check=True)
    shop.run("user", "import", "people.csv")
    shop.sign_in("fay")


@pytest.mark.php
@needs_php
def test_the_site_in_php_knows_who(shop: Shop) -> None:
    """The lines of PHP read what demur sends, beyond ASCII too; for nobody they find nobody and no group."""
    shop.run("user", "edit", "anna", "--display-name", "Anna Ærø")
    sent = json.loads(shop.ask("/who", shop.sign_in()).body)
    assert sent["remote-name"].isascii()
    (lines,) = blocks("identity.md", "php")
    for fields, told in ((sent, ["anna", "Anna Ærø", ["admins", "staff"]]), ({}, [None, "", []])):
        server = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in fields.items()}
        given = f"$_SERVER = json_decode({json.dumps(json.dumps(server)).replace('$', chr(92) + '$')}, true);\n"
        php = ["php", "-r", given + lines + "echo json_encode([$who, $name, $groups]);"]
        assert json.loads(subprocess.run(php, check=True, capture_output=True, text=True).stdout) == told


def test_nobody_is_somebody_by_saying_so(shop: Shop) -> None:
    """The names that the page lists are all set (but for what a site has to ask for), and taken away from what a
    browser sends."""
    named = re.findall(r"^\| `(Remote-\w+)` \|", (HOW_TO / "identity.md").read_text(), re.MULTILINE)
    assert len(named) == 6
    shop.run("user", "edit", "anna", "--display-name", "Anna", "--email", "a@example.com")
    sent = json.loads(shop.ask("/who", shop.sign_in()).body)
    set_by_us = {name.lower() for name in named} - {"remote-assertion"}
    assert set_by_us == {name for name in sent if name.startswith("remote")}
    forged = [(spelling, "root") for name in named for spelling in (name, name.replace("-", "_"))]
    fields = [("Host", f"localhost:{shop.port}"), *forged]
    open_to_all = exchange(("127.0.0.1", shop.port), "GET", "/public/who", fields)
    assert open_to_all.status == 200
    assert "root" not in json.loads(open_to_all.body).values()


PROMISED = {
    "not-permitted": (403, "Only the author may publish this."),
    "access-pending": (403, "The committee meets on Monday."),
    "step-up-required": (401, None),
    "context-refused": (403, "Erst ab März."),
    "not-found": (404, None),
}
"""What becomes of the fields that the page shows; of any other, 502."""


def test_refusals(shop: Shop) -> None:
    """Each field that the page shows becomes the refusal that it promises; what a site cannot know is a 502."""
    page = (HOW_TO / "refuse.md").read_text()
    shown = re.findall(r"^(?:header\('Demur-Refuse: |response.*\] = ['\"])(.*?)['\"](?:\);)?$", page, re.MULTILINE)
    display = re.findall(r"`(detail=%\".*?\")`", page)
    assert (len(shown), len(display)) == (3, 1)
    token = shop.sign_in()
    for field in (*shown, f"context-refused; {display[0]}", "not-found", "sign-in-required", "nonsense"):
        answer = shop.ask(f"/refuse?{field.encode().hex()}", token)
        reason = field.partition(";")[0]
        status, detail = PROMISED.get(reason, (502, None))
        assert answer.status == status, field
        assert answer.problem["reason"] == (reason if status != 502 else "upstream-unreachable")
        assert detail is None or answer.problem["detail"] == detail
        assert "processed" not in answer.problem
        assert answer.value("demur-refuse") is None
        if reason == "step-up-required":
            assert answer.challenge["max_age"] == "300"


def test_reload(shop: Shop) -> None:
    """The service's own line makes the running demur read its file again; a bad file changes nothing and is named."""
    (unit,) = blocks("reload-and-tls.md", "ini")
    (line,) = re.findall(r"^ExecReload=(.*)$", unit, re.MULTILINE)
    assert shop.gateway.running is not None
    reload = f"systemctl() {{ MAINPID={shop.gateway.running.pid}; {line}; }}"
    file = shop.folder / "demur.toml"
    good = file.read_text()
    file.write_text(good.replace('path = "/public/**"', 'path = "/new/**"'))
    opened = f"curl -sf http://localhost:{shop.port}/new/a"
    shop.follow("reload-and-tls.md", reload)
    type_in([Step(f"for _ in $(seq 200); do {opened} > /dev/null && break; sleep 0.05; done", None)], shop.folder)
    assert shop.ask("/new/a").status == 200
    assert shop.ask("/public/a").status == 401
    file.write_text(good.replace('allow = "anyone"', 'allow = "everyone"'))
    said = f"grep -q 'the old one stays' {shop.gateway.log}"
    again = f"systemctl reload demur; for _ in $(seq 200); do {said} && break; sleep 0.05; done"
    type_in([Step(reload, None), Step(again, None)], shop.folder)
    assert re.search(r"demur\.toml:\d+: error: .*'everyone'", shop.gateway.log.read_text())
    assert shop.ask("/new/a").status == 200
