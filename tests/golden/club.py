"""The site that the golden files are about: its rules, its people, its sessions, and the app behind it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from argon2 import Parameters, Type
from tests.golden.files import Tokens

from demur import accounts, stores
from demur.accounts.people import Accounts, New
from demur.adapters.asgi import Demur, Surface
from demur.authenticators.password import Argon2Hasher
from demur.authenticators.throttle import Throttle, network
from demur.core import page, rules, sessions
from demur.core.model import Actor, End, Ending, Rotate, Session, Subject, UpstreamFailure
from demur.core.reasons import Reason
from demur.core.site import Cors, Site
from demur.guard import Guard
from demur.pages.router import Pages
from demur.pages.signin import SignInPages
from demur.signin.basic import BasicPasswords
from demur.signin.password import PasswordSignIn
from demur.signin.sessions import Sessions
from demur.signin.tokens import Tokens as ApiTokens
from demur.stores.keys import MemoryKeys

if TYPE_CHECKING:
    from pathlib import Path

    from demur.core.ports import Store

NOW = 1_795_000_000
LIMITS = sessions.NIST_AAL2
DAY = sessions.DAY
PEER = "192.0.2.77"

PERMISSIONS = {"report:read": ["staff"]}
RULES: list[dict[str, Any]] = [
    {"path": "/public/**", "allow": "anyone"},
    {"path": "/public/vault/**", "allow": {"groups": ["keepers"]}, "conceal": True},
    {"path": "/who", "allow": "anyone", "identify": True},
    {"path": "/**", "allow": "signed-in"},
    {"path": "/api/fixed", "allow": "signed-in", "form": "api"},
    {"path": "/api/reports/**", "allow": {"permission": "report:read"}},
    {"path": "/api/admin/**", "allow": {"groups": ["admins"], "fresh": "15m"}},
    {"path": "/admin/**", "allow": {"groups": ["admins"], "fresh": "15m"}},
    {"path": "/vault/**", "allow": {"groups": ["keepers"]}, "conceal": True},
    {"path": "/tokens/**", "allow": "signed-in", "accepts": ["bearer"]},
    {"path": "/tokens/reports/**", "allow": {"permission": "report:read"}, "accepts": ["bearer"]},
    {"path": "/tokens/admin/**", "allow": {"groups": ["admins"], "fresh": "15m"}, "accepts": ["bearer"]},
    {"path": "/machines/**", "allow": "signed-in", "accepts": ["basic"]},
    {"path": "/machines/printers/**", "allow": "signed-in", "accepts": ["basic"], "challenge": "basic"},
    {"path": "/api/strong/**", "allow": {"strength": "mfa"}},
    {"path": "/api/strong/keys", "allow": {"strength": "mfa", "fresh": "15m"}},
    {"path": "/strong/**", "allow": {"strength": "mfa", "fresh": "15m"}},
]
SITE = Site(
    origin="https://app.example.com",
    name="Sample club",
    rules=rules.load(RULES, PERMISSIONS),
    cors=Cors(
        origins=frozenset(("https://partner.example.org",)),
        methods=("GET", "HEAD", "POST", "PUT"),
        headers=("content-type",),
    ),
    authorization_servers=("https://issuer.example",),
)

# Enough to be a hash; how costly it is is tested elsewhere.
CHEAP = Parameters(type=Type.ID, version=19, salt_len=16, hash_len=16, time_cost=1, memory_cost=8, parallelism=1)
PEOPLE = {
    "anna": ("Anna Arden", "admins staff", "correct horse"),
    "bo": ("Bo Berg", "", "battery staple"),
    "dora": ("Dora Dent", "", "tables turned"),
}


FAILURES = {
    "/api/unreachable": UpstreamFailure(Reason.UPSTREAM_UNREACHABLE, "connection refused"),
    "/members/slow": UpstreamFailure(Reason.UPSTREAM_TIMEOUT, "60 s without an answer"),
}

PARAMETERS = {
    b"access-pending": b'; detail="The committee meets on Monday."',
    b"step-up-required": b"; max_age=30",
}


def says(path: str, person: str, fields: list[tuple[bytes, bytes]]) -> str | None:
    """What the site has to say at a path; None where there is no page."""
    names = [name.decode() for name, _ in fields if b"remote" in name.lower().replace(b"_", b"-")]
    pages = {
        "/public/": "public page",
        "/who": person or "nobody in particular",
        "/api/me": f"api for {person}",
        "/api/strong/me": f"strong api for {person}",
        "/api/whoami": f"remote fields: {', '.join(names) or 'none'}",
    }
    if path.endswith("/seen"):
        credentials = [value.decode() for name, value in fields if name in (b"authorization", b"cookie")]
        return f"{person or 'nobody'}, with {', '.join(credentials) or 'no credentials'}"
    return pages.get(path)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The site behind: plain text, and now and then a refusal of its own, or none at all."""
    path, passed = scope["path"], scope["demur"]
    if failure := FAILURES.get(path):
        raise failure
    fields = [(b"content-type", b"text/plain; charset=utf-8")]
    text = says(path, passed.allow.subject.name if passed.allow.subject else "", scope["headers"])
    if "/refuse/" in path:
        slug = path.rpartition("/")[2].encode()
        more = b'; acr_values="mfa phr"' if "/strength/" in path else PARAMETERS.get(slug, b"")
        fields, text = (
            [(b"demur-refuse", slug + more), (b"x-secret", b"1"), (b"etag", b'"1"')],
            "never seen",
        )
    await send({"type": "http.response.start", "status": 404 if text is None else 200, "headers": fields})
    await send({"type": "http.response.body", "body": (text or "the site has no such page").encode()})


@dataclass(slots=True)
class Club:
    """The site with everything that a surface needs, and its state."""

    guard: Guard
    pages: Pages
    store: Store
    keys: MemoryKeys
    people: Accounts
    throttle: Throttle

    @property
    def asgi(self) -> Demur:
        """The site behind the ASGI middleware."""
        return Demur(app, Surface(self.guard, self.pages, page.DEFAULT, idle=LIMITS.idle))

    async def aclose(self) -> None:
        """Let go of everything."""
        await self.guard.aclose()
        await self.store.aclose()
        await self.people.aclose()

    async def given(self, given: dict[str, str]) -> Tokens:
        """Bring about what a file's first lines say."""
        if given.get("attempts") == "exhausted":
            bo = await self.people.by_name("bo")
            assert bo is not None
            for _ in range(20):
                if await self.throttle.admit(bo.subject.id, "bo", network(PEER), NOW) is not None:
                    break
                await self.throttle.failed(bo.subject.id, "bo", network(PEER), NOW)
        return Tokens(await self._session(given), await self._token(given))

    async def _token(self, given: dict[str, str]) -> str:
        """An API token as it is given; "" for none."""
        kind = given.get("token")
        if kind is None:
            return ""
        if kind == "unknown":
            return sessions.mint_api_token(secrets.token_bytes(32), self.keys.ring().current)
        account = await self.people.by_name(given.get("person", "bo"))
        assert account is not None
        scopes = given["scopes"].split("+") if "scopes" in given else None
        tokens, made_at = ApiTokens(self.store, self.keys), NOW - 100 * DAY if kind == "expired" else NOW - 60
        made = await tokens.create(account.subject, label="golden", scopes=scopes, lasts=90 * DAY, now=made_at)
        if kind == "revoked":
            await tokens.revoke([made.session], NOW - 10)
        return made.text[:-7] if kind == "truncated" else made.text

    async def _session(self, given: dict[str, str]) -> str:
        """The token of a session as it is given; "" for none."""
        kind = given.get("session")
        if kind is None:
            return ""
        token = sessions.mint(secrets.token_bytes(32), self.keys.ring().current)
        if kind == "truncated":
            return token[:-7]
        if kind == "garbage":
            return "eyJhbGciOiJub25lIn0"
        if kind != "unknown" and given.get("store") != "down":
            account = await self.people.by_name(given.get("person", "bo"))
            assert account is not None
            await self._begin(kind, token, account.subject)
        return token

    async def _begin(self, kind: str, token: str, subject: Subject) -> None:
        began = {"old": NOW - 1200, "idle": NOW - 7200, "expired": NOW - LIMITS.absolute - 60}.get(kind, NOW - 60)
        session = Session(
            id=sessions.identify(token),
            subject=subject.id,
            issued_at=began,
            authenticated_at=began,
            last_seen=NOW - 120 if kind == "expired" else began,
            expires_at=began + LIMITS.absolute,
            idle=LIMITS.idle,
            acr="mfa" if kind == "strong" else "pwd",
        )
        await self.store.issue(session, subject)
        if kind in {"ended", "revoked"}:
            actor = Actor.SELF if kind == "ended" else Actor.ADMINISTRATOR
            await self.store.apply([End(session.id, Ending(kind), actor, NOW - 10)])
        if kind == "replaced":
            new = replace(session, id=sessions.identify(secrets.token_urlsafe()), authenticated_at=NOW - 1)
            await self.store.apply([Rotate(session.id, new, NOW - 1)])


async def add_people(folder: Path) -> None:
    """Make the club's accounts in a folder."""
    hasher, people = Argon2Hasher(CHEAP), accounts.open(f"sqlite:{folder / 'accounts.db'}")
    for name, (display_name, groups, password) in PEOPLE.items():
        hashed = await hasher.hash(password)
        await people.add(New(name, frozenset(groups.split()), display_name, "", hashed), by="golden")
    await people.disable("dora", by="golden")
    await people.aclose()
    hasher.close()


def build(folder: Path, *, down: bool) -> Club:
    """The club with the people of that folder. With `down` the session store is a file in a folder that cannot be."""
    store = stores.open(f"sqlite:{folder / 'accounts.db' / 'sessions.db'}" if down else "memory:")
    keys, hasher = MemoryKeys(), Argon2Hasher(CHEAP)
    people = accounts.open(f"sqlite:{folder / 'accounts.db'}")
    lives, throttle = Sessions(store, keys, LIMITS), Throttle(store)
    guard = Guard(SITE, store, keys, passwords=BasicPasswords(people, hasher, throttle), clock=lambda: NOW)
    pages = SignInPages(PasswordSignIn(people, hasher, throttle, lives), lives, page.DEFAULT, idle=LIMITS.idle)
    return Club(guard, Pages(guard, page.DEFAULT, pages.routes(), idle=LIMITS.idle), store, keys, people, throttle)
