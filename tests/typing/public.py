"""What type checkers make of the public names. mypy reads this with everything else, pyright in a test; nobody runs it.

A line with `type: ignore` is one that has to be an error: where it is none, that comment is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, assert_type

import httpx

import demur
from demur import testing
from demur.core.model import Ended

if TYPE_CHECKING:
    from demur.adapters.asgi import App, Receive, Scope, Send
    from demur.core.model import Absent, Live, Unknown


# --- a marked view keeps its type -----------------------------------------------------------------


@demur.require("report:read", groups=["staff"], fresh="15m", strength="mfa", form="page")
def report(number: int, *, page: str = "") -> bytes:
    """A function."""
    return page.encode() * number


@demur.public
@demur.identified
async def front(request: Scope) -> Sequence[str]:
    """A coroutine."""
    return list(request)


@demur.require()
class View:
    """A class."""

    size: int = 1

    def get(self, request: Scope) -> Mapping[str, int]:
        """A method."""
        return dict.fromkeys(request, self.size)


async def marked() -> None:
    """As if nobody had marked them."""
    assert_type(report(1, page="x"), bytes)
    assert_type(await front({}), Sequence[str])
    assert_type(View(), View)
    assert_type(View().get({}), Mapping[str, int])
    report("1")  # type: ignore[arg-type]
    View().got  # type: ignore[attr-defined]  # noqa: B018 - it is about the type
    demur.require(fresch=300)  # type: ignore[call-arg]
    demur.require(fresh=1.5)  # type: ignore[arg-type]
    assert_type(demur.require(), demur.Mark)
    assert_type(demur.public, demur.Mark)
    assert_type(demur.identified, demur.Mark)


# --- names that are loaded when they are asked for ------------------------------------------------


def names(subject: demur.Subject, refused: demur.Refused) -> None:
    """Each has the type that it has at home, and a name that is none is an error."""
    assert_type(subject.id, str)
    assert_type(subject.groups, frozenset[str])
    assert_type(refused.reason, demur.Reason)
    assert_type(refused.detail, str | None)
    assert_type(demur.REASONS[demur.Reason.NOT_PERMITTED].status, int)
    assert_type(demur.__version__, str)
    demur.reqiure()  # type: ignore[attr-defined]
    demur.Reason.NOT_PERMITED  # type: ignore[attr-defined]  # noqa: B018


def bridge(scope: Scope) -> Live | Ended | Absent | Unknown:
    """What an app's own login says."""
    if not scope:
        return demur.nobody
    if "ended" in scope:
        assert_type(demur.ended("expired", 1.5), Ended)
        return demur.unknown
    return demur.person(1, "alice", ["staff"], authenticated_at=1.5, expires_at=2, acr="mfa", suspended=False)


def options(app: App) -> None:
    """The options are known by name and type."""
    assert_type(demur.Demur(app, bridge=bridge, login="/login?next={next}"), demur.Demur)
    demur.Demur(app, orign="https://app.example.com")  # type: ignore[call-arg]
    demur.Demur(app, origin=80)  # type: ignore[arg-type]


async def served(app: demur.Demur, scope: Scope, receive: Receive, send: Send) -> None:
    """The middleware is an ASGI app."""
    standing_before: App = app
    await standing_before(scope, receive, send)


# --- an app's own tests ---------------------------------------------------------------------------


async def tested(sync: httpx.Client, unsync: httpx.AsyncClient) -> None:
    """A client stays what it is."""
    assert_type(testing.signed_in(sync, "alice", groups=["staff"], ago=60), httpx.Client)
    answer = await testing.expired(unsync).get("/")
    assert_type(testing.assert_refused(answer, "session-expired"), dict[str, Any])
    testing.assert_allowed(answer, 303)
    testing.be(sync, testing.Persona(how="gone"))  # type: ignore[arg-type]
