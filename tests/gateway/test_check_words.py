"""nginx's second step: a refusal is put into words once, and says what the long way says of the same slip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.gateway.checking import Answered, connected, plainly, read, request, written
from tests.gateway.test_check import NOW, Down, World, about, forged
from tests.gateway.test_check_again import Rendering, Several, watched

from demur.gateway.check import Check, words
from demur.stores.keys import MemoryKeys

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.model import KeyRing

Pairs = list[tuple[str, str]]
PAGE = [("Host", "app.example.com"), ("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")]
HARD = '/members/it\'s?a="<b>"&amp;&c=%41#/\\d'


def seen(page: Rendering, **more: object) -> World:
    """A world that counts its pages."""
    world = World(**more)  # type: ignore[arg-type]
    world.check = Check(world.check._guards, world.keys, world.store, page)
    return world


async def slip_for(world: World, uri: str, sent: Pairs, method: str) -> str:
    """What nginx has from the first step."""
    asked = request("/check?for=nginx", [*about(uri, method), *sent])
    return dict(plainly(await world.check.answer(asked)).fields)["demur-refusal"]


async def said(world: World, uri: str, sent: Pairs = PAGE, method: str = "GET", times: int = 1) -> list[Answered]:
    """What the second step says, each time of another slip, and the same as the long way."""
    answers = []
    async with connected(world.check) as (reader, writer, _):
        for _ in range(times):
            slipped = ("Demur-Refusal", await slip_for(world, uri, sent, method))
            asked = [*about(uri, method), *sent, slipped]
            writer.write(written("/refusal", asked, method))
            answer = await read(reader, method)
            fields = [line for line in answer.fields if line[0] != "date"]
            expected = plainly(await world.check.answer(request("/refusal", asked, method)))
            body = b"" if method == "HEAD" else expected.body
            assert (answer.status, fields, answer.body) == (expected.status, expected.fields, body)
            answers.append(answer)
    return answers


@pytest.mark.parametrize("accept", ["text/html", "application/json", "text/event-stream", "text/plain"])
@pytest.mark.parametrize("frame", ["iframe", "document"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_same_as_the_long_way(accept: str, frame: str, method: str) -> None:
    """About any address, in any second, with each slip's own reference."""
    world = seen(Rendering())
    sent = [("Host", "app.example.com"), ("Accept", accept), ("Sec-Fetch-Dest", frame)]
    uris = ["/members/x", "/members/y?next=/members/x&b=%2e", "/api/x", "/members", "/members/x", HARD, "/api/y?'<"]
    for second in range(3):
        world.now = NOW + second
        for uri in uris:
            await said(world, uri, sent, method, times=3)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_flood_costs_no_template(method: str) -> None:
    """Nor the store, which is down: whoever sends the same about ever new addresses gets what is made once."""
    page = Rendering()
    world = seen(page, store=Down())
    await said(world, "/members/first", method=method, times=2)
    before = page.times
    async with connected(world.check) as (reader, writer, _):
        for number in range(50):
            uri = f"/members/{number}?{'x' * number}"
            slipped = ("Demur-Refusal", await slip_for(world, uri, PAGE, method))
            writer.write(written("/refusal", [*about(uri, method), *PAGE, slipped], method))
            assert (await read(reader, method)).status == 401
    assert page.times == before


OURS = ("Cookie", f"__Host-demur={'x' * 56}")


@pytest.mark.parametrize(
    ("uri", "more"),
    [
        ("/members/x", [OURS]),
        ("/members/x", [("Authorization", "Basic eDp5")]),
        ("/members/x", [("Origin", "https://app.example.com")]),
        ("/members/x", [("Demur-Subject", "x")]),
        ("/.demur/sign-in?embed", []),
        ("//members/x", []),
        ("/members/é", []),
    ],
)
async def test_what_goes_the_long_way(uri: str, more: Pairs) -> None:
    """Whoever sends something that says who they are, or on which the words may depend: it is made each time."""
    page = Rendering()
    world = seen(page)
    await said(world, "/members/first", times=3)
    before = page.times
    await said(world, uri, [*PAGE, *more], times=4)
    assert page.times == before + 8


@pytest.mark.parametrize(
    ("later", "change"),
    [
        (11, str),
        (-1, str),
        (0, forged),
        (0, lambda value: value.replace(value.split(".")[3], "x<y")),
        (0, lambda value: value.replace(value.split(".")[3], "0" + value.split(".")[3][1:])),
        (0, lambda value: value[:-1]),
        (0, lambda value: value.partition(".")[0]),
        (0, lambda value: ""),
        (0, lambda value: "9" + value),
    ],
    ids=["old", "from the future", "forged", "markup", "another reference", "cut", "short", "empty", "another key"],
)
async def test_a_slip_that_does_not_hold(later: int, change: Callable[[str], str]) -> None:
    """It is 503, however often that was said with a good one."""
    world = seen(Rendering())
    await said(world, "/members/x", times=4)
    bad = ("Demur-Refusal", change(await slip_for(world, "/members/x", PAGE, "GET")))
    world.now += later
    async with connected(world.check) as (reader, writer, _):
        for asked in ([*about("/members/x"), *PAGE, bad], [*about("/members/x"), *PAGE, bad, bad]):
            writer.write(written("/refusal", asked))
            answer = await read(reader)
            assert (answer.status, b"unavailable" in answer.body) == (503, True)


async def test_a_slip_is_for_its_address() -> None:
    """One of another address, which was asked for as well, is 503."""
    world = seen(Rendering())
    for uri in ("/members/x", "/members/y"):
        await said(world, uri, times=3)
    slipped = ("Demur-Refusal", await slip_for(world, "/members/x", PAGE, "GET"))
    async with connected(world.check) as (reader, writer, _):
        writer.write(written("/refusal", [*about("/members/y"), *PAGE, slipped]))
        assert (await read(reader)).status == 503


async def test_a_key_that_is_gone() -> None:
    """What was signed with it is no slip any more, from the next second on."""

    class Changing(MemoryKeys):
        other: MemoryKeys | None = None

        def ring(self) -> KeyRing:
            return super().ring() if self.other is None else self.other.ring()

    keys = Changing()
    world = seen(Rendering(), keys=keys)
    await said(world, "/members/x", times=4)
    slipped = ("Demur-Refusal", await slip_for(world, "/members/x", PAGE, "GET"))
    keys.other = MemoryKeys()
    world.now += 1
    async with connected(world.check) as (reader, writer, _):
        writer.write(written("/refusal", [*about("/members/x"), *PAGE, slipped]))
        assert (await read(reader)).status == 503
    await said(world, "/members/x", times=4)


async def test_words_that_depend_on_the_address_are_made_each_time() -> None:
    """A look that says how long an address is, say, is asked each time."""

    class Counting(Rendering):
        def render(self, view: object) -> bytes:
            return super().render(view) + b"%d" % len(view.next)  # type: ignore[arg-type, attr-defined]

    page = Counting()
    world = seen(page)
    for uri in ("/members/x", "/members/long"):
        await said(world, uri, times=4)
    assert page.times == 2 * 8 + 2


async def test_it_is_told_once() -> None:
    """The first step tells the log; the second decides nothing."""
    observer = Several()
    world = watched(observer)
    await said(world, "/members/x", times=5)
    world.check.short.tell()
    assert len(observer.told) == 5


async def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many people ask, no more is kept than that; and what nobody asks for is forgotten."""
    monkeypatch.setattr(words, "MOST_BYTES", 20_000)
    world = seen(Rendering())
    kept = world.check._words
    for number in range(20):
        await said(world, "/members/x", [*PAGE, ("User-Agent", str(number))], times=3)
        assert kept._size <= 20_000
        assert 0 < len(kept._young) < 10
    world.check.short.forget()
    await said(world, "/members/x", [*PAGE, ("User-Agent", "19")])
    assert len(kept._young) == 1
    world.check.short.forget()
    world.check.short.forget()
    assert not kept._young | kept._old
    assert not kept._once
