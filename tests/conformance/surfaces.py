"""The surfaces that the clauses are held against: each a running server, asked over a socket."""

from __future__ import annotations

import contextlib
import secrets
import socket
import sqlite3
import sys
import time
from dataclasses import dataclass, replace
from http.client import HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conformance.exchanges import (
    EXCHANGES,
    HOLDER,
    PASSWORD,
    PERSON,
    RULES,
    SITE,
    WITHOUT_STORE,
    Exchange,
    Seen,
)
from tests.ports import free_port
from tests.proxies.real import PROXIES, Stand, behind, configuration
from tests.proxies.recorder import ID, Recorder, Reply
from tests.site.houses import DEMUR, PHP, Process, run
from tests.site.settlers import settle
from tests.site.wire import Answer, Pairs, Tap, exchange

from demur import stores
from demur.core import sessions
from demur.core.model import Ending, Session
from demur.stores.keys import FileKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

SURFACES = ("asgi", "proxy", *PROXIES)
"""The middleware under a server that is not ours, our own proxy, and forward-auth behind each real proxy."""

_APP = Path(__file__).with_name("app.py")


@contextlib.contextmanager
def surface(name: str, folder: Path) -> Iterator[dict[str, Seen]]:
    """Everything that was asked of a surface, by name, with its answer."""
    with _stand(name, folder) as stand:
        yield _ask(stand)


@contextlib.contextmanager
def _stand(name: str, folder: Path) -> Iterator[Stand]:
    if name in PROXIES:
        with behind(name, folder, rules=RULES, site=SITE) as stand:
            yield stand
        return
    with Recorder() as upstream, contextlib.ExitStack() as stack:
        port = free_port()
        ports = {"app": upstream.address[1], "pages": port, "proxy": port, "check": free_port()}
        (folder / "demur.toml").write_text(configuration(ports, "http", SITE, RULES))
        tap = Tap(upstream.address)
        stack.callback(tap.close)
        serve = (*DEMUR, "serve", "--config", str(folder / "demur.toml"))
        under_uvicorn = (sys.executable, str(_APP), str(folder / "demur.toml"), str(port))
        gateway = Process(serve if name == "proxy" else under_uvicorn, folder, folder / "demur.log")
        stand = Stand(
            replace(PHP, people={PERSON: PASSWORD}),
            folder,
            port,
            tap,
            gateway,
            f"http://localhost:{port}",
            name=name,
            pages=port,
            check=ports["check"],
            proxy=gateway,
            upstream=upstream,
        )
        settle(folder, {PERSON: PASSWORD, HOLDER: "whatever it takes"}, {HOLDER: ("staff",)})
        stack.callback(gateway.stop)
        gateway.start(("127.0.0.1", port))
        yield stand


# --- what a world holds -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class World:
    """Tokens of sessions and API tokens, by the names that the exchanges use."""

    sessions: dict[str, str]
    tokens: dict[str, str]


def _world(stand: Stand) -> World:
    now = int(time.time())
    kept: dict[str, str] = {}
    for name in ("live", "second", "third"):
        kept[name] = stand.session(PERSON)[0]
    kept["stale"] = stand.session(PERSON, issued_at=now - 7200, authenticated_at=now - 7200)[0]
    kept["idle"] = stand.session(PERSON, issued_at=now - 7200, authenticated_at=now - 7200, last_seen=now - 7000)[0]
    kept["expired"] = stand.session(PERSON, issued_at=now - 90000, expires_at=now - 100, last_seen=now - 200)[0]
    for how in (Ending.ENDED, Ending.REVOKED, Ending.REPLACED):
        kept[how.value], session = stand.session(PERSON)
        stand.end(session, how)
    return World(kept, _tokens(stand, now))


def _tokens(stand: Stand, now: int) -> dict[str, str]:
    key = FileKeys(stand.folder / "keys").ring().current
    holder = stand.subject(HOLDER)
    kept = {}
    made = []
    for name in ("live", "narrow", "expired", "revoked"):
        kept[name] = sessions.mint_api_token(secrets.token_bytes(32), key)
        usual = Session(
            sessions.identify(kept[name]), holder.id, now - 60, now - 60, now - 60, now + 3600, 0, "token", kind="token"
        )
        if name == "narrow":
            usual = replace(usual, scopes=("report:write",))
        if name == "expired":
            usual = replace(usual, issued_at=now - 7200, expires_at=now - 3600)
        made.append(usual)

    async def keep() -> None:
        store = stores.open(f"sqlite:{stand.store_file}")
        for each in made:
            await store.issue(each, holder)
        await store.aclose()

    run(keep())
    stand.end(made[-1], Ending.REVOKED)
    return kept


# --- asking -----------------------------------------------------------------------------------------


def _ask(stand: Stand) -> dict[str, Seen]:
    world = _world(stand)
    answers = {each.name: _one(stand, each, world) for each in EXCHANGES}
    with _without_store(stand):
        deadline = time.monotonic() + 20
        while _one(stand, WITHOUT_STORE[0], world).answer.status == 200 and time.monotonic() < deadline:
            pass  # a cached yes may stand for 2 s
        return answers | {each.name: _one(stand, each, world) for each in WITHOUT_STORE}


@contextlib.contextmanager
def _without_store(stand: Stand) -> Iterator[None]:
    """While the sessions cannot be looked up."""
    with contextlib.closing(sqlite3.connect(stand.store_file, isolation_level=None)) as database:
        database.execute("ALTER TABLE session RENAME TO elsewhere")
        try:
            yield
        finally:
            database.execute("ALTER TABLE elsewhere RENAME TO session")


def _one(stand: Stand, asked: Exchange, world: World) -> Seen:
    id_ = secrets.token_hex(8)
    stand.upstream.reply(id_, Reply(fields=(("Content-Type", "text/plain"),)))
    fields: Pairs = [("Host", asked.host or stand.host), *asked.fields, (ID, id_)]
    fields += _credentials(stand, asked, world)
    if asked.method == "POST" and asked.target.startswith("/.demur/"):
        fields.append(("Origin", stand.origin))
    send = _held if asked.held else _sent
    answer = send(stand, asked, fields)
    for _ in range(1, asked.times):
        if answer.status == asked.until:
            break
        answer = send(stand, asked, fields)
    return Seen(asked, answer, len(stand.upstream.seen(id_)))


def _credentials(stand: Stand, asked: Exchange, world: World) -> Pairs:
    found: Pairs = []
    if asked.token:
        found.append(("Authorization", f"Bearer {world.tokens[asked.token]}"))
    if asked.session == "twice":
        live = world.sessions["live"]
        found.append(("Cookie", f"{stand.cookie}={live}; {stand.cookie}={live}"))
    elif asked.session:
        found.append(("Cookie", f"{stand.cookie}={world.sessions.get(asked.session, 'made-up')}"))
    return found


def _sent(stand: Stand, asked: Exchange, fields: Pairs) -> Answer:
    handshake = any(name.lower() == "upgrade" for name, _ in fields)
    if not handshake:
        return exchange(stand.address, asked.method, asked.target, fields, asked.body)
    lines = [f"{asked.method} {asked.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return _raw(stand, "\r\n".join(lines).encode("latin-1"), asked.method)


def _held(stand: Stand, asked: Exchange, fields: Pairs) -> Answer:
    """An answer to a body that was announced, and is never sent."""
    fields = [*fields, ("Content-Length", str(asked.held))]
    lines = [f"{asked.method} {asked.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return _raw(stand, "\r\n".join(lines).encode("latin-1"), asked.method)


def _raw(stand: Stand, head: bytes, method: str) -> Answer:
    """One answer, with what came before it (`100 Continue`) as a field of its own; status 0 if none comes."""
    with socket.create_connection(stand.address, timeout=5) as connection:
        connection.sendall(head)
        try:
            first = connection.recv(25, socket.MSG_PEEK)
        except TimeoutError:
            return Answer(0, [], b"")
        interim = [("x-interim", "100")] if first.startswith(b"HTTP/1.1 100") else []
        with HTTPResponse(connection, method=method) as response:
            try:
                response.begin()
            except TimeoutError:
                return Answer(0, interim, b"")
            came = [(name.lower(), value) for name, value in response.getheaders()]
            body = b"" if response.status == 101 else response.read()
            return Answer(response.status, [*came, *interim], body)
