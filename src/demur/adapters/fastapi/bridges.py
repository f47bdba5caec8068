"""Who somebody is by the app's own dependencies, and by fastapi-users.

- The dependency that the app has for it is called as FastAPI calls it: with its own dependencies, overrides included.
- fastapi-users answers a token that has expired as one that never was. Its strategies know better, and are asked.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from datetime import UTC
from typing import TYPE_CHECKING, Any, TypeAlias

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant, solve_dependencies
from fastapi.security.base import SecurityBase
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket

from demur.adapters.starlette.bridges import settled
from demur.core.bridged import ended, nobody, person, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Never

    from demur.adapters.starlette.bridges import Bridge, Clock, Said
    from demur.core.model import Evidence

    Dependency: TypeAlias = Callable[..., Any]

_REFUSED = frozenset((401, 403))


def dependency(call: Dependency, who: Callable[[Any], Said] | None = None) -> Bridge:
    """Whoever the app's own dependency finds, such as `get_current_user`: `who` is given what it returns; without it
    that is an id, or something with an `id` and perhaps a `username` and an `email`. Nobody is there where it returns
    None, or raises a 401 or a 403."""
    schemes = [each for each in _calls(get_dependant(path="/", call=call)) if isinstance(each, SecurityBase)]

    async def bridge(connection: HTTPConnection) -> Evidence:
        try:
            async with AsyncExitStack() as stack:
                (found,) = await _solved(stack, connection, call)
                if found is not None:
                    told: Evidence = await settled((who or _person)(found))
                    return told
        except HTTPException as error:
            if error.status_code not in _REFUSED:
                raise
        return unknown if any(_is_sent(scheme, connection) for scheme in schemes) else nobody

    return bridge


def users(
    *backends: Any,  # noqa: ANN401 - AuthenticationBackend of fastapi-users, which need not be there
    manager: Dependency,
    who: Callable[[Any], Said] | None = None,
    clock: Clock = time.time,
) -> Bridge:
    """Whoever fastapi-users finds by these backends. `manager` is the app's `get_user_manager`. `who` is given the
    user; without it they are in the groups "superuser" and "verified" where they are that."""

    async def bridge(connection: HTTPConnection) -> Evidence:
        why: Evidence = nobody
        for backend in backends:
            token = await backend.transport.scheme(connection)
            if not token:
                continue
            async with AsyncExitStack() as stack:
                strategy, managing = await _solved(stack, connection, backend.get_strategy, manager)
                found = await strategy.read_token(token, managing)
                if found is not None:
                    told: Evidence = await settled((who or _user)(found))
                    return told
                why = await _why(strategy, token, clock())
        return why

    return bridge


# --- calling the app's dependencies ---------------------------------------------------------------


async def _solved(stack: AsyncExitStack, connection: HTTPConnection, *calls: Dependency) -> list[Any]:
    """What dependencies return, as FastAPI calls them; None for one whose parameters are not there."""
    scope = {**connection.scope, "fastapi_inner_astack": stack, "fastapi_function_astack": stack}
    request = Request(scope) if scope["type"] == "http" else WebSocket(scope, _never, _never)
    asked = [get_dependant(path="/", call=call, name=str(number)) for number, call in enumerate(calls)]
    solved = await solve_dependencies(
        request=request,
        dependant=Dependant(dependencies=asked, path="/"),
        dependency_overrides_provider=scope.get("app"),
        async_exit_stack=stack,
        embed_body_fields=False,
    )
    return [solved.values.get(str(number)) for number, _ in enumerate(calls)]


async def _never(*_: object) -> Never:
    raise RuntimeError("a bridge reads nothing and answers nothing")


def _calls(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for each in dependant.dependencies:
        yield from _calls(each)


def _is_sent(scheme: SecurityBase, connection: HTTPConnection) -> bool:
    """Whether a request has what a scheme looks for."""
    place, name = str(getattr(scheme.model, "in_", "header")), str(getattr(scheme.model, "name", "authorization"))
    if place.endswith("cookie"):
        return name in connection.cookies
    return name in (connection.query_params if place.endswith("query") else connection.headers)


def _person(found: Any) -> Evidence:  # noqa: ANN401 - whatever the app calls a user
    key = getattr(found, "id", found)
    return person(key, getattr(found, "username", ""), email=getattr(found, "email", ""))


# --- fastapi-users --------------------------------------------------------------------------------


def _user(found: Any) -> Evidence:  # noqa: ANN401 - the app's own class
    groups = [name for name in ("superuser", "verified") if getattr(found, f"is_{name}")]
    return person(found.id, found.email, groups, email=found.email, suspended=not found.is_active)


async def _why(strategy: Any, token: str, now: float) -> Evidence:  # noqa: ANN401 - any of them
    """Why a strategy knows nobody for a token."""
    until = 0.0
    if hasattr(strategy, "decode_key"):
        until = _end_of_jwt(strategy, token)
    elif hasattr(strategy, "database") and strategy.lifetime_seconds:
        row = await strategy.database.get_by_token(token)
        if row is not None:
            made = row.created_at if row.created_at.tzinfo else row.created_at.replace(tzinfo=UTC)
            until = made.timestamp() + strategy.lifetime_seconds
    return ended("expired", until) if 0 < until <= now else unknown


def _end_of_jwt(strategy: Any, token: str) -> float:  # noqa: ANN401 - JWTStrategy
    import jwt  # noqa: PLC0415 - what fastapi-users reads it with

    key = getattr(strategy.decode_key, "get_secret_value", lambda: strategy.decode_key)()
    try:
        claims = jwt.decode(token, key, [strategy.algorithm], {"verify_exp": False}, audience=strategy.token_audience)
    except jwt.PyJWTError:
        return 0.0
    return float(claims.get("exp", 0))
