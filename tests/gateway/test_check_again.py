"""What is asked again to the byte: it is decided each time, and told to the log and the metrics a moment later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.gateway.checking import Answered, connected, read, written
from tests.gateway.test_check import ANN, NOW, World, about

from demur.core.model import Actor, End, Ending
from demur.core.page import DEFAULT
from demur.core.reasons import Reason
from demur.gateway.check import Check, short
from demur.guard import Guard
from demur.observe.gathered import decided_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.core.ports import Decided, Noted, Renderer, View
    from demur.gateway.check.short import Short

ASKED = [("Host", "check"), *about("/members/x?a=b"), ("Accept", "text/html")]
TARGET = "/check?answer=fields"


class Each:
    """Wants to be told of each decision."""

    def __init__(self) -> None:
        self.told: list[Decided] = []

    def decided(self, decided: Decided) -> None:
        self.told.append(decided)

    def signed_in(self, method: str, outcome: str) -> None:
        """Not here."""


class Several(Each):
    """Can be told of many together."""

    def __init__(self) -> None:
        super().__init__()
        self.together: list[int] = []

    def several(self, noted: Sequence[Noted]) -> None:
        self.together.append(len(noted))
        self.told += [decided_of(each) for each in noted]


def watched(observer: Each, renderer: Renderer = DEFAULT) -> World:
    """A world whose decisions are told."""
    world = World()
    site = next(iter(world.check._guards.values())).site
    guard = Guard(site, world.store, world.keys, clock=lambda: world.now, observer=observer)
    world.check = Check({world.origin: guard}, world.keys, world.store, renderer)
    return world


async def asked(world: World, times: int, *sent: tuple[str, str]) -> list[tuple[int, str]]:
    """The status each time, and the slip."""
    found = []
    async with connected(world.check) as (reader, writer, _):
        for _ in range(times):
            writer.write(written(TARGET, [*ASKED, *sent]))
            answer = await read(reader)
            found.append((answer.status, dict(answer.fields).get("demur-refusal", "")))
    return found


@pytest.mark.parametrize("observer", [Each(), Several()], ids=["each", "several"])
@pytest.mark.parametrize("known", [False, True])
async def test_all_is_told(observer: Each, known: bool) -> None:
    """Each decision once, with what the long way says of it, and a reference of its own: the one on the slip."""
    observer.told.clear()
    world = watched(observer)
    cookie = [("Cookie", world.cookie_of(await world.sign_in()))] if known else []
    slips = [slip for _, slip in await asked(world, 6, *cookie)]
    world.check.short.tell()
    told = observer.told
    assert len({each.reference for each in told}) == len(told) == 6
    assert len({(each.outcome, each.reason, each.status, each.rule, each.subject, each.path) for each in told}) == 1
    last = told[-1]
    assert (last.origin, last.method, last.path, last.at) == (world.origin, "GET", b"/members/x", NOW)
    if known:
        assert (last.outcome, last.status, last.reason, last.subject) == ("allow", None, None, ANN.id)
    else:
        assert (last.outcome, last.status, last.reason, last.subject) == ("refuse", 401, Reason.SIGN_IN_REQUIRED, None)
        assert [slip.split(".")[3] for slip in slips] == [each.reference for each in told]


class Rendering:
    """A page, and how often it was made."""

    policy = DEFAULT.policy

    def __init__(self) -> None:
        self.times = 0

    def render(self, view: View) -> bytes:
        self.times += 1
        return DEFAULT.render(view)


@pytest.mark.parametrize("target", ["/check", "/check?for=envoy", "/check?for=traefik"])
@pytest.mark.parametrize("accept", ["text/html", "application/json", "text/event-stream", "text/plain"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_refusal_that_is_handed_on_is_put_into_words_once(target: str, accept: str, method: str) -> None:
    """Each has a reference of its own, which the log knows, and says what the long way says; also in another second,
    and about another address."""
    observer, page = Several(), Rendering()
    world = watched(observer, page)
    addresses = ("/members/x?a=b", "/members/y")
    answers: dict[str, list[Answered]] = {each: [] for each in addresses}
    async with connected(world.check) as (reader, writer, _):
        for second in range(3):
            world.now = NOW + second
            for uri, found in answers.items():
                for _ in range(5):
                    sent = [("Host", "check"), *about(uri, method), ("Accept", accept)]
                    writer.write(written(target, sent))
                    found.append(await read(reader))
    world.check.short.tell()
    references = [each.reference for each in observer.told]
    assert len(set(references)) == len(references) == 30
    assert {(each.outcome, each.status, each.reason) for each in observer.told} == {
        ("refuse", 401, Reason.SIGN_IN_REQUIRED)
    }
    # To be kept it is made twice; before that the first is made twice, too, and the second once.
    assert page.times == (7 if accept == "text/html" else 0)
    for uri, found in answers.items():
        named = [[each for each in references if each.encode() in answer.body] for answer in found]
        assert all(len(each) == 1 for each in named)
        assert len({*map(tuple, named)}) == 15
        said = set()
        for answer, (name,) in zip(found, named, strict=True):
            fields = [line for line in answer.fields if line[0] != "date"]
            said.add((answer.status, *fields, answer.body.replace(name.encode(), b"")))
        assert len(said) == 1
        assert any(uri.encode() in answer.body for answer in found) or accept != "text/html"


async def test_many_are_told_together() -> None:
    """Not while they are answered."""
    observer = Several()
    world = watched(observer)
    await asked(world, 1)
    before, in_all = len(observer.told), world.check.short.told
    for _ in range(50):
        assert world.check.short.answer(written(TARGET, ASKED)) is not None
    assert len(observer.told) == before
    world.check.short.tell()
    world.check.short.tell()
    assert (len(observer.told), observer.together) == (before + 50, [50])
    assert world.check.short.told == in_all + 50


async def test_a_session_that_ends_is_refused_at_once() -> None:
    """Also in the second in which the same bytes were a yes."""
    world = World()
    issued = await world.sign_in()
    cookie = ("Cookie", world.cookie_of(issued))
    assert [status for status, _ in await asked(world, 4, cookie)] == [200] * 4
    await world.store.apply([End(issued.session.id, Ending.REVOKED, Actor.ADMINISTRATOR, world.now)])
    assert [status for status, _ in await asked(world, 3, cookie)] == [401] * 3


@pytest.mark.parametrize("seconds", [1, 3599, 3600, 86400, -3600])
async def test_another_time_is_another_answer(seconds: int) -> None:
    """Whichever way the clock goes, what is said is what the long way says then."""
    world, other = World(), World()
    sent = {id(each): ("Cookie", each.cookie_of(await each.sign_in())) for each in (world, other)}
    await asked(world, 3, sent[id(world)])
    world.now = other.now = NOW + seconds
    again, first = await asked(world, 2, sent[id(world)]), await asked(other, 1, sent[id(other)])
    assert {status for status, _ in again} == {status for status, _ in first}


async def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses are asked about, no more bytes are kept than that."""
    monkeypatch.setattr(short, "MOST_SENT", 10_000)
    world = World()
    await asked(world, 2)
    way: Short = world.check.short
    for number in range(100):
        sent = [(name, value.replace("/x", f"/{number}")) for name, value in ASKED]
        assert way.answer(written(TARGET, sent)) is not None
        assert sum(map(len, way._again)) < 10_000
    way.forget()
    assert not way._again
