"""What a view finds at `request.demur`: as every adapter's, and it knows Django's groups and permissions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from asgiref.sync import sync_to_async

from demur.adapters.django import people
from demur.adapters.django.who import in_loop
from demur.adapters.passed import Passed
from demur.core.marks import identified
from demur.core.model import Allow

if TYPE_CHECKING:
    from demur.adapters.django.visit import Visit
    from demur.adapters.passed import Asked
    from demur.core.model import Session, Subject


class InDjango(Passed):
    """What is asked of it in Django, whichever way it came. `native` is its visit."""

    __slots__ = ()
    _looked: bool

    @property
    def subject(self) -> Subject | None:
        """Who it is; None for nobody in particular."""
        self._look()
        return super().subject

    @property
    def session(self) -> Session | None:
        """Their session."""
        self._look()
        return super().session

    def _look(self) -> None:
        """Where the app decides, who it is is found out when the view asks. In an event loop it is known before."""
        self._looked = True  # type: ignore[misc]  # it has a slot in each class below
        if self.left and self.native is not None and self.native.viewed and not in_loop():
            self.native.judge((identified,), closed=False)

    def forget(self) -> None:
        """The view did not ask who it is, so its answer is for anybody."""
        if not self._looked:
            self._allow = Allow()

    def require(self, permission: str | None = None, **more: Unpack[Asked]) -> Subject:
        """Ask for this here, in the middle of a view, as `demur.require` does beside one. Raises Refused."""
        self._prepare(permission, more)
        self.add_groups()
        return super().require(permission, **more)

    async def arequire(self, permission: str | None = None, **more: Unpack[Asked]) -> Subject:
        """The same in an async view."""
        if self._prepare(permission, more):
            return await sync_to_async(self.require)(permission, **more)  # all this is in Django's database
        return await super().arequire(permission, **more)

    def add_groups(self) -> None:
        """Where groups matter, add them to what is known without them."""
        who = self.native.who if self.native is not None else None
        if who is not None and who.groups:
            self.checked = replace(self.checked, evidence=who.with_groups(self.checked.evidence))

    def _prepare(self, permission: str | None, more: Asked) -> bool:
        grouped = bool(more.get("groups") or more.get("all_groups") or permission in people.table())
        if self.native is not None and self.native.who is not None:
            self.native.who.groups = grouped
        return grouped or permission is not None


class Here(InDjango):
    """What came the long way."""

    __slots__ = ("_looked",)

    def __init__(self, passed: Passed, visit: Visit) -> None:
        super().__init__(passed.surface, passed.checked, passed.request, allow=passed._allow)  # noqa: SLF001 - its own
        self.native: Any = visit
        self._looked = False
