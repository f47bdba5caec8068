"""What was heard of changes (stores.heard): a yes holds only while the channel proves that it lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demur.core.ports import Changed
from demur.stores import heard
from demur.stores.heard import SILENCE, Heard

if TYPE_CHECKING:
    from tests.stores.conftest import Make

    from demur.stores.heard import Stamp


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told(clock: Clock) -> Heard:
    """A channel that has just been opened."""
    channel = Heard(clock)
    channel.start(clock())
    return channel


def stamp(told: Heard, make: Make, number: int = 1, subject: str = "alice") -> Stamp:
    moment = told.moment()
    assert moment is not None
    return moment.stamp(make.live(number, subject))


def test_what_nothing_was_said_of_holds(told: Heard, make: Make) -> None:
    """Of another session and another person, much may be said."""
    kept = stamp(told, make)
    told.change(Changed(session=make.id(2)))
    told.change(Changed(subject="bob"))
    assert heard.holds(kept)


def test_a_change_of_the_session_or_the_person_ends_it(told: Heard, make: Make) -> None:
    """What was loaded afterwards holds again."""
    for changed in (Changed(session=make.id(1)), Changed(subject="alice"), Changed()):
        kept = stamp(told, make)
        told.change(changed)
        assert not heard.holds(kept)
        assert heard.holds(stamp(told, make))


def test_a_change_during_the_load_ends_it(told: Heard, make: Make) -> None:
    """The moment is from before the load."""
    moment = told.moment()
    assert moment is not None
    told.change(Changed(subject="alice"))
    assert not heard.holds(moment.stamp(make.live(1)))


def test_silence_is_loss(told: Heard, clock: Clock, make: Make) -> None:
    """Two seconds after the last second of which everything is known, nothing holds, and nothing new is kept."""
    kept = stamp(told, make)
    clock.at += SILENCE - 0.01
    assert heard.holds(kept)
    clock.at += 0.02
    assert not heard.holds(kept)
    assert told.moment() is None
    assert not told.listening


def test_a_beat_counts_from_when_it_was_sent(told: Heard, clock: Clock, make: Make) -> None:
    """An answer that took a second says nothing of that second."""
    kept = stamp(told, make)
    sent = clock()
    clock.at += 1
    told.beat(sent)
    clock.at += SILENCE - 0.5
    assert not heard.holds(kept)


def test_beats_keep_it_alive(told: Heard, clock: Clock, make: Make) -> None:
    """For as long as they come."""
    kept = stamp(told, make)
    for _ in range(10):
        clock.at += 1
        told.beat(clock() - 0.1)
    assert heard.holds(kept)


def test_what_was_known_before_a_silence_does_not_come_back(told: Heard, clock: Clock, make: Make) -> None:
    """A late beat opens a new life."""
    kept = stamp(told, make)
    clock.at += SILENCE
    told.beat(clock())
    assert told.listening
    assert not heard.holds(kept)
    assert heard.holds(stamp(told, make))


def test_a_beat_out_of_the_past_revives_nothing(told: Heard, clock: Clock) -> None:
    """It came too late to say anything."""
    sent = clock()
    clock.at += 3 * SILENCE
    told.beat(sent)
    assert not told.listening
    assert told.moment() is None


def test_a_lost_channel_ends_everything_at_once(told: Heard, clock: Clock, make: Make) -> None:
    """And a beat that was under way does not open it again."""
    kept = stamp(told, make)
    told.lost()
    assert not heard.holds(kept)
    told.beat(clock())
    assert told.moment() is None
    told.start(clock())
    assert not heard.holds(kept)


def test_everything_changed_does_not_prolong_the_life(told: Heard, clock: Clock) -> None:
    """Only a beat does."""
    clock.at += SILENCE - 0.5
    told.change(Changed())
    clock.at += 0.6
    assert not told.listening


def test_without_a_channel_nothing_is_kept(clock: Clock) -> None:
    """Then the store is asked every time."""
    assert Heard(clock).moment() is None
