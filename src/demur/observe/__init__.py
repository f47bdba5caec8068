"""Whoever writes down what happened: a line for each decision, and numbers.

An observer never decides, never blocks and never raises: a full disk or a broken pipe costs lines, not requests.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.core.ports import Decided, Noted, Observer


class Both:
    """Several observers as one. What goes wrong in one does not reach the others, nor the request."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def decided(self, decided: Decided) -> None:
        """Tell all of them of a decision."""
        for observer in self._observers:
            try:  # noqa: SIM105 - it is done for every request, and `suppress` costs as much as a line of the log
                observer.decided(decided)
            except Exception:  # noqa: BLE001, S110 - there is nobody left to tell
                pass

    def several(self, noted: Sequence[Noted]) -> None:
        """Tell all of them of some decisions; one by one whoever cannot take them together."""
        for observer in self._observers:
            several = getattr(observer, "several", None)
            with suppress(Exception):  # there is nobody left to tell
                if several is not None:
                    several(noted)
                else:
                    for common, at, number, seconds in noted:
                        observer.decided(common.decided(at, number, seconds))

    def signed_in(self, method: str, outcome: str) -> None:
        """Tell all of them of a sign-in."""
        for observer in self._observers:
            with suppress(Exception):  # there is nobody left to tell
                observer.signed_in(method, outcome)
