"""A ticket makes demur refuse the request that brings it, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demur.core import rules
from demur.core.model import Key, KeyRing, Refuse, Request, StoreUnavailable
from demur.core.reasons import Reason
from demur.core.site import Site
from demur.gateway.doctor import ticket
from demur.guard import Guard
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from demur.core.ports import Decided

NOW = 1_800_000_000
HOST = "app.example.com"
MINE, OTHER, OLD = Key(7, b"k" * 32), Key(8, b"o" * 32), Key(3, b"3" * 32)


class Keys:
    """A ring with a current key and an older one."""

    def ring(self) -> KeyRing:
        return KeyRing((MINE, OLD))

    def rotate(self, now: int) -> KeyRing:
        return self.ring()


class NoKeys(Keys):
    """A ring that cannot be read."""

    def ring(self) -> KeyRing:
        raise StoreUnavailable("no such folder")


class Noted:
    """What was written to the log."""

    def __init__(self) -> None:
        self.all: list[Decided] = []

    def decided(self, decided: Decided) -> None:
        self.all.append(decided)

    def happened(self, event: object) -> None:
        """Nothing of that kind is looked at here."""


def guard(keys: Keys | None = None, noted: Noted | None = None) -> Guard:
    """Of a site where everything needs a sign-in."""
    site = Site(f"https://{HOST}", "Example", rules.load([{"path": "/**", "allow": "signed-in"}]))
    return Guard(site, MemoryStore(), keys or Keys(), observer=noted, clock=lambda: NOW)  # type: ignore[arg-type]


def request(*sent: str, host: str = HOST, path: bytes = b"/members/") -> Request:
    """A request with these tickets."""
    fields = tuple((b"demur-doctor", each.encode("latin-1")) for each in sent)
    return Request("GET", path, "https", host, "192.0.2.7", fields)


GOOD = ticket.write(HOST, MINE, NOW)


@pytest.mark.parametrize(
    "sent",
    [GOOD, ticket.write(HOST, OLD, NOW), ticket.write(HOST, MINE, NOW - ticket.LASTS)],
    ids=["new", "old", "late"],
)
def test_a_ticket_asks_for_a_refusal(sent: str) -> None:
    """ "Unavailable", with a time to come back; signed with any key of the ring."""
    checked = ticket.refused(guard(), request(sent))
    assert checked is not None
    assert isinstance(checked.decision, Refuse)
    assert checked.decision.reason is Reason.UNAVAILABLE
    assert checked.decision.details.retry_after == 5


UNTIL = GOOD.split(".")[1]
BAD = {
    "none": [],
    "empty": [""],
    "garbage": ["x"],
    "bytes": ["\xff\xfe.1.2"],
    "digits of another script": [f"\u00b2.{UNTIL}.{'0' * 32}"],
    "another key": [ticket.write(HOST, OTHER, NOW)],
    "another key under our id": [ticket.write(HOST, Key(7, b"x" * 32), NOW)],
    "another host": [ticket.write("evil.example", MINE, NOW)],
    "expired": [ticket.write(HOST, MINE, NOW - ticket.LASTS - 1)],
    "far too long from now": [ticket.write(HOST, MINE, NOW + 1)],
    "later than it was signed for": [GOOD.replace(UNTIL, str(int(UNTIL) + 1))],
    "without a tag": [f"7.{UNTIL}."],
    "half a tag": [GOOD[:-16]],
    "huge numbers": [f"{'9' * 40}.{'9' * 40}.00"],
    "very long": [GOOD + "0" * 1000],
    "a good one behind a bad one": ["x", GOOD],
}


@pytest.mark.parametrize("sent", BAD.values(), ids=BAD)
def test_whatever_is_no_ticket_changes_nothing(sent: list[str]) -> None:
    """The request is decided about as if it had not come along."""
    assert ticket.refused(guard(), request(*sent)) is None


def test_a_ring_that_cannot_be_read_has_no_tickets() -> None:
    """The decision itself then says what is the matter."""
    assert ticket.refused(guard(NoKeys()), request(GOOD)) is None


@pytest.mark.parametrize("path", [b"/members/", b"/.demur/sign-in", b"/.demur/sign-out"])
def test_it_never_lets_anybody_in_or_hides_anything(path: bytes) -> None:
    """Whatever it is sent to is refused, and stands in the log with its path and the client's address."""
    noted = Noted()
    checked = ticket.refused(guard(noted=noted), request(GOOD, path=path))
    assert checked is not None
    assert isinstance(checked.decision, Refuse)
    (one,) = noted.all
    assert (one.outcome, one.reason, one.rule) == ("refuse", Reason.UNAVAILABLE, "(the doctor)")
    assert (one.request.path, one.request.peer) == (path, "192.0.2.7")
    assert one.reference == checked.reference
