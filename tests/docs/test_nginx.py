"""The configuration of nginx in a how-to page, in a real nginx before a real demur."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.nginx, pytest.mark.slow]

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PASSWORD = "a walrus in the attic"
RULES = """
[[site.rule]]
path = "/public/**"
allow = "anyone"

[[site.rule]]
path = "/board/**"
allow = { groups = ["board"] }

[[site.rule]]
path = "/**"
allow = "signed-in"
"""
NGINX = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    {page}
}}
"""


class Site(BaseHTTPRequestHandler):
    """A site that says what it was told."""

    def do_GET(self) -> None:
        """Every path is there."""
        body = json.dumps({"path": self.path, "told": {name.lower(): text for name, text in self.headers.items()}})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own signature
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Front:
    """Where nginx listens."""

    port: int

    def ask(self, method: str, path: str, body: str = "", **fields: str) -> tuple[int, dict[str, str], Any]:
        """Status, fields and, where it is JSON, content."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        host = {"Host": f"localhost:{self.port}", **{name.replace("_", "-"): text for name, text in fields.items()}}
        connection.request(method, path, body or None, host)
        response = connection.getresponse()
        content = response.read().decode()
        told = {name.lower(): text for name, text in response.getheaders()}
        connection.close()
        return response.status, told, json.loads(content) if "json" in told.get("content-type", "") else content

    def sign_in(self) -> str:
        """The cookie of anna's session."""
        form = urlencode({"username": "anna", "password": PASSWORD})
        kind = "application/x-www-form-urlencoded"
        status, fields, said = self.ask("POST", "/.demur/sign-in", form, Content_Type=kind)
        assert status == 200, said
        return fields["set-cookie"].partition(";")[0]


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())


def _start(stack: ExitStack, command: list[str], folder: Path, port: int) -> None:
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("wb") as written:
        process = subprocess.Popen(command, cwd=folder, stdout=written, stderr=written)
    stack.callback(process.wait, 30)
    stack.callback(process.send_signal, signal.SIGTERM)
    _wait(port, process, log)


def _ours(text: str, ports: dict[str, int]) -> str:
    """A page's configuration on this machine's ports, without TLS, and with the port in the name of the host."""
    text = re.sub(r"\b(8000|8001|9000)\b", lambda found: str(ports[found[0]]), text)
    return text.replace("listen 443 ssl;", f"listen 127.0.0.1:{ports['443']};").replace("$host", "$http_host")


@pytest.fixture(params=["behind-nginx.md"])
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    """nginx, demur and a site, put together as the page says."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert nginx, "nginx is not here: `make test` installs it"
    page = (HOW_TO / request.param).read_text()
    ports = {number: free_port() for number in ("443", "8000", "8001", "9000")}
    (web,) = re.findall(r"^```nginx\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    gateway = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0].split("\n[[site.rule]]")[0]
    origin = f"http://localhost:{ports['443']}"
    config = "version = 1\n" + _ours(gateway, ports).replace("https://app.example.com", origin) + RULES
    (tmp_path / "demur.toml").write_text(config)
    (tmp_path / "nginx.conf").write_text(NGINX.format(page=_ours(web, ports)))
    demur = str(Path(sys.executable).with_name("demur"))
    subprocess.run(
        [demur, "user", "add", "anna", "--password-stdin"], cwd=tmp_path, input=PASSWORD, text=True, check=True
    )
    site = ThreadingHTTPServer(("127.0.0.1", ports["9000"]), Site)
    with ExitStack() as stack:
        stack.callback(site.server_close)
        stack.callback(site.shutdown)
        threading.Thread(target=site.serve_forever, daemon=True).start()
        _start(stack, [demur, "serve"], tmp_path, ports["8000"])
        _start(stack, [nginx, "-p", str(tmp_path), "-c", "nginx.conf"], tmp_path, ports["443"])
        yield Front(ports["443"])


def test_the_page_works(front: Front) -> None:
    """Public, refused, signed in, not permitted, and told who it is: as the page promises."""
    status, _, said = front.ask("GET", "/public/a%20b?c=d")
    assert (status, said["path"]) == (200, "/public/a%20b?c=d")

    status, fields, said = front.ask("GET", "/plans", Remote_User="root", Accept="application/json")
    assert (status, said["reason"], said["processed"]) == (401, "sign-in-required", False)
    assert fields["www-authenticate"].startswith("Cookie realm=")

    status, fields, said = front.ask("GET", "/plans", Accept="text/html", Sec_Fetch_Mode="navigate")
    assert (status, fields["content-type"]) == (401, "text/html; charset=utf-8")
    assert 'action="/.demur/sign-in"' in said
    assert 'value="/plans"' in said

    cookie = front.sign_in()
    status, _, said = front.ask("GET", "/plans", Cookie=cookie, Remote_User="root", Remote_Groups="board")
    assert status == 200
    assert said["told"]["remote-user"] == "anna"
    assert "root" not in said["told"].values()
    assert not said["told"].get("remote-groups")

    status, _, said = front.ask("GET", "/board/minutes", Cookie=cookie)
    assert (status, said["reason"]) == (403, "not-permitted")

    status, _, said = front.ask("GET", "/public/..%2fplans")
    assert (status, said["reason"]) == (401, "sign-in-required")
