"""A gateway put together from its configuration: the sites, the check for other proxies, the administration's numbers.

This is the one place that knows all the parts. It opens nothing: every part opens lazily, in the process and the event
loop that use it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from demur import accounts, stores
from demur.adapters import asgi
from demur.authenticators.password import DEFAULT_PRESET, Argon2Hasher
from demur.authenticators.throttle import Throttle
from demur.core import fields, identity, page, respond
from demur.core.model import ConfigError, Details, Refuse, Refused, StoreUnavailable
from demur.core.reasons import Reason
from demur.core.site import find
from demur.gateway.check import Check
from demur.gateway.config.others import KEYS_DIFFER
from demur.gateway.doctor import ticket
from demur.gateway.proxy.forward import Proxy
from demur.guard import Cache, Guard
from demur.observe import Both
from demur.observe.log import Log
from demur.observe.metrics import Metrics
from demur.pages.router import Pages
from demur.pages.table import Mounted
from demur.signin.basic import BasicPasswords
from demur.signin.kept import KeptForms
from demur.signin.password import PasswordSignIn
from demur.signin.sessions import Sessions
from demur.stores.agreement import AgreedKeys, KeysDiffer
from demur.stores.keys import FileKeys, MemoryKeys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from demur.accounts.people import Accounts
    from demur.adapters.asgi import App, Receive, Scope, Send
    from demur.core.model import Allow, Fields, Request
    from demur.core.ports import Observer, Renderer, Store, Verified
    from demur.core.site import Site
    from demur.gateway.config.tables import AssertionTable, Config, Timeouts
    from demur.gateway.config.tables import Gateway as Listening
    from demur.pages.router import Route

HOUSEKEEPING = 60.0
"""Seconds between two rounds of sweeping the store and delivering what accounts have to say."""

SOON = 1.0
"""Seconds until it is looked again whether the other nodes have the same keys, as long as that is not known."""

_MOST_HOSTS: Final = 1024

# Who is known is the same object each time, and what is told of them takes longer to write than to find.
_of_person = lru_cache(maxsize=1024)(identity.identity_fields)

_log = logging.getLogger("demur")
_RENDERER: Renderer = page.DEFAULT


@dataclass(frozen=True, slots=True)
class _Parts:
    """What all sites of a gateway share."""

    store: Store
    keys: AgreedKeys
    people: Accounts
    hasher: Argon2Hasher
    sessions: Sessions
    sign_in: PasswordSignIn
    passwords: BasicPasswords
    observer: Observer
    idle: int
    kept: KeptForms


class Gateway:
    """The ASGI apps of one worker: `public` for the sites, `check` for other proxies, `admin` for the numbers. `routes`
    are demur's own addresses on each site."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metrics = Metrics()
        self._log = Log(sys.stderr, human={"text": True, "json": False}.get(config.gateway.log))
        self._parts = _parts(config, Both(self._log, self.metrics))
        self.routes = _routes(self._parts)
        self._guards: list[Guard] = []
        self._cache = Cache(self._parts.store)
        self._proxies: list[Proxy] = []
        served = {
            site.origin: self._site(self._asserting(site, table.asserts), table.upstream, table.timeouts)
            for site, table in zip(config.sites(), config.site, strict=True)
        }
        trusted = Trusted(config.gateway)
        self.public: App = self.metrics.watch(Sites(served, trusted))
        self.check = Check(
            {guard.site.origin: guard for guard in self._guards},
            self._parts.keys,
            self._parts.store,
            _RENDERER,
            trusted=trusted.networks,
            idle=self._parts.idle,
        )
        self.admin: App = self._numbers
        self._agreeing: asyncio.Task[None] | None = None

    def _site(self, site: Site, upstream: str | None, timeouts: Timeouts) -> _Served:
        parts = self._parts
        guard = Guard(
            site, parts.store, parts.keys, passwords=parts.passwords, observer=parts.observer, cache=self._cache
        )
        self._guards.append(guard)
        pages = Pages(guard, _RENDERER, self.routes, idle=parts.idle)
        surface = asgi.Surface(guard, pages, _RENDERER, idle=parts.idle)
        return _Served(self._behind(upstream, timeouts, guard), surface, kept=parts.kept)

    def _asserting(self, site: Site, asserts: AssertionTable | None) -> Site:
        if asserts is None:
            return site
        from demur.authenticators.assertions.signing import Assertions  # noqa: PLC0415 - load what is used

        signer = Assertions(self._parts.keys, site.origin, audience=asserts.audience, lasts=asserts.lifetime)
        return replace(site, assertions=signer)

    def _behind(self, upstream: str | None, timeouts: Timeouts, guard: Guard) -> App:
        if upstream is None:
            return _no_upstream

        def told(request: Request, allow: Allow) -> Fields:
            if guard.site.assertions is None:
                return _of_person(allow.subject)
            try:
                return identity.told(guard.site, allow, guard.site.origin_of(request), int(guard.clock()))
            except StoreUnavailable as down:
                refuse = Refuse(Reason.UNAVAILABLE, Details(retry_after=down.retry_after))
                raise Refused(refuse.reason, decision=refuse) from down

        proxy = Proxy(upstream, connect=timeouts.connect, answer=timeouts.answer, told=told)
        self._proxies.append(proxy)
        return proxy

    async def _numbers(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] != "/metrics":
            response = respond.plain(404, b"Here are /metrics and nothing else.\n")
        else:
            self.check.short.tell()
            kind, body = await asyncio.to_thread(self.metrics.exposition)
            response = respond.plain(200, body, kind=kind.encode("ascii"))
        await asgi.answer(response, asgi.read(scope), scope, receive, send)

    async def begin(self) -> None:
        """Before anybody is served: see whether the other nodes on the store have the same keys, and from then on now
        and then. Raises ConfigError if they have others. Without the store nobody can tell, and what would hang on it
        is asked of the store."""
        try:
            await self._parts.keys.agree(int(time.time()))
        except KeysDiffer as differ:
            raise ConfigError(f"{differ.cause}.", place="sessions.keys", fix=KEYS_DIFFER) from None
        except StoreUnavailable as down:
            _log.warning("demur cannot see yet whether the other nodes have the same keys: %s", down.cause)
        self._agreeing = asyncio.create_task(self._keep_agreeing())

    async def _keep_agreeing(self) -> None:
        pause = HOUSEKEEPING if self._parts.keys.agreed else SOON
        while True:
            await asyncio.sleep(pause)
            pause = HOUSEKEEPING
            try:
                await self._parts.keys.agree(int(time.time()))
            except KeysDiffer as differ:
                _log.error("%s. %s", differ.cause, KEYS_DIFFER)
            except StoreUnavailable:
                pause = HOUSEKEEPING if self._parts.keys.agreed else SOON

    async def keep_house(self) -> None:
        """Until cancelled: tell the store what changed of people, turn what is over into tombstones, forget what is
        past. What cannot be done now is done in the next round."""
        while True:
            with contextlib.suppress(StoreUnavailable):
                await self._parts.people.deliver()
            with contextlib.suppress(StoreUnavailable):
                await self._parts.store.sweep(int(time.time()))
            await asyncio.sleep(HOUSEKEEPING)

    async def aclose(self) -> None:
        """Write what is still to be written, and let go of everything."""
        if self._agreeing is not None:
            self._agreeing.cancel()
            await asyncio.wait((self._agreeing,))
        for guard in self._guards:
            await guard.aclose()
        for proxy in self._proxies:
            await proxy.aclose()
        self._parts.hasher.close()
        await self._parts.people.aclose()
        await self._parts.store.aclose()
        self._log.close()


def build(config: Config) -> Gateway:
    """The gateway of a configuration. Raises ConfigError."""
    return Gateway(config)


def _parts(config: Config, observer: Observer) -> _Parts:
    store = stores.open(config.sessions.store)
    folder = config.sessions.key_folder
    keys = AgreedKeys(MemoryKeys() if folder is None else FileKeys(folder), store)
    people = accounts.open(config.accounts.database, store)
    hasher = Argon2Hasher(config.accounts.hashing or DEFAULT_PRESET)
    sessions = Sessions(store, keys, config.sessions.lasting)
    informed, throttle = _Informed(hasher, people), Throttle(store)
    sign_in = PasswordSignIn(people, informed, throttle, sessions, observer)
    passwords = BasicPasswords(people, informed, throttle, observer)
    idle = config.sessions.lasting.idle
    return _Parts(store, keys, people, hasher, sessions, sign_in, passwords, observer, idle, KeptForms(store))


class _Informed:
    """A hasher that knows, from the first password it checks, what other kinds of hashes were imported; otherwise the
    time that a wrong password takes would tell them apart."""

    def __init__(self, hasher: Argon2Hasher, people: Accounts) -> None:
        self._hasher = hasher
        self._people = people
        self._knows = False

    async def verify(self, password: str, encoded: str | None) -> Verified:
        """See `PasswordHasher.verify`."""
        if not self._knows:
            self._hasher.expect(await self._people.hash_samples())
            self._knows = True
        return await self._hasher.verify(password, encoded)

    async def hash(self, password: str) -> str:
        """See `PasswordHasher.hash`."""
        return await self._hasher.hash(password)


def _routes(parts: _Parts) -> Mapping[str, Route]:
    mounted = Mounted(
        parts.store,
        parts.sessions,
        parts.sign_in,
        parts.hasher,
        _RENDERER,
        parts.idle,
        own=parts.people,
        kept=parts.kept,
    )
    return mounted.routes()


class Trusted:
    """The proxies whose word about the client is believed."""

    def __init__(self, listening: Listening) -> None:
        self.networks: tuple[fields.Network, ...] = tuple(
            each for each in listening.trusted_proxies if not isinstance(each, str)
        )
        self._local = any(isinstance(each, str) for each in listening.trusted_proxies)
        self._anybody = bool(listening.trusted_proxies)

    def seen(self, scope: Scope) -> Scope | None:
        """A scope as if the browser had connected to us; None if no scope says what `believed` does."""
        if not self._anybody:
            return scope
        lines, given = scope["headers"], scope.get("client")
        try:
            said = fields.client(given[0] if given else "", tuple(lines), self.networks, trust_local=self._local)
        except ValueError:
            return None
        host, scheme = dict(lines).get(b"host", b""), said.scheme or scope["scheme"]
        # Whether a default port is named depends on the scheme, and there are two of those.
        if said.host not in {None, host.decode("latin-1")} or host.endswith((b":80", b":443")):
            return None
        return {**scope, "scheme": scheme, "client": (said.peer, 0)}

    def believed(self, request: Request) -> Request:
        """The request as the browser made it. Raises ValueError for what cannot be true."""
        said = fields.client(request.peer, request.fields, self.networks, trust_local=self._local)
        scheme = said.scheme or request.scheme
        host = request.host if said.host is None else said.host
        return replace(request, peer=said.peer, scheme=scheme, host=_without_default_port(host, scheme))


class _Served(asgi.Demur):
    """A site of the public listener: what its short way does not know is looked at there."""

    at_length: App

    async def _at_length(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.at_length(scope, receive, send)


class Sites:
    """The public listener: finds the site that a request is for."""

    def __init__(self, served: Mapping[str, _Served], trusted: Trusted) -> None:
        self._served = served
        self._trusted = trusted
        self._origins = tuple(served)
        self._any_of_them = next(iter(served.values()))
        self._by_host: dict[tuple[str, bytes | None], _Served] = {}
        for each in served.values():
            each.at_length = self._at_length

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Handle one connection: at a host that was asked for before, by the short way of its site."""
        seen = self._trusted.seen(scope) if scope["type"] == "http" else None
        if seen is not None:
            sent = dict(scope["headers"])
            demur = None if ticket.FIELD in sent else self._by_host.get((seen["scheme"], sent.get(b"host")))
            if demur is not None:
                return demur(seen, receive, send)
        return self._at_length(scope, receive, send)

    async def _at_length(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            return
        request = asgi.read(scope)
        refuse = asgi.unplaced(request)
        try:
            request = self._trusted.believed(request)
        except ValueError as wrong:
            refuse = Refuse(Reason.REQUEST_MALFORMED, Details(detail=str(wrong)))
            demur = None
        else:
            demur = find(self._served, f"{request.scheme}://{request.host}")
        if demur is not None:
            examined = ticket.refused(demur.guard, request)
            if examined is not None:
                await demur.answer(examined, request, scope, receive, send)
                return
            seen = self._trusted.seen(scope) if scope["type"] == "http" else None
            if seen is not None and asgi.read(seen) == request:
                scope = seen
                self._remember(request, demur)
            await demur.handle(request, scope, receive, send)
            return
        await self._any_of_them.turn_away(refuse, request, scope, receive, send, origins=self._origins)

    def _remember(self, request: Request, demur: _Served) -> None:
        if len(self._by_host) >= _MOST_HOSTS:
            self._by_host.clear()  # somebody asks at ever new hosts of a pattern
        self._by_host[(request.scheme, request.value(b"host"))] = demur


def _without_default_port(host: str, scheme: str) -> str:
    return host.removesuffix({"http": ":80", "https": ":443"}.get(scheme, "\0"))


async def _no_upstream(scope: Scope, receive: Receive, send: Send) -> None:
    """A site that only another proxy serves; its pages are here, and nothing else is."""
    body = b"This site is served by another proxy, which asks demur. Only demur's own pages are here.\n"
    await asgi.answer(respond.plain(404, body), asgi.read(scope), scope, receive, send)
