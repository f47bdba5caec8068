"""Photograph what the browser client shows, above a page of a site, for docs/how-to/client-look.md.

    python -m scripts.client_screenshots [FOLDER]          docs/images/client by default

It needs playwright (the dependency group `browser`) and Chromium: DEMUR_CHROMIUM, or /usr/bin/chromium.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from scripts.screenshots import ARGUMENTS, REFERENCE, view

from demur.core import page
from demur.core.embedded import Embedded
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
CLIENT = ROOT / "src/demur/pages/static"
FOLDER = ROOT / "docs/images/client"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; "
    "require-trusted-types-for 'script'"
)

SHEET = """
:root { color-scheme: light dark; font: 16px/1.6 system-ui, sans-serif; background: light-dark(#eef1f5, #15181d); }
body { margin: 0 auto; max-width: 38rem; padding: 2.5rem 1.5rem; color: light-dark(#1d2733, #dfe4ea); }
h1 { font-size: 1.6rem; margin: 0 0 1.25rem; }
label { display: block; font-weight: 600; margin-block: 1rem .3rem; }
input, textarea { box-sizing: border-box; width: 100%; font: inherit; padding: .5rem .7rem; border-radius: 6px;
  border: 1px solid light-dark(#9aa7b5, #55616e); background: light-dark(#fff, #1d2229); color: inherit; }
button { font: inherit; font-weight: 600; margin-top: 1.2rem; padding: .5rem 1.1rem; border: 0; border-radius: 6px;
  background: light-dark(#2457a6, #8fb6f2); color: light-dark(#fff, #0d1a2c); }
.own { --demur-paper: light-dark(#fff, #1d2229); --demur-ink: light-dark(#1d2733, #dfe4ea); --demur-radius: 6px;
  --demur-accent: light-dark(#2457a6, #8fb6f2); --demur-line: light-dark(#9aa7b5, #55616e);
  --demur-font: ui-monospace, "DejaVu Sans Mono", monospace; }
"""
TEXTS = {
    "en": ("Mooring report", "Ship", "What happened", "Save"),
    "ar": ("تقرير الرسو", "السفينة", "ما حدث", "حفظ"),
}
TYPED = {
    "en": ("Marigold", "The forward line chafed through at the second fairlead. Replaced at 04:20."),
    "ar": ("ماريغولد", "انقطع الحبل الأمامي عند الدليل الثاني. تم استبداله في الساعة 04:20."),
}
FORBIDDEN = {
    "status": 403,
    "reason": "access-requestable",
    "title": "You can ask for access",
    "detail": "Your account does not have access to this yet.",
    "missing": ["group"],
    "instance": f"urn:uuid:{REFERENCE}",
    "request_access": "/.demur/requests",
}
REFUSED = {**FORBIDDEN, "title": "You may not open this", "detail": "Your account does not have access to this."}
del REFUSED["request_access"]
ALMA = {"name": "alma.reyes", "display_name": "Alma Reyes"}


@dataclass(frozen=True)
class Shot:
    """A picture: which box, told what, and in which look."""

    box: str
    about: dict[str, Any] = field(default_factory=dict)
    lang: str = "en"
    scheme: str = "light"
    width: int = 760
    height: int = 620
    forced: str = "none"
    own: bool = False


SHOTS = {
    "sign-in": Shot("signIn", height=760),
    "sign-in-dark": Shot("signIn", scheme="dark", height=760),
    "sign-in-320": Shot("signIn", width=320, height=760),
    "notice": Shot("expiring", {"left": 120.3, "absolute": False}, height=620),
    "urge": Shot("expiring", {"left": 27, "absolute": False}, height=620),
    "absolute-dark": Shot("expiring", {"left": 27, "absolute": True}, scheme="dark", height=620),
    "forbidden": Shot("forbidden", REFUSED, height=760),
    "forbidden-ar": Shot("forbidden", FORBIDDEN, lang="ar", height=760),
    "forbidden-forced": Shot("forbidden", FORBIDDEN, forced="active", height=760),
    "own-look": Shot("expiring", {"left": 27, "absolute": False}, own=True, height=620),
}
SHOW = """async ([box, about, person]) => {
  const { demur } = await import("/.demur/client.js");
  const { [box]: show } = await import("/.demur/client/ui.js");
  const { signal } = new AbortController();
  document.querySelector("textarea").focus();
  if (box === "signIn") show(demur, about, signal);
  else if (box === "expiring") show(demur, { ...about, ends: Date.now() + about.left * 1000 }, signal);
  else show(demur, about, person);
}"""
SHOWN = """() => {
  const box = document.documentElement.lastElementChild.shadowRoot?.querySelector("dialog, section");
  if (!box?.checkVisibility()) return false;
  const frame = box.querySelector("iframe");
  if (!frame) return box.querySelector("[role=status]")?.textContent !== "";
  return frame.contentDocument?.readyState === "complete" && frame.style.height !== "";
}"""


def document(lang: str, *, own: bool) -> str:
    """The page of a site, with something typed."""
    title, ship, happened, save = TEXTS[lang]
    name, text = TYPED[lang]
    return f"""<!doctype html>
<html lang="{lang}" dir="{"rtl" if lang == "ar" else "ltr"}"{' class="own"' if own else ""}>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><link rel="stylesheet" href="/page.css">
<body><main><h1>{title}</h1><form><label for="ship">{ship}</label><input id="ship" value="{name}">
<label for="text">{happened}</label><textarea id="text" rows="4">{text}</textarea><button>{save}</button></form></main>
"""


def framed(lang: str) -> bytes:
    """The page that stands in the dialog's frame."""
    inside = Embedded(lang=lang, username="alma.reyes")
    address = inside.address("/.demur")
    shown = view(
        Reason.SESSION_IDLE, form="sign-in", action=address, idle=1800, username="alma.reyes", embedded=inside, next="/"
    )
    return page.render(shown)


class Handler(BaseHTTPRequestHandler):
    """A site with the client's files."""

    def do_GET(self) -> None:
        """Answer what one of the pictures needs."""
        parts = urlsplit(self.path)
        asked = parse_qs(parts.query, keep_blank_values=True)
        lang = asked.get("lang", ["en"])[0]
        file = CLIENT / parts.path.removeprefix("/.demur/")
        if parts.path == "/":
            self._answer(document(lang, own="own" in asked).encode(), "text/html; charset=utf-8", POLICY)
        elif parts.path == "/page.css":
            self._answer(SHEET.encode(), "text/css")
        elif parts.path == "/.demur/sign-in":
            self._answer(framed(lang), "text/html; charset=utf-8")
        elif parts.path.startswith("/.demur/client") and ".." not in parts.path and file.is_file():
            self._answer(file.read_bytes(), "text/css" if file.suffix == ".css" else "text/javascript")
        else:
            self.send_error(404)

    def _answer(self, body: bytes, kind: str, policy: str = "") -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        if policy:
            self.send_header("content-security-policy", policy)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


@contextmanager
def serving() -> Iterator[str]:
    """The site, for as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def take(browser: Browser, address: str, shot: Shot, file: Path) -> None:
    """One picture."""
    how: Any = {"color_scheme": shot.scheme, "forced_colors": shot.forced, "reduced_motion": "reduce"}
    context = browser.new_context(viewport={"width": shot.width, "height": shot.height}, **how)
    sheet = context.new_page()
    sheet.goto(f"{address}?lang={shot.lang}{'&own' if shot.own else ''}")
    sheet.evaluate(SHOW, [shot.box, shot.about, ALMA])
    sheet.wait_for_function(SHOWN)
    sheet.screenshot(path=file, animations="disabled")
    context.close()


def main(arguments: list[str]) -> int:
    """Write the pictures; 0 when all are there."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only who takes pictures needs a browser

    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with serving() as address, sync_playwright() as play:
        path = os.environ.get("DEMUR_CHROMIUM", "/usr/bin/chromium")
        browser = play.chromium.launch(executable_path=path, args=ARGUMENTS)
        for name, shot in SHOTS.items():
            take(browser, address, shot, folder / f"{name}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
