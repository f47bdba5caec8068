"""Several sites behind one gateway, and a browser for which every name leads there."""

from __future__ import annotations

import contextlib
import re
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.site.houses import SAMPLE, Example, House, Process, running
from tests.site.wire import NAVIGATION, Answer, Pairs, exchange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * 127.0.0.1"]

# It says what it was asked, by whom, and with which cookies.
_UPSTREAM = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        sent = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        said = {"method": self.command, "host": self.headers["host"], "who": self.headers.get("remote-user"),
                "cookie": self.headers.get("cookie"), "sent": sent}
        page = "text/html" in self.headers.get("accept", "")
        body = f"<!doctype html><title>{self.path}</title><p>Hello {said['who']}" if page else json.dumps(said)
        self.send_response(200)
        self.send_header("content-type", "text/html" if page else "application/json")
        self.send_header("content-length", str(len(body)))
        if self.path == "/plant":
            self.send_header("set-cookie", "__Secure-demur=planted; Domain=example.test; Path=/; Secure")
            self.send_header("set-cookie", "own=1; Path=/")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    do_GET = do_HEAD = do_POST = do_PUT = do_OPTIONS = answer

    def log_message(self, *arguments):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

RULES = """
[[site.rule]]
path = "/**"
allow = "signed-in"

[[site.rule]]
path = "/public/**"
allow = "anyone"

[[site.rule]]
path = "/vault/**"
allow = { fresh = "15m" }

[[site.rule]]
path = "/strong/**"
allow = { strength = "mfa", fresh = "15m" }
"""


@dataclass(slots=True)
class Street:
    """A gateway with many sites. `house` has what they share: people, sessions, the address."""

    house: House
    cookie: str

    def origin(self, host: str) -> str:
        """The origin of a host."""
        return f"{self.house.origin.partition('://')[0]}://{host}:{self.house.port}"

    def ask(
        self, method: str, url: str, fields: Pairs = NAVIGATION, body: bytes = b"", *, token: str | None = None
    ) -> Answer:
        """One request to a host, `host/path`, with a session's token if there is one."""
        host, slash, path = url.partition("/")
        cookie = [("Cookie", f"{self.cookie}={token}")] if token else []
        lines = [("Host", f"{host}:{self.house.port}"), *fields, *cookie]
        return exchange(self.house.address, method, slash + path, lines, body, context=self.house.context)

    def send(self, url: str, values: dict[str, str], *more: tuple[str, str], token: str | None = None) -> Answer:
        """A form, sent from another page; `more` says from where."""
        fields = [("Accept", "text/html"), ("Content-Type", "application/x-www-form-urlencoded"), *more]
        return self.ask("POST", url, fields, urlencode(values).encode(), token=token)


def _upstream(example: Example, folder: Path, port: int) -> Process:
    script = folder / "upstream.py"
    script.write_text(_UPSTREAM)
    return Process((sys.executable, str(script), str(port)), folder, folder / "site.log")


@contextlib.contextmanager
def street(folder: Path, text: str, cookie: str, *, tls: Path | None = None) -> Iterator[Street]:
    """A gateway with the sites of a configuration, in which PORT is where it listens and UPSTREAM what is behind."""

    def configured(usual: str) -> str:
        port, behind = re.search(r'listen = ".*:(\d+)"', usual), re.search(r"upstream = (.*)", usual)
        assert port is not None
        assert behind is not None
        made = text.replace("PORT", port[1]).replace("UPSTREAM", behind[1])
        return f'version = 1\n[gateway]\nlisten = "127.0.0.1:{port[1]}"\n{made}'

    people = replace(SAMPLE, people={"bob": "bob-borrows-beans", "carol": "carol-counts-carrots"})
    with running(people, folder, configured, tls=tls, site=_upstream) as house:
        yield Street(house, cookie)
