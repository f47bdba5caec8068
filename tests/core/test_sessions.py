"""A session's life and its token."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demur.core import sessions
from demur.core.model import Ended, Ending, Key, KeyRing, Lookup, Malformed, Scheme, Session
from demur.core.reasons import Reason
from demur.core.sessions import Event, State

KEY, OLD = Key(7, b"k" * 32), Key(6, b"o" * 32)
RING = KeyRing((KEY, OLD))
SESSION = Session(b"i" * 32, "bo", 1000, 1000, 1000, expires_at=5000, idle=600)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_the_table_is_whole(state: State, event: Event) -> None:
    """Every event has a meaning in a live session, and none leads out of an ending."""
    if state is State.LIVE:
        assert event in sessions.TRANSITIONS[state]
    else:
        assert sessions.after(state, event) is state


@given(st.lists(st.sampled_from(Event), max_size=12))
def test_the_first_end_is_the_end(events: list[Event]) -> None:
    """Whatever happens after a session has ended, it ended as it did."""
    state, first = State.LIVE, None
    for event in events:
        state = sessions.after(state, event)
        if state is not State.LIVE and first is None:
            first = state
    assert state is (first or State.LIVE)


@pytest.mark.parametrize(
    ("last_seen", "now", "expected"),
    [
        (1000, 1599, None),
        (1000, 1600, (Ending.IDLE, 1600)),  # at the second of the limit it is over
        (1000, 9000, (Ending.IDLE, 1600)),  # dated at the limit, whenever somebody looks
        (4900, 4999, None),
        (4900, 5000, (Ending.EXPIRED, 5000)),
        (4900, 9999, (Ending.EXPIRED, 5000)),
        (4400, 5000, (Ending.IDLE, 5000)),  # both at once
        (4399, 5000, (Ending.IDLE, 4999)),  # whichever came first
    ],
)
def test_both_limits_hold(last_seen: int, now: int, expected: tuple[Ending, int] | None) -> None:
    """A session is over at the earlier of its two limits, and says which and when."""
    over = sessions.ended(replace(SESSION, last_seen=last_seen), now)
    assert (over and (over.how, over.when)) == expected


def test_without_idle_limit() -> None:
    """A session without an idle limit ends at the absolute one only."""
    assert sessions.ended(replace(SESSION, idle=0), 4999) is None
    assert sessions.ends(replace(SESSION, idle=0)).idle == 0
    assert not sessions.touch_due(replace(SESSION, idle=0), 4999)


@pytest.mark.parametrize(("later", "due"), [(0, False), (59, False), (60, True), (599, True)])
def test_touch_at_a_tenth(later: int, due: bool) -> None:
    """Being seen is worth writing once per tenth of the idle limit."""
    assert sessions.touch_due(SESSION, SESSION.last_seen + later) is due


@given(st.lists(st.integers(1, 300), min_size=1, max_size=50))
def test_refused_between_nine_tenths_and_the_whole(pauses: list[int]) -> None:
    """However somebody clicks, after the last click the session lasts between 0.9 and 1.0 of the idle limit."""
    session, now = replace(SESSION, expires_at=10**9), SESSION.last_seen
    for pause in pauses:
        now += pause
        if sessions.touch_due(session, now):
            session = replace(session, last_seen=now)
    left = sessions.ends(session).idle - now
    assert 0.9 * session.idle <= left <= session.idle


@pytest.mark.parametrize(
    ("how", "age", "reason"),
    [
        (Ending.IDLE, 10, Reason.SESSION_IDLE),
        (Ending.EXPIRED, 10, Reason.SESSION_EXPIRED),
        (Ending.ENDED, 10, Reason.SESSION_ENDED),
        (Ending.REVOKED, 10, Reason.SESSION_REVOKED),
        (Ending.REPLACED, 0, Reason.SESSION_REPLACED),
        (Ending.REPLACED, 30, Reason.SESSION_REPLACED),
        (Ending.REPLACED, 31, Reason.SESSION_ENDED),
    ],
)
def test_each_ending_has_its_reason(how: Ending, age: int, reason: Reason) -> None:
    """The holder of an ended session's id is told how it ended; that it was replaced, for half a minute."""
    assert sessions.reason(Ended(how, 1000), 1000 + age) is reason


def test_a_token_leads_to_its_session() -> None:
    """A token reads as the look-up of its own hash; the hash does not show the token."""
    token = sessions.mint(bytes(range(32)), KEY)
    assert sessions.read(token.encode(), RING) == Lookup(Scheme.COOKIE, sessions.identify(token))
    assert len(token) == 56


def test_old_keys_verify() -> None:
    """A token of a key that is no longer the newest is as good as before."""
    token = sessions.mint(b"x" * 32, OLD).encode()
    assert isinstance(sessions.read(token, RING), Lookup)


def test_an_unknown_key_asks_the_store() -> None:
    """A key that we do not hold may be another node's newest: the store is asked."""
    token = sessions.mint(b"x" * 32, Key(99, b"?" * 32)).encode()
    assert isinstance(sessions.read(token, RING), Lookup)


def test_a_key_that_is_not_agreed_asks_the_store() -> None:
    """Another node may mean another key by that id: a tag that fails is no reason to refuse. What is none at all is."""
    ring = KeyRing((replace(KEY, agreed=False), OLD))
    other = sessions.mint(b"x" * 32, Key(KEY.id, b"?" * 32)).encode()
    assert sessions.read(other, RING) == Malformed()
    assert isinstance(sessions.read(other, ring), Lookup)
    assert sessions.read(other[:-1], ring) == Malformed()
    assert sessions.read(sessions.mint(b"x" * 32, Key(OLD.id, b"?" * 32)).encode(), ring) == Malformed()


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        b"x",
        b"A" * 55,
        b"A" * 57,
        b"A" * 56,
        b"\xff" * 56,
        b"=" * 56,
        b" " + sessions.mint(b"x" * 32, KEY).encode()[1:],
        sessions.mint(b"x" * 32, KEY).encode()[:-1],
        sessions.mint(b"x" * 32, KEY).encode() + b"A",
        sessions.mint(b"x" * 32, Key(7, b"other key of this id" + b"." * 12)).encode(),
    ],
)
def test_what_we_never_made_is_malformed(forged: bytes) -> None:
    """Anything that does not carry our tag is refused without asking the store."""
    assert isinstance(sessions.read(forged, RING), Malformed)


@given(st.integers(0, 55), st.integers(1, 255))
def test_one_changed_character(at: int, by: int) -> None:
    """Every character of a token counts: change one, and it does not lead to the session any more."""
    token = sessions.mint(bytes(range(32)), KEY).encode()
    changed = token[:at] + bytes(((token[at] + by) % 256,)) + token[at + 1 :]
    found = sessions.read(changed, RING)
    assert isinstance(found, Malformed) or found.key != sessions.identify(token)


@given(st.binary(max_size=80))
def test_noise_is_never_an_error(noise: bytes) -> None:
    """Whatever comes in a cookie, reading it gives an answer."""
    assert isinstance(sessions.read(noise, RING), (Malformed, Lookup))


def test_random_bytes_have_one_length() -> None:
    """A token cannot be made out of less randomness than 256 bits."""
    with pytest.raises(ValueError, match="32 random bytes"):
        sessions.mint(b"short", KEY)


def test_presets_keep_their_source() -> None:
    """A preset's name carries the publication whose numbers it has."""
    assert sessions.LIMITS["NIST_AAL2"] == sessions.Limits(3600, 86400)
    assert all(name.startswith(("NIST_", "OWASP_")) for name in sessions.LIMITS)
