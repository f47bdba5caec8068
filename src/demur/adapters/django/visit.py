"""One request at Django: who it comes from, and how it is judged.

- Who it is, is found out when it matters, and not before: a page that asks nothing costs no query.
- Where the app's own check decides, nothing is judged before; what it refuses is judged afterwards, for the reason.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import ref

from asgiref.sync import sync_to_async
from django.utils.functional import LazyObject, SimpleLazyObject, empty

from demur.adapters.django import people
from demur.adapters.django.here import Here, InDjango
from demur.adapters.django.who import Bridge, Who
from demur.core.model import Access, Left

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django.http import HttpRequest

    from demur.adapters.passed import Passed
    from demur.core.marks import Mark
    from demur.core.model import Refused, Subject
    from demur.core.site import Permits

_attributes = LazyObject.__dict__["__dict__"].__get__


class Visit:
    """A request that may go on to the app. `viewed` says that its view was found, `forged` that its CSRF token was not
    right, and `led_to` to which login page the app sent its person. `said` is why the app refuses it, and `detail` what
    it says to its person, where the framework in it tells. `eager` says that who it is was found out although nothing
    asks for it, and `the_apps` that all is left to the view."""

    # What no request has yet is the class's: to write it into each of them would cost every request.
    viewed = False
    forged = False
    led_to = ""
    eager = False
    the_apps = False
    said: Refused | None = None
    detail = ""
    who: Who | None = None
    _told = False

    def __init__(self, request: HttpRequest, passed: Passed, *, asynchronous: bool) -> None:
        self._request = ref(request)  # which holds us: if we held it, each would be work for the collector
        self.asynchronous = asynchronous
        self.surface = surface = passed.surface
        self.passed: InDjango = passed if isinstance(passed, InDjango) else Here(passed, self)
        bridge = surface.bridge
        if bridge is None:
            _name(request, self._person, self._aperson)
        else:
            self.who = Who(request, bridge.given if isinstance(bridge, Bridge) else None)

    @property
    def request(self) -> HttpRequest:
        """Django's."""
        request = self._request()
        assert request is not None  # noqa: S101 - nobody else has us
        return request

    @property
    def known(self) -> bool:
        """Whether it was found out who it is."""
        plan = self.passed.checked.plan
        return not self.passed.left and plan is not None and plan.looks

    # --- whether it may go on

    def judge(self, marks: Sequence[Mark], *, closed: bool = True) -> bool:
        """Whether a view may have it. `marks` are the same object whenever they are those of that view."""
        passed = self.passed
        if passed.recalled(marks):
            if self._told:
                self._judged()
            return passed.refused is None
        self._prepare(marks)
        self.passed.add_groups()
        allowed = self.surface.judge(self.passed, marks, native=self, permits=self._permits(), closed=closed)
        if allowed:
            self.passed.remember(marks)
        self._judged()
        return allowed

    async def ajudge(self, marks: Sequence[Mark], *, closed: bool = True) -> bool:
        """The same in an event loop."""
        passed = self.passed
        if passed.recalled(marks):
            self._judged()
            return passed.refused is None
        if self._prepare(marks):
            return await sync_to_async(self.judge)(marks, closed=closed)  # groups and permissions are in the database
        allowed = await self.surface.ajudge(passed, marks, native=self, closed=closed)
        self._judged()
        return allowed

    def leaves(self) -> bool:
        """Whether nothing is judged before a view without marks: it decides by itself."""
        if self.who is None:
            return False  # before what was decided is looked at, which has to be made for that
        plan = self.passed.checked.plan
        if plan is None:
            return False
        if {match.requirement.access for match in plan.matches} != {Access.APP}:
            return False
        # A view in an event loop that asks who it is could not wait for the answer.
        self.eager = self.asynchronous and self.who.asks
        self.the_apps = not self.eager
        return self.the_apps

    def again(self) -> None:
        """Let it be judged again: meanwhile the app has found out more, by a token for example."""
        self.passed.checked = replace(self.passed.checked, decision=Left())
        if self.who is not None:
            self.who.again()

    def _prepare(self, marks: Sequence[Mark]) -> bool:
        """Note whether groups matter; whether a permission or a group is asked for."""
        plan = self.passed.checked.plan
        rules = tuple(match.requirement for match in plan.matches) if plan is not None else ()
        terms = [each.terms for each in (*self.surface.asked(marks), *rules)]
        table = people.table()
        grouped = any(each.groups or each.all_groups or each.permission in table for each in terms)
        if self.who is not None:
            self.who.groups = grouped
        return grouped or any(each.permission for each in terms)

    def _judged(self) -> None:
        """`request.user` is another one, once it was asked for and something new was decided."""
        if self._told:
            self._told = False
            _name(self.request, self._person, self._aperson)

    def _permits(self) -> Permits | None:
        return self._holds if self.surface.site.permits is people.permits else None

    def _holds(self, subject: Subject, permission: str, captures: Mapping[str, str]) -> bool:
        """As `people.permits`, by the row that is at hand."""
        user = getattr(self.request, "user", None)
        if user is None or permission in people.table() or str(user.pk) != subject.id:
            return people.permits(subject, permission, captures)
        return bool(user.has_perm(permission))

    # --- where demur keeps the sessions

    def _person(self) -> Any:  # noqa: ANN401 - a project's own user
        self._told = True
        return people.user(self.passed.subject)

    async def _aperson(self) -> Any:  # noqa: ANN401 - as above
        return await sync_to_async(self._person)()


def _name(request: HttpRequest, find: Callable[[], Any], afind: Callable[[], Any]) -> None:
    """`request.user` is whoever they say. It is Django's lazy object, without its constructors: these write each
    attribute past what makes it a stand-in, which takes four times as long, and few views ask for it."""
    later = SimpleLazyObject.__new__(SimpleLazyObject)
    kept = _attributes(later)
    kept["_setupfunc"], kept["_wrapped"] = find, empty
    request.user, request.auser = later, afind
