"""Rules around Litestar's router, and marks in the innermost middleware of each route.

- The outer middleware stands inside Litestar's own CORS middleware and around everything else.
- Marks are judged when every layer of the route had its say about who it is, and before the response cache, the CSRF
  check, the guards and the body. A guard of Litestar would come after a cached answer had left.
- What a login of Litestar's refuses before that is judged all the same, so that the refusal knows its reason.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack, cast

from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.middleware._internal.exceptions import ExceptionHandlerMiddleware
from litestar.plugins import CLIPlugin, InitPlugin, ReceiveRoutePlugin
from litestar.types import Scope as TheirScope  # noqa: TC002 - Litestar reads it
from litestar.utils.scope.state import ScopeState

from demur.adapters import asgi
from demur.adapters.asgi import wire
from demur.adapters.options import Options, assemble
from demur.adapters.surface import check_routes
from demur.core.marks import marks_of
from demur.core.model import ConfigError, Subject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from click import Group
    from litestar.config.app import AppConfig
    from litestar.handlers import BaseRouteHandler
    from litestar.routes import BaseRoute

    from demur.adapters.asgi import App, Message, Receive, Scope, Send
    from demur.adapters.passed import Passed
    from demur.core.marks import Mark

Principal: TypeAlias = NamedDependency[Subject]
"""Who it is, for a handler that asks for `principal: Principal`."""
Anybody: TypeAlias = NamedDependency[Subject | None]
"""Who it is, or None, for a handler that asks for `principal: Anybody`."""

_SAYS_NO = frozenset((401, 403, *range(300, 309)))
_PARAMETER = re.compile(r"\{[^}]*\}")


def principal(scope: TheirScope) -> Subject | None:
    """Who it is; None for nobody in particular."""
    passed: Passed = scope["demur"]  # type: ignore[typeddict-item]
    return passed.subject


class Demur(InitPlugin, ReceiveRoutePlugin, CLIPlugin):
    """The plugin. The options are those of every adapter (`demur.adapters.options`)."""

    def __init__(self, **options: Unpack[Options]) -> None:
        self.surface = assemble(can_ask=True, **options)
        self._marks: dict[object, tuple[Mark, ...]] = {}
        self.routes: dict[str, tuple[Mark, ...]] = {}

    # --- at start -------------------------------------------------------------------------------------

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add what belongs to the whole app."""
        app_config.after_exception.append(self._raised)
        app_config.on_startup.insert(0, self.check)
        app_config.on_shutdown.append(self.surface.aclose)
        app_config.dependencies.setdefault("principal", Provide(principal, sync_to_thread=False))
        return app_config

    def receive_route(self, route: BaseRoute) -> None:
        """Have a route judged, before Litestar builds its middleware."""
        handlers: list[BaseRouteHandler] = getattr(route, "route_handlers", None) or [route.route_handler]  # type: ignore[attr-defined]
        written = [each for each in handlers if not _is_automatic(each)]
        for handler in handlers:
            # What Litestar answers to OPTIONS by itself is as open as all that it tells of.
            self._marks[handler] = _found([handler] if handler in written else written)
            if self._judging not in (handler.middleware or ()):
                handler.middleware = [*(handler.middleware or ()), self._judging]
            if handler in written and not _is_of_openapi(handler):
                methods = ",".join(sorted(map(str, getattr(handler, "http_methods", ()))))
                self.routes[f"{methods} {route.path}".strip()] = self._marks[handler]
        app: Any = handlers[0].app
        if not isinstance(app.asgi_router, _Router):
            app.asgi_router = _Router(app.asgi_router, self)

    def check(self) -> None:
        """Raises ConfigError if nobody said who may open a route, and if nobody can hold what one asks for. The pages
        that Litestar has of the schema are closed until somebody opens them, and no fault of the app's."""
        check_routes(self.surface, self.routes)

    def on_cli_init(self, cli: Group) -> None:
        """Have `litestar demur-routes` list every route with what it asks for, and fail if one says nothing."""
        import click  # noqa: PLC0415 - the command line has it

        @cli.command("demur-routes", help="List every route with who may open it.")
        def show() -> None:
            for route, asked in sorted(self.routes.items(), key=lambda each: (each[0].partition("/")[2], each[0])):
                click.echo(f"{route}  {self.surface.requirement(_PARAMETER.sub('x', route), asked)}")
            try:
                self.check()
            except ConfigError as wrong:
                raise click.ClickException(str(wrong)) from None

    # --- at a request ---------------------------------------------------------------------------------

    def _judging(self, app: App) -> Any:  # noqa: ANN401 - Litestar knows two kinds of scope
        view: App | None = None

        def judging(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            nonlocal view
            passed: Passed | None = scope.get("demur")
            if passed is None:
                message = "Litestar was made without any route, so demur does not stand before it."
                raise ConfigError(message, fix="Give it at least one of them as route_handlers=….")
            handler = scope["route_handler"]
            if view is None:
                view = self._view(app, handler)
            if not passed.settled(self._marks.get(handler, ())):
                return self._at_length(view, passed, scope, receive, send)
            if passed.refused is not None:
                return wire.stand_in(scope, send)
            return self._answered(view, passed, scope, receive, send)

        return judging

    def _view(self, app: App, handler: BaseRouteHandler) -> App:
        """What a route leads to. Litestar catches what a view raises before any middleware; where there is none but
        ours, which `_Router` stands around as well, it is enough to catch it there."""
        if type(app) is ExceptionHandlerMiddleware and handler.resolve_middleware() == [self._judging]:
            inside: Any = app.app
            return cast("App", inside)
        return app

    def _answered(self, view: App, passed: Passed, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if self.surface.bridge is None:
            allow = passed.allow
            scope["user"], scope["auth"] = allow.subject, allow.session
        return view(scope, receive, send)

    async def _at_length(self, view: App, passed: Passed, scope: Scope, receive: Receive, send: Send) -> None:
        if await self._judge(passed, scope):
            await self._answered(view, passed, scope, receive, send)
        else:
            await wire.stand_in(scope, send)

    async def _judge(self, passed: Passed, scope: Scope) -> bool:
        return await self.surface.ajudge(passed, self._marks.get(scope["route_handler"], ()), native=passed.native)

    async def routed(self, router: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Litestar answer. A refusal from before the marks were judged leaves with its reason; and what is raised
        is answered here, by Litestar's own middleware, which is not in the way as long as nothing is."""
        passed: Passed = scope["demur"]
        if self.surface.bridge is not None:
            passed.native = ASGIConnection(scope)  # type: ignore[arg-type]
        started = False

        def sent(message: Message) -> Awaitable[None]:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            return self._send_judged(message, passed, scope, send) if passed.left else send(message)

        try:
            await router(scope, receive, sent)
        except Exception as error:  # noqa: BLE001 - whatever it is
            await _raising(error, started=started)(scope, receive, sent)

    async def _send_judged(self, message: Message, passed: Passed, scope: Scope, send: Send) -> None:
        """Let something leave that nobody has judged: it is no view, or a refusal from before one."""
        if "route_handler" in scope:
            if _is_refusal(message):
                await self._judge(passed, scope)
        elif message.get("status", 400) < 300:
            await self.surface.ajudge(passed, (), native=passed.native, closed=False)
        await send(message)

    async def _raised(self, error: Exception, scope: Any) -> None:  # noqa: ANN401 - as above
        passed: Passed | None = scope.get("demur")
        if passed is not None:
            passed.answer = self.surface.raised(passed, error)


class _Router:
    """Litestar's router with demur around it. It is the one place that is inside CORS and outside of everything else;
    what it raises (404, 405) is answered within, so that it leaves like any other answer."""

    def __init__(self, router: Any, plugin: Demur) -> None:  # noqa: ANN401 - Litestar's own, and private
        self._router = router
        self._outer = asgi.Demur(partial(plugin.routed, router), plugin.surface, hooked=True)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a router has
        return getattr(self._router, name)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self._outer(scope, receive, send)


def _found(handlers: Iterable[BaseRouteHandler]) -> tuple[Mark, ...]:
    views: list[object] = []
    for handler in handlers:
        for layer in handler.ownership_layers:
            said = (layer.opt or {}).get("demur", ())
            views += [layer, *(said if isinstance(said, (list, tuple)) else [said])]
    return marks_of(*views)


def _is_refusal(message: Message) -> bool:
    return message["type"] == "websocket.close" or message.get("status") in _SAYS_NO


def _is_automatic(handler: BaseRouteHandler) -> bool:
    return str(handler.fn.__module__) == "litestar.routes.http"


def _is_of_openapi(handler: BaseRouteHandler) -> bool:
    return str(handler.fn.__module__).startswith(("litestar._openapi", "litestar.openapi"))


def _raising(error: Exception, *, started: bool) -> Any:  # noqa: ANN401 - Litestar knows two kinds of scope
    """Litestar's middleware around an app that raises this."""

    async def raising(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - as above
        if started:
            ScopeState.from_scope(scope).response_started = True
        raise error

    return ExceptionHandlerMiddleware(raising, debug=None)
