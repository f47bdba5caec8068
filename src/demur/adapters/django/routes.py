"""Every URL pattern of a project, and what is asked for there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.urls import URLPattern, URLResolver, get_resolver

from demur.adapters.django import config, views

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from demur.adapters.surface import Surface
    from demur.core.marks import Mark

_CAPTURE = re.compile(r"<(?:[^>:]*:)?([^>]*)>")
_GROUP = re.compile(r"\((?:\?P<[^>]*>)?(?:[^()\\]|\\.|\[[^\]]*\])*\)[*+?]?")
_ANCHORS = re.compile(r"\\[AZz]|[\^$]")


@dataclass(frozen=True, slots=True)
class Route:
    """A pattern, and what its view asks for when it is asked with `methods` ("" for any). `sample` is a path under
    it."""

    path: str
    sample: str
    methods: str
    view: str
    asked: views.Asked

    def requirement(self, surface: Surface) -> str:
        """What is asked for, in words; "nothing" if nobody says it, and the view is closed."""
        said = surface.requirement(self.sample, self.asked.marks)
        own = self.asked.own if not self.asked.marks else ""
        if said == "app":
            return own or "what the app decides"
        return (own or "nothing") if said == "marked" else ", ".join(part for part in (said, own) if part)


def routes() -> list[Route]:
    """All of the project, in the order in which Django tries them."""
    kept = config.surface().bridge is None
    return [
        Route(path, _sample(path), methods, _name(view), asked)
        for path, view in _patterns(get_resolver().url_patterns, "/")
        for methods, asked in _by_method(view, kept=kept)
    ]


def _by_method(view: Any, *, kept: bool) -> Iterable[tuple[str, views.Asked]]:  # noqa: ANN401 - a view
    """What a view asks for, with the methods that ask for the same in one line."""
    found: dict[views.Asked, list[str]] = {}
    for method in views.methods(view) or ("GET",):
        found.setdefault(views.asked(view, method, kept=kept), []).append(method)
    if len(found) == 1:
        return [("", next(iter(found)))]
    return [(" ".join(methods), asked) for asked, methods in found.items()]


def _patterns(found: Iterable[object], before: str) -> Iterator[tuple[str, Any]]:
    for each in found:
        if isinstance(each, URLResolver):
            yield from _patterns(each.url_patterns, before + str(each.pattern))
        elif isinstance(each, URLPattern):
            yield _ANCHORS.sub("", before + str(each.pattern)), each.callback


def _sample(path: str) -> str:
    return _GROUP.sub("x", _CAPTURE.sub("x", path)) if "(?P<" not in path else _GROUP.sub("x", path)


def _name(view: Any) -> str:  # noqa: ANN401 - a view
    named = getattr(view, "view_class", None) or getattr(view, "cls", None) or view
    name = getattr(named, "__qualname__", type(named).__qualname__)
    return f"{getattr(named, '__module__', '')}.{name}"


def permissions(found: Iterable[Mark]) -> Iterator[str]:
    """The permissions that marks ask for."""
    return (mark.permission for mark in found if mark.permission)
