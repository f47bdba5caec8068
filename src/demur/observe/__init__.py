"""Whoever writes down what happened: a line for each decision, and numbers.

An observer never decides, never blocks and never raises: a full disk or a broken pipe costs lines, not requests.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, TypeGuard

from demur.observe.gathered import decided_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from demur.core.ports import Decided, Noted, Observer, Patient


class Both:
    """Several observers as one. What goes wrong in one does not reach the others, nor the request."""

    def __init__(self, *observers: Observer) -> None:
        of_each = (each.observers if isinstance(each, Both) else (each,) for each in observers)
        self.observers: tuple[Observer, ...] = tuple(chain.from_iterable(of_each))

    def decided(self, decided: Decided) -> None:
        """Tell all of them of a decision."""
        for observer in self.observers:
            with suppress(Exception):  # there is nobody left to tell
                observer.decided(decided)

    def several(self, noted: Sequence[Noted]) -> None:
        """Tell all of them of some decisions; one by one whoever cannot take them together."""
        for observer in self.observers:
            with suppress(Exception):  # there is nobody left to tell
                if is_patient(observer):
                    observer.several(noted)
                else:
                    for each in noted:
                        observer.decided(decided_of(each))

    def expect(self, tell: Callable[[], None]) -> None:
        """Let those who can take several together say when they want them."""
        for observer in self.observers:
            if is_patient(observer):
                with suppress(Exception):  # there is nobody left to tell
                    observer.expect(tell)

    def signed_in(self, method: str, outcome: str) -> None:
        """Tell all of them of a sign-in."""
        for observer in self.observers:
            with suppress(Exception):  # there is nobody left to tell
                observer.signed_in(method, outcome)


def is_patient(observer: Observer) -> TypeGuard[Patient]:
    """Whether an observer may be told of many decisions together."""
    return hasattr(observer, "several") and hasattr(observer, "expect")


def by_patience(observer: Observer) -> tuple[Patient | None, Observer | None]:
    """Those of an observer who may be told of many decisions together, and those who want to be told of each."""
    each = observer.observers if isinstance(observer, Both) else (observer,)
    patient = [one for one in each if is_patient(one)]
    others = [one for one in each if not is_patient(one)]
    return (Both(*patient) if patient else None), (Both(*others) if others else None)
