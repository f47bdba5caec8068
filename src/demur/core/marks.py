"""What a view asks for, said beside the view.

- A mark is a decorator that only marks: it gives the view back as it is, so no order of decorators can open one.
- All marks of a view have to be met, those of its function and of its class, and what the rule of its path asks for.
- A decorator that hides the mark closes the view: what nobody marked is closed.
- Whatever cannot be meant is an error where it is written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from demur.core.model import Access, ConfigError, Form, Requirement, Terms
from demur.core.rules import STRENGTHS, duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from demur.core.rules import Rules

V = TypeVar("V")

_NAME = "__demur__"
"""How the attributes begin under which a view keeps its marks: one for each, because whoever copies what one decorator
has set over what another one has (Django's `method_decorator`) would lose a mark in a common one."""
_INSIDE = ("__func__", "__wrapped__", "func", "view_class", "cls", "fn")
"""Where wrappers keep what they wrap: methods, `functools.wraps`, `functools.partial`, and the views that Django,
Flask and Litestar make of a class or a function."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a view asks for; to be used as a decorator. `name` is what logs and explanations call it, `permission` the
    one that is asked for, "" for none."""

    requirement: Requirement
    permission: str = ""

    @property
    def name(self) -> str:
        """How logs and the list of routes call it."""
        return self.requirement.rule

    def __call__(self, view: V) -> V:
        """Mark a view, a function or a class, and give it back."""
        holder: Any = getattr(view, "__func__", view)
        _agree(_kept(holder), self, view)
        try:
            setattr(holder, f"{_NAME} {self.name} {self.requirement.form or ''}", self)
        except AttributeError:
            message = f"{view!r} cannot be marked."
            raise ConfigError(message, fix="Mark a function or a class.") from None
        return view


def require(
    permission: str | None = None,
    *,
    groups: Iterable[str] = (),
    all_groups: Iterable[str] = (),
    fresh: int | str | None = None,
    strength: str | Sequence[str] | None = None,
    form: str | None = None,
) -> Mark:
    """Mark a view as being for people who are signed in, and who hold what is asked for.

    `permission` is a text such as `report:read`; `groups` means any of them, `all_groups` every one. `fresh` is how
    long ago, in seconds or as "15m", somebody may have shown who they are, and `strength` how strongly ("mfa", RFC
    9470). `form` says whom a refusal is written for: "page" or "api"; without it, by what the request says of itself.
    Raises ConfigError.
    """
    if permission == "":
        message = f"{permission!r} is not a permission."
        raise ConfigError(
            message, place="demur.require", fix='Write @demur.require() or @demur.require("report:read").'
        )
    terms = Terms(groups=_names(groups, "groups"), all_groups=_names(all_groups, "all_groups"), permission=permission)
    max_age = None if fresh is None else duration(fresh, place="demur.require, fresh")
    asked = Requirement(Access.REQUIRED, "", terms, max_age=max_age, acr=_strong(strength), form=_form(form))
    return Mark(replace(asked, rule=_said(asked)), permission or "")


def _open(access: Access, name: str) -> Mark:
    return Mark(Requirement(access, name))


public = _open(Access.OPEN, "mark: anyone")
"""Marks a view as open: nobody is looked up."""
identified = _open(Access.OPTIONAL, "mark: anyone, identified")
"""Marks a view as open; whoever can be identified is."""


def marks_of(*views: object) -> tuple[Mark, ...]:
    """All marks of a view and of what it wraps, and of whatever else is given (its class, its router); () if there is
    none."""
    found: dict[Mark, None] = {}
    for view in views:
        for each in _layers(view):
            found.update(dict.fromkeys(_own(each)))
    return tuple(found)


def _kept(view: object) -> tuple[Mark, ...]:
    kept = getattr(view, "__dict__", {})
    return tuple(mark for name, mark in kept.items() if isinstance(mark, Mark) and str(name).startswith(_NAME))


def _own(view: object) -> tuple[Mark, ...]:
    if isinstance(view, Mark):
        return (view,)
    if isinstance(view, type):
        # A class inherits what its bases ask for, and may ask for more.
        return tuple(mark for base in view.__mro__ for mark in _kept(base))
    marks = _kept(view)
    # An instance is as its class is marked: an endpoint, a consumer.
    return marks if callable(getattr(view, "__get__", None)) else (*marks, *_own(type(view)))


def _layers(view: object) -> Iterator[object]:
    waiting, seen = [view], set[int]()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, Mark):
            continue
        if not isinstance(each, type):
            waiting += [getattr(each, name, None) for name in _INSIDE if name != "func" or isinstance(each, partial)]
            bound = getattr(each, "__self__", None)
            if bound is not None and hasattr(each, "__func__"):
                waiting.append(bound if isinstance(bound, type) else type(bound))


def resolve(marks: Iterable[Mark], table: Rules, *, asked: bool = False) -> tuple[Requirement, ...]:
    """What marks ask for on a site, with the groups that hold each permission. With `asked`, an app's own function says
    who holds one. Raises ConfigError for a permission that nobody can hold."""
    return tuple(_resolved(mark, table.permissions, asked=asked) for mark in marks)


def _resolved(mark: Mark, permissions: Mapping[str, frozenset[str]], *, asked: bool) -> Requirement:
    if not mark.permission:
        return mark.requirement
    if mark.permission not in permissions and not asked:
        near = get_close_matches(mark.permission, permissions, n=1)
        fix = (
            f"Did you mean {near[0]!r}?" if near else f'Give permissions={{"{mark.permission}": ["…"]}}, or permits=….'
        )
        message = f"No group holds the permission {mark.permission!r}."
        raise ConfigError(message, place=mark.name, fix=fix)
    terms = replace(mark.requirement.terms, permission_groups=permissions.get(mark.permission, frozenset()))
    return replace(mark.requirement, terms=terms)


def _agree(has: Sequence[Mark], new: Mark, view: object) -> None:
    for mark in has:
        if (mark.requirement.access is Access.REQUIRED) is not (new.requirement.access is Access.REQUIRED):
            name = getattr(view, "__qualname__", repr(view))
            message = f"One mark opens {name}, and another one closes it."
            raise ConfigError(message, place=f"{mark.name} and {new.name}", fix="Remove one of them.")


def _names(given: Iterable[str], key: str) -> frozenset[str]:
    found = (given,) if isinstance(given, str) else tuple(given)
    if all(found):
        return frozenset(found)
    message = f"{key!r} is a list of names, not {given!r}."
    raise ConfigError(message, place="demur.require", fix=f'Write {key}=["staff"].')


def _strong(value: str | Sequence[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, str):
        return tuple(value)
    if value in STRENGTHS:
        return STRENGTHS[STRENGTHS.index(value) :]
    known = ", ".join(f'"{each}"' for each in STRENGTHS)
    message = f"{value!r} is no strength of a sign-in."
    raise ConfigError(message, place="demur.require", fix=f'Known are {known}; others stand in a list, strength=["…"].')


def _form(value: str | None) -> Form | None:
    if value is None:
        return None
    if value not in {"page", "api"}:
        message = f"{value!r} is not a form of refusal."
        raise ConfigError(message, place="demur.require", fix='Write form="page" or form="api".')
    return Form(value)


def _said(asked: Requirement) -> str:
    terms = asked.terms
    parts = [
        terms.permission or "",
        f"groups {', '.join(sorted(terms.groups))}" if terms.groups else "",
        f"all groups {', '.join(sorted(terms.all_groups))}" if terms.all_groups else "",
        f"fresh {asked.max_age} s" if asked.max_age is not None else "",
        f"strength {' '.join(asked.acr)}" if asked.acr else "",
    ]
    return f"mark: {', '.join(part for part in parts if part) or 'signed in'}"
