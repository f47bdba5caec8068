"""Decisions of the short way, for the log and the metrics.

To tell an observer of each as it is made would cost more than to make it: the observer's code is far from ours, and
the processor has to fetch it anew each time. So what can be told of together is told of together, a moment later.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from demur.core.model import Request
from demur.core.ports import Decided
from demur.guard import new_reference
from demur.observe.gathered import decided_of
from demur.observe.reference import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.core.ports import Noted, Observer
    from demur.core.reasons import Reason

LATER: Final = 0.005
"""Seconds until what was noted is told. Whoever asks while it is told waits for that, and at 20,000 a second a hundred
at once cost hardly more than four hundred."""


@dataclass(slots=True, eq=False)
class Said:
    """What is told of a decision but when it was made, how long it took, and its reference: `core.ports.Common`."""

    origin: str
    method: str
    path: bytes
    outcome: str
    status: int | None
    reason: Reason | None
    rule: str
    subject: str | None
    error: str = ""

    @property
    def request(self) -> Request:
        """What is known of it here: no more is written than that."""
        scheme, _, host = self.origin.partition("://")
        return Request(self.method, self.path, scheme, host, "", ())

    def decided(self, at: float, number: int, subject: str | None, seconds: float) -> Decided:
        """One of these decisions, all of which are the same person's. Of a reference that nobody was told there is no
        number."""
        reference = named(number) if number else new_reference()
        return Decided(
            at,
            reference,
            self.origin,
            self.request,
            self.outcome,
            self.status,
            self.reason,
            self.rule,
            self.subject,
            seconds,
            self.error,
        )


class Notes:
    """What an observer is to be told, `allowed` and `refused`, and how much it was `told` in all. Whoever appends the
    first to either calls `begun`."""

    def __init__(self, observer: Observer | None) -> None:
        self.allowed: list[Noted] = []
        self.refused: list[Noted] = []
        self.told = 0
        self._observer = observer
        self._several: Any = getattr(observer, "several", None)

    def begun(self) -> None:
        """See that it is told soon; at once to an observer that wants to be told of each."""
        if self._several is None:
            self.tell()
        else:
            asyncio.get_running_loop().call_later(LATER, self.tell)

    def tell(self) -> None:
        """Tell what was noted."""
        for noted in (self.allowed, self.refused):
            if noted:
                told = noted[:]
                noted.clear()
                self.told += len(told)
                self._tell(told)

    def _tell(self, noted: Sequence[Noted]) -> None:
        if self._several is not None:
            self._several(noted)
        elif self._observer is not None:
            for each in noted:
                self._observer.decided(decided_of(each))
