"""The public listener and what stands behind it: what is asked again is answered and passed on as it was at first."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.gateway.checking import read, written

from demur.core import sessions
from demur.core.model import Actor, End, Ending, Session, Subject
from demur.gateway import app
from demur.gateway.config import tables as config
from demur.gateway.doctor import ticket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CONFIG = """
version = 1
[gateway]
check_listen = "127.0.0.1:0"
trusted_proxies = [{trusted}]
log = "json"
[sessions]
store = "memory:"
[[site]]
origin = "http://localhost:8000"
upstream = "{upstream}"
[[site.rule]]
path = "/public/**"
allow = "anyone"
[[site.rule]]
path = "/hello"
allow = "anyone"
identify = true
[[site.rule]]
path = "/members/**"
allow = "signed-in"
[[site.rule]]
path = "/admins/**"
allow = {{ groups = ["admins"] }}
"""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-It: 1\r\nConnection: keep-alive, x-it\r\nDate: then\r\n\r\nok"
ADA = Subject("0190", "ada", frozenset({"staff"}), display_name="Ada")
TIMES = 4
_OTHER_EACH_TIME = re.compile(
    rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|date: \w{3}, [^\r]*|session;-;desc=\"[0-9]+\""
)


@dataclass
class World:
    """A gateway on a port, the site behind it, and how often the long way was taken."""

    gateway: app.Gateway
    site: Any
    front: Any
    long: list[str] = field(default_factory=list)

    async def sign_in(self) -> tuple[str, Session]:
        parts, now = self.gateway._parts, int(time.time())
        token = sessions.mint(secrets.token_bytes(32), parts.keys.ring().current)
        session = Session(sessions.identify(token), ADA.id, now, now, now, now + 9000, 3600)
        await parts.store.issue(session, ADA)
        return f"demur-dev={token}", session

    async def ask(self, target: str, sent: dict[str, str], method: str = "GET") -> tuple[bytes, bytes]:
        """What the client is answered and the site was sent, without what is another each time."""
        before = len(self.site.heads)
        reader, writer = await self.front.connect()
        writer.write(written(target, [("Host", "localhost:8000"), *sent.items()], method))
        answer = await read(reader, method)
        writer.close()
        said = b"\n".join(f"{name}: {value}".encode("latin-1") for name, value in answer.fields)
        whole = b"%d\n%b\n\n%b" % (answer.status, said, answer.body)
        passed = b"".join(self.site.heads[before:])
        return _OTHER_EACH_TIME.sub(b"-", whole), passed


@pytest.fixture
async def world(request: Any, tmp_path: Path, site: Any, front: Any, monkeypatch: Any) -> AsyncIterator[World]:
    """It, with the trusted proxies of a test's parameter."""
    behind, path = await site(ANSWER), tmp_path / "demur.toml"
    path.write_text(CONFIG.format(upstream=behind.url, trusted=getattr(request, "param", "")))
    made = app.build(config.read(path))
    await made.begin()
    it = World(made, behind, await front(made.public))
    long_way = app._Served.handle

    async def counted(served: Any, asked: Any, *rest: Any) -> None:
        it.long.append(asked.path)
        await long_way(served, asked, *rest)

    monkeypatch.setattr(app._Served, "handle", counted)
    yield it
    await made.aclose()


BROWSER = {"User-Agent": "x", "Accept": "text/html", "Sec-Fetch-Mode": "navigate", "X-It": "mine", "Via": "1.0 a"}


@pytest.mark.parametrize("known", [True, False], ids=["known", "nobody"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "target", ["/public/a", "/hello", "/members/a", "/members/a?b=c", "/members/a?", "/admins/a", "/.demur/session"]
)
async def test_the_same_each_time(world: World, target: str, method: str, known: bool) -> None:
    """Whatever is asked for, by whomever."""
    cookie = {"Cookie": f"a=b; {(await world.sign_in())[0]}; c=d"} if known else {}
    found = [await world.ask(target, {**BROWSER, **cookie}, method) for _ in range(TIMES)]
    assert len({answer for answer, _ in found}) == 1
    assert len({passed for _, passed in found}) == 1
    assert b"demur-dev" not in found[0][1]
    assert (b"Cookie: a=b; c=d" in found[0][1] or b"cookie: a=b; c=d" in found[0][1]) == (known and bool(found[0][1]))


@pytest.mark.parametrize("known", [True, False], ids=["known", "nobody"])
async def test_what_is_asked_again_goes_the_short_way(world: World, known: bool) -> None:
    """The first time it is decided at length, and a refusal the second time, too."""
    cookie = {"Cookie": (await world.sign_in())[0]} if known else {}
    for _ in range(6):
        await world.ask("/members/a", {**BROWSER, **cookie})
    assert len(world.long) == (1 if known else 2)


async def test_a_session_that_ends_is_refused_at_once(world: World) -> None:
    """Also where it was a yes a moment ago."""
    cookie, session = await world.sign_in()
    for _ in range(3):
        assert (await world.ask("/members/a", {"Cookie": cookie}))[0].startswith(b"200")
    await world.gateway._parts.store.apply([End(session.id, Ending.REVOKED, Actor.ADMINISTRATOR, int(time.time()))])
    answer, passed = await world.ask("/members/a", {"Cookie": cookie})
    assert (answer[:3], b"session-revoked" in answer, passed) == (b"401", True, b"")


async def test_the_doctor_is_heard(world: World) -> None:
    """Its ticket refuses, however often the same was passed on without one, or with one that is none."""
    cookie = {"Cookie": (await world.sign_in())[0]}
    for more in ({}, {"Demur-Doctor": "x"}, {}, {"Demur-Doctor": "x"}):
        assert (await world.ask("/members/a", {**cookie, **more}))[0].startswith(b"200")
    key = world.gateway._parts.keys.ring().current
    good = {"Demur-Doctor": ticket.write("localhost:8000", key, int(time.time()))}
    answer, passed = await world.ask("/members/a", {**cookie, **good})
    assert (answer[:3], passed) == (b"503", b"")


@pytest.mark.parametrize("world", ['"127.0.0.1"'], indirect=True)
async def test_a_proxy_speaks_for_many(world: World) -> None:
    """Who it says asks, and how, is what the site is told, each time, and it costs no more than if they came here."""
    cookie = {"Cookie": (await world.sign_in())[0]}
    for number in (1, 2, 1, 2, 2):
        said = {"X-Forwarded-For": f"192.0.2.{number}", "X-Forwarded-Proto": "http"}
        answer, passed = await world.ask("/members/a", {**cookie, **said})
        assert answer.startswith(b"200")
        assert passed.count(b"x-forwarded-for: ") == passed.count(b"x-forwarded-proto: http\r\n") == 1
        assert b"x-forwarded-for: 192.0.2.%d\r\n" % number in passed
    assert len(world.long) == 1


@pytest.mark.parametrize("world", ['"127.0.0.1"'], indirect=True)
@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"X-Forwarded-Host": "other.example"}, b"421"),
        ({"X-Forwarded-Host": "localhost:80"}, b"421"),
        ({"X-Forwarded-Proto": "https"}, b"421"),
        ({"X-Forwarded-Proto": "http, https"}, b"400"),
        ({"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.2"}, b"400"),
        ({"X-Forwarded-Host": "localhost:8000", "Forwarded": "host=other.example"}, b"400"),
        ({"X-Forwarded-Host": "LOCALHOST:8000"}, b"200"),
        ({"X-Forwarded-Host": "localhost:8000"}, b"200"),
    ],
)
async def test_what_a_proxy_says_is_heard(world: World, said: dict[str, str], status: bytes) -> None:
    """However often the same was asked for without it."""
    cookie = {"Cookie": (await world.sign_in())[0]}
    for _ in range(3):
        assert (await world.ask("/members/a", cookie))[0].startswith(b"200")
        answer, passed = await world.ask("/members/a", {**cookie, **said})
        assert (answer[:3], bool(passed)) == (status, status == b"200")


@pytest.mark.parametrize("world", ['"192.0.2.0/24"'], indirect=True)
async def test_what_a_stranger_says_is_not_believed(world: World) -> None:
    """Who is no proxy of ours is who they are."""
    cookie = {"Cookie": (await world.sign_in())[0]}
    said = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "other.example"}
    for _ in range(3):
        answer, passed = await world.ask("/members/a", {**cookie, **said})
        assert answer.startswith(b"200")
        assert b"x-forwarded-for: 127.0.0.1\r\n" in passed
        assert b"192.0.2" not in passed


@pytest.mark.parametrize("world", ['"127.0.0.1"'], indirect=True)
async def test_the_scheme_that_a_proxy_names(world: World) -> None:
    """What was asked for over TLS before it is no other site's for the same host without it."""
    secure = {"X-Forwarded-Proto": "https"}
    for _ in range(3):
        assert (await world.ask("/public/a", secure))[0].startswith(b"421")
        assert (await world.ask("/public/a", {}))[0].startswith(b"200")


async def test_another_host_is_another_site(world: World) -> None:
    """Also on a path that was asked for at ours."""
    for _ in range(3):
        assert (await world.ask("/public/a", {}))[0].startswith(b"200")
    reader, writer = await world.front.connect()
    writer.write(written("/public/a", [("Host", "127.0.0.1:8000")]))
    assert (await read(reader)).status == 421
    reader, writer = await world.front.connect()
    writer.write(written("/public/a", [("Host", "localhost:8000"), ("Host", "localhost:8000")]))
    assert (await read(reader)).status in {400, 421}
