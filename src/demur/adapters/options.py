"""The options of every adapter, by the same names, and the surface that they make.

What an app gives decides what demur does there: with `bridge` the app keeps its login, with `store` demur keeps the
sessions and has pages for them. What is forgotten or misspelled is an error at start, with its fix.
"""

from __future__ import annotations

import re
import time
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from demur.adapters.surface import Surface
from demur.core import page, rules
from demur.core.model import ConfigError, Scheme
from demur.core.sessions import NIST_AAL2
from demur.core.site import ANYWHERE, Cookie, Cors, Site
from demur.guard import Guard
from demur.pages.router import Pages
from demur.stores.keys import FileKeys, MemoryKeys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from demur.core.model import Evidence
    from demur.core.ports import Keys, Observer, PasswordHasher, People, Renderer, Store
    from demur.core.rules import Rules
    from demur.core.sessions import Limits
    from demur.core.site import Permits
    from demur.pages.router import Route


_ORIGIN = re.compile(r"https?://(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::[1-9][0-9]*)?")
_LOOPBACK = re.compile(r"http://(?:localhost|[^/:]+\.localhost|127\.[0-9.]+|\[::1\])(?::|\Z)")


class Options(TypedDict, total=False):
    """What an adapter is given.

    `origin` is what browsers see, as "https://app.example.com"; with a bridge it may be left out, and hosts are the
    framework's affair. `rules` is the table; without it every view says by its mark who may open it, or, with a bridge,
    the app's own checks go on deciding. `permissions` maps a permission to groups, or `permits` says who holds one.
    `bridge` reads who somebody is from the framework's own request; `login` is the address of the app's own login, with
    `{next}` for the page to go back to, and `cookie` the name of the app's session cookie; `accepts` are schemes of
    `Authorization` ("bearer", "basic"). With `store` ("sqlite:sessions.db") demur keeps the sessions, for `people`
    ("sqlite:accounts.db", or a `People` over the app's own table), with the keys of the folder `keys`. `limits` are
    those of sessions, `prefix` is where demur's own pages are. What the app refuses in its own way is turned right
    unless `translates` is False.
    """

    origin: str
    insecure_http: bool
    name: str
    rules: Sequence[Mapping[str, Any]] | Rules
    permissions: Mapping[str, Sequence[str]]
    permits: Permits
    bridge: Callable[..., Evidence | Awaitable[Evidence]]
    login: str
    cookie: str
    accepts: Iterable[str]
    authorization_servers: Sequence[str]
    translates: bool
    prefix: str
    store: str | Store
    keys: str | Keys
    people: str | People
    hasher: PasswordHasher
    limits: Limits
    cors: Cors
    renderer: Renderer
    observer: Observer
    clock: Callable[[], float]


def assemble(*, can_ask: bool = False, **given: Unpack[Options]) -> Surface:
    """The surface of an app. `can_ask` says whether the adapter can ask the app for a page of its own, which `conceal`
    needs. Opens nothing yet. Raises ConfigError."""
    _known(given)
    bridge = given.get("bridge")
    if bridge is not None and "store" in given:
        message = "Either the app keeps its login (bridge), or demur keeps the sessions (store)."
        raise ConfigError(message, place="options", fix="Remove one of the two.")
    if bridge is None and "store" not in given:
        message = "Nobody says who is signed in."
        raise ConfigError(
            message, place="options", fix='Give bridge=… for the app\'s own login, or store="sqlite:sessions.db".'
        )
    site = _site(given, can_ask=can_ask)
    return _bridged(site, given) if bridge is not None else _with_sessions(site, given)


def _bridged(site: Site, given: Options) -> Surface:
    from demur.stores.memory import MemoryStore  # noqa: PLC0415 - load what is used

    look = given.get("renderer", page.DEFAULT)
    guard = Guard(
        site,
        MemoryStore(),  # nothing is kept there
        MemoryKeys(),
        observer=given.get("observer"),
        clock=given.get("clock", time.time),
        bridged=True,
    )
    translates = given.get("translates", True)
    return Surface(guard, Pages(guard, look, {}), look, bridge=given["bridge"], translates=translates)


def _with_sessions(site: Site, given: Options) -> Surface:
    from demur import stores  # noqa: PLC0415 - load what is used
    from demur.signin.basic import BasicPasswords  # noqa: PLC0415

    said, asked = given["store"], given.get("keys", "keys")
    store = stores.open(said) if isinstance(said, str) else said
    keys = FileKeys(asked) if isinstance(asked, str) else asked
    look, limits = given.get("renderer", page.DEFAULT), given.get("limits", NIST_AAL2)
    routes: Mapping[str, Route] = {}
    passwords = None
    if "people" in given:
        from demur.authenticators.throttle import Throttle  # noqa: PLC0415

        people, hasher, throttle = _people(given, store), _hasher(given), Throttle(store)
        passwords = BasicPasswords(people, hasher, throttle, given.get("observer"))
        routes = _routes(store, keys, people, hasher, throttle, limits, given)
    guard = Guard(
        site,
        store,
        keys,
        passwords=passwords,
        observer=given.get("observer"),
        clock=given.get("clock", time.time),
    )
    pages = Pages(guard, look, routes, idle=limits.idle)
    translates = given.get("translates", True)
    return Surface(guard, pages, look, idle=limits.idle, translates=translates)


def _people(given: Options, store: Store) -> People:
    people = given["people"]
    if not isinstance(people, str):
        return people
    from demur import accounts  # noqa: PLC0415 - load what is used

    return accounts.open(people, store)


def _hasher(given: Options) -> PasswordHasher:
    if "hasher" in given:
        return given["hasher"]
    from demur.authenticators.password import Argon2Hasher  # noqa: PLC0415 - load what is used

    return Argon2Hasher()


def _routes(
    store: Store,
    keys: Keys,
    people: People,
    hasher: PasswordHasher,
    throttle: Any,  # noqa: ANN401 - loaded where it is used
    limits: Limits,
    given: Options,
) -> Mapping[str, Route]:
    from demur.core.model import Access  # noqa: PLC0415
    from demur.pages.router import Route  # noqa: PLC0415
    from demur.pages.sessions import SessionsPage  # noqa: PLC0415
    from demur.pages.signin import SignInPages  # noqa: PLC0415
    from demur.signin.password import PasswordSignIn  # noqa: PLC0415
    from demur.signin.sessions import Sessions  # noqa: PLC0415

    look = given.get("renderer", page.DEFAULT)
    sessions, mine = Sessions(store, keys, limits), SessionsPage(store)
    sign_in = PasswordSignIn(people, hasher, throttle, sessions, given.get("observer"))
    return {
        **SignInPages(sign_in, sessions, look, idle=limits.idle).routes(),
        "sessions": Route(mine.get, mine.post, Access.REQUIRED),
    }


def _site(given: Options, *, can_ask: bool) -> Site:
    bridged = "bridge" in given
    origin = _origin(given, bridged=bridged)
    accepts = _accepts(given)
    login = given.get("login", "")
    if login and (not login.startswith("/") or login.startswith("//")):
        message = f"The address of the login, {login!r}, is no path on this site."
        raise ConfigError(message, place="options", fix='Write for example login="/login?next={next}".')
    return Site(
        origin=origin,
        name=given.get("name") or ("this site" if origin == ANYWHERE else origin.partition("://")[2]),
        rules=_rules(given, accepts, bridged=bridged, can_ask=can_ask),
        prefix=given.get("prefix", "/.demur"),
        cookie=_cookie(given, origin, bridged=bridged, tokens=Scheme.BEARER in accepts),
        cors=given.get("cors", Cors()),
        keep_forms=False,
        login=login,
        permits=given.get("permits"),
        authorization_servers=tuple(given.get("authorization_servers", ())),
    )


def _origin(given: Options, *, bridged: bool) -> str:
    origin = given.get("origin", ANYWHERE if bridged else "")
    fix = 'Give origin="https://app.example.com", as browsers see it.'
    if not origin:
        message = "The sessions are for one site, and nobody says which."
        raise ConfigError(message, place="options, origin", fix=fix)
    if origin != ANYWHERE and not _ORIGIN.fullmatch(origin):
        message = (
            f"{origin!r} is not an origin as browsers write it: scheme, host, and a port that is not the usual one."
        )
        raise ConfigError(message, place="options, origin", fix=fix)
    if not bridged and origin.startswith("http:") and not (_LOOPBACK.match(origin) or given.get("insecure_http")):
        message = f"Over {origin} everybody on the way can read the session."
        fix = "Write https, or insecure_http=True if nobody else can listen there."
        raise ConfigError(message, place="options, origin", fix=fix)
    return origin


def _accepts(given: Options) -> list[Scheme]:
    said = given.get("accepts", ())
    for each in said:
        if each not in ("bearer", "basic"):
            message = f"{each!r} is no scheme of Authorization that demur reads."
            raise ConfigError(message, place="options, accepts", fix='Write accepts=["bearer"] or ["basic"].')
    return [Scheme(each) for each in said]


def _cookie(given: Options, origin: str, *, bridged: bool, tokens: bool) -> Cookie:
    if bridged:
        # An API whose people come with tokens has no cookie to challenge for.
        return Cookie(given.get("cookie", "" if tokens and "login" not in given else "session"), secure=False)
    secure = origin.startswith("https://")
    return Cookie(given.get("cookie", "__Host-demur" if secure else "demur-dev"), secure=secure)


def _rules(given: Options, accepts: Sequence[Scheme], *, bridged: bool, can_ask: bool) -> Rules:
    table = given.get("rules")
    if table is None:
        table = [{"path": "/**", "allow": "app" if bridged else "marked"}]
    if isinstance(table, rules.Rules):
        return table
    asked = "permits" in given
    return rules.load(table, given.get("permissions"), can_ask=can_ask, accepts=accepts, views=True, asked=asked)


def _known(given: Options) -> None:
    for key in given:
        if key not in Options.__annotations__:
            near = get_close_matches(key, Options.__annotations__, n=1)
            fix = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(Options.__annotations__)}."
            message = f"Unknown option {key!r}."
            raise ConfigError(message, place="options", fix=fix)
