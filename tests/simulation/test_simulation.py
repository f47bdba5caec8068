"""Guard, cache and what is heard of a store, in worlds in which everything goes wrong: nobody is let in who may not,
nobody is sent away who may, and everything heals. And a simulation that notices nothing is worth nothing: each way to
be wrong is noticed, too."""

from __future__ import annotations

import os

import pytest
from tests.simulation import world
from tests.simulation.broken import BROKEN

FIRST = int(os.environ.get("DEMUR_SEED", "0"))
WORLDS = int(os.environ.get("DEMUR_WORLDS", "500"))
"""`make nightly` runs ten thousand others."""

_EACH = 25


def hold(first: int, end: int) -> None:
    """Run the worlds of these seeds."""
    failed = [found for seed in range(first, end) if (found := world.run(seed)).failed is not None]
    told = [f"seed {each.seed}: {each.failed}\n    see it: {world.replay(each.seed)}" for each in failed]
    assert not told, "\n".join(told)


def test_a_few_worlds() -> None:
    """As many as there is time for all day."""
    hold(FIRST, FIRST + _EACH)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(FIRST + _EACH, FIRST + WORLDS, _EACH))
def test_many_worlds(first: int) -> None:
    """Five hundred, of which each is another."""
    hold(first, min(first + _EACH, FIRST + WORLDS))


def test_a_seed_is_a_world() -> None:
    """What happened once happens again, to the last moment; and of another seed, something else."""

    def told(seed: int) -> list[str]:
        lines: list[str] = []
        world.run(seed, say=lines.append)
        return lines

    assert told(7) == told(7)
    assert told(7) != told(8)
    assert len(told(7)) > 100


def test_something_happens_in_them() -> None:
    """Yes and no and 503: a world in which there is none of it proves nothing."""
    found = [world.run(seed) for seed in range(8)]
    checks, refusals = sum(each.checks for each in found), sum(each.refusals for each in found)
    outages = sum(each.outages for each in found)
    assert checks > 8 * 60
    assert refusals > checks / 20
    assert checks - refusals - outages > checks / 10
    assert outages > 5
    assert len({kind for each in found for kind in each.faults}) > len(world.FAULTS) / 2


@pytest.mark.slow
def test_whatever_can_go_wrong_does() -> None:
    """In some world."""
    assert {kind for seed in range(60) for kind in world.run(seed).faults} == set(world.FAULTS)


@pytest.mark.slow
@pytest.mark.parametrize("broken", BROKEN)
def test_whatever_is_wrong_is_noticed(broken: str) -> None:
    """In some world among the five hundred."""
    parts = BROKEN[broken]
    assert any(world.run(seed, parts).failed is not None for seed in range(500)), parts


def test_what_is_noticed_can_be_seen_again(capsys: pytest.CaptureFixture[str]) -> None:
    """A broken one fails in the same world with the same words, told step by step."""
    parts = BROKEN["ForgetsPersons"]
    first = next(found for seed in range(50) if (found := world.run(seed, parts)).failed is not None)
    again = world.run(first.seed, parts, say=print)
    assert again.failed == first.failed
    assert f"WRONG: {first.failed}" in capsys.readouterr().out
    assert world.replay(first.seed).endswith(f" {first.seed}")
