"""Decisions for the log and the metrics: see `core.ports.Decided`. What is not asked for is not made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demur.core.model import Request
from demur.core.reasons import REASONS, Reason
from demur.guard import new_number, new_reference

if TYPE_CHECKING:
    from collections.abc import Hashable


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What many decisions have in common."""

    origin: str
    method: str
    rule: str
    subject: str | None


class _Noted:
    """`said` and `place` are the same objects each time for what is alike."""

    __slots__ = ("alike", "at", "path", "said", "seconds")
    error: Final = ""

    def __init__(self, said: Said, place: Hashable, at: float, seconds: float, path: bytes) -> None:
        self.said = said
        self.alike = (said, place)
        self.at = at
        self.seconds = seconds
        self.path = path

    @property
    def origin(self) -> str:
        return self.said.origin

    @property
    def method(self) -> str:
        return self.said.method

    @property
    def rule(self) -> str:
        return self.said.rule

    @property
    def subject(self) -> str | None:
        return self.said.subject

    @property
    def request(self) -> Request:
        """What is known of it here: no more is written than that."""
        scheme, _, host = self.said.origin.partition("://")
        return Request(self.said.method, self.path, scheme, host, "", ())


class Allowed(_Noted):
    """A yes."""

    __slots__ = ()
    outcome: Final = "allow"
    status: Final = None
    reason: Final = None

    @property
    def number(self) -> int:
        """Made when it is asked for: nobody has been told it."""
        return new_number()

    @property
    def reference(self) -> str:
        return new_reference()


class Refused(_Noted):
    """A no to somebody who is not signed in."""

    __slots__ = ("number",)
    outcome: Final = "refuse"
    reason: Final = Reason.SIGN_IN_REQUIRED
    status: Final = REASONS[Reason.SIGN_IN_REQUIRED].status

    def __init__(self, said: Said, place: Hashable, at: float, seconds: float, path: bytes, reference: str) -> None:
        super().__init__(said, place, at, seconds, path)
        self.number = reference

    @property
    def reference(self) -> str:
        """What they were told."""
        return self.number
