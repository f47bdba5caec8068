"""Photograph every kind of page, in light and dark and at three widths.

    python scripts/screenshots.py FOLDER [NAME...]

It needs playwright (the dependency group `browser`) and Chromium: DEMUR_CHROMIUM, or /usr/bin/chromium.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from demur.authenticators.password import Argon2Hasher
from demur.authenticators.throttle import Throttle
from demur.core import kept, page, rules
from demur.core.embedded import ELSEWHERE, Embedded
from demur.core.model import Live, Request, Session, Subject
from demur.core.ports import View
from demur.core.reasons import BASE, REASONS, Reason
from demur.core.respond import refuse
from demur.core.sessions import NIST_AAL2, identify
from demur.core.site import Site
from demur.pages.account import AccountPage
from demur.pages.kept import KeptPage
from demur.pages.sessions import SessionsPage
from demur.pages.visit import Visit
from demur.signin.kept import KeptForms
from demur.signin.password import PasswordSignIn
from demur.signin.sessions import Sessions
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.ports import Account

WIDTHS = (320, 768, 1280)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
REFERENCE = "0192f3a1-7c44-7e0e-9b1c-6a0f5d2e8b31"
SITE = "Harbour Records"
# As root, and in most containers, Chromium's own sandbox cannot start.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def view(reason: Reason, **more: object) -> View:
    """A view as a refusal makes it."""
    row = REASONS[reason]
    problem = json.dumps({"type": BASE + reason, "title": row.title, "status": row.status, "reason": reason})
    known: dict[str, object] = {
        "reason": reason,
        "status": row.status,
        "site": SITE,
        "title": row.title,
        "detail": row.detail,
        "reference": REFERENCE,
        "problem": problem,
        "next": "/records/2026?page=2",
    }
    return View(**{**known, **more})  # type: ignore[arg-type]


def _form(reason: Reason, **more: object) -> View:
    return view(reason, **{"form": "sign-in", "action": "/.demur/sign-in", "idle": 1800, **more})


ENDED = 1795356300
PAGES: dict[str, Callable[[], bytes]] = {
    name: (lambda shown=shown: page.render(shown))  # type: ignore[misc]
    for name, shown in {
        "sign-in": _form(Reason.SIGN_IN_REQUIRED),
        "idle": _form(Reason.SESSION_IDLE, ended_at=ENDED, username="alma.reyes"),
        "idle-kept": _form(Reason.SESSION_IDLE, ended_at=ENDED, kept=True),
        "expired": _form(Reason.SESSION_EXPIRED, ended_at=ENDED),
        "ended": _form(Reason.SESSION_ENDED, ended_at=ENDED),
        "revoked": _form(Reason.SESSION_REVOKED, ended_at=ENDED),
        "unknown-cookie": _form(Reason.CREDENTIALS_INVALID),
        "wrong-password": _form(
            Reason.CREDENTIALS_INVALID, username="alma.reyes", message="The name or the password is not right."
        ),
        "attempts": _form(Reason.TOO_MANY_ATTEMPTS, retry_after=95, username="alma.reyes"),
        "attempts-plain": view(Reason.TOO_MANY_ATTEMPTS, retry_after=45),
        "confirm": view(
            Reason.STEP_UP_REQUIRED,
            form="confirm",
            action="/.demur/sign-in",
            username="alma.reyes",
            person="Alma Reyes",
            switch="/.demur/sign-out",
        ),
        "stronger": view(
            Reason.STEP_UP_REQUIRED,
            acr_values=("mfa", "phr", "phrh"),
            person="Alma Reyes",
            switch="/.demur/sign-out",
        ),
        "token-expired": view(Reason.TOKEN_EXPIRED),
        "scope": view(Reason.SCOPE_INSUFFICIENT, person="Alma Reyes"),
        "not-permitted": view(
            Reason.NOT_PERMITTED,
            person="Alma Reyes",
            missing=("group",),
            switch="/.demur/sign-out",
            help_url="/help",
        ),
        "cross-site": view(Reason.CROSS_SITE_REFUSED, person="Alma Reyes"),
        "not-found": view(Reason.NOT_FOUND, reference=""),
        "host-unknown": view(Reason.HOST_UNKNOWN, origins=("http://localhost:8000", "https://records.harbour.example")),
        "malformed": view(Reason.REQUEST_MALFORMED),
        "unreachable": view(Reason.UPSTREAM_UNREACHABLE, person="Alma Reyes"),
        "timeout": view(Reason.UPSTREAM_TIMEOUT),
        "unavailable": view(Reason.UNAVAILABLE, retry_after=5),
        "framed": _form(Reason.SIGN_IN_REQUIRED, framed=True),
    }.items()
}
PAGES["sign-out"] = lambda: page.render(
    View(
        reason=None,
        status=200,
        site=SITE,
        title="Sign out",
        detail="Your session ends here and on the server.",
        form="sign-out",
        action="/.demur/sign-out",
        person="Alma Reyes",
    )
)


def _embedded(reason: Reason, *, lang: str = "en", popup: bool = False, other: bool = False, **more: object) -> View:
    inside = Embedded(lang, popup=popup, other=other)
    known: dict[str, object] = {"form": "sign-in", "username": "alma.reyes", "idle": 1800, "problem": "", "next": ""}
    return view(reason, **{**known, "embedded": inside, "action": inside.address("/.demur"), **more})


EMBEDDED = {
    "embed-sign-in": _embedded(Reason.SIGN_IN_REQUIRED, username=""),
    "embed-idle": _embedded(Reason.SESSION_IDLE),
    "embed-revoked": _embedded(Reason.SESSION_REVOKED, help_url="/help"),
    "embed-confirm": _embedded(Reason.STEP_UP_REQUIRED, form="confirm", person="Alma Reyes"),
    "embed-other": _embedded(Reason.SIGN_IN_REQUIRED, other=True, username="", person="Alma Reyes"),
    "embed-wrong": _embedded(Reason.CREDENTIALS_INVALID, message="wrong"),
    "embed-attempts": _embedded(Reason.TOO_MANY_ATTEMPTS, retry_after=95),
    "embed-unavailable": _embedded(Reason.UNAVAILABLE, retry_after=5),
    "embed-elsewhere": _embedded(
        Reason.SESSION_EXPIRED,
        form=ELSEWHERE,
        action="https://login.harbour.example/.demur/sign-in?embed&popup",
    ),
    "embed-done": _embedded(Reason.SIGN_IN_REQUIRED, embedded=Embedded(done=True)),
    "embed-german": _embedded(Reason.SESSION_EXPIRED, lang="de"),
    "embed-german-wrong": _embedded(
        Reason.CREDENTIALS_INVALID, lang="de", form="confirm", message="wrong", person="Alma Reyes"
    ),
    "embed-french": _embedded(Reason.SESSION_REVOKED, lang="fr"),
    "embed-spanish": _embedded(Reason.TOO_MANY_ATTEMPTS, lang="es", retry_after=95),
    "embed-chinese": _embedded(Reason.SESSION_IDLE, lang="zh"),
    "embed-arabic": _embedded(Reason.SESSION_IDLE, lang="ar"),
    "embed-arabic-confirm": _embedded(
        Reason.CREDENTIALS_INVALID, lang="ar", form="confirm", message="wrong", person="Alma Reyes"
    ),
}
PAGES |= {name: (lambda shown=shown: page.render(shown)) for name, shown in EMBEDDED.items()}  # type: ignore[misc]
PAGES["signed-out"] = lambda: page.signed_out(View(reason=None, status=200, site=SITE, title="", detail=""))


def _session(number: int, device: str, network: str, *, seen: int = 20, begun: int = 7000) -> Session:
    return Session(
        id=identify(f"{number}"),
        subject="01-alma",
        issued_at=ENDED - begun,
        authenticated_at=ENDED - begun,
        last_seen=ENDED - seen,
        expires_at=ENDED + 79400,
        idle=1800,
        device=device,
        network=network,
    )


ALMA = Subject("01-alma", "alma.reyes", frozenset({"staff", "archive"}), display_name="Alma Reyes")
OWN = (
    _session(1, "Firefox on Linux", "192.0.2.7"),
    _session(2, "Safari on iPhone", "2001:db8:4:17::/64", seen=1260, begun=400000),
    _session(3, "curl", "198.51.100.23", seen=700),
)


def _own_page(name: str, body: bytes | None = None, query: str = "") -> bytes:
    async def shown() -> bytes:
        store, hasher = MemoryStore(), Argon2Hasher("OWASP_19_MIB")
        for session in OWN:
            await store.issue(session, ALMA)
        people = _Nobody()
        sign_in = PasswordSignIn(people, hasher, Throttle(store), Sessions(store, MemoryKeys(), NIST_AAL2))
        pages: dict[str, AccountPage | SessionsPage] = {
            "account": AccountPage(people, hasher, sign_in),
            "sessions": SessionsPage(store),
        }
        request = Request(
            "POST" if body is not None else "GET",
            f"/.demur/{name}{query}".encode(),
            "https",
            "records.harbour.example",
            "192.0.2.7",
            (
                (b"sec-fetch-mode", b"navigate"),
                (b"sec-fetch-site", b"same-origin"),
                (b"content-type", b"application/x-www-form-urlencoded"),
            ),
        )
        site = Site("https://records.harbour.example", SITE, rules.load([{"path": "/**", "allow": "signed-in"}]))
        live = Live(OWN[0], ALMA)
        visit = Visit(request, site, live, live, body or b"", ENDED, REFERENCE, lambda said: refuse(said, page.DEFAULT))
        answer = await (pages[name].get(visit) if body is None else pages[name].post(visit))
        return answer.body

    return asyncio.run(shown())


class _Nobody:
    """People, of whom nobody's password is right."""

    async def by_name(self, name: str) -> Account | None:
        return None

    async def by_id(self, subject: str) -> Account | None:
        return None

    async def set_password(self, subject: str, encoded: str, *, replacing: str | None = None) -> bool:
        return False

    async def change_own_password(self, subject: str, encoded: str, keep: bytes) -> None:
        return None


PAGES["account"] = lambda: _own_page("account")
PAGES["account-changed"] = lambda: _own_page("account", query="?changed")
PAGES["account-wrong"] = lambda: _own_page("account", b"current=wrong&new=short")
PAGES["sessions"] = lambda: _own_page("sessions")
PAGES["sessions-ended"] = lambda: _own_page("sessions", query="?ended=1")


PARTS = "multipart/form-data; boundary=b"
LOAN = (
    ("csrf_token", "2f1c0b3a9e8d7f6a5b4c"),
    ("borrower", "Northern Maritime Museum"),
    ("items", "Log of the barque Ingrid, 1874, volumes 1 to 3; two charts of the harbour, before 1880"),
    ("purpose", "For the exhibition about the winter in which the harbour froze. " * 6),
    ("pin", "4711"),
)


def _kept_page(*, sent: bool = False, arrived: bool = False) -> bytes:
    content = "".join(f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in LOAN)
    content += '--b\r\nContent-Disposition: form-data; name="letter"; filename="Letter of the museum.pdf"\r\n\r\n'
    site = Site("https://records.harbour.example", SITE, rules.load([{"path": "/**", "allow": "signed-in"}]))
    about = (
        (b"content-type", PARTS.encode()),
        (b"cookie", b"__Host-demur=token"),
        (b"referer", b"https://records.harbour.example/loans/new?collection=ships"),
        (b"sec-fetch-mode", b"navigate"),
    )
    asked = Request("POST", b"/loans?collection=ships", "https", "records.harbour.example", "192.0.2.7", about)

    async def shown() -> bytes:
        forms = KeptForms(MemoryStore())
        body = f"{content}{'x' * 48_200}\r\n--b--\r\n".encode()
        where = await forms.keep(site, asked, body, ALMA.id, ENDED - 100)
        handle = kept.handle(b"token")
        found = await forms.find(handle, ENDED)
        assert where is not None
        assert found is not None
        if sent:
            await forms.tell(handle, found.form, ENDED - 30, arrived=arrived)
        live = Live(OWN[0], ALMA)
        get = Request("GET", where.encode(), asked.scheme, asked.host, asked.peer, about)
        visit = Visit(get, site, live, live, b"", ENDED, REFERENCE, lambda said: refuse(said, page.DEFAULT))
        return (await KeptPage(forms).get(visit)).body

    return asyncio.run(shown())


PAGES["kept"] = _kept_page
PAGES["kept-again"] = lambda: _kept_page(sent=True)
PAGES["kept-sent"] = lambda: _kept_page(sent=True, arrived=True)


def main(arguments: list[str]) -> int:
    """Write the pictures into the folder; 0 when all are there."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only who takes pictures needs a browser

    if not arguments:
        sys.stderr.write(__doc__ or "")
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    names = arguments[1:] or list(PAGES)
    documents = {name: PAGES[name]().decode() for name in names}
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=os.environ.get("DEMUR_CHROMIUM", "/usr/bin/chromium"), args=ARGUMENTS
        )
        for scheme in SCHEMES:
            for width in WIDTHS:
                context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
                sheet = context.new_page()
                for name in names:
                    sheet.set_content(documents[name])
                    sheet.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=True)
                context.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
