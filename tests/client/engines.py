"""One way to use three browsers: what a scenario does, it does to a `Tab`.

- Chromium and Firefox are driven by Playwright (Firefox over WebDriver BiDi), WebKitGTK by its own WebDriver.
- A `Window` is one person's browser: cookies and storage are shared by its tabs and by nobody else.
- What a driver cannot do raises `Cannot` with the reason.
"""

from __future__ import annotations

import base64
import os
import shlex
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.client.webdriver import Driver

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Frame, Page
    from tests.client.lab import Lab

TWICE = ("chromium", "firefox") if os.environ.get("DEMUR_NIGHTLY") else ("chromium",)
"""Where what takes long is tried: the scenarios go through all engines anyway, so the second one is for the night."""
CHROMIUM = os.environ.get("DEMUR_CHROMIUM", "/usr/bin/chromium")
FIREFOX = os.environ.get("DEMUR_FIREFOX", "/usr/bin/firefox-esr")

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
ARGUMENTS += ["--disable-background-networking", "--disable-component-update"]

DIALOG = "dialog iframe"
"""The frame of the sign-in dialog."""

SECONDS = 30.0
"""How long anything is waited for."""


FIND = """const find = (selector, root = document) => {
  for (const each of [root.querySelector(selector)]) if (each) return each;
  for (const each of root.querySelectorAll("*")) {
    const found = each.shadowRoot && find(selector, each.shadowRoot);
    if (found) return found;
  }
  return null;
};"""
"""The first element of a selector, in shadow roots as well: that is where the client has its dialogs."""
_SEEN = f"(selector) => {{ {FIND} return find(selector)?.checkVisibility({{ visibilityProperty: true }}); }}"


class Cannot(Exception):  # noqa: N818 - it is what a driver says
    """The driver of this engine cannot do that, because …"""


class Tab(ABC):
    """A tab. Selectors are CSS, and reach into shadow roots. Scripts are functions, `() => …` or `async () => …`,
    with at most one argument. `frame` is a selector of an iframe to look into, "" for the page itself."""

    engine: str = ""

    @property
    def page(self) -> Page:
        """Playwright's page, for what only one engine is asked."""
        raise Cannot(f"{self.engine} is not driven by Playwright")

    @abstractmethod
    def goto(self, address: str) -> None:
        """Open an address and wait until it is loaded."""

    @abstractmethod
    def evaluate(self, script: str, argument: object = None, *, frame: str = "") -> Any:
        """What a function returns, or its promise resolves to."""

    @abstractmethod
    def click(self, selector: str, *, frame: str = "") -> None:
        """Click as a person does."""

    @abstractmethod
    def fill(self, selector: str, text: str, *, frame: str = "") -> None:
        """Type into an empty field."""

    @abstractmethod
    def press(self, key: str) -> None:
        """Press a key, such as "Tab", "Escape" or "Shift+Tab", wherever the focus is, in a frame as well."""

    @abstractmethod
    def choose(self, selector: str, file: Path) -> None:
        """Choose a file."""

    @abstractmethod
    def screenshot(self, file: Path) -> None:
        """Take a picture of what is seen."""

    @abstractmethod
    def close(self) -> None:
        """Close the tab."""

    @abstractmethod
    def show(self) -> None:
        """Bring the tab to the front."""

    def wait_for(self, true: str, argument: object = None, *, frame: str = "", seconds: float = SECONDS) -> Any:
        """Until a function returns something true; what it returned. Pages that come and go in between are fine."""
        until = time.monotonic() + seconds
        last: Exception | None = None
        while True:
            try:
                if found := self.evaluate(true, argument, frame=frame):
                    return found
                last = None
            except Cannot:
                raise
            except Exception as error:  # noqa: BLE001 - the page may be on its way to another
                last = error
            if time.monotonic() > until:
                shown = self._shown()
                asked = f"{true.replace(FIND, '')}\nargument: {argument}"
                raise AssertionError(f"{self.engine}: still not true: {asked}\n{shown}\n{last or ''}")
            time.sleep(0.02)

    def _shown(self) -> str:
        try:
            return str(self.evaluate("() => `${location.href}\\n${document.body?.innerText.slice(0, 600)}`"))
        except Exception as error:  # noqa: BLE001 - it is for a message
            return f"(nothing: {error})"

    def wait_for_element(self, selector: str, *, frame: str = "", seconds: float = SECONDS) -> None:
        """Until there is such an element, and it is seen."""
        self.wait_for(_SEEN, selector, frame=frame, seconds=seconds)

    def wait_until_unseen(self, selector: str, *, frame: str = "") -> None:
        """Until such an element is hidden, or not there."""
        self.wait_for(f"(selector) => !({_SEEN})(selector)", selector, frame=frame)

    def wait_until_gone(self, selector: str, *, frame: str = "") -> None:
        """Until there is no such element."""
        self.wait_for(f"(selector) => {{ {FIND} return !find(selector); }}", selector, frame=frame)

    def text(self, selector: str = "body", *, frame: str = "") -> str:
        """The text of an element as it is seen."""
        found = f"(selector) => {{ {FIND} return find(selector).innerText; }}"
        return str(self.evaluate(found, selector, frame=frame))

    def has(self, selector: str, *, frame: str = "") -> bool:
        """Whether there is such an element."""
        return bool(self.evaluate(f"(selector) => {{ {FIND} return !!find(selector); }}", selector, frame=frame))

    def sees(self, selector: str, *, frame: str = "") -> bool:
        """Whether there is such an element, and it is shown."""
        return bool(self.evaluate(_SEEN, selector, frame=frame))

    def back(self) -> None:
        """Go back. It does not wait: what is there then is for the test to say."""
        self.evaluate("() => { setTimeout(() => history.back()); }")

    def sign_in_on_page(self, lab: Lab, name: str, path: str = "/app") -> None:
        """Open a page, and sign in by the form that is there in its place."""
        self.goto(lab.url(path))
        self.type_password(lab, name)
        self.wait_for(
            "(there) => location.href === there && document.readyState === 'complete'"
            " && !document.querySelector('input[name=password]')",
            lab.url(path),
        )

    def sign_in_in_dialog(self, lab: Lab, name: str) -> None:
        """Sign in where the dialog of the client asks for it, and wait until that is gone."""
        self.wait_for_element(DIALOG)
        self.type_password(lab, name, frame=DIALOG)
        self.wait_until_gone(DIALOG)

    def type_password(self, lab: Lab, name: str, *, frame: str = "", password: str | None = None) -> None:
        """Fill in a sign-in form, and send it."""
        self.wait_for_element("input[name=password]", frame=frame)
        if self.sees("input[name=username]", frame=frame):
            self.fill("input[name=username]", name, frame=frame)
        self.fill("input[name=password]", lab.password(name) if password is None else password, frame=frame)
        self.click("form:has(input[name=password]) button:not([type=button])", frame=frame)


class Window(ABC):
    """One person's browser."""

    engine: str

    @abstractmethod
    def tab(self, address: str = "") -> Tab:
        """A new tab, which shows an address if there is one."""

    @abstractmethod
    def sign_in(self, lab: Lab, name: str) -> None:
        """Have a session of a person from now on, without any form."""

    @abstractmethod
    def close(self) -> None:
        """Close it with all its tabs, and forget everything."""


# --- Playwright ----------------------------------------------------------------------------------------


class PlaywrightTab(Tab):
    """A tab of Chromium or Firefox."""

    def __init__(self, engine: str, page: Page) -> None:
        self.engine = engine
        self._page = page

    @property
    def page(self) -> Page:
        """Playwright's page."""
        return self._page

    def _in(self, frame: str) -> Frame:
        if not frame:
            return self._page.main_frame
        handle = self._page.query_selector(frame)
        content = handle.content_frame() if handle else None
        if content is None:
            raise LookupError(f"there is no frame {frame}")
        return content

    def goto(self, address: str) -> None:
        try:
            self._page.goto(address)
        except Exception as error:
            # Firefox may tell of one navigation twice.
            if f'interrupted by another navigation to "{address}"' not in str(error):
                raise
            self._page.wait_for_load_state()

    def evaluate(self, script: str, argument: object = None, *, frame: str = "") -> Any:
        return self._in(frame).evaluate(script, argument)

    def click(self, selector: str, *, frame: str = "") -> None:
        self._in(frame).click(selector, no_wait_after=True)

    def fill(self, selector: str, text: str, *, frame: str = "") -> None:
        self._in(frame).fill(selector, text)

    def press(self, key: str) -> None:
        self._page.keyboard.press(key)

    def choose(self, selector: str, file: Path) -> None:
        self._page.set_input_files(selector, file)

    def screenshot(self, file: Path) -> None:
        self._page.screenshot(path=file)

    def close(self) -> None:
        self._page.close()

    def show(self) -> None:
        self._page.bring_to_front()


class PlaywrightWindow(Window):
    """A browser context."""

    def __init__(self, engine: str, context: BrowserContext) -> None:
        self.engine = engine
        self.context = context
        context.set_default_timeout(SECONDS * 1000)

    def tab(self, address: str = "") -> Tab:
        tab = PlaywrightTab(self.engine, self.context.new_page())
        if address:
            tab.goto(address)
        return tab

    def sign_in(self, lab: Lab, name: str) -> None:
        cookie: Any = {
            "name": lab.cookie, "value": lab.token(name), "domain": "localhost", "path": "/", "httpOnly": True,
            "secure": lab.origin.startswith("https"), "sameSite": "Lax",
        }  # fmt: skip
        self.context.add_cookies([cookie])

    def close(self) -> None:
        self.context.close()


class PlaywrightEngine:
    """Chromium or Firefox, started once and shared; each window is a context of its own."""

    def __init__(self, name: str, browser: Browser) -> None:
        self.name = name
        self.browser = browser

    def window(self, **how: Any) -> Window:
        """A new window, with Playwright's options for a context."""
        return PlaywrightWindow(self.name, self.browser.new_context(**how))


# --- WebDriver -----------------------------------------------------------------------------------------

_CALL = """
const [argument, done] = arguments;
Promise.resolve().then(() => (SOURCE)(argument)).then(
  (value) => done([true, value === undefined ? null : value]), (error) => done([false, String(error)]));
"""


class WebDriverTab(Tab):
    """A tab of a browser that is driven by WebDriver. Commands go to one tab at a time, so each says which it means."""

    def __init__(self, window: WebDriverWindow, handle: str) -> None:
        self.engine = window.engine
        self._window = window
        self._handle = handle

    def _at(self, frame: str = "") -> Driver:
        driver = self._window.at(self._handle)
        if frame:
            driver.enter(frame)
        return driver

    def goto(self, address: str) -> None:
        # The driver does not wait, or every command would, for as long as a page loads.
        self.evaluate("() => { window.left = true; }")
        self._at().post("/url", url=address)
        self.wait_for("() => !window.left && document.readyState === 'complete'")

    def evaluate(self, script: str, argument: object = None, *, frame: str = "") -> Any:
        driver = self._at(frame)
        fine, value = driver.post("/execute/async", script=_CALL.replace("SOURCE", script), args=[argument])
        if not fine:
            raise RuntimeError(value)
        return value

    def click(self, selector: str, *, frame: str = "") -> None:
        self.wait_for_element(selector, frame=frame)
        driver = self._at(frame)
        driver.post(f"/element/{driver.find(selector)}/click")

    def fill(self, selector: str, text: str, *, frame: str = "") -> None:
        self.wait_for_element(selector, frame=frame)
        driver = self._at(frame)
        element = driver.find(selector)
        driver.post(f"/element/{element}/clear")
        driver.post(f"/element/{element}/value", text=text)

    def press(self, key: str) -> None:
        self._at().press(*key.split("+"))

    def choose(self, selector: str, file: Path) -> None:
        driver = self._at()
        driver.post(f"/element/{driver.find(selector)}/value", text=str(file))

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self._at().get("/screenshot")))

    def close(self) -> None:
        self._at().delete("/window")
        self._window.left()

    def show(self) -> None:
        self._at()


class WebDriverWindow(Window):
    """A browser process of its own, with its driver: WebKitGTK has one session a driver."""

    def __init__(self, engine: str, driver: Driver) -> None:
        self.engine = engine
        self.driver = driver
        self._shown = driver.get("/window")
        self._used = False
        driver.post("/timeouts", script=SECONDS * 1000, pageLoad=SECONDS * 2000)

    def at(self, handle: str) -> Driver:
        """The driver, which is at the page of a tab then."""
        if self._shown != handle:
            self.driver.post("/window", handle=handle)
            self._shown = handle
        self.driver.leave()
        return self.driver

    def left(self) -> None:
        """The tab that it was at is closed."""
        self._shown = ""

    def tab(self, address: str = "") -> Tab:
        handle = self.driver.post("/window/new", type="window")["handle"] if self._used else self._shown
        self._used = True
        tab = WebDriverTab(self, handle)
        if address:
            tab.goto(address)
        return tab

    def sign_in(self, lab: Lab, name: str) -> None:
        # A cookie can only be set for the page that is there.
        if not self.driver.get("/url").startswith(lab.origin):
            WebDriverTab(self, self._shown).goto(lab.url("/public"))
        cookie = {
            "name": lab.cookie,
            "value": lab.token(name),
            "path": "/",
            "httpOnly": True,
            "secure": lab.origin.startswith("https"),
            "sameSite": "Lax",
        }
        self.driver.post("/cookie", cookie=cookie)

    def close(self) -> None:
        self.driver.close()


_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""Whom programs of this machine trust that use GnuTLS."""


class WebKitEngine:
    """WebKitGTK's small browser on a display of its own."""

    name = "webkit"
    binary = Path("/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser")

    def __init__(self, home: Path) -> None:
        self._home = home
        self._display = Display()

    def window(self, *, ca: Path | None = None, **how: Any) -> Window:
        """A new window, which trusts that authority and no other if one is given. There is nothing else to choose."""
        if how:
            raise Cannot(f"WebKitWebDriver knows nothing of {', '.join(how)}")
        options = {"binary": str(self.binary), "args": ["--automation"]}
        wanted = {"browserName": "MiniBrowser", "pageLoadStrategy": "none", "webkitgtk:browserOptions": options}
        # There is no graphics card, and nobody who listens.
        quiet = {
            "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "WEBKIT_DISABLE_DMABUF_RENDERER": "1",
            "NO_AT_BRIDGE": "1",
            "HOME": str(self._home),
        }
        environment = {**os.environ, **quiet, "DISPLAY": self._display.name}
        log = self._home / "webkit.log"
        try:
            driver = Driver(_command(ca), wanted, environment, log, FIND)
        except TimeoutError:  # now and then the browser does not come up, and the driver waits for ever
            driver = Driver(_command(ca), wanted, environment, log, FIND)
        return WebDriverWindow(self.name, driver)

    def close(self) -> None:
        """The display goes, too."""
        self._display.close()


def _command(ca: Path | None) -> list[str]:
    """The driver. It trusts those whom the machine trusts, so it is shown other ones in their place, which nobody else
    sees."""
    driver = shutil.which("WebKitWebDriver")
    assert driver is not None
    if ca is None:
        return [driver]
    script = f'mount --bind {shlex.quote(str(ca))} {_AUTHORITIES} && exec "$@"'
    alone = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode != 0:
        raise Cannot("it trusts the machine's authorities, and nobody here may show it others (unshare)")
    return [*alone, "sh", "-c", script, "sh", driver]


class Display:
    """A screen that nobody sees."""

    def __init__(self) -> None:
        read, write = os.pipe()
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
        self._process = subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as told:
            self.name = f":{told.readline().strip()}"

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)
