"""A yes, in the fields by which a proxy learns what the app is to get instead of the client's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demur.core import credentials, fields, identity
from demur.core.site import COOKIES

if TYPE_CHECKING:
    from demur.core.model import Allow, Fields, Request, Scheme
    from demur.gateway.check.question import Asked, Way

NO_STORE = (b"cache-control", b"no-store")
_GIVEN = (*identity.NAMES, b"cookie", b"authorization")
_COOKIES = tuple(name.encode("ascii") for name in COOKIES)


def yes(asked: Asked, allow: Allow, now: int, left: Fields, way: Way) -> Fields:
    """Who it is, what is `left` of the client's credentials, and last when the session ends."""
    site = asked.guard.site
    said = identity.told(site, allow, site.origin_of(asked.request), now)
    given = dict((*said, *left))
    lines = [(name, given.get(name, b"")) for name in _GIVEN if way.empty or name in given]
    if way.removes and (gone := [name for name in _GIVEN if name not in given]):
        lines.append((way.removes, b",".join(gone)))
    lines += [NO_STORE, (b"content-length", b"0"), *timing(allow, now)]
    return tuple(lines)


def timing(allow: Allow, now: int) -> Fields:
    """When the session ends, if there is one."""
    if allow.ends is None or allow.subject is None:
        return ()
    return ((b"server-timing", fields.session_timing(allow.ends, allow.subject.id, now)),)


def left(request: Request, accepts: frozenset[Scheme]) -> Fields:
    """What the site may see of the client's credentials: all but ours. No proxy can take one cookie out of many as we
    can, so each takes the whole field from here."""
    cookies = (fields.without_cookies(value, _COOKIES) for value in request.values(b"cookie"))
    cookie = b"; ".join(cookie for cookie in cookies if cookie)
    said = request.values(b"authorization")
    found = [(b"cookie", cookie)] if cookie else []
    if len(said) == 1 and not credentials.consumed(request, accepts):
        found.append((b"authorization", said[0]))
    return tuple(found)
