"""The options of every adapter, by the same names, and the surface that they make.

What an app gives decides what demur does there: with `bridge` the app keeps its login, with `store` demur keeps the
sessions and has pages for them. What is forgotten or misspelled is an error at start, with its fix.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from demur.adapters.house import House
from demur.adapters.surface import Surface
from demur.core import asserted, page, rules
from demur.core.model import ConfigError, Scheme
from demur.core.sessions import NIST_AAL2
from demur.core.site import ANYWHERE, Cookie, Cors, Site
from demur.guard import Guard
from demur.pages.router import Pages
from demur.stores.agreement import AgreedKeys
from demur.stores.keys import FileKeys, MemoryKeys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from demur.core.model import Evidence
    from demur.core.ports import Keys, Observer, PasswordHasher, PasswordSource, People, Renderer, Store
    from demur.core.rules import Rules
    from demur.core.sessions import Limits
    from demur.core.site import Permits
    from demur.pages.router import Route
    from demur.signin.kept import KeptForms


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
    those of sessions; with `keep_forms` what somebody sends when theirs is over is kept for them, which takes an ASGI
    app and `people`. With `assertion` (True, or "audience" and "lifetime" in seconds) the app finds signed who asks,
    for further services (`Passed.assertion`). `prefix` is where demur's own pages are. What the app refuses in its own
    way is turned right unless `translates` is False.
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
    keep_forms: bool
    assertion: bool | Mapping[str, Any]
    cors: Cors
    renderer: Renderer
    observer: Observer
    clock: Callable[[], float]


def assemble(*, can_ask: bool = False, can_keep: bool = False, **given: Unpack[Options]) -> Surface:
    """The surface of an app. `can_ask` says whether the adapter can ask the app for a page of its own, which `conceal`
    needs, and `can_keep` whether it can keep what a refused request holds. Opens nothing yet. Raises ConfigError."""
    _known(given)
    bridge = given.get("bridge")
    if given.get("assertion") and bridge is not None:
        message = "Only where demur keeps the sessions does it keep keys to sign with who somebody is."
        raise ConfigError(message, place="options, assertion", fix="Remove it.")
    if given.get("keep_forms") and (bridge is not None or not can_keep):
        message = "Forms are kept in ASGI apps only, and where demur keeps the sessions."
        raise ConfigError(message, place="options, keep_forms", fix="Remove it.")
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

    said, asked = given["store"], given.get("keys", "keys")
    store = stores.open(said) if isinstance(said, str) else said
    keys = AgreedKeys(FileKeys(asked) if isinstance(asked, str) else asked, store)
    site = _asserting(site, keys, given)
    limits = given.get("limits", NIST_AAL2)
    people = _people(given, store)
    kept = _kept(store, given)
    routes, passwords = _sign_in(store, keys, people, limits, given, kept) if people is not None else ({}, None)
    look, house = given.get("renderer", page.DEFAULT), House(store, people, given.get("clock", time.time), keys)
    guard = Guard(
        site,
        store,
        keys,
        passwords=passwords,
        observer=given.get("observer"),
        clock=given.get("clock", time.time),
        house=house.keep,
    )
    pages = Pages(guard, look, routes, idle=limits.idle)
    ours = people if isinstance(given.get("people"), str) else None  # an app closes its own
    translates = given.get("translates", True)
    return Surface(guard, pages, look, idle=limits.idle, translates=translates, kept=kept, people=ours)


def _asserting(site: Site, keys: Keys, given: Options) -> Site:
    asked = given.get("assertion", False)
    if not asked:
        return site
    table = {} if asked is True else dict(asked)
    audience, lasts = table.pop("audience", None), table.pop("lifetime", asserted.LASTS)
    fix = f'Give assertion=True, or {{"audience": "…", "lifetime": {asserted.LASTS}}}.'
    if table or not isinstance(audience, str | None):
        what = f"there is no {next(iter(table))!r}" if table else f"{audience!r} is no audience"
        raise ConfigError(f"Of an assertion: {what}.", place="options, assertion", fix=fix)
    if type(lasts) is not int or not asserted.SHORTEST <= lasts <= asserted.LONGEST:
        message = f"An assertion lasts for {asserted.SHORTEST} to {asserted.LONGEST} seconds, and not for {lasts!r}."
        raise ConfigError(message, place="options, assertion", fix=fix)
    signing = _extra("demur.authenticators.assertions.signing", "assertions")
    return replace(site, assertions=signing.Assertions(keys, site.origin, audience=audience, lasts=lasts))


def _kept(store: Store, given: Options) -> KeptForms | None:
    if not given.get("keep_forms"):
        return None
    if "people" not in given:
        message = "A form is kept for its person, and nobody signs in here."
        raise ConfigError(message, place="options, keep_forms", fix="Give people=…, or remove it.")
    kept: KeptForms = _extra("demur.signin.kept", "sessions").KeptForms(store)
    return kept


def _people(given: Options, store: Store) -> People | None:
    people = given.get("people")
    if not isinstance(people, str):
        return people
    accounts = _extra("demur.accounts", "accounts")
    opened: People = accounts.open(people, store)
    return opened


def _sign_in(
    store: Store, keys: Keys, people: People, limits: Limits, given: Options, kept: KeptForms | None
) -> tuple[Mapping[str, Route], PasswordSource]:
    """The pages for signing in, and who knows names and passwords."""
    throttle = _extra("demur.authenticators.throttle", "sessions").Throttle(store)
    hasher = given.get("hasher") or _extra("demur.authenticators.password", "sessions").Argon2Hasher()
    basic, password, lives = (_extra(f"demur.signin.{name}", "sessions") for name in ("basic", "password", "sessions"))
    observer, sessions = given.get("observer"), lives.Sessions(store, keys, limits)
    mounted = _extra("demur.pages.table", "sessions").Mounted(
        store,
        sessions,
        password.PasswordSignIn(people, hasher, throttle, sessions, observer),
        hasher,
        given.get("renderer", page.DEFAULT),
        limits.idle,
        own=people if hasattr(people, "change_own_password") else None,
        kept=kept,
    )
    return mounted.routes(), basic.BasicPasswords(people, hasher, throttle, observer)


def _extra(module: str, extra: str) -> Any:  # noqa: ANN401 - a module
    """What is installed only where it is used. Raises ConfigError that names the extra."""
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("demur"):
            raise
        message = f"{missing.name} is not installed, which signing people in needs."
        fix = f'Run: pip install "demur[{extra}]"'
        raise ConfigError(message, place="options, people", fix=fix) from missing


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
        keep_forms=given.get("keep_forms", False),
        login=login,
        permits=given.get("permits"),
        bridged=bridged,
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
