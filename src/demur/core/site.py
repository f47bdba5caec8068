"""A site: an origin, its rules, and how it speaks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from demur.core.model import Request, Subject
    from demur.core.ports import Asserter
    from demur.core.rules import Rules

    Permits: TypeAlias = Callable[[Subject, str, Mapping[str, str]], bool]

T = TypeVar("T")

ANYWHERE = "*"
"""The origin of a site that is served wherever its framework says."""

COOKIES = ("__Host-demur", "__Secure-demur", "demur-dev")
"""All names that a session cookie of ours has by itself: none of them is an app's, whichever its site has now."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_BELOW = re.compile(rf"(https?://){_LABEL}(\.[a-z0-9_.:-]+)")


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
    """The session cookie of a site. `__Host-` needs `secure`, the path `/` and no domain (rfc6265bis, 4.1.3.2).

    With a `domain`, every host below it gets the cookie; the name then begins with `__Secure-`.
    """

    name: str = "__Host-demur"
    secure: bool = True
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """One protection space (RFC 9110, 11.5): an origin, its rules, and how it speaks.

    `origin` is serialized as browsers do it: scheme, host, and the port unless it is the scheme's own. Its host may
    begin with `*.`, for any one label in that place; `origin_of` tells which one a request is for.
    `sign_in_origin` is where people sign in, if that is not the site itself; `relatives` are the origins that share
    this sign-in, themselves perhaps with `*.`. `authorization_servers` are issuers of tokens, for RFC 9728's metadata.
    `prefix` is where demur's own pages live. `clear_site_data` is what signing out, and signing in as another
    person, takes away beside our own cookie. `keep_me_signed_in` lets people choose a cookie that outlives the
    browser's own session. `keep_forms` keeps what somebody sent when their session was over (`core.kept`), but for the
    fields whose names contain one of `never_keep`, or say by themselves that they are secret.

    An app with a login of its own says by `login` where that is: a path, in which `{next}` stands for the page to go
    back to; without it, nobody knows where (`bridged`). `permits` is its own function of a person, a permission and
    what the path captured. The origin `*` is whichever one a request is for, where something else sees to it that only
    hosts of the site get here. `assertions` tells the app who somebody is once more, signed, where the site wants that.
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
    sign_in_origin: str = ""
    relatives: tuple[str, ...] = ()
    authorization_servers: tuple[str, ...] = ()
    keep_forms: bool = True
    never_keep: tuple[str, ...] = ()
    login: str = ""
    permits: Permits | None = None
    bridged: bool = False
    assertions: Asserter | None = None

    @property
    def own_login(self) -> bool:
        """Whether people sign in at the app's own login, and no page of ours can do it."""
        return self.bridged or bool(self.login)

    @property
    def by_method(self) -> bool:
        """Whether a request is let through because of its method, so that nothing may change it behind us: a rule has
        methods, or preflights are the site's."""
        return self.cors.upstream or any(rule.methods is not None for rule in self.rules.all)

    def origin_of(self, request: Request) -> str:
        """The origin that a request of this site is for, serialized."""
        if self.origin == ANYWHERE:
            return f"{request.scheme}://{request.host}"
        scheme, wildcard, _ = self.origin.partition("://*.")
        return f"{scheme}://{request.host}" if wildcard else self.origin

    def sign_in_url(self) -> str:
        """Where the sign-in form goes: a path where people sign in on this site, else an absolute URL; "" if an app has
        a login of its own and does not say where."""
        if self.own_login:
            return self.login.partition("?")[0]
        return f"{self.sign_in_origin}{self.prefix}/sign-in"

    def login_url(self, next_: str) -> str:
        """The address of the app's own login that leads back to a page of this site."""
        return self.login.replace("{next}", quote(next_, safe="/"))

    def is_related(self, origin: str) -> bool:
        """Whether an origin shares this site's sign-in."""
        return any(covers(relative, origin) for relative in self.relatives)


def covers(pattern: str, origin: str) -> bool:
    """Whether an origin is the one of a pattern, in which `*.` stands for exactly one label."""
    if "://*." not in pattern:
        return pattern in (origin, ANYWHERE)
    return _pattern(origin) == pattern


def find(served: Mapping[str, T], origin: str) -> T | None:
    """What is served at an origin, of all that is by origin or pattern: the exact one, else that of any one label.
    Costs the same for however many hosts somebody makes up."""
    if "*" in origin:
        return None  # somebody sent a pattern for a host
    exact = served.get(origin)
    return exact if exact is not None else served.get(_pattern(origin))


def _pattern(origin: str) -> str:
    """The pattern that covers an origin, "" if none could."""
    match = _BELOW.fullmatch(origin)
    return f"{match[1]}*{match[2]}" if match else ""
