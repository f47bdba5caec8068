"""Who may come in is asked before what they sent is read, where the app asks for itself.

FastAPI reads the body, and parses it, before it calls a dependency. So whoever sends no credentials, and JSON that is
none, is told 422, or 400 for a form: about the body, and not that they have to sign in. Then, and only then, the
dependencies of the route are called, without a body; if they refuse, that is the answer.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import wraps
from typing import TYPE_CHECKING, Any

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import solve_dependencies
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request

from demur.adapters.starlette.routes import seen

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import Message, Receive, Scope, Send

_UNREAD = frozenset((400, 422))
_REFUSED = frozenset((401, 403))
_HOOK = "__demur_early__"


def install() -> None:
    """Have every route ask first, once for the process."""
    handle = APIRoute.handle
    if hasattr(handle, _HOOK):
        return

    @wraps(handle)
    def early(route: APIRoute, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        known: Any = seen(route, scope)
        if "demur" not in scope or known.body_field is None or not known.dependant.dependencies:
            return handle(route, scope, receive, send)
        return asked(known, route, scope, receive, send)

    async def asked(known: Any, route: APIRoute, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ANN401
        asking = _Asking(known, scope, send)
        await handle(route, scope, receive, asking.send)
        if asking.refused is not None:
            raise asking.refused

    vars(early)[_HOOK] = True
    setattr(APIRoute, "handle", early)  # noqa: B010 - the type of a method says its class


class _Asking:
    """An answer on its way out: if it says that the body cannot be read, it is first asked who sent it."""

    def __init__(self, route: Any, scope: Scope, send: Send) -> None:  # noqa: ANN401 - a route, or as it is included
        self._route = route
        self._scope = scope
        self._send = send
        self.refused: HTTPException | None = None

    async def send(self, message: Message) -> None:
        """Pass on a message, unless it is part of an answer that nobody gets."""
        if message["type"] == "http.response.start" and message["status"] in _UNREAD:
            self.refused = await self._refused()
        if self.refused is None:
            await self._send(message)

    async def _refused(self) -> HTTPException | None:
        """How the dependencies of the route refuse the request, whatever its body is; None if they do not."""
        asked = Dependant(dependencies=self._route.dependant.dependencies, path=self._route.dependant.path)
        async with AsyncExitStack() as stack:
            scope = {**self._scope, "fastapi_inner_astack": stack, "fastapi_function_astack": stack}
            try:
                await solve_dependencies(
                    request=Request(scope),
                    dependant=asked,
                    dependency_overrides_provider=self._route.dependency_overrides_provider,
                    async_exit_stack=stack,
                    embed_body_fields=False,
                )
            except HTTPException as error:
                return error if error.status_code in _REFUSED else None
            except Exception:  # noqa: BLE001 - it fails for want of the body, and is no refusal
                return None
        return None
