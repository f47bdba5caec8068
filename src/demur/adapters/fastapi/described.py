"""An app's OpenAPI document, with what demur answers in its place: problem documents, and how to say who one is.

- `app.openapi()` says it for every app before which the middleware stands, before the first request, too.
- What the app says itself, of an answer or of its own security schemes, stays.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from starlette.routing import Mount

from demur.adapters.fastapi.asked import SCHEME
from demur.adapters.options import assemble
from demur.adapters.starlette import Demur, listing
from demur.core.model import Access, Scheme
from demur.pages.addresses import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from demur.adapters.surface import Surface
    from demur.core.marks import Mark

_SURFACE: Final = "__demur_surface__"
_PROBLEM: Final = "DemurProblem"
_ANSWERS: Final = {
    "401": ("Nobody is signed in, or no longer, or not freshly or strongly enough.", "WWW-Authenticate"),
    "403": ("Whoever is signed in may not do this.", ""),
    "429": ("Too many attempts.", "Retry-After"),
    "503": ("It cannot be checked now who may do this; nobody is signed out.", "Retry-After"),
}
_METHODS: Final = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace", "query"})


def describe(app: object, surface: Surface) -> None:
    """Have an app, and what is mounted in it, say what this surface answers."""
    if isinstance(app, FastAPI):
        vars(app)[_SURFACE] = surface
        own = vars(app).get("openapi")  # a function that the app put in the place of FastAPI's
        if own is not None and not hasattr(own, _SURFACE):
            vars(app)["openapi"] = _describing(app, own)
    for route in getattr(app, "routes", ()):
        if isinstance(route, Mount):
            describe(route.app, surface)


def _describing(app: FastAPI, own: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    @wraps(own)
    def openapi() -> dict[str, Any]:
        return described(app, own())

    vars(openapi)[_SURFACE] = True
    return openapi


def install() -> None:
    """Have every FastAPI app say it that has the middleware, once for the process."""
    own = FastAPI.openapi
    if hasattr(own, _SURFACE):
        return

    @wraps(own)
    def openapi(app: FastAPI) -> dict[str, Any]:
        return described(app, own(app))

    vars(openapi)[_SURFACE] = True
    setattr(FastAPI, "openapi", openapi)  # noqa: B010 - the type of a method says its class


def _surface_of(app: FastAPI) -> Surface | None:
    for each in () if _SURFACE in vars(app) else app.user_middleware:
        if isinstance(each.cls, type) and issubclass(each.cls, Demur):
            options: Any = each.kwargs
            describe(app, options.get("surface") or assemble(can_ask=True, **options))
    surface: Surface | None = vars(app).get(_SURFACE)
    return surface


def described(app: FastAPI, document: dict[str, Any]) -> dict[str, Any]:
    """A document of the app's with what demur answers, if it stands before the app. It is the app's own object, and it
    does not matter how often it comes here."""
    surface = _surface_of(app)
    if surface is None or _PROBLEM in document.get("components", {}).get("schemas", {}):
        return document
    asked = {(path, method.lower()): marks for method, path, marks in listing.listed(app.routes)}
    schemes = _schemes(surface)
    for path, item in document.get("paths", {}).items():
        for method in _METHODS & item.keys():
            _say(
                item[method], list(schemes), closed=_closed(surface, path, asked.get((path, method), ()), item[method])
            )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})[_PROBLEM] = SCHEMAS["Problem"]
    known = components.setdefault("securitySchemes", {})
    known.pop(SCHEME, None)
    known.update(schemes)
    return document


def _closed(surface: Surface, path: str, marks: Iterable[Mark], operation: Mapping[str, Any]) -> bool:
    """Whether an operation is refused to somebody: by the rule of its path, by a mark, or by the app itself."""
    rule = surface.site.rules.match("GET", path.encode("ascii", "replace")).requirement
    if rule.access is Access.REQUIRED or any(mark.requirement.access is Access.REQUIRED for mark in marks):
        return True
    return any(SCHEME not in scheme for scheme in operation.get("security", ()))


def _say(operation: dict[str, Any], schemes: Iterable[str], *, closed: bool) -> None:
    said = operation.get("security", [])
    own = [scheme for scheme in said if SCHEME not in scheme]
    ours: list[dict[str, list[str]]] = [{scheme: []} for scheme in schemes]
    if not closed:
        if len(own) < len(said):  # whoever can be identified is
            operation["security"] = own or [{}, *ours]
        return
    operation["security"] = own or ours
    for status, (description, field) in _ANSWERS.items():
        answer = operation["responses"].setdefault(status, {"description": description})
        content = answer.setdefault("content", {})
        content.setdefault("application/problem+json", {"schema": {"$ref": f"#/components/schemas/{_PROBLEM}"}})
        if field:
            answer.setdefault("headers", {}).setdefault(field, {"schema": {"type": "string"}})


def _schemes(surface: Surface) -> dict[str, dict[str, str]]:
    site, found = surface.site, dict[str, dict[str, str]]()
    if site.cookie.name:
        found["session"] = {"type": "apiKey", "in": "cookie", "name": site.cookie.name}
    if Scheme.BEARER in site.rules.accepts:
        found["token"] = {"type": "http", "scheme": "bearer"}
    if Scheme.BASIC in site.rules.accepts:
        found["password"] = {"type": "http", "scheme": "basic"}
    return found
