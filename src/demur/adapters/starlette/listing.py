"""Every view of an app, for the check at the start and for an app's own document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Host, Mount, WebSocketRoute

from demur.adapters.starlette.routes import marks_at, router_of
from demur.core.marks import marks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from demur.core.marks import Mark

_METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "query")


def listed(
    routes: Iterable[object], prefix: str = "", above: tuple[Mark, ...] = ()
) -> Iterator[tuple[str, str, tuple[Mark, ...]]]:
    """Every view that routes lead to: the method, the path, and the marks."""
    for route in routes:
        path = prefix + str(getattr(route, "path_format", None) or getattr(route, "path", ""))
        if isinstance(route, Mount | Host) and (router := router_of(route.app)) is not None:
            inside = prefix + str(getattr(route, "path", ""))
            yield from listed(router.routes, inside, (*above, *marks_of(route.app)))
        elif (included := getattr(route, "effective_route_contexts", None)) is not None:
            yield from listed((getattr(each, "starlette_route", None) or each for each in included()), prefix, above)
        else:
            for method in _methods(route):
                yield method.upper() or "WEBSOCKET", path, (*above, *marks_at(route, method))


def _methods(route: object) -> Iterable[str]:
    if isinstance(route, WebSocketRoute):
        return ("",)
    view = getattr(route, "endpoint", None)
    named = getattr(route, "methods", None) or (each for each in _METHODS if hasattr(view, each))
    return sorted(each.lower() for each in named) or ("get",)
