"""What a view of Django's asks for: demur's marks, and what Django and its kin say in their own way.

- Marks count wherever they are: on the function, the class, one method of it, an operation of django-ninja.
- `login_not_required` opens a view, as it does for Django's own middleware.
- Where the view's own check decides (`login_required` and its relatives, a permission class, the admin), that goes on
  deciding. What nobody says anything about is closed where a rule leaves it to the mark.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType
from typing import TYPE_CHECKING, Any

from demur.adapters.django.mixins import Requires
from demur.core.marks import Mark, identified, marks_of, public

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.http import HttpRequest

_MIXINS = "django.contrib.auth.mixins"
_METHODS = ("get", "post", "put", "patch", "delete", "options", "trace")
_KNOWN = frozenset(("HEAD", *(name.upper() for name in _METHODS)))


@dataclass(frozen=True, slots=True)
class Asked:
    """What one view asks for when it is asked with one method: its marks, or `own`, the name of its own check. With
    `absent` it does not answer that method at all."""

    marks: tuple[Mark, ...] = ()
    own: str = ""
    absent: bool = False

    @property
    def closed(self) -> bool:
        """Whether nobody says anything about it."""
        return not self.marks and not self.own and not self.absent


def of(request: HttpRequest, view: Callable[..., object], *, kept: bool) -> Asked:
    """What a view asks of a request."""
    # Any other method is one to a view, and nobody shall fill a memory with them.
    return asked(view, request.method if request.method in _KNOWN else "", kept=kept)


@lru_cache(4096)
def asked(view: Callable[..., object], method: str, *, kept: bool = False) -> Asked:
    """What a view asks for. With `kept` demur keeps the sessions, so that an open view is told who is there."""
    operations = _operations(view)
    if operations is not None:
        return _of_operation(view, operations, method)
    whole, handler = _class(view), _handler(view, method)
    found = marks_of(view, whole, handler)
    if whole is not None and issubclass(whole, Requires):
        found = tuple(dict.fromkeys((*found, *whole.marks(_given(view)))))
    if found:
        return Asked(found)
    # Django REST framework says so of all its views, for they have permission classes.
    if getattr(view, "login_required", True) is False and not hasattr(view, "cls"):
        return Asked((identified if kept else public,))
    own = _own(view, whole, handler)
    absent = not own and whole is not None and handler is None and method != "OPTIONS"
    return Asked(own=own, absent=absent)  # what is absent is a 405


def _class(view: object) -> type | None:
    """The class of a view: Django's `view_class`, Django REST framework's `cls`."""
    found = getattr(view, "view_class", None) or getattr(view, "cls", None)
    return found if isinstance(found, type) else None


def _handler(view: object, method: str) -> object:
    whole = _class(view)
    if whole is None:
        return None
    actions = getattr(view, "actions", None) or {}
    name = method.lower()
    found = getattr(whole, actions.get(name, name), None)
    return _handler(view, "GET") if found is None and method == "HEAD" else found


def _given(view: object) -> dict[str, Any]:
    """What `as_view(…)` was given in place of the attributes of the class."""
    return {**getattr(view, "view_initkwargs", {}), **getattr(view, "initkwargs", {})}


def _own(view: object, whole: type | None, handler: object) -> str:
    """The name of the check that a view has of its own; "" if it has none."""
    by_admin = (hasattr(each, "admin_view") and hasattr(each, "has_permission") for each in _held(view))
    if hasattr(view, "admin_site") or hasattr(view, "model_admin") or any(by_admin):
        return "the admin"
    if str(_given(view).get("pattern_name", "")).startswith("admin:"):
        return "the admin"  # its own redirects from addresses of before
    mixins = [base.__name__ for base in getattr(whole, "__mro__", ()) if base.__module__ == _MIXINS]
    if mixins:
        return str(mixins[0])
    layers = (*_wrapped(view), *_wrapped(handler))
    if any("redirect_field_name" in vars(each) and "login_url" in vars(each) for each in layers):
        return "login_required, or the like"
    permissions = _given(view).get("permission_classes", getattr(whole, "permission_classes", ()))
    names = [getattr(each, "__name__", type(each).__name__) for each in permissions]
    return ", ".join(names) if names and "AllowAny" not in names else ""


def _wrapped(view: object) -> Iterator[Any]:
    """A view and what it wraps. `method_decorator` leaves what a decorator says at `dispatch`, and that at the view."""
    while view is not None:
        if hasattr(view, "__dict__"):
            yield view
        view = getattr(view, "__wrapped__", None)


def _held(view: object, depth: int = 8) -> Iterator[Any]:
    """What the functions that wrap a view hold: the admin's site, ninja's operations."""
    for each in _wrapped(view) if depth else ():
        for cell in getattr(each, "__closure__", None) or ():
            with contextlib.suppress(ValueError):  # a cell that is still empty
                yield cell.cell_contents
                if isinstance(cell.cell_contents, FunctionType):
                    yield from _held(cell.cell_contents, depth - 1)


# --- django-ninja: one view for each path, with an operation for each method ------------------------


def _operations(view: Callable[..., object]) -> list[Any] | None:
    held = next((each for each in _held(view) if type(each).__name__ == "PathView"), None)
    return list(held.operations) if held is not None else None


def _of_operation(view: Callable[..., object], operations: list[Any], method: str) -> Asked:
    operation = next((each for each in operations if method in each.methods), None)
    if operation is None:
        return Asked(absent=True)
    found = marks_of(view, operation.view_func)
    checks = [getattr(each, "__name__", type(each).__name__) for each in operation.auth_callbacks]
    return Asked(found) if found else Asked(own=f"auth: {', '.join(checks)}" if checks else "")


def methods(view: Callable[..., object]) -> tuple[str, ...]:
    """The methods by which a view asks for different things; () if it does not tell them apart."""
    operations = _operations(view)
    if operations is not None:
        return tuple(dict.fromkeys(method for each in operations for method in sorted(each.methods)))
    if _class(view) is None:
        return ()
    return tuple(name.upper() for name in _METHODS if name != "options" and _handler(view, name.upper()) is not None)
