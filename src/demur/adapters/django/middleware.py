"""The middleware: right after Django's `AuthenticationMiddleware`, for sync and async.

- What rules say is judged before anything else of the app runs, the marks of a view where Django has found it
  (`process_view`), before the body is read.
- What Django and the app refuse by themselves leaves as it should: `PermissionDenied`, a way to the login, a 401
  without a challenge, a 403 to somebody who is not signed in, a CSRF error.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from demur.adapters.django import answers, config, replies, views, wire
from demur.adapters.django.short import LeftPassed, Short, as_came, came
from demur.adapters.django.signals import HERE
from demur.adapters.django.visit import Visit
from demur.core.model import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from demur.adapters.passed import Passed
    from demur.core.model import Request


class Middleware:
    """`"demur.adapters.django.Middleware"` in `MIDDLEWARE`, with `settings.DEMUR` for its options."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.surface = config.surface()
        self.short = Short(self.surface)
        self._async = bool(iscoroutinefunction(get_response))
        if self._async:
            markcoroutinefunction(self)
            # A view middleware is called as what it is.
            self.process_view = self.aprocess_view  # type: ignore[method-assign]

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer a request, or let the app do it."""
        if self._async:
            return self._acall(request)
        known = self.short.enter(request, request.META)
        if known is not None:
            visit = self._begin(request, known)
            response = self.get_response(request)
            # What is a yes has nothing to be looked for in the answer.
            if not (visit.forged or visit.said) and self.short.leave(known, response):
                return response
            return self._out(visit, response)
        meta = came(request)
        if meta is not None and (again := self.short.refuse(request, meta)) is not None:
            return replies.Again(*again, request.method)
        asked = wire.read(request)
        said = self._enter(request, meta, asked)
        if isinstance(said, Response):
            return replies.answer(said, request)
        visit = self._visit(request, meta, asked, said)
        if not answers.by_rule(visit) or visit.judge(()):
            return self._out(visit, self.get_response(request))
        return self._out(visit, replies.Unseen())

    def _enter(self, request: HttpRequest, meta: dict[str, Any] | None, asked: Request) -> Response | Passed:
        """As `Surface.enter` does; what was refused is said again to whoever asks the same."""
        surface = self.surface
        if (answered := surface.before(asked, partial(wire.body, request))) is not None:
            return answered
        checked = surface.guard.check(asked)
        if meta is not None:
            self.short.learn_no(as_came(request, meta), asked, checked)
        return surface.entered(checked, asked)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        meta = came(request)
        known = None if meta is None else self.short.enter(request, meta)
        if known is not None:
            visit = self._begin(request, known)
            response = await self.get_response(request)
            if not (visit.forged or visit.said) and self.short.leave(known, response):
                return response
            return await self._aout(visit, response)
        if meta is not None and (again := self.short.refuse(request, meta)) is not None:
            return replies.Again(*again, request.method)
        asked = wire.read(request)
        said = await self._aenter(request, meta, asked)
        if isinstance(said, Response):
            return replies.answer(said, request)
        visit = self._visit(request, meta, asked, said)
        if not answers.by_rule(visit) or await visit.ajudge(()):
            return await self._aout(visit, await self.get_response(request))
        return await self._aout(visit, replies.Unseen())

    async def _aenter(self, request: HttpRequest, meta: dict[str, Any] | None, asked: Request) -> Response | Passed:
        """The same in an event loop."""
        surface = self.surface
        if (elsewhere := surface.misplaced(asked)) is not None:
            return elsewhere
        if surface.pages.serves(asked):
            return await surface.pages.answer(asked, partial(_abody, request))
        checked = await surface.guard.acheck(asked)
        if meta is not None:
            self.short.learn_no(as_came(request, meta), asked, checked)
        return surface.entered(checked, asked)

    def _visit(self, request: HttpRequest, meta: dict[str, Any] | None, asked: Request, said: Passed) -> Visit:
        if meta is not None:
            self.short.learn(request, meta, asked, said)
        visit = self._begin(request, said)
        wire.withhold(request, visit.passed)
        if visit.passed.request is not asked:
            wire.retarget(request, visit.passed.request)
        return visit

    def _begin(self, request: HttpRequest, said: Passed) -> Visit:
        visit = Visit(request, said, asynchronous=self._async)
        request.demur, request._demur = visit.passed, visit  # noqa: SLF001 - beside what Django keeps there
        if self.surface.bridge is None:
            HERE.set(visit.passed)
        return visit

    def _out(self, visit: Visit, response: HttpResponseBase) -> HttpResponseBase:
        if (again := _again(visit, response)) is not None:
            return again
        if (marks := answers.late(visit, response)) is not None:
            visit.judge(marks, closed=False)
        return self._left(visit, response)

    async def _aout(self, visit: Visit, response: HttpResponseBase) -> HttpResponseBase:
        if (again := _again(visit, response)) is not None:
            return again
        if (marks := answers.late(visit, response)) is not None:
            await visit.ajudge(marks, closed=False)
        return self._left(visit, response)

    def _left(self, visit: Visit, response: HttpResponseBase) -> HttpResponseBase:
        said = answers.leave(visit, response)
        if isinstance(said, replies.Answer):
            self.short.learn_no_at_view(visit.passed)
        return said

    # --- at the view

    def process_view(
        self, request: HttpRequest, view: Callable[..., object], args: Sequence[object], kwargs: dict[str, object]
    ) -> HttpResponseBase | None:
        """Django has found the view, and has not read the body."""
        visit, asked = self._found(request, view)
        if not asked.marks and visit.leaves():
            return None
        if visit.judge(asked.marks, closed=asked.closed):
            return None
        return replies.Unseen()

    async def aprocess_view(
        self, request: HttpRequest, view: Callable[..., object], args: Sequence[object], kwargs: dict[str, object]
    ) -> HttpResponseBase | None:
        """The same in an event loop."""
        visit, asked = self._found(request, view)
        if not asked.marks and visit.leaves():
            return None
        if await visit.ajudge(asked.marks, closed=asked.closed):
            return None
        return replies.Unseen()

    def _found(self, request: HttpRequest, view: Callable[..., object]) -> tuple[Visit, views.Asked]:
        visit: Visit = request._demur  # noqa: SLF001 - ours
        visit.viewed = True
        return visit, views.of(request, view, kept=self.surface.bridge is None)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """What a view raised before it had answered."""
        visit: Visit | None = getattr(request, "_demur", None)
        said = self.surface.raised(visit.passed, error) if visit is not None else None
        return None if said is None else replies.answer(said, request)


def _again(visit: Visit, response: HttpResponseBase) -> replies.Answer | None:
    """What was said at this view before, to the same request without credentials."""
    passed = visit.passed
    if not isinstance(passed, LeftPassed) or passed.refusing is None or isinstance(response, replies.Answer):
        return None
    return replies.in_place(replies.Again(passed.refusing, passed.reference, visit.request.method), response)


async def _abody(request: HttpRequest, most: int) -> bytes | None:
    return wire.body(request, most)  # Django has read it into memory or a file
