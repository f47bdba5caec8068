"""One request at Django: who it comes from, and how it is judged.

- Who it is, is found out when it matters, and not before: a page that asks nothing costs no query.
- Where the app's own check decides, nothing is judged before; what it refuses is judged afterwards, for the reason.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.utils.functional import SimpleLazyObject

from demur.adapters.django import people
from demur.adapters.django.bridge import Login, groups
from demur.adapters.passed import Passed
from demur.core.marks import identified
from demur.core.model import Access, Live

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from django.http import HttpRequest

    from demur.adapters.django.views import Asked as AskedOf
    from demur.adapters.passed import Asked
    from demur.adapters.surface import Surface
    from demur.core.marks import Mark
    from demur.core.model import Evidence, Session, Subject
    from demur.core.site import Permits


class Bridge:
    """Reads who somebody is, for the surface: with a function of the project's own, or else from Django's login."""

    def __init__(self, given: Callable[[HttpRequest], Any] | None) -> None:
        self.given = given

    def __call__(self, visit: object) -> Evidence | Awaitable[Evidence]:
        """Who it is, to be awaited in an event loop."""
        assert isinstance(visit, Visit)  # noqa: S101 - for the type checker
        return visit.aevidence(self.given) if in_loop() else visit.evidence(self.given)


def in_loop() -> bool:
    """Whether this runs in an event loop, where nothing may wait for the database."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Here(Passed):
    """What a view finds at `request.demur`: as every adapter's, and it knows Django's groups and permissions."""

    __slots__ = ()

    def __init__(self, passed: Passed, visit: Visit) -> None:
        super().__init__(passed.surface, passed.checked, passed.request, allow=passed._allow)  # noqa: SLF001 - its own
        self.native = visit

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
        if self.left and isinstance(self.native, Visit) and self.native.viewed and not in_loop():
            self.native.judge((identified,), closed=False)

    def require(self, permission: str | None = None, **more: Unpack[Asked]) -> Subject:
        """Ask for this here, in the middle of a view, as `demur.require` does beside one. Raises Refused."""
        assert isinstance(self.native, Visit)  # noqa: S101 - for the type checker
        if more.get("groups") or more.get("all_groups") or permission is not None:
            self.checked = replace(self.checked, evidence=self.native.with_groups(self.checked.evidence))
        return super().require(permission, **more)

    async def arequire(self, permission: str | None = None, **more: Unpack[Asked]) -> Subject:
        """The same in an async view."""
        if more.get("groups") or more.get("all_groups") or permission is not None:
            return await sync_to_async(self.require)(permission, **more)  # all this is in Django's database
        return await super().arequire(permission, **more)


class Visit:
    """A request that may go on to the app. `viewed` says that its view was found, `forged` that its CSRF token was not
    right, and `led_to` to which login page the app sent its person."""

    def __init__(self, request: HttpRequest, passed: Passed) -> None:
        self.request = request
        self.surface: Surface = passed.surface
        self.passed = Here(passed, self)
        self.viewed = False
        self.forged = False
        self.led_to = ""
        self.login: Login | None = None
        self._groups = True
        bridge = self.surface.bridge
        if bridge is None:
            _sessions_person(request, self.passed)
        elif isinstance(bridge, Bridge) and bridge.given is None:
            self.login = Login(request)

    # --- who it is

    def evidence(self, given: Callable[[HttpRequest], Any] | None) -> Evidence:
        """Who it is. Raises StoreUnavailable."""
        if given is not None:
            found: Evidence = (async_to_sync(given) if iscoroutinefunction(given) else given)(self.request)
            return found
        assert self.login is not None  # noqa: S101 - for the type checker
        found = self.login.read()
        return self.with_groups(found) if self._groups else found

    async def aevidence(self, given: Callable[[HttpRequest], Any] | None) -> Evidence:
        """The same in an event loop."""
        if given is not None:
            found: Evidence = await (given if iscoroutinefunction(given) else sync_to_async(given))(self.request)
            return found
        assert self.login is not None  # noqa: S101 - for the type checker
        found = await self.login.aread()
        return await sync_to_async(self.with_groups)(found) if self._groups else found

    def with_groups(self, found: Evidence) -> Evidence:
        """What Django's login knows, with the groups of its person, which are a query of their own."""
        if self.login is None or not isinstance(found, Live):
            return found
        return replace(found, subject=replace(found.subject, groups=groups(self.request.user)))

    @property
    def known(self) -> bool:
        """Whether it was found out who it is."""
        plan = self.passed.checked.plan
        return not self.passed.left and plan is not None and plan.looks

    # --- whether it may go on

    def judge(self, marks: Sequence[Mark], *, closed: bool = True) -> bool:
        """Whether a view may have it."""
        self._prepare(marks)
        allowed = self.surface.judge(self.passed, marks, native=self, permits=self._permits(), closed=closed)
        return self._judged(allowed=allowed)

    async def ajudge(self, marks: Sequence[Mark], *, closed: bool = True) -> bool:
        """The same in an event loop."""
        if self._prepare(marks):
            return await sync_to_async(self.judge)(marks, closed=closed)  # Django's permissions are in its database
        allowed = await self.surface.ajudge(self.passed, marks, native=self, closed=closed)
        return self._judged(allowed=allowed)

    def leaves(self, asked: AskedOf) -> bool:
        """Whether nothing is judged before the view: it decides by itself."""
        plan = self.passed.checked.plan
        if asked.marks or self.surface.bridge is None or plan is None:
            return False
        if in_loop() and (self.login is None or self.login.sent):
            return False  # a view that asks who it is could not wait for the answer
        access = {match.requirement.access for match in plan.matches}
        return access == {Access.APP}

    def _prepare(self, marks: Sequence[Mark]) -> bool:
        """Note whether groups matter; whether a permission is asked for."""
        plan = self.passed.checked.plan
        rules = tuple(match.requirement for match in plan.matches) if plan is not None else ()
        terms = [each.terms for each in (*self.surface.asked(marks), *rules)]
        self._groups = any(each.groups or each.all_groups or each.permission_groups for each in terms)
        return any(each.permission for each in terms)

    def _judged(self, *, allowed: bool) -> bool:
        if self.surface.bridge is None:
            _sessions_person(self.request, self.passed)
        return allowed

    def _permits(self) -> Permits | None:
        return self._holds if self.surface.site.permits is people.permits else None

    def _holds(self, subject: Subject, permission: str, captures: Mapping[str, str]) -> bool:
        """As `people.permits`, by the row that is at hand."""
        if self.login is None or permission in people.table() or str(self.request.user.pk) != subject.id:
            return people.permits(subject, permission, captures)
        return bool(self.request.user.has_perm(permission))


def _sessions_person(request: HttpRequest, passed: Passed) -> None:
    """Where demur keeps the sessions, `request.user` is whoever they say."""

    async def auser() -> Any:  # noqa: ANN401 - a project's own user
        return await sync_to_async(people.user)(passed.subject)

    request.user = SimpleLazyObject(lambda: people.user(passed.subject))
    request.auser = auser
