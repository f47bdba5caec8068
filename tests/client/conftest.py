"""What every test of the browser client may ask for: the site under test, and browsers.

    def test_it(lab: Lab, window: Window) -> None:      # in Chromium
        window.sign_in(lab, "alice")
        tab = window.tab(lab.url("/app"))

Browsers are started once for each module, because Playwright runs an event loop as long as it is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.client import lab as labs
from tests.client.engines import ARGUMENTS, CHROMIUM, FIREFOX, PlaywrightEngine, WebKitEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.client.engines import Window
    from tests.client.lab import Lab


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the accounts of everybody; made once, in a thread, as Playwright's loop may run in this one."""
    folder = tmp_path_factory.mktemp("people")
    thread = threading.Thread(target=lambda: asyncio.run(labs.make_people(folder)))
    thread.start()
    thread.join()
    assert (folder / "accounts.db").exists()
    return folder


@pytest.fixture
def make_lab(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Lab]]:
    """Start sites with other rules or limits: `make_lab(rules=…, idle=…, absolute=…)`."""
    with contextlib.ExitStack() as stack:

        def make(**how: Any) -> Lab:
            return stack.enter_context(labs.running(tmp_path_factory.mktemp("lab"), people, **how))

        yield make


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    """A fresh site under test."""
    return make_lab()


# --- browsers ------------------------------------------------------------------------------------------


class Engines:
    """The browsers of a module, each started when it is first asked for."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._stack = contextlib.ExitStack()
        self._started: dict[str, Any] = {}
        self._play: Any = None

    def __getitem__(self, name: str) -> PlaywrightEngine | WebKitEngine:
        if name not in self._started:
            missing = absent(name)
            if missing:
                pytest.skip(f"{name} is not here: {missing}")
            self._started[name] = getattr(self, f"_{name}")()
        found: PlaywrightEngine | WebKitEngine = self._started[name]
        return found

    def _playwright(self) -> Any:
        if self._play is None:
            from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not needed to collect these tests

            self._play = self._stack.enter_context(sync_playwright())
        return self._play

    def _chromium(self) -> PlaywrightEngine:
        # Without the cache for going back, nothing would be shown about it.
        without = ["--disable-back-forward-cache"]
        play = self._playwright()
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, ignore_default_args=without)
        self._stack.callback(browser.close)
        return PlaywrightEngine("chromium", browser)

    def _firefox(self) -> PlaywrightEngine:
        browser = self._playwright().firefox.launch(executable_path=FIREFOX, channel="moz-firefox")
        self._stack.callback(browser.close)
        return PlaywrightEngine("firefox", browser)

    def _webkit(self) -> WebKitEngine:
        engine = WebKitEngine(self._home)
        self._stack.callback(engine.close)
        return engine

    def close(self) -> None:
        """Close all of them."""
        self._stack.close()


def absent(engine: str) -> str:
    """What is missing for an engine; "" if nothing is."""
    needs = {
        "chromium": (CHROMIUM,),
        "firefox": (FIREFOX,),
        "webkit": ("WebKitWebDriver", "Xvfb", str(WebKitEngine.binary)),
    }
    return ", ".join(need for need in needs[engine] if shutil.which(need) is None)


@pytest.fixture(scope="module")
def engines(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """The browsers of this module."""
    engines = Engines(tmp_path_factory.mktemp("home"))
    yield engines
    engines.close()


@pytest.fixture
def window(engines: Engines) -> Iterator[Window]:
    """A fresh window of Chromium."""
    window = engines["chromium"].window()
    yield window
    window.close()
