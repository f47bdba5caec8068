"""Turns on a shared core: whoever is asked a lot interrupts nobody, whoever is asked little does not wait."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from demur.gateway.server.turns import MANY, Turns

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that knows turns")


def in_a_thread(do: Callable[[], list[int]]) -> list[int]:
    """What `do` finds in a thread of its own, which may take its turns as it likes."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.extend(do()))
    thread.start()
    thread.join()
    return found


def policy() -> int:
    """That of this thread."""
    return os.sched_getscheduler(0)


def test_a_worker_interrupts_nobody_while_it_is_asked_a_lot() -> None:
    """What was asked since the last look decides until the next."""

    def do() -> list[int]:
        turns, found = Turns(100.0), list[int]()
        for now, asked in ((101.0, MANY - 1), (102.0, 2 * MANY), (104.0, 4 * MANY), (106.0, 6 * MANY - 1)):
            turns.look(now, asked)
            found.append(policy())
        return found

    assert in_a_thread(do) == [os.SCHED_OTHER, os.SCHED_BATCH, os.SCHED_BATCH, os.SCHED_OTHER]


def test_a_worker_that_ends_takes_its_turns_as_before() -> None:
    """It still has to let go of everybody."""

    def do() -> list[int]:
        turns = Turns(0.0)
        turns.look(1.0, MANY)
        turns.end()
        return [policy()]

    assert in_a_thread(do) == [os.SCHED_OTHER]


def test_what_the_operator_has_chosen_stays() -> None:
    """`CPUSchedulingPolicy=` of systemd, or chrt."""

    def do() -> list[int]:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        turns = Turns(0.0)
        turns.look(1.0, MANY)
        found = [policy()]
        turns.look(2.0, MANY)
        turns.end()
        return [*found, policy()]

    assert in_a_thread(do) == [os.SCHED_IDLE, os.SCHED_IDLE]
