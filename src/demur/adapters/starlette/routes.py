"""Where Starlette has found the view, and has read nothing of the body: there every route is judged.

- The hook stands around `handle` in every class of routes, in those that are still to be written, too: so it does not
  matter when and where a route, a router, a mount, a host or another app is added, nor how it is wrapped.
- A route that leads on to others is no view; whatever else is reached through a route is one: a function, a class,
  static files, an ASGI app, the default of a router.
- Without demur in the scope of a request nothing changes, but that a view which asks for somebody is closed.
- FastAPI's routes are Starlette's. What they have beside that is asked for by its name, so nothing of it is imported.
"""

from __future__ import annotations

from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Host, Mount, Router

from demur.adapters.asgi import wire
from demur.core.marks import Mark, marks_of
from demur.core.model import Access, ConfigError, Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from demur.adapters.passed import Passed

    Handle: TypeAlias = Callable[..., Awaitable[None]]

MARKS = "demur.marks"
"""Where a scope keeps the marks that were judged."""
_ABOVE, _AT = "demur.above", "demur.at"
_KNOWN = "__demur_marks__"
_KNOWN_ABOVE = "__demur_above__"
_MOST_METHODS = 32
_LEADING = (Mount, Host)


# --- the marks of a view --------------------------------------------------------------------------


def marks_at(route: object, method: str) -> tuple[Mark, ...]:
    """The marks of the view that a route leads to, for a method ("" for a WebSocket), with those of its dependencies
    (FastAPI). For the same method they are the same object."""
    known: dict[str, tuple[Mark, ...]] = vars(route).setdefault(_KNOWN, {})
    found = known.get(method)
    if found is None:
        view = getattr(route, "endpoint", None) or getattr(route, "app", None)
        found = marks_of(view, _inside(view, method.lower()), *_calls(getattr(route, "dependant", None)))
        if len(known) < _MOST_METHODS:  # a method may be any word
            known[method] = found
    return found


def seen(route: object, scope: Scope) -> object:
    """A route as it is known by the routers that include it, each of which may ask for something (FastAPI)."""
    included = scope.get("fastapi")
    if included is None:
        return route
    context = included.get("effective_route_context")
    return context if getattr(context, "original_route", None) is route else route


def _inside(view: object, method: str) -> object:
    """The method of an endpoint that is a class."""
    if not isinstance(view, type):
        return None
    name = "get" if method == "head" and not hasattr(view, "head") else method or "on_connect"
    return getattr(view, name, None)


def _calls(dependant: object) -> Iterator[object]:
    for each in getattr(dependant, "dependencies", ()):
        if isinstance(each.call, Mark):
            message = "A mark stands beside a view; this one is a dependency."
            raise ConfigError(message, place=each.call.name, fix="from demur.adapters.fastapi import require")
        yield each.call
        yield from _calls(each)


def leads_on(route: object) -> bool:
    """Whether a route leads on to others, and is no view."""
    if isinstance(route, _LEADING):
        return router_of(route.app) is not None
    return hasattr(route, "effective_route_contexts")  # a router that FastAPI has included


def _leading(route: object) -> tuple[Mark, ...]:
    """The marks of the app that a route leads on to, looked for once."""
    app = getattr(route, "app", None)
    if app is None:
        return ()
    known: tuple[object, tuple[Mark, ...]] | None = vars(route).get(_KNOWN_ABOVE)
    if known is None or known[0] is not app:
        known = vars(route)[_KNOWN_ABOVE] = (app, marks_of(app))
    return known[1]


def router_of(app: object) -> Router | None:
    """The router that an app is, or leads to through nothing but Starlette's own middleware."""
    while app is not None:
        if isinstance(app, Router):
            return app
        if isinstance(app, Starlette):
            return app.router
        ours = type(app).__module__.startswith(("starlette.middleware.", "fastapi.middleware.", "demur."))
        app = getattr(app, "app", None) if ours else None
    return None


# --- the hook -------------------------------------------------------------------------------------


def _judge(
    passed: Passed, marks: tuple[Mark, ...], scope: Scope, send: Send, view: Handle, *given: object
) -> Awaitable[None]:
    """Judge a view, and let it answer what it is given, or answer anything: that does not get out."""
    above = scope.get(_ABOVE)
    scope[MARKS] = marks = _together(above, marks) if above else marks
    if not passed.settled(marks):
        return _at_length(passed, marks, scope, send, view, given)
    return wire.stand_in(scope, send) if passed.refused is not None else _answered(passed, view, given)


async def _at_length(
    passed: Passed, marks: tuple[Mark, ...], scope: Scope, send: Send, view: Handle, given: tuple[object, ...]
) -> None:
    if passed.refused is None and await _allowed(passed, marks, scope):
        await _answered(passed, view, given)
    else:
        await wire.stand_in(scope, send)


async def _answered(passed: Passed, view: Handle, given: tuple[object, ...]) -> None:
    try:
        await view(*given)
    except Refused as said:
        # Starlette answers 500 to what is raised before it gets as far as us; that does not get out either.
        passed.answer = passed.surface.raised(passed, said)
        raise


@lru_cache(4096)
def _together(above: tuple[Mark, ...], marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    """All marks of a view: the same object each time, by which it is known again."""
    return (*above, *marks)


async def _allowed(passed: Passed, marks: tuple[Mark, ...], scope: Scope) -> bool:
    passed.native = HTTPConnection(scope)
    return await passed.surface.ajudge(passed, marks, native=passed.native)


def _nobody_before(route: object, scope: Scope) -> None:
    """A view that asks for somebody is closed if nobody is there to ask."""
    if leads_on(route):
        return
    for mark in marks_at(seen(route, scope), scope.get("method", "")):
        if mark.requirement.access is Access.REQUIRED:
            message = "The view asks for somebody, and no demur stands before its app."
            fix = "Write app = Demur(app, …), or app.add_middleware(Demur, …)."
            raise ConfigError(message, place=f"{scope.get('path', '')}, {mark.name}", fix=fix)


def _judged(handle: Handle) -> Handle:
    @wraps(handle)
    def judged(route: object, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope.get(_AT) is route:  # one class asks the one above it
            return handle(route, scope, receive, send)
        passed = scope.get("demur")
        if passed is None:
            _nobody_before(route, scope)
        elif _KNOWN not in vars(route) and leads_on(route):
            if marks := _leading(route):
                scope[_ABOVE] = (*scope.get(_ABOVE, ()), *marks)
        else:
            scope[_AT] = route
            marks = marks_at(seen(route, scope), scope.get("method", ""))
            return _judge(passed, marks, scope, send, handle, route, scope, receive, send)
        return handle(route, scope, receive, send)

    vars(judged)["__demur_hook__"] = True
    return judged


class _Default:
    """A router's `default`: unless it is Starlette's own "not found", it is a view."""

    def __get__(self, router: Router | None, owner: type[Router]) -> object:
        if router is None:
            return self
        default: ASGIApp = vars(router)["default"]
        if getattr(default, "__func__", None) is Router.not_found:
            return default

        def judged(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            passed = scope.get("demur")
            if passed is None:
                return default(scope, receive, send)
            return _judge(passed, marks_of(default), scope, send, default, scope, receive, send)

        return judged

    def __set__(self, router: Router, default: ASGIApp) -> None:
        vars(router)["default"] = default


def _hook(kind: type[BaseRoute]) -> None:
    handle = vars(kind).get("handle")
    if handle is not None and not hasattr(handle, "__demur_hook__"):
        setattr(kind, "handle", _judged(handle))  # noqa: B010 - the type of a method says its class
    for each in kind.__subclasses__():
        _hook(each)


def _hook_later(kind: type[BaseRoute], /, **more: Any) -> None:  # noqa: ANN401 - whatever a class statement says
    super(BaseRoute, kind).__init_subclass__(**more)
    _hook(kind)


def install() -> None:
    """Put the hook in place, once for the process."""
    if not isinstance(vars(Router).get("default"), _Default):
        _hook(BaseRoute)
        BaseRoute.__init_subclass__ = classmethod(_hook_later)  # type: ignore[assignment]
        Router.default = _Default()  # type: ignore[assignment]
