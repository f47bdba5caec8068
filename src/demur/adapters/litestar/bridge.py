"""What bridges to Litestar's logins have in common. What its own middleware has found out is used; where that has not
run, or has refused, a bridge looks itself."""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from demur.core.bridged import nobody

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from litestar.connection import ASGIConnection

    from demur.core.model import Evidence

    Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]
    Clock: TypeAlias = Callable[[], float]
    Bridge: TypeAlias = Callable[[Connection], Awaitable[Evidence]]
    Who: TypeAlias = Callable[[Any], Evidence | Awaitable[Evidence]]


def user(who: Who) -> Bridge:
    """Whoever an authentication middleware of the app has found: `who` is given `connection.user`."""

    async def bridge(connection: Connection) -> Evidence:
        found = connection.scope.get("user")
        return await settled(who(found)) if found else nobody

    return bridge


async def settled(said: Any) -> Any:  # noqa: ANN401 - whatever an app's function says
    return await said if isawaitable(said) else said
