"""What stays open ends with whoever opened it: WebSockets and streams of events, message by message."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.core.support import NOW, TABLE, make_site

from demur.adapters.asgi import Demur, Surface, streams, watch
from demur.core import page
from demur.core.model import (
    Actor,
    End,
    Ending,
    Live,
    Rotate,
    Session,
    StoreUnavailable,
    Subject,
    Throttled,
    Touch,
    Unknown,
)
from demur.core.sessions import identify, mint, mint_api_token
from demur.guard import Guard
from demur.pages.router import Pages
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from demur.core.model import Evidence
    from demur.core.ports import Decided

SITE = make_site([*TABLE, {"path": "/machines/**", "allow": "signed-in", "accepts": ["bearer", "basic"]}])
BO = Subject("0192-bo", "bo", frozenset(("staff", "admins")), grants=(("report:read", NOW + 600),))
PLENTY = 20
"""Seconds that nothing takes; only a test that fails waits for so long."""
EVENTS = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"text/event-stream")]}
ACCEPT = {"type": "websocket.accept", "headers": []}


def body(data: bytes, *, more: bool = True) -> dict[str, Any]:
    """A piece of an answer."""
    return {"type": "http.response.body", "body": data, "more_body": more}


class Store(MemoryStore):
    """Counts what is looked up, and is away when it is told so."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[int] = []
        self.fault: Exception | None = None
        self.deaf: Exception | None = None
        self.asked = asyncio.Event()

    async def load(self, ids: Sequence[bytes]) -> Any:
        self.asked.set()
        if self.fault is not None:
            raise self.fault
        self.loads.append(len(ids))
        return await super().load(ids)

    def changes(self) -> Any:
        return Deaf(self.deaf) if self.deaf is not None else super().changes()


class Deaf:
    """Fails whoever wants to hear what changes."""

    def __init__(self, fault: Exception) -> None:
        self._fault = fault

    def __aiter__(self) -> Deaf:
        return self

    async def __anext__(self) -> Any:
        raise self._fault


@dataclass
class Clock:
    """Stands still, until it is set going from a moment on."""

    start: float = float(NOW)
    since: float | None = None

    def __call__(self) -> float:
        return self.start if self.since is None else self.start + asyncio.get_running_loop().time() - self.since

    def go(self, start: float) -> None:
        self.start, self.since = start, asyncio.get_running_loop().time()


@dataclass
class Client:
    """One client: what it is sent, and what it sends. `reads` is cleared for one that does not read."""

    sent: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    sends: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    async def send(self, message: Any) -> None:
        """What the server does with a message."""
        await self.reads.wait()
        if self.aborted.is_set():
            raise ConnectionResetError
        await self.sent.put(dict(message))
        last = message["type"] == "http.response.body" and not message.get("more_body")
        if last or message["type"] == "websocket.close":
            await self.sends.put({"type": message["type"].partition(".")[0] + ".disconnect", "code": 1005})

    def abort(self) -> None:
        self.aborted.set()
        self.reads.set()

    async def next(self) -> dict[str, Any]:
        """The next message that comes."""
        async with asyncio.timeout(PLENTY):
            return await self.sent.get()

    async def done(self) -> None:
        """Until the app is."""
        assert self.task is not None
        async with asyncio.timeout(PLENTY):
            await self.task


class Bench:
    """A site whose app is given by each test. `password` is what a name and a password turn out to be."""

    def __init__(self) -> None:
        self.store, self.keys, self.clock = Store(), MemoryKeys(), Clock()
        self.noted: list[Decided] = []
        self.guard = Guard(SITE, self.store, self.keys, passwords=self, observer=self, clock=self.clock)
        self.password: Evidence = Live(Session(b"made up", BO.id, NOW, NOW, NOW, NOW + 60, idle=0), BO)
        self.clients: list[Client] = []
        self.app: Any = None
        self.failed: list[BaseException] = []
        self.demur = Demur(self._app, Surface(self.guard, Pages(self.guard, page.DEFAULT, {}), page.DEFAULT))
        self.letter = 0

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    def decided(self, decided: Decided) -> None:
        self.noted.append(decided)

    def signed_in(self, method: str, outcome: str) -> None:
        raise AssertionError

    async def load(self, credentials: bytes, peer: str, now: int) -> Evidence:
        if isinstance(self.password, Live):
            return replace(self.password, session=replace(self.password.session, expires_at=now + 60))
        return self.password

    async def cookie(self) -> tuple[bytes, bytes]:
        """Sign in; the cookie."""
        self.letter += 1
        token = mint(bytes((self.letter,)) * 32, self.keys.ring().current)
        await self.store.issue(Session(identify(token), BO.id, NOW, NOW, NOW, NOW + 86400, idle=3600), BO)
        return (b"cookie", b"__Host-demur=" + token.encode())

    async def open(
        self, kind: str, target: str = "/members/", *, cookie: tuple[bytes, bytes] | None = None, method: str = "GET"
    ) -> Client:
        """Ask for something that stays open, with a cookie or another field that says who it is."""
        client = Client()
        client.reads.set()
        self.clients.append(client)
        lines = [(b"host", b"app.example.com"), cookie or await self.cookie()]
        if kind == "websocket":
            lines += [(b"origin", b"https://app.example.com"), (b"upgrade", b"websocket")]
        scope = {
            "type": kind, "method": method, "path": target, "raw_path": target.encode(), "query_string": b"",
            "scheme": "wss" if kind == "websocket" else "https", "headers": lines, "client": ("192.0.2.1", 5),
            "extensions": {"demur.abort": {"call": client.abort}},
        }  # fmt: skip
        client.task = asyncio.create_task(self.demur(scope, client.sends.get, client.send))
        return client

    async def end(self, how: Ending = Ending.ENDED) -> None:
        """End every session."""
        await self.store.end_all(BO.id, how, Actor.SYSTEM, NOW)

    async def looks(self, count: int) -> None:
        """Until the store was asked so often, and no more."""
        async with asyncio.timeout(PLENTY):
            while len(self.store.loads) < count:
                self.store.asked.clear()
                await self.store.asked.wait()
        assert len(self.store.loads) == count

    async def touch(self, last: int) -> None:
        """Be seen, again and again until then. Nobody is told of that."""
        (session,) = await self.store.sessions(BO.id)
        await self.store.apply([Touch(session.id, at) for at in [*range(NOW, last, 1800), last]])

    async def stir(self) -> None:
        """Let somebody else change, so that whoever watches looks at the clock."""
        self.letter += 1
        await self.store.publish(Subject("0193-eve", "eve", version=self.letter))

    async def rotate(self) -> None:
        for number, old in enumerate(await self.store.sessions(BO.id)):
            await self.store.apply([Rotate(old.id, replace(old, id=bytes((200 + number,)) * 32), NOW)])

    async def publish(self, **changes: Any) -> None:
        await self.store.publish(replace(BO, version=BO.version + 1, **changes))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A site, and nothing that runs on afterwards."""
    made = Bench()
    yield made
    for client in made.clients:
        if client.task is not None:
            client.task.cancel()
            await asyncio.gather(client.task, return_exceptions=True)
    # Whatever watched is told to stop with the last that it watched, and stops at once.
    while any("watch" in str(task.get_coro()) for task in asyncio.all_tasks()):
        await asyncio.sleep(0)


def holding(*messages: Any, until: str = "disconnect") -> Callable[..., Any]:
    """An app that says something and then listens until it hears of the end."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
        while not (await receive())["type"].endswith(until):
            pass

    return app


CHANGES: list[tuple[str, str, Any, int, str]] = [
    ("signed out", "/members/", lambda bench: bench.end(), 3000, "session-ended"),
    ("ended by others", "/members/", lambda bench: bench.end(Ending.REVOKED), 3000, "session-revoked"),
    ("confirmed", "/members/", lambda bench: bench.rotate(), 3000, "session-replaced"),
    ("suspended", "/members/", lambda bench: bench.publish(suspended=True), 3000, "session-revoked"),
    ("left the group", "/staff/", lambda bench: bench.publish(groups=frozenset()), 3003, "not-permitted"),
    ("lost the grant", "/reports/", lambda bench: bench.publish(grants=()), 3003, "not-permitted"),
    ("signed out where anybody may be", "/who", lambda bench: bench.end(), 3000, "session-ended"),
    ("left, concealed", "/inner/vault/", lambda bench: bench.publish(groups=frozenset()), 3003, "not-permitted"),
    ("signed out, concealed", "/open/vault/", lambda bench: bench.end(), 3000, "session-ended"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "target", "change", "code", "reason"), CHANGES, ids=[row[0] for row in CHANGES])
async def test_what_ends_it(bench: Bench, what: str, target: str, change: Any, code: int, reason: str) -> None:
    """A WebSocket is closed with a code and the reason, a stream of events gets the problem, at once and only once."""
    cookie = await bench.cookie()
    bench.app = holding(ACCEPT, {"type": "websocket.send", "text": "x"})
    chat = await bench.open("websocket", target, cookie=cookie)
    assert [(await chat.next())["type"] for _ in range(2)] == ["websocket.accept", "websocket.send"]
    bench.app = holding(EVENTS, body(b"data: x\n\n"))
    news = await bench.open("http", target, cookie=cookie)
    assert [(await news.next())["type"] for _ in range(2)] == ["http.response.start", "http.response.body"]

    await change(bench)
    assert await chat.next() == {"type": "websocket.close", "code": code, "reason": reason}
    last = await news.next()
    name, data, *rest = last["body"].split(b"\n")
    assert (name, rest, last["more_body"]) == (b"event: demur", [b"", b""], False)
    problem = json.loads(data.removeprefix(b"data: "))
    assert problem["reason"] == reason
    assert problem["type"].endswith(f"/{reason}")
    assert "processed" not in problem
    await chat.done()
    await news.done()
    assert chat.sent.empty()
    assert news.sent.empty()
    ends = [note for note in bench.noted if note.outcome == "refuse"]
    assert [note.reason.value for note in ends if note.reason] == [reason, reason]


@pytest.mark.parametrize(
    ("how", "at", "code", "reason"),
    [(Ending.REVOKED, NOW, 3000, "token-revoked"), (None, NOW + 100, 3008, "token-expired")],
)
async def test_a_token_ends_it(bench: Bench, how: Ending | None, at: int, code: int, reason: str) -> None:
    """What a program has opened with an API token ends with the token."""
    bench.app = holding(ACCEPT)
    token = mint_api_token(b"t" * 32, bench.keys.ring().current)
    await bench.store.issue(Session(identify(token), BO.id, NOW, NOW, NOW, NOW + 100, idle=0, kind="token"), BO)
    chat = await bench.open("websocket", "/machines/", cookie=(b"authorization", b"Bearer " + token.encode()))
    await chat.next()
    await bench.looks(2)
    if how is not None:
        await bench.store.apply([End(identify(token), how, Actor.SELF, NOW)])
    bench.clock.start = at
    await bench.stir()
    assert await chat.next() == {"type": "websocket.close", "code": code, "reason": reason}


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (None, None),
        (Throttled(9), None),  # nobody has looked at the password
        (Unknown(), "credentials-invalid"),
        (
            Live(Session(b"made up", BO.id, NOW, NOW, NOW, NOW + 60, idle=0), replace(BO, suspended=True)),
            "session-revoked",
        ),
    ],
)
async def test_a_password_ends_it(bench: Bench, evidence: Evidence | None, reason: str | None) -> None:
    """What was opened with a name and a password ends when these are good no longer. The session that was made up for
    the request is not looked for."""
    bench.app = holding(ACCEPT)
    chat = await bench.open("websocket", "/machines/", cookie=(b"authorization", b"Basic Ym86eA=="))
    await chat.next()
    if evidence is not None:
        bench.password = evidence
    bench.clock.start = NOW + 61
    await bench.publish(display_name="Bo")
    await bench.stir()
    if reason is None:
        while not bench.demur.watch._here or not all(each.until > NOW + 61 for each in bench.demur.watch._here.open):
            await asyncio.sleep(0)
        assert chat.sent.empty()
        return
    closed = await chat.next()
    assert (closed["code"], closed["reason"]) == (3000, reason)


@pytest.mark.parametrize(
    ("target", "used", "limit", "code", "reason"),
    [
        ("/members/", 0, NOW + 3600, 3008, "session-idle"),
        ("/members/", 86000, NOW + 86400, 3008, "session-expired"),
        ("/reports/", 0, NOW + 600, 3003, "not-permitted"),
    ],
)
async def test_limits_are_known_beforehand(
    bench: Bench, target: str, used: int, limit: int, code: int, reason: str
) -> None:
    """Where time alone ends it, nobody has to tell: it is looked at when the time has come."""
    bench.app = holding(ACCEPT)
    chat = await bench.open("websocket", target)
    await chat.next()
    await bench.looks(2)
    await bench.touch(NOW + used)
    bench.clock.go(limit - 0.05)
    await bench.stir()
    closed = await chat.next()
    assert (closed["code"], closed["reason"]) == (code, reason)
    assert bench.clock() >= limit


async def test_being_seen_puts_it_off(bench: Bench) -> None:
    """A limit that was known when it was opened is looked at again, not held against it."""
    bench.app = holding(ACCEPT)
    chat = await bench.open("websocket")
    await chat.next()
    await bench.looks(2)
    await bench.touch(NOW + 3000)
    bench.clock.start = NOW + 3600
    await bench.stir()
    await bench.looks(3)
    bench.clock.start = NOW + 6599
    await bench.stir()
    bench.clock.start = NOW + 6600
    await bench.stir()
    assert (await chat.next())["reason"] == "session-idle"
    await bench.looks(4)


async def test_one_look_for_all(bench: Bench) -> None:
    """Many open streams cost a read for each person when they are opened, one for all of them then and whenever
    something changes, and none while nothing does."""
    bench.app = holding(ACCEPT)
    cookies = [await bench.cookie() for _ in range(3)]
    many = [await bench.open("websocket", cookie=cookies[number % 3]) for number in range(90)]
    for client in many:
        assert (await client.next())["type"] == "websocket.accept"
    await bench.looks(4)
    assert bench.store.loads == [1, 1, 1, 3]
    (session, *_) = await bench.store.sessions(BO.id)
    await bench.store.apply([End(session.id, Ending.ENDED, Actor.SELF, NOW)])
    for client in many[2::3]:
        assert (await client.next())["code"] == 3000
    assert bench.store.loads == [1, 1, 1, 3, 1]
    assert all(client.sent.empty() for client in many)


async def test_other_peoples_changes_cost_nothing(bench: Bench) -> None:
    """A look is taken where something may have changed, not wherever anything did."""
    bench.app = holding(ACCEPT)
    chat = await bench.open("websocket")
    await chat.next()
    other = Subject("0193-eve", "eve")
    await bench.store.issue(Session(b"e" * 32, other.id, NOW, NOW, NOW, NOW + 86400, idle=3600), other)
    await bench.looks(2)
    await bench.store.end_all(other.id, Ending.ENDED, Actor.SELF, NOW)
    await bench.stir()
    await bench.publish(display_name="Bo")
    await bench.looks(3)
    assert chat.sent.empty()


async def test_a_store_that_is_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody can see, it goes on; as soon as somebody can, it ends if it has to."""
    monkeypatch.setattr(watch, "AGAIN", 0.0)
    bench.app = holding(ACCEPT)
    chat = await bench.open("websocket")
    await chat.next()
    bench.store.fault = StoreUnavailable("away")
    await bench.end()
    for _ in range(3):
        bench.store.asked.clear()
        async with asyncio.timeout(PLENTY):
            await bench.store.asked.wait()
    assert chat.sent.empty()
    bench.store.fault = None
    assert (await chat.next())["code"] == 3000


@pytest.mark.parametrize("fault", [StoreUnavailable("away", 7), KeyError("a fault of ours")])
async def test_nothing_goes_on_unseen_for_ever(bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    """After a while without sight what is open ends, as our own failure: nobody is told to sign in."""
    monkeypatch.setattr(watch, "AGAIN", 0.0)
    monkeypatch.setattr(watch, "BLIND", 0.2)
    cookie = await bench.cookie()
    bench.app = holding(ACCEPT)
    chat = await bench.open("websocket", cookie=cookie)
    await chat.next()
    bench.app = holding(EVENTS)
    news = await bench.open("http", cookie=cookie)
    await news.next()
    bench.store.fault = fault
    await bench.publish(display_name="Bo")
    assert await chat.next() == {"type": "websocket.close", "code": 1013, "reason": "unavailable"}
    assert b'"reason":"unavailable"' in (await news.next())["body"]


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), KeyError("a fault of ours")])
async def test_who_does_not_hear_looks(bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    """If the store cannot tell what changes, everything is looked at again and again."""
    monkeypatch.setattr(watch, "AGAIN", 0.0)
    bench.store.deaf = fault
    bench.app = holding(ACCEPT)
    chat = await bench.open("websocket")
    await chat.next()
    await bench.end()
    assert (await chat.next())["reason"] == "session-ended"


async def test_everything_is_looked_at_now_and_then(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even what nobody told of is found."""
    monkeypatch.setattr(watch, "ALL", 0.1)
    bench.app = holding(ACCEPT)
    chat = await bench.open("websocket")
    await chat.next()
    await bench.looks(2)
    bench.store._feeds.clear()
    await bench.end()
    assert (await chat.next())["reason"] == "session-ended"


async def test_one_loop_beside_another(bench: Bench) -> None:
    """Each event loop watches what was opened in it, be it with the same middleware and at the same time."""

    async def visit() -> int:
        chat = await bench.open("websocket")
        await chat.next()
        await bench.end()
        code: int = (await chat.next())["code"]
        await chat.done()
        return code

    bench.app = holding(ACCEPT)
    chat = await bench.open("websocket")
    await chat.next()
    await bench.looks(2)
    async with asyncio.timeout(PLENTY):
        assert await asyncio.to_thread(lambda: asyncio.run(visit())) == 3000
    assert (await chat.next())["code"] == 3000
    bench.clients.pop()


# --- the end of a message -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "rest"),
    [
        ([b"data: x\n\n"], None, b""),
        ([b": ping\n"], None, b""),
        ([], None, b""),
        ([b"data: x\n"], b"data: y\n\ndata: z\n\n", b"data: y\n\n"),
        ([b"data: x\r"], b"\n\r\nid: 7\r\n", b"\n\r\n"),
    ],
)
async def test_the_last_event_stands_alone(bench: Bench, before: list[bytes], after: bytes | None, rest: bytes) -> None:
    """The last event comes where another could begin; what has begun is let through to its end."""
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in (EVENTS, *(body(part) for part in before)):
            await send(message)
        if after is not None:
            await ended.wait()
            await send(body(after))
        await holding()(scope, receive, send)

    bench.app = app
    news = await bench.open("http")
    for _ in range(1 + len(before)):
        await news.next()
    await bench.end()
    while not any(note.outcome == "refuse" for note in bench.noted):
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    ended.set()
    last = await news.next()
    assert last["body"].startswith(rest + b"event: demur\ndata: {")
    assert last["body"].endswith(b"}\n\n")
    assert last["more_body"] is False
    await news.done()
    assert news.sent.empty()


async def test_an_event_that_does_not_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the app leaves an event unfinished, the stream ends without one of ours: its reader drops what it has."""
    monkeypatch.setattr(streams, "REST", 0.01)
    bench.app = holding(EVENTS, body(b"data: x\n"))
    news = await bench.open("http")
    await news.next()
    await news.next()
    await bench.end()
    assert await news.next() == body(b"", more=False)
    await news.done()


@pytest.mark.parametrize("more", [{}, {"content-encoding": "gzip"}])
async def test_a_compressed_stream_just_ends(bench: Bench, more: dict[str, str]) -> None:
    """Nothing readable can be written behind compressed content."""
    lines = [(name.encode(), value.encode()) for name, value in more.items()]
    bench.app = holding({**EVENTS, "headers": [*EVENTS["headers"], *lines]}, body(b"data: x\n\n"))  # type: ignore[misc]
    news = await bench.open("http")
    await news.next()
    await news.next()
    await bench.end()
    last = await news.next()
    assert last["more_body"] is False
    assert (last["body"] == b"") is bool(more)


async def test_a_promised_length_is_broken_off(bench: Bench) -> None:
    """Where the length was said, less of it must not pass for the whole."""
    bench.app = holding({**EVENTS, "headers": [*EVENTS["headers"], (b"content-length", b"99")]}, body(b"data: x\n\n"))  # type: ignore[misc]
    news = await bench.open("http")
    await news.next()
    await news.next()
    await bench.end()
    async with asyncio.timeout(PLENTY):
        await news.aborted.wait()
    assert news.sent.empty()


async def test_what_stands_in_for_something_concealed_ends_too(bench: Bench) -> None:
    """A site that accepts any handshake accepts one for a concealed page, and it ends as one beside that would."""
    bench.app = holding(ACCEPT)
    cookie = await bench.cookie()
    await bench.publish(groups=frozenset())
    for target in ("/inner/nothing/", "/inner/vault/"):
        news = await bench.open("websocket", target, cookie=cookie)
        assert (await news.next())["type"] == "websocket.accept"
    await bench.end()
    for client in bench.clients:
        assert (await client.next())["code"] == 3000


async def test_head_is_not_watched(bench: Bench) -> None:
    """There is nothing in the answer to HEAD that could end."""
    bench.app = holding(EVENTS)
    await (await bench.open("http", method="HEAD")).next()
    assert bench.demur.watch._here is None


async def test_nobodys_stream_is_not_watched(bench: Bench) -> None:
    """What anybody may have open is nobody's, and nothing ends it."""
    bench.app = holding(EVENTS)
    await (await bench.open("http", "/public/x")).next()
    assert bench.demur.watch._here is None


# --- the app, and the client ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["websocket", "http"])
async def test_an_app_that_does_not_listen(bench: Bench, kind: str) -> None:
    """An app that only sends is told as servers tell of a client that has gone, and its end is nobody's fault."""
    told: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT if kind == "websocket" else EVENTS)
        try:
            while True:
                await send({"type": "websocket.send", "text": "x"} if kind == "websocket" else body(b"data: x\n\n"))
                await asyncio.sleep(0)
        except OSError as gone:
            told.append(gone)
            raise RuntimeError("what a framework makes of it") from None

    bench.app = app
    client = await bench.open(kind)
    await client.next()
    await bench.end()
    await client.done()
    assert len(told) == 1
    messages = [await client.next() for _ in range(client.sent.qsize())]
    assert all(message["type"] != "websocket.close" for message in messages[:-1])
    assert messages[-1].get("reason") == "session-ended" or b"event: demur" in messages[-1]["body"]


async def test_other_faults_of_the_app_stay_its_own(bench: Bench) -> None:
    """What fails for another reason is told to the server, as ever."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        raise KeyError("x")

    bench.app = app
    client = await bench.open("websocket")
    with pytest.raises(KeyError):
        await client.done()


async def test_what_the_client_sends_afterwards(bench: Bench) -> None:
    """For the app the connection is closed, with the code and the reason, whatever the client still says."""
    heard: list[dict[str, Any]] = []
    going = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await going.wait()
        while not heard or heard[-1]["type"] != "websocket.disconnect":
            heard.append(await receive())
        heard.append(await receive())

    bench.app = app
    client = await bench.open("websocket")
    await client.next()
    await client.sends.put({"type": "websocket.receive", "text": "too late"})
    await bench.end()
    assert (await client.next())["type"] == "websocket.close"
    going.set()
    await client.done()
    assert heard == [{"type": "websocket.disconnect", "code": 3000, "reason": "session-ended"}] * 2


async def test_what_the_client_sends_in_between(bench: Bench) -> None:
    """An app that waits for the client when it ends hears that it is over, not what the client says just then."""
    heard: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        heard.append(await receive())

    bench.app = app
    client = await bench.open("websocket")
    await client.next()
    await bench.end()
    while not any(note.outcome == "refuse" for note in bench.noted):
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    await client.sends.put({"type": "websocket.receive", "text": "too late"})
    await client.done()
    assert heard == [{"type": "websocket.disconnect", "code": 3000, "reason": "session-ended"}]


@pytest.mark.parametrize("kind", ["websocket", "http"])
async def test_a_client_that_does_not_read(bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Whoever does not read our last message is not waited for: the connection is broken off."""
    monkeypatch.setattr(streams, "UNREAD", 0.01)
    blocked = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT if kind == "websocket" else EVENTS)
        client.reads.clear()
        blocked.set()
        await send({"type": "websocket.send", "text": "x"} if kind == "websocket" else body(b"data: x\n\n"))

    bench.app = app
    client = await bench.open(kind)
    await client.next()
    await blocked.wait()
    await bench.end()
    async with asyncio.timeout(PLENTY):
        await client.aborted.wait()
    with pytest.raises(ConnectionResetError):
        await client.done()


async def test_our_last_word_is_said_before_the_app_is_done(bench: Bench) -> None:
    """To a server, an app that has come back has nothing more to say: it comes back after our last message."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        client.reads.clear()
        await receive()

    bench.app = app
    client = await bench.open("websocket")
    await client.next()
    await bench.end()
    while not any(note.outcome == "refuse" for note in bench.noted):
        await asyncio.sleep(0)
    await client.sends.put({"type": "websocket.receive", "text": "wakes the app, which is done now"})
    for _ in range(10):
        await asyncio.sleep(0)
    assert client.task is not None
    assert not client.task.done()
    client.reads.set()
    assert (await client.next())["code"] == 3000
    await client.done()


async def test_whoever_ends_first(bench: Bench) -> None:
    """What the app has ended by itself gets no second end."""
    leave = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.close", "code": 4000, "reason": "own"})
        await leave.wait()

    bench.app = app
    client = await bench.open("websocket")
    await client.next()
    assert (await client.next())["code"] == 4000
    await bench.end()
    while not any(note.outcome == "refuse" for note in bench.noted):
        await asyncio.sleep(0)
    leave.set()
    await client.done()
    assert client.sent.empty()


def test_what_comes_of_our_end() -> None:
    """However deep inside the app it failed because it is over, that is seen; anything else is not."""

    def caught(*, context: bool) -> Exception:
        try:
            try:
                raise streams.Over
            except OSError as gone:
                raise ValueError("x") from (None if context else gone)
        except ValueError as error:
            return error

    assert streams.is_over(streams.Over())
    assert streams.is_over(caught(context=True))
    assert streams.is_over(caught(context=False))
    assert streams.is_over(ExceptionGroup("g", [KeyError(), ExceptionGroup("h", [caught(context=False)])]))
    assert not streams.is_over(OSError("another"))
    assert not streams.is_over(ExceptionGroup("g", [KeyError()]))
