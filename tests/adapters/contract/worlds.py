"""What is given to an app under test: the golden club's options, sessions of demur's own, or the app's own login."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.adapters.contract import views
from tests.golden.club import CHEAP, LIMITS, NOW, PERMISSIONS, SITE
from tests.golden.club import RULES as GOLDEN

import demur
from demur import stores
from demur.authenticators.password import Argon2Hasher
from demur.core import model, sessions
from demur.core.model import Actor, End, Ending, Session, Subject
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.golden.club import Club

Evidence: TypeAlias = "model.Evidence"

HASHER = Argon2Hasher(CHEAP)
ANNA = Subject("01920000-0000-7000-8000-00000000000a", "anna", frozenset(("staff", "admins")))
BO = Subject("01920000-0000-7000-8000-00000000000b", "bo")
ENDINGS = ("idle", "expired", "ended", "revoked")


def golden(club: Club) -> dict[str, Any]:
    """The golden club's site, in the words of the options that all adapters share."""
    return {
        "origin": SITE.origin,
        "name": SITE.name,
        "rules": GOLDEN,
        "permissions": PERMISSIONS,
        "cors": SITE.cors,
        "authorization_servers": SITE.authorization_servers,
        "limits": LIMITS,
        "store": club.store,
        "keys": club.keys,
        "people": club.people,
        "hasher": HASHER,
        "clock": lambda: NOW,
    }


def options(world: str, bridge: Any, folder: Path) -> dict[str, Any]:
    """What an app of a world is given. Its store, if it has one, is empty (see `fill`)."""
    if world == "plain":
        return {"bridge": bridge, "permissions": PERMISSIONS, "clock": lambda: NOW}
    given = {
        "origin": SITE.origin,
        "name": SITE.name,
        "rules": views.RULES,
        "permissions": PERMISSIONS,
        "cors": SITE.cors,
        "clock": lambda: NOW,
    }
    login = {"bridge": bridge, "login": f"{views.LOGIN}?next={{next}}", "cookie": "who"}
    if world == "login":
        return {**given, **login}
    if world in {"broken", "nonsense", "async"}:
        return {**given, **login, "bridge": {"broken": broken, "nonsense": nonsense, "async": later(bridge)}[world]}
    if world == "permits":
        del given["permissions"]
        return {
            **given,
            **login,
            "permits": lambda subject, permission, _: (subject.name, permission) == ("bo", "report:read"),
        }
    store = MemoryStore() if world == "sessions" else stores.open(f"sqlite:{folder / 'no' / 'sessions.db'}")
    return {**given, "store": store, "keys": MemoryKeys(), "limits": LIMITS}


async def fill(given: dict[str, Any]) -> dict[str, str]:
    """Sessions in every state, if there is a store that can keep them; the value of each one's cookie."""
    tokens = {
        name: sessions.mint(secrets.token_bytes(32), given["keys"].ring().current) for name in ("unknown", "live")
    }
    if not isinstance(given["store"], MemoryStore):
        return tokens
    for name in ("anna", "bo", "stale", *ENDINGS):
        tokens[name] = sessions.mint(secrets.token_bytes(32), given["keys"].ring().current)
        await _begin(given["store"], name, sessions.identify(tokens[name]))
    return tokens


async def _begin(store: MemoryStore, name: str, key: bytes) -> None:
    subject, began = ANNA if name == "anna" else BO, NOW - 60
    session = Session(key, subject.id, began, began, began, began + LIMITS.absolute, LIMITS.idle)
    if name in {"stale", "idle"}:
        session = replace(session, issued_at=NOW - 7200, authenticated_at=NOW - 7200, last_seen=NOW - 7200)
    if name == "stale":
        session = replace(session, last_seen=began)
    if name == "expired":
        session = replace(session, issued_at=NOW - LIMITS.absolute - 60, expires_at=NOW - 60)
    await store.issue(session, subject)
    if name in {"ended", "revoked"}:
        await store.apply([End(key, Ending(name), Actor.SELF, NOW - 10)])


# --- the app's own login -------------------------------------------------------------------------------


def evidence(who: str | None) -> Evidence:
    """What the app's own login knows of whoever sent its cookie. Anything else than these was never made by it."""
    views.COUNTER.asked += 1
    if who is None:
        return demur.nobody
    if who in ENDINGS:
        return demur.ended(who, NOW - 60)
    subject = ANNA if who == "anna" else BO
    if who not in {"anna", "bo", "stale", "suspended"}:
        return demur.unknown
    return demur.person(
        subject.id,
        subject.name,
        subject.groups,
        authenticated_at=NOW - 7200 if who == "stale" else NOW - 60,
        expires_at=NOW + 3600,
        suspended=who == "suspended",
    )


def broken(_: object) -> Evidence:
    """A bridge over which nobody gets."""
    raise ConnectionError("the table of users is not there")


def nonsense(_: object) -> Any:
    """A bridge that does not say anything."""
    return None


def later(bridge: Any) -> Any:
    """A bridge that has to wait for somebody else."""

    async def waits(request: Any) -> Evidence:
        await asyncio.sleep(0)
        found: Evidence = bridge(request)
        return found

    return waits
