"""What Quart calls: before every other hook of a request and of a WebSocket, and when `Refused` is raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, cast

from quart import Quart, Response, current_app, g, has_request_context, request, websocket

from demur.adapters import asgi
from demur.adapters.options import Options, assemble
from demur.adapters.quart import routes
from demur.adapters.surface import check_routes
from demur.core.model import Access, ConfigError, Refused

if TYPE_CHECKING:
    from quart import Request, Websocket

    from demur.adapters.passed import Passed
    from demur.adapters.surface import Surface
    from demur.core.marks import Mark


class Demur:
    """The extension. Options are given here, to `init_app` or in `app.config["DEMUR"]`; the last word counts.

    A view finds what was decided at `g.demur`: `g.demur.subject` is who it is.
    """

    def __init__(self, app: Quart | None = None, **options: Unpack[Options]) -> None:
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart, **options: Unpack[Options]) -> None:
        """Stand before this app. Raises ConfigError."""
        given = cast("Options", {**app.config.get("DEMUR", {}), **self._options, **options})
        name = getattr(given.get("bridge"), "cookie", None)
        if "bridge" in given:
            given.setdefault("cookie", name(app) if name is not None else app.config["SESSION_COOKIE_NAME"])
        surface = assemble(can_ask="bridge" not in given, **given)
        app.extensions["demur"] = surface
        app.asgi_app = asgi.Demur(app.asgi_app, surface, hooked=True)  # type: ignore[assignment, arg-type, method-assign]
        guarding = Guarding(surface)
        app.before_request_funcs[None].insert(0, guarding.before)
        app.before_websocket_funcs[None].insert(0, guarding.before)
        app.register_error_handler(Refused, answer)
        app.cli.add_command(routes.commands)
        app.before_serving(lambda: check_routes(surface, routes.listed(app, surface)))
        app.after_serving(surface.aclose)


class Guarding:
    """Judges what is left, and the marks of the view, when Quart has found it and nobody has looked at the content."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._known: dict[tuple[str, str], tuple[object, tuple[Mark, ...]]] = {}

    async def before(self) -> Response | None:
        """The first function that Quart calls for a request."""
        proxy: Any = request if has_request_context() else websocket
        sent: Request | Websocket = proxy._get_current_object()  # noqa: SLF001 - how a proxy of Werkzeug is left
        passed: Passed | None = sent.scope.get("demur")  # type: ignore[assignment]
        if passed is None or passed.surface is not self._surface:
            message = "A request came past demur."
            raise ConfigError(message, place=current_app.name, fix="Leave app.asgi_app wrapped as init_app did.")
        g.demur, passed.native = passed, sent
        if _is_static(sent.endpoint or "", passed):
            return None
        found = self._marks(sent.endpoint, sent.method) if sent.endpoint else ()
        # An error of the routing has no view; Quart answers it next.
        if await self._surface.ajudge(passed, found, native=sent, closed=sent.routing_exception is None):
            return None
        return Response("", 403)  # which does not get out

    def _marks(self, endpoint: str, method: str) -> tuple[Mark, ...]:
        """The marks of a view, looked for once."""
        view, key = current_app.view_functions.get(endpoint), (endpoint, method)
        known = self._known.get(key)
        if known is None or known[0] is not view:
            known = self._known[key] = (view, routes.marks(current_app, self._surface, endpoint, method))
        return known[1]


def _is_static(endpoint: str, passed: Passed) -> bool:
    """Whether nobody has to be known, for the app's own static files, which are the same for everybody."""
    if endpoint != "static" and not endpoint.endswith(".static"):
        return False
    plan = passed.checked.plan
    return plan is not None and all(match.requirement.access is Access.APP for match in plan.matches)


async def answer(refused: Refused) -> Response:
    """What a view raised, as the answer in its place."""
    passed: Passed = g.demur
    passed.answer = passed.surface.raised(passed, refused)
    return Response("", 403)  # which does not get out
