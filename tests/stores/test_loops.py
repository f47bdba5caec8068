"""What a store has open in each process and loop (stores.loops)."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import TYPE_CHECKING

import pytest

from demur.stores.loops import PerLoop

if TYPE_CHECKING:
    from collections.abc import Callable


class Thing:
    """Something open."""


@pytest.fixture
def left() -> list[Thing]:
    return []


@pytest.fixture
def things(left: list[Thing]) -> PerLoop[Thing]:
    return PerLoop(Thing, left.append)


async def _here(things: PerLoop[Thing]) -> Thing:
    assert things.here() is things.here()
    return things.here()


def test_each_loop_has_its_own_and_it_goes_with_the_loop(things: PerLoop[Thing], left: list[Thing]) -> None:
    """When the next one comes, without anybody having closed anything."""
    first = asyncio.run(_here(things))
    assert things.all() == []
    assert asyncio.run(_here(things)) is not first
    assert left == [first]


async def test_what_was_popped_is_the_callers(things: PerLoop[Thing], left: list[Thing]) -> None:
    """And the next use opens anew."""
    first = things.here()
    assert things.pop() is first
    assert things.pop() is None
    assert things.here() is not first
    assert left == []


def test_without_a_loop_there_is_nothing(things: PerLoop[Thing]) -> None:
    """A store is used inside a loop."""
    with pytest.raises(RuntimeError):
        things.here()


def test_a_forked_child_closes_nothing(
    things: PerLoop[Thing], left: list[Thing], in_child: Callable[[Callable[[], None]], None]
) -> None:
    """What it sees is its parent's."""
    loop = asyncio.new_event_loop()
    first = loop.run_until_complete(_here(things))

    def child() -> None:
        assert things.all() == []
        second = asyncio.run(_here(things))
        assert second is not first
        gc.collect()
        assert first not in left
        assert os.getpid() != parent

    parent = os.getpid()
    in_child(child)
    assert things.all() == [first]
    loop.close()
