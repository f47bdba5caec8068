"""What a request carries for us, and what an answer challenges with.

- `Authorization` with an API token of ours, or of a scheme that the rule accepts, is judged and never falls back to
  the cookie. Any other `Authorization` is the site's own affair and passes untouched.
- "Clients MUST NOT use more than one method to transmit the token in each request" (RFC 6750, 2): of two we take none.
- A `Basic` challenge makes browsers put up a prompt of their own, on scripts' requests and images too. So it is an
  answer to `Basic` only, or, where a rule asks for it, to what bears no mark of a browser.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from demur.core import fields, sessions
from demur.core.model import Absent, Lookup, Malformed, Presented, Scheme, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.model import KeyRing, Request, Requirement
    from demur.core.site import Site

_NONE: frozenset[Scheme] = frozenset()
_OURS = sessions.TOKEN_PREFIX.encode("ascii")


def presented(site: Site, request: Request, requirement: Requirement, accepts: frozenset[Scheme]) -> Presented:
    """By which scheme a request identifies itself, and which challenges answer a refusal. `accepts` is what every
    reading of the path accepts, `requirement` that of the path as it is written."""
    used = scheme(site, request, accepts)
    challenges = [Scheme.COOKIE] if site.cookie.name else []
    if Scheme.BEARER in accepts:
        challenges.append(Scheme.BEARER)
    if used is Scheme.BASIC or (requirement.challenge_basic and _may_prompt(site, request)):
        challenges.append(Scheme.BASIC)
    if not challenges:
        # "The server generating a 401 response MUST send a WWW-Authenticate header field" (RFC 9110, 15.5.2), and this
        # is the one at which no browser puts up a prompt.
        challenges.append(Scheme.COOKIE)
    vary = (b"Origin", b"Sec-Fetch-Site") if requirement.challenge_basic else ()
    return Presented(used, tuple(challenges), vary)


def _may_prompt(site: Site, request: Request) -> bool:
    if not site.origin_of(request).startswith("https://"):
        return False
    return not any(name in {b"origin", b"cookie"} or name.startswith(b"sec-fetch-") for name, _ in request.fields)


def scheme(site: Site, request: Request, accepts: frozenset[Scheme]) -> Scheme | None:
    """By which scheme a request identifies itself; None if it does not."""
    for value in request.values(b"authorization"):
        if (found := _ours(value, accepts)) is not None:
            return found
    if not site.cookie.name:
        return None  # an app whose people come with tokens only
    sent = fields.cookie_values(request.values(b"cookie"), site.cookie.name.encode("ascii"))
    return Scheme.COOKIE if sent else None


def consumed(request: Request, accepts: frozenset[Scheme]) -> bool:
    """Whether `Authorization` is for us, so that the site must not get it."""
    return any(_ours(value, accepts) is not None for value in request.values(b"authorization"))


def read(
    site: Site, request: Request, ring: Callable[[], KeyRing], accepts: frozenset[Scheme] = _NONE
) -> Lookup | Absent | Malformed | Unreadable:
    """What the request carries for us. Two of a kind are none that we could choose between."""
    lines = request.values(b"authorization")
    ours = [found for value in lines if (found := _ours(value, accepts)) is not None]
    if ours:
        return Unreadable() if len(lines) > 1 else _authorization(lines[0], ours[0], ring, accepts)
    sent = fields.cookie_values(request.values(b"cookie"), site.cookie.name.encode("ascii"))
    if not sent:
        return Absent()
    return sessions.read(sent[0], ring()) if len(sent) == 1 else Malformed()


def _ours(value: bytes, accepts: frozenset[Scheme]) -> Scheme | None:
    # A tab is no separator there (RFC 9110, 11.4), but a token of ours behind one must not reach the site.
    word, _, rest = value.strip(b" \t").replace(b"\t", b" ").partition(b" ")
    name = word.lower()
    if name == b"bearer" and (Scheme.BEARER in accepts or rest.lstrip(b" ").startswith(_OURS)):
        return Scheme.BEARER
    return Scheme.BASIC if name == b"basic" and Scheme.BASIC in accepts else None


def _authorization(
    value: bytes, used: Scheme, ring: Callable[[], KeyRing], accepts: frozenset[Scheme]
) -> Lookup | Malformed | Unreadable:
    said = fields.credentials(value)
    if said is None or said.token68 is None:
        return Unreadable()
    if used is Scheme.BASIC:
        return _basic(said.token68)
    if Scheme.BEARER not in accepts:
        return Malformed()
    return sessions.read_api_token(said.token68.encode("ascii"), ring())


def _basic(token68: str) -> Lookup | Unreadable:
    """Name and password (RFC 7617, 2): "The user-id and password MUST NOT contain any control characters"."""
    try:
        decoded = base64.b64decode(token68, validate=True)
        text = decoded.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return Unreadable()
    if ":" not in text or any(ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 for each in text):
        return Unreadable()
    return Lookup(Scheme.BASIC, decoded)
