"""A browser, and a small server that shows every page under the policy that it is sent with."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from scripts.screenshots import ARGUMENTS, PAGES

from demur.core import markup, page
from demur.core.respond import page_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


@dataclass
class Shown:
    """Where the pages are, and what was asked for and posted."""

    origin: str = ""
    asked: list[str] = field(default_factory=list)
    posted: list[dict[str, list[str]]] = field(default_factory=list)

    def __call__(self, name: str) -> str:
        """The address of a page."""
        return f"{self.origin}/{name}"


@pytest.fixture(scope="module")
def documents() -> dict[str, bytes]:
    """Every page that there is, by its name in `scripts/screenshots.py`."""
    made = {name: make() for name, make in PAGES.items()}
    # The same in a window that its script may close.
    return made | {"embed-done-popup": made["embed-done"].replace(b"<body ", b"<body data-closes ")}


@pytest.fixture
def shown(documents: dict[str, bytes]) -> Iterator[Shown]:
    """The pages on a server; what is posted gets an empty page."""
    state = Shown()
    framed = page_policy(page.DEFAULT, framed=True).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            state.asked.append(path)
            if path.endswith(".css"):
                self._answer(b"", "text/css", "", ("clear-site-data", '"cache"'))
                return
            name = path.strip("/")
            usual = framed if name.startswith("embed-") else markup.POLICY
            policy = {"signed-out": page.SIGNED_OUT_POLICY, "framed": framed}.get(name, usual)
            if name in documents:
                self._answer(documents[name], "text/html; charset=utf-8", policy)
            else:
                self._answer(b"<!doctype html><title>-</title>", "text/html", "", ("cache-control", "max-age=600"))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            state.posted.append(parse_qs(body, keep_blank_values=True))
            self._answer(b"<!doctype html><title>posted</title>", "text/html", markup.POLICY)

        def _answer(self, body: bytes, kind: str, policy: str, *more: tuple[str, str]) -> None:
            self.send_response(200)
            for name, value in more:
                self.send_header(name, value)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.send_header("content-security-policy", policy)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.origin = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser(documents: dict[str, bytes]) -> Iterator[Browser]:
    """Chromium: the one that DEMUR_CHROMIUM names, or Debian's. The documents are made before, because
    playwright has an event loop that runs all the time."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not needed to collect these tests

    with sync_playwright() as play:
        path = os.environ.get("DEMUR_CHROMIUM", "/usr/bin/chromium")
        # Without the cache for going back, nothing would be shown about it.
        without = ["--disable-back-forward-cache"]
        found = play.chromium.launch(executable_path=path, args=ARGUMENTS, ignore_default_args=without)
        yield found
        found.close()
