"""The site that the cases are about, before a framework has given it a form.

Every app of the suite has these pages, by the same names, each in its framework's own way: a function or a class,
marked with what it asks for, sometimes beneath a decorator. What a page does is said here once, so that a difference
between two answers is one of the frameworks or of their adapters.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.golden.club import FAILURES, PARAMETERS, says

import demur
from demur.core.model import UpstreamFailure
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

REPORT = "report:read"
LOGIN = "/login"


class BrokenError(Exception):
    """What a view raises that has a fault."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page: where, what it asks for, and what it does ("says", or one of `DOES`). `around` is a decorator of the
    app's between the mark and the framework; `beneath` one between the mark and the function. `kind` is what it is
    made of: a function, a class that is marked, or a class with a marked method."""

    path: str
    mark: demur.Mark | None = None
    does: str = "says"
    method: str = "GET"
    around: Callable[[Any], Any] | None = None
    beneath: Callable[[Any], Any] | None = None
    kind: str = "function"

    @property
    def name(self) -> str:
        """A name that is one in any framework."""
        return self.path.strip("/").replace("/", "_").replace("-", "_")

    def marked(self, view: Any) -> Any:
        """The view with its mark, and with its decorators in their places."""
        view = self.beneath(view) if self.beneath else view
        view = self.mark(view) if self.mark else view
        return self.around(view) if self.around else view


@dataclass(frozen=True, slots=True)
class Said:
    """What a page answers. `parts` are sent one by one, out of `streamed`."""

    status: int = 200
    parts: tuple[str, ...] = ("ok",)
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.parts)

    def streamed(self) -> Iterator[str]:
        """Part by part, as it is made."""
        for part in self.parts:
            COUNTER.made()
            yield part


# --- decorators of an app ------------------------------------------------------------------------------


def keeps(view: Any) -> Any:
    """A decorator as it should be written."""
    if inspect.iscoroutinefunction(view):

        @functools.wraps(view)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return await view(*args, **kwargs)

        return awaited

    @functools.wraps(view)
    def called(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return called


def loses(view: Any) -> Any:
    """A decorator that says nothing of what it wraps, but what a framework needs to call it."""

    async def awaited(*args: Any, **kwargs: Any) -> Any:
        return await view(*args, **kwargs)

    def called(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    hidden: Any = awaited if inspect.iscoroutinefunction(view) else called
    hidden.__name__, hidden.__qualname__, hidden.__module__ = view.__name__, view.__qualname__, view.__module__
    hidden.__annotations__ = view.__annotations__
    with contextlib.suppress(NameError):  # some frameworks read what these names mean, and some apps do not say
        hidden.__signature__ = inspect.signature(view, eval_str=True)
    return hidden


PAGES = (
    Page("/open", demur.public),
    Page("/maybe", demur.identified),
    Page("/member", demur.require()),
    Page("/report", demur.require(REPORT)),
    Page("/staff-only", demur.require(groups=["staff"])),
    Page("/fresh", demur.require(fresh=900)),
    Page("/page-only", demur.require(form="page")),
    Page("/unmarked"),
    Page("/posted", demur.require(), method="POST"),
    # What stands beside the view holds whatever stands around it, or the view is closed.
    Page("/order/kept", demur.require(REPORT), around=keeps),
    Page("/order/kept-twice", demur.require(REPORT), around=lambda view: keeps(keeps(view)), beneath=keeps),
    Page("/order/outermost", demur.require(REPORT), beneath=loses),
    Page("/order/lost", demur.require(REPORT), around=loses),
    Page("/order/lost-open", demur.public, around=loses),
    Page("/class/open", demur.public, kind="class"),
    Page("/class/report", demur.require(REPORT), kind="class"),
    Page("/class/unmarked", kind="class"),
    Page("/method/report", demur.require(REPORT), kind="method"),
    Page("/json", demur.require(), "json", "POST"),
    Page("/boom", demur.public, "boom"),
    Page("/stream", demur.require(), "stream"),
    Page("/open-stream", demur.public, "stream"),
    Page("/deep", demur.require(), "deep"),
    Page("/deep-step-up", demur.require(), "deep-step-up"),
    Page("/asks", demur.identified, "asks"),
    Page("/sets", demur.require(), "sets"),
    Page("/sets-its-own", demur.require(), "sets-its-own"),
    Page("/field", demur.require(), "field"),
    Page("/field-open", demur.public, "field"),
    Page("/field-nonsense", demur.require(), "field-nonsense"),
    Page(LOGIN, demur.public),
    # What the app decides by itself, below a rule that leaves it to it.
    Page("/app/open"),
    Page("/app/report", demur.require(REPORT)),
    Page("/app/bare-401", does="bare-401"),
    Page("/app/bare-403", does="bare-403"),
    Page("/app/own-401", does="own-401"),
    Page("/app/own-403", does="own-403"),
    Page("/app/to-login", does="to-login"),
    Page("/app/elsewhere", does="elsewhere"),
    Page("/app/own-404", does="own-404"),
    # Below a rule of its own, judged before any routing.
    Page("/ruled/member", demur.public),
    Page("/ruled/staff"),
    Page("/ruled/anyone"),
)

UNMARKED = {"/unmarked", "/class/unmarked", "/order/lost", "/order/lost-open"}
"""Of whom nobody says who may open them: an app with one of them does not start, so they are added to one that has."""


def shown(options: object) -> list[Page]:
    """The pages of an app that is to start; without demur (None) there is nobody to heed a mark."""
    pages = [page for page in PAGES if page.path not in UNMARKED]
    return pages if options is not None else [replace(page, mark=None) for page in pages]


DOES: dict[str, Said] = {
    "stream": Said(parts=("one ", "by ", "one")),
    "field": Said(fields={"demur-refuse": 'not-permitted; detail="Only its author may."', "x-secret": "1"}),
    "sets": Said(
        fields={
            "set-cookie": "__Host-demur=stolen; Path=/; Secure",
            "demur-processed": "?0",
            "cache-control": "public, max-age=60, s-maxage=3600",
        }
    ),
    "sets-its-own": Said(fields={"set-cookie": "theirs=2; Path=/"}),
    "field-nonsense": Said(fields={"demur-refuse": "unheard-of"}),
    "bare-401": Said(401, ("please sign in",)),
    "bare-403": Said(403, ("no",)),
    "to-login": Said(302, (), {"location": f"{LOGIN}?next=/app/to-login"}),
    "elsewhere": Said(302, (), {"location": "/app/open"}),
}

RULES: list[dict[str, Any]] = [
    {"path": "/**", "allow": "marked"},
    {"path": "/app/**", "allow": "app"},
    {"path": "/ruled/**", "allow": "signed-in"},
    {"path": "/ruled/staff", "allow": {"groups": ["staff"]}},
    {"path": "/ruled/anyone", "allow": "anyone"},
]


class Counter:
    """How often each view ran, and how often the app was asked who it is. `watch` is told of each part of a stream."""

    def __init__(self) -> None:
        self.ran: dict[str, int] = {}
        self.asked = 0
        self.watch: Callable[[], None] | None = None

    def count(self, path: str) -> None:
        """A view runs."""
        self.ran[path] = self.ran.get(path, 0) + 1

    def made(self) -> None:
        """A part of a stream is made."""
        if self.watch is not None:
            self.watch()


COUNTER = Counter()


def act(page: Page, person: str) -> Said:
    """What a page does for a person ("" for nobody). Raises what the page raises."""
    COUNTER.count(page.path)
    if page.does == "boom":
        raise BrokenError
    if page.does == "deep":
        raise demur.Refused(Reason.NOT_PERMITTED, "Only its author may.")
    if page.does == "deep-step-up":
        raise demur.Refused(Reason.STEP_UP_REQUIRED)
    return DOES.get(page.does) or Said(parts=(f"{page.path} for {person or 'nobody'}",))


def titled(body: bytes | str) -> Said | None:
    """What is wrong with the content of a POST to `/json`, in an app whose framework leaves that to it."""
    try:
        title = json.loads(body)["title"]
    except (ValueError, KeyError, TypeError):
        return Said(422, ("a title, please",))
    return None if isinstance(title, str) else Said(422, ("a title, please",))


# --- the golden site -----------------------------------------------------------------------------------


def golden(path: str, person: str, fields: Iterable[tuple[bytes, bytes]]) -> Said:
    """What the golden club's site says (tests/golden/club.py). Raises UpstreamFailure."""
    failure = FAILURES.get(path)
    if failure is not None:
        raise UpstreamFailure(failure.reason, failure.cause)
    if "/refuse/" in path:
        slug = path.rpartition("/")[2].encode()
        more = b'; acr_values="mfa phr"' if "/strength/" in path else PARAMETERS.get(slug, b"")
        refused = {"demur-refuse": (slug + more).decode(), "x-secret": "1", "etag": '"1"'}
        return Said(200, ("never seen",), refused)
    text = says(path, person, list(fields))
    return Said(404, ("the site has no such page",)) if text is None else Said(200, (text,))
