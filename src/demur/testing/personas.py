"""Who a client is in a test, and how a request comes to be theirs.

A request that carries the key of a persona is read as the browser of that person would have sent it, where every site
of this process begins to look at requests. Without such a key, and in a process that never asked for one, nothing is
looked at and nothing is different.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field, replace
from functools import wraps
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import WeakKeyDictionary

from demur.core import bridged, fields, sessions
from demur.core.model import Actor, End, Ending, Live, Response, Session, Subject
from demur.core.site import ANYWHERE, covers

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.model import Evidence, Request
    from demur.core.site import Site
    from demur.guard import Guard

How = Literal["nobody", "live", "idle", "expired", "ended", "revoked", "unknown"]

FIELD: Final = "Demur-Testing"
COOKIE: Final = "demur-testing"
DAY: Final = sessions.DAY
_SPACE: Final = uuid.UUID("7d5ab0e2-5a55-5a34-8d8c-6f0c9b2c1b11")


@dataclass(frozen=True, slots=True)
class Persona:
    """Who a client is in a test, and how things stand with their sign-in.

    `how` is "live", one of the ways in which a session ends ("idle", "expired", "ended", "revoked"), "unknown" for
    credentials that are not valid, or "nobody". `ago` is how many seconds ago they showed who they are. `permissions`
    are granted to this person, beside what their groups hold. `id` is made from the name unless it is given.
    """

    name: str = "alice"
    groups: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()
    id: str = ""
    ago: int = 0
    strength: str = "pwd"
    display_name: str = ""
    email: str = ""
    how: How = "live"


@dataclass(slots=True)
class _Entry:
    """A persona, and the cookie that it has at each site: None for none any more."""

    who: Persona
    tokens: WeakKeyDictionary[Guard, str | None] = field(default_factory=WeakKeyDictionary)


_known: dict[bytes, _Entry] = {}
_undo: list[Callable[[], None]] = []


def carried(who: Persona) -> tuple[str, str]:
    """The field, name and value, by which any client of this process is that persona from now on."""
    _arm()
    key = secrets.token_urlsafe(32)
    _known[_digest(key)] = _Entry(who)
    return FIELD, key


def forget(key: str | None = None) -> None:
    """Forget who has been named: the one of that key, or all; then nothing is different from without this module."""
    if key is not None:
        _known.pop(_digest(key), None)
    else:
        _known.clear()
    if not _known:
        _disarm()


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "replace")).digest()


def _entry(request: Request) -> _Entry | None:
    """Who a request is from, if a test of this process has said so."""
    keys = request.values(FIELD.lower().encode())
    keys += fields.cookie_values(request.values(b"cookie"), COOKIE.encode())
    return next((found for key in keys if (found := _known.get(_digest(key.decode("latin-1"))))), None)


def _at_home(site: Site, request: Request) -> Request:
    """The request, to the host of the site: test clients have one of their own."""
    scheme, _, home = site.origin.partition("://")
    if site.origin == ANYWHERE or covers(site.origin, f"{scheme}://{request.host}"):
        return request
    home = home.replace("*", "app")
    lines = tuple((name, home.encode() if name == b"host" else value) for name, value in request.fields)
    return replace(request, host=home, fields=lines)


async def _as_theirs(guard: Guard, request: Request) -> Request:
    """The request as the browser of the persona would have sent it. A cookie of its own goes before ours: it came with
    a later sign-in."""
    entry = _entry(request)
    if entry is None:
        return request
    request, name = _at_home(guard.site, request), guard.site.cookie.name.encode()
    if guard.bridged:
        return request if name or entry.who.how == "nobody" else _with_token(request)
    if fields.cookie_values(request.values(b"cookie"), name):
        return request
    if guard not in entry.tokens:
        entry.tokens[guard] = await _issue(guard, entry.who)
    token = entry.tokens[guard]
    if token is None:
        return request
    sent = [value for key, value in request.fields if key == b"cookie"]
    line = (b"cookie", b"; ".join([*sent, name + b"=" + token.encode()]))
    return replace(request, fields=(*(each for each in request.fields if each[0] != b"cookie"), line))


def _with_token(request: Request) -> Request:
    """The request with a token, of which the bridge says whose it is: an app without a cookie has no other way."""
    if request.value(b"authorization") is not None:
        return request
    return replace(request, fields=(*request.fields, (b"authorization", b"Bearer testing")))


async def _issue(guard: Guard, who: Persona) -> str | None:
    """The token of a session as it is described, in the store of the site."""
    if who.how == "nobody":
        return None
    token, now = sessions.mint(secrets.token_bytes(32), guard.keys.ring().current), int(guard.clock())
    if who.how == "unknown":
        return token
    session = _session(sessions.identify(token), who, now)
    await guard.store.issue(session, _subject(who, session.subject, now))
    if who.how in {"ended", "revoked"}:
        actor = Actor.SELF if who.how == "ended" else Actor.ADMINISTRATOR
        await guard.store.apply([End(session.id, Ending(who.how), actor, now)])
    return token


def _session(key: bytes, who: Persona, now: int) -> Session:
    limits = sessions.NIST_AAL2
    since = now - who.ago
    session = Session(
        id=key,
        subject=who.id or str(uuid.uuid5(_SPACE, who.name)),
        issued_at=since,
        authenticated_at=since,
        last_seen=now,
        expires_at=now + limits.absolute,
        idle=limits.idle,
        acr=who.strength,
    )
    if who.how == "idle":
        return replace(session, issued_at=since - 2 * limits.idle, last_seen=now - limits.idle - 1)
    if who.how == "expired":
        return replace(session, issued_at=since - limits.absolute, last_seen=now - 120, expires_at=now - 60)
    return session


def _subject(who: Persona, key: str, now: int) -> Subject:
    grants = tuple((permission, now + DAY) for permission in sorted(who.permissions))
    return Subject(key, who.name, who.groups, grants, display_name=who.display_name, email=who.email)


def _evidence(who: Persona, now: int) -> Evidence:
    """What a bridge would have said of the persona."""
    if who.how == "nobody":
        return bridged.nobody
    if who.how == "unknown":
        return bridged.unknown
    if who.how != "live":
        return bridged.ended(who.how, now - 60)
    live: Live = bridged.person(who.id or who.name, authenticated_at=now - who.ago, acr=who.strength)
    return replace(live, subject=_subject(who, live.subject.id, now))


def _note_cookie(guard: Guard, request: Request, response: Response) -> None:
    """Keep the cookie that one of our own pages sets: a client that talks http would drop it."""
    entry, name = _entry(request), guard.site.cookie.name.encode()
    for key, value in response.fields:
        if entry is not None and key == b"set-cookie" and fields.sets_cookie(value, (name,)):
            token = value.partition(b";")[0].partition(b"=")[2].decode()
            entry.tokens[guard] = token or None


def _arm() -> None:
    """Have every site of this process ask here first."""
    if _undo:
        return
    from demur.adapters.surface import Surface  # noqa: PLC0415 - what is tested has loaded it
    from demur.guard import Guard  # noqa: PLC0415
    from demur.pages.router import Pages  # noqa: PLC0415

    for owner, name, wrap in (
        (Surface, "misplaced", _placing),
        (Surface, "aenter", _asking),
        (Surface, "enter", _waiting),
        (Guard, "acheck", _asking),
        (Guard, "check", _waiting),
        (Guard, "ajudge", _ajudging),
        (Guard, "judge", _judging),
        (Pages, "answer", _answering),
    ):
        _replace(owner, name, wrap)


def _replace(owner: type, name: str, wrap: Callable[[Any], Any]) -> None:
    original = getattr(owner, name)
    setattr(owner, name, wraps(original)(wrap(original)))
    _undo.append(lambda: setattr(owner, name, original))


def _disarm() -> None:
    while _undo:
        _undo.pop()()


def _guard(owner: Any) -> Guard:  # noqa: ANN401 - a surface, pages, or a guard itself
    found: Guard = getattr(owner, "guard", None) or getattr(owner, "_guard", owner)
    return found


def _placing(original: Callable[..., Any]) -> Callable[..., Any]:
    def placed(self: Any, request: Request) -> Any:  # noqa: ANN401
        return original(self, _at_home(self.site, request) if _entry(request) else request)

    return placed


def _asking(original: Callable[..., Any]) -> Callable[..., Any]:
    async def asked(self: Any, request: Request, *rest: Any) -> Any:  # noqa: ANN401
        return await original(self, await _as_theirs(_guard(self), request), *rest)

    return asked


def _waiting(original: Callable[..., Any]) -> Callable[..., Any]:
    def asked(self: Any, request: Request, *rest: Any) -> Any:  # noqa: ANN401
        guard = _guard(self)
        if _entry(request) is not None:
            request = guard.portal.run(_as_theirs(guard, request))
        return original(self, request, *rest)

    return asked


def _answering(original: Callable[..., Any]) -> Callable[..., Any]:
    async def answered(self: Any, request: Request, *rest: Any) -> Any:  # noqa: ANN401
        guard = _guard(self)
        response = await original(self, await _as_theirs(guard, request), *rest)
        _note_cookie(guard, request, response)
        return response

    return answered


def _ajudging(original: Callable[..., Any]) -> Callable[..., Any]:
    async def judged(self: Guard, checked: Any, request: Request, *rest: Any, **given: Any) -> Any:  # noqa: ANN401
        request = await _as_theirs(self, request)
        return await original(self, checked, request, *rest, **_standing_in(self, request, given))

    return judged


def _judging(original: Callable[..., Any]) -> Callable[..., Any]:
    def judged(self: Guard, checked: Any, request: Request, *rest: Any, **given: Any) -> Any:  # noqa: ANN401
        if _entry(request) is not None:
            request = self.portal.run(_as_theirs(self, request))
        return original(self, checked, request, *rest, **_standing_in(self, request, given))

    return judged


def _standing_in(guard: Guard, request: Request, given: dict[str, Any]) -> dict[str, Any]:
    """What is given to judge, with the persona in the place of the bridge."""
    entry = _entry(request)
    if entry is None or not guard.bridged:
        return given
    return {**given, "who": lambda: _evidence(entry.who, int(guard.clock()))}
