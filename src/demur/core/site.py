"""A site: an origin, its rules, and how it speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demur.core.rules import Rules


@dataclass(frozen=True, slots=True)
class Cors:
    """Whom a site lets read its answers from elsewhere (Fetch, CORS protocol).

    `upstream` leaves preflights to the site itself; they are forwarded without credentials.
    """

    origins: frozenset[str] = frozenset()
    methods: tuple[str, ...] = ("GET", "HEAD", "POST")
    headers: tuple[str, ...] = ()
    credentials: bool = True
    max_age: int = 600
    upstream: bool = False


@dataclass(frozen=True, slots=True)
class Cookie:
    """The session cookie of a site. `__Host-` needs `secure`, the path `/` and no domain (rfc6265bis, 4.1.3.2)."""

    name: str = "__Host-demur"
    secure: bool = True


@dataclass(frozen=True, slots=True)
class Site:
    """One protection space (RFC 9110, 11.5): an origin, its rules, and how it speaks.

    `origin` is serialized as browsers do it: scheme, host, and the port unless it is the scheme's own.
    `prefix` is where demur's own pages live. `clear_site_data` is what signing out, and signing in as another
    person, takes away beside our own cookie. `keep_me_signed_in` lets people choose a cookie that outlives the
    browser's own session.
    """

    origin: str
    name: str
    rules: Rules
    prefix: str = "/.demur"
    cookie: Cookie = Cookie()
    cors: Cors = Cors()
    clear_site_data: tuple[str, ...] = ("cookies", "storage")
    keep_me_signed_in: bool = True
    help_url: str | None = None
