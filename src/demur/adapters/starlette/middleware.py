"""demur before an app of Starlette's: outermost, and at every view.

- `Demur(app, …)`, or `Middleware(Demur, …)`: it stands before everything but CORS, and what rules say is judged there.
- What is left to the view, or depends on who the app says it is, is judged where Starlette has found the view.
- Where demur keeps the sessions, `request.user`, `request.auth` and `requires()` speak of them.
- An app in which nobody says who may open a route does not start.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Unpack

from starlette.authentication import AuthCredentials, BaseUser
from starlette.requests import HTTPConnection

from demur.adapters import asgi
from demur.adapters.starlette import listing, routes
from demur.adapters.surface import check_routes
from demur.core import decide
from demur.core.model import ConfigError, Terms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from demur.adapters.options import Options
    from demur.adapters.passed import Passed
    from demur.adapters.surface import Surface
    from demur.core.marks import Mark

_CAPTURE = re.compile(r"{[^}]*}")
_log = logging.getLogger("demur")


class Demur(asgi.Demur):
    """The middleware, with the options of all adapters (see `demur.adapters.options.Options`)."""

    def __init__(self, app: ASGIApp, surface: Surface | None = None, **options: Unpack[Options]) -> None:
        routes.install()
        super().__init__(app, surface, hooked=True, **options)
        self.app = app
        if self.surface.bridge is None:
            self._app = _naming(app)
        else:
            self.surface.bridge = _connected(self.surface.bridge)
        self._started = False

    async def _otherwise(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The first of all connections, which goes no short way, waits until it is known that every route has a
        requirement."""
        if not self._started:
            try:
                self._start(self._whole(scope))
            except ConfigError as error:
                if scope["type"] == "lifespan":
                    await receive()
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
        await super()._otherwise(scope, receive, send)

    def _whole(self, scope: Scope) -> ASGIApp:
        """The app that this stands before; the one in the scope, if it is one of its middleware."""
        around: ASGIApp = scope.get("app", self.app)
        behind = routes.router_of(self.app)
        return around if behind is None or behind is routes.router_of(around) else self.app

    def _start(self, app: ASGIApp) -> None:
        """Check the routes of the whole app, and list them in the log."""
        found = self.routes(app)
        check_routes(self.surface, {path: marks for _, path, marks in found})
        for methods, path, marks in found:
            _log.info("%s %s: %s", methods, path, self.surface.requirement(path, marks))
        self._started = True

    def routes(self, app: ASGIApp | None = None) -> list[tuple[str, str, tuple[Mark, ...]]]:
        """Every view of the app: its methods, its path with `x` for what it captures, and its marks."""
        router = routes.router_of(self.app if app is None else app)
        found = listing.listed(router.routes) if router is not None else ()
        # Of two views at one path the one without a mark comes last, and counts.
        return sorted(
            ((methods, _CAPTURE.sub("x", path), marks) for methods, path, marks in found),
            key=lambda each: (each[1], not each[2]),
        )


def _connected(bridge: Callable[..., Any]) -> Callable[..., Any]:
    """A bridge that is asked with a connection, where no view was found and there is a scope only, too."""
    return lambda native: bridge(native if isinstance(native, HTTPConnection) else HTTPConnection(native))


def _naming(app: ASGIApp) -> ASGIApp:
    """An app that finds who it is where AuthenticationMiddleware would have put it."""

    def named(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        passed = scope.get("demur")
        if passed is not None:
            scope["user"], scope["auth"] = User(passed), Scopes(passed)
        return app(scope, receive, send)

    return named


class User(BaseUser):
    """`request.user`, as AuthenticationMiddleware would set it."""

    def __init__(self, passed: Passed) -> None:
        self._passed = passed

    @property
    def is_authenticated(self) -> bool:
        """Whether somebody is signed in; known once the rule or the view has been judged."""
        return self._passed.subject is not None

    @property
    def display_name(self) -> str:
        """What to call them."""
        subject = self._passed.subject
        return "" if subject is None else subject.display_name or subject.name

    @property
    def identity(self) -> str:
        """Their id, which never changes."""
        subject = self._passed.subject
        return "" if subject is None else subject.id


class Scopes(AuthCredentials):
    """`request.auth`, in which `requires()` looks."""

    def __init__(self, passed: Passed) -> None:
        self._passed = passed

    @property
    def scopes(self) -> list[str]:  # type: ignore[override]
        """What whoever is signed in may ask for."""
        return Held(self._passed)


class Held(list[str]):
    """ "authenticated", the groups of whoever is signed in, and the permissions that they hold. A token with scopes of
    its own is good for those only."""

    def __init__(self, passed: Passed) -> None:
        subject, session = passed.subject, passed.session
        self._passed, self._subject = passed, subject
        self._only = session.scopes if session is not None else None
        if subject is not None:
            known = (*passed.site.rules.permissions, *(name for name, _ in subject.grants))
            groups = sorted(subject.groups) if self._only is None else ()
            super().__init__(("authenticated", *groups, *(name for name in dict.fromkeys(known) if self._holds(name))))

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (self._passed.site.permits is not None and self._holds(str(name)))

    def _holds(self, permission: str) -> bool:
        site, subject = self._passed.site, self._subject
        if subject is None or (self._only is not None and permission not in self._only):
            return False
        if site.permits is not None and site.permits(subject, permission, {}):
            return True
        terms = Terms(permission=permission, permission_groups=site.rules.permissions.get(permission, frozenset()))
        return decide.holds(subject, terms, self._passed.checked.now)
