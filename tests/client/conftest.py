"""What every test of the browser client may ask for: the site under test, and browsers.

    def test_it(lab: Lab, window: Window) -> None:      # in Chromium
        window.sign_in(lab, "alice")
        tab = window.tab(lab.url("/app"))

Browsers are started once for each module, because Playwright runs an event loop as long as it is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.client import lab as labs
from tests.client import trust
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


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority of our own, which browsers here trust, and a certificate for localhost."""
    return trust.authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def secure_lab(make_lab: Callable[..., Lab], authority: Path) -> Lab:
    """A fresh site under test, over HTTPS."""
    return make_lab(tls=authority)


# --- browsers ------------------------------------------------------------------------------------------


class Engines:
    """The browsers of a module, each started when it is first asked for. They trust the authority of that folder."""

    def __init__(self, home: Path, authority: Path) -> None:
        self._home = home
        self._ca = authority / "ca.pem"
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

    def window(self, name: str, lab: Lab) -> Window:
        """A fresh window that can show a site, whether that has TLS or not."""
        engine = self[name]
        if isinstance(engine, WebKitEngine) and lab.origin.startswith("https:"):
            return engine.window(ca=self._ca)
        return engine.window()

    def _chromium(self) -> PlaywrightEngine:
        # Without the cache for going back, nothing would be shown about it.
        without = ["--disable-back-forward-cache"]
        if trusts():
            trust.into_nss(self._home / ".pki" / "nssdb", self._ca)
        environment: Any = {**os.environ, "HOME": str(self._home)}
        browser = self._playwright().chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, ignore_default_args=without, env=environment
        )
        self._stack.callback(browser.close)
        return PlaywrightEngine("chromium", browser)

    def _firefox(self) -> PlaywrightEngine:
        profile = self._home / "firefox"
        if trusts():
            trust.into_nss(profile, self._ca)
        kept = self._playwright().firefox.launch_persistent_context(
            profile, executable_path=FIREFOX, channel="moz-firefox"
        )
        self._stack.callback(kept.close)
        return PlaywrightEngine("firefox", kept.browser)

    def _webkit(self) -> WebKitEngine:
        engine = WebKitEngine(self._home)
        self._stack.callback(engine.close)
        return engine

    def close(self) -> None:
        """Close all of them."""
        self._stack.close()


def trusts() -> bool:
    """Whether browsers can be told whom to trust."""
    return shutil.which("certutil") is not None


def absent(engine: str, *, secure: bool = False) -> str:
    """What is missing for an engine; "" if nothing is."""
    needs = {
        "chromium": (CHROMIUM,),
        "firefox": (FIREFOX,),
        "webkit": ("WebKitWebDriver", "Xvfb", str(WebKitEngine.binary)),
    }
    more = ("unshare",) if engine == "webkit" else ("certutil",)
    return ", ".join(need for need in (*needs[engine], *(more if secure else ())) if shutil.which(need) is None)


@pytest.fixture(scope="module")
def engines(authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """The browsers of this module."""
    engines = Engines(tmp_path_factory.mktemp("home"), authority)
    yield engines
    engines.close()


@pytest.fixture
def window(engines: Engines) -> Iterator[Window]:
    """A fresh window of Chromium."""
    window = engines["chromium"].window()
    yield window
    window.close()
