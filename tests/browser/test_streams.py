"""What a page in a browser is told when what it listens to ends: with the code of the how-to page."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from demur.adapters.asgi import Demur, Surface
from demur.core import page, rules
from demur.core.model import Actor, Ending, Session, Subject
from demur.core.sessions import identify, mint
from demur.core.site import Cookie, Site
from demur.gateway.server.serve import Listener, serve
from demur.guard import Guard
from demur.pages.router import Pages
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "websockets-and-events.md"
BO = Subject("0192-bo", "bo", frozenset(("staff",)))
RULES: list[dict[str, Any]] = [
    {"path": "/", "allow": "anyone"},
    {"path": "/members/**", "allow": "signed-in"},
    {"path": "/staff/**", "allow": {"groups": ["staff"]}},
]


async def site(scope: Any, receive: Any, send: Any) -> None:
    """A page, and something to listen to."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        await receive()
        return
    kind = b"text/event-stream" if scope["path"].endswith("news") else b"text/html"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    if kind == b"text/html":
        await send({"type": "http.response.body", "body": b"<!doctype html><title>x</title>"})
        return
    await send({"type": "http.response.body", "body": b"retry: 10\ndata: hello\n\n", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


@dataclass
class Served:
    """The site behind demur, in a thread of its own."""

    origin: str
    store: MemoryStore
    keys: MemoryKeys
    loop: asyncio.AbstractEventLoop

    def do(self, work: Coroutine[Any, Any, Any]) -> None:
        """Change something, where the server runs."""
        asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def sign_in(self, tab: Page) -> None:
        """Give a tab the cookie of somebody new."""
        now, token = int(time.time()), mint(b"r" * 32, self.keys.ring().current)
        self.do(self.store.issue(Session(identify(token), BO.id, now, now, now, now + 86400, idle=3600), BO))
        tab.context.add_cookies([{"name": "demur-dev", "value": token, "url": self.origin}])


async def _under_uvicorn(app: Any, sock: socket.socket, ready: Callable[[], None], stop: asyncio.Event) -> None:
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="websockets-sansio", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve(sockets=[sock]))
    ready()
    await stop.wait()
    server.should_exit = True
    await task


async def _under_our_own(app: Any, sock: socket.socket, ready: Callable[[], None], stop: asyncio.Event) -> None:
    sock.setblocking(False)
    await serve([Listener(sock, app, None)], stop, ready=ready, drain=0.2)


@pytest.fixture(params=[_under_uvicorn, _under_our_own], ids=["uvicorn", "our own server"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """The site under each of the servers."""
    sock = socket.create_server(("127.0.0.1", 0))
    origin = f"http://127.0.0.1:{sock.getsockname()[1]}"
    here = Site(origin=origin, name="Sample", rules=rules.load(RULES), cookie=Cookie("demur-dev", secure=False))
    store, keys = MemoryStore(), MemoryKeys()
    guard = Guard(here, store, keys)
    app = Demur(site, Surface(guard, Pages(guard, page.DEFAULT, {}), page.DEFAULT))
    ready, running = threading.Event(), Served(origin, store, keys, asyncio.new_event_loop())
    stop = asyncio.Event()

    def run() -> None:
        with contextlib.closing(running.loop):
            running.loop.run_until_complete(request.param(app, sock, ready.set, stop))

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(30)
    yield running
    running.loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    sock.close()


@pytest.fixture
def tab(browser: Browser, served: Served) -> Iterator[Page]:
    """A tab that shows the site, with the functions of the how-to page."""
    context = browser.new_context()
    opened = context.new_page()
    opened.goto(served.origin + "/")
    (script,) = re.findall(r"^```js\n(.*?)^```$", HOW_TO.read_text(), re.MULTILINE | re.DOTALL)
    opened.add_script_tag(content=script)
    opened.evaluate("""() => {
      window.seen = {};
      window.listen = (folder) => {
        news(`${folder}news`, (said) => { seen.news = said; }, (why) => { seen.newsOver = why; });
        chat(`${folder}chat`, (said) => { seen.chat = said; }, (why) => { seen.chatOver = why; });
        const raw = new WebSocket(new URL(`${folder}chat`, location.href.replace(/^http/, "ws")));
        raw.onmessage = () => { seen.open = true; };
        raw.onclose = ({ code, reason, wasClean }) => { seen.raw = [code, reason, wasClean]; };
      };
    }""")
    yield opened
    context.close()


def test_why_it_ends(served: Served, tab: Page) -> None:
    """After signing out elsewhere, `onclose` gets the code and the reason, and an EventSource the last event."""
    served.sign_in(tab)
    tab.evaluate("() => listen('/members/')")
    tab.wait_for_function("() => seen.news === 'hello' && seen.chat === 'hello' && seen.open")
    served.do(served.store.end_all(BO.id, Ending.ENDED, Actor.SELF, 1_900_000_000))
    tab.wait_for_function("() => seen.newsOver && seen.chatOver && seen.raw")
    assert tab.evaluate("() => seen") == {
        "open": True, "news": "hello", "newsOver": "session-ended",
        "chat": "hello", "chatOver": "session-ended",
        "raw": [3000, "session-ended", True],
    }  # fmt: skip


def test_why_it_may_not_go_on(served: Served, tab: Page) -> None:
    """Who is taken out of the group is told that this is it, and not to sign in."""
    served.sign_in(tab)
    tab.evaluate("() => listen('/staff/')")
    tab.wait_for_function("() => seen.news === 'hello' && seen.chat === 'hello' && seen.open")
    served.do(served.store.publish(Subject(BO.id, BO.name, version=2)))
    tab.wait_for_function("() => seen.newsOver && seen.chatOver && seen.raw")
    assert tab.evaluate("() => [seen.newsOver, seen.chatOver, seen.raw]") == [
        "not-permitted", "not-permitted", [3003, "not-permitted", True],
    ]  # fmt: skip


def test_why_it_does_not_begin(served: Served, tab: Page) -> None:
    """A browser tells a script nothing of a refusal from the start; asking once more does."""
    tab.evaluate("() => listen('/members/')")
    tab.wait_for_function("() => seen.newsOver && seen.chatOver && seen.raw")
    assert tab.evaluate("() => [seen.newsOver, seen.chatOver, seen.raw]") == [
        "sign-in-required", "sign-in-required", [1006, "", False],
    ]  # fmt: skip


def test_a_browser_that_is_left_alone_asks_once_more(served: Served, tab: Page) -> None:
    """Without any code of the page, an EventSource whose session has ended is refused at its next try, and gives up."""
    served.sign_in(tab)
    tab.evaluate("""() => {
      window.left = new EventSource('/members/news');
      left.onmessage = () => { seen.left = true; };
    }""")
    tab.wait_for_function("() => seen.left")
    served.do(served.store.end_all(BO.id, Ending.ENDED, Actor.SELF, 1_900_000_000))
    tab.wait_for_function("() => left.readyState === EventSource.CLOSED")
