"""What an answer says, of whichever test client it is, and whether that is what was expected."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from demur.core.reasons import REASONS, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator


class Answer:
    """What an answer says, of whichever client: its status, and the problem that demur gives as its reason (empty if it
    gives none)."""

    def __init__(self, response: Any) -> None:  # noqa: ANN401 - whatever a client gives
        status = getattr(response, "status_code", None)
        self.status: int = response.status if status is None else status
        self.fields = [(name.lower(), value) for name, value in _pairs(response.headers)]
        self.problem: dict[str, Any] = _problem(_content(response), self.value("content-type"))

    @property
    def reason(self) -> str:
        """The slug of the reason, "" if there is none."""
        if "reason" in self.problem:
            return str(self.problem["reason"])
        # There is no content in an answer to HEAD, and perhaps none that can be read.
        help_ = re.search(r"/reasons/([a-z-]+)>; *rel=\"?help", self.value("link"))
        return help_[1] if help_ and self.status >= 400 else ""

    def value(self, name: str) -> str:
        """What is said in the fields of that name."""
        return ", ".join(value for key, value in self.fields if key == name)

    def __str__(self) -> str:
        said = [str(self.status), self.reason, str(self.problem.get("detail", ""))]
        said += [f"to {self.value('location')}"] if self.value("location") else []
        return " ".join(each for each in said if each)


def assert_refused(response: Any, reason: str, *, processed: bool | None = None) -> dict[str, Any]:  # noqa: ANN401
    """That an answer is a refusal for this reason: its status, its problem, and a challenge where one is due. The
    problem is given back. With `processed=False` also that nothing had been passed on when it was decided.

    Raises ValueError for what is no reason.
    """
    __tracebackhide__ = True
    row, seen = REASONS[_reason(reason)], Answer(response)
    if seen.status != row.status or (seen.reason != reason and reason != Reason.NOT_FOUND):
        raise AssertionError(f"not refused as {reason} ({row.status}), but: {seen}")
    if row.status == 401 and not seen.value("www-authenticate"):
        raise AssertionError(f"refused as {reason}, without a challenge")
    if processed is not None and (seen.value("demur-processed") == "?0") is processed:
        raise AssertionError(f"refused as {reason}, {'before' if processed else 'after'} it was passed on")
    return seen.problem


def assert_allowed(response: Any, status: int | None = None) -> None:  # noqa: ANN401
    """That an answer is the app's own: with this status, or with any that says success. A redirect has to be asked for,
    because it may lead to a login."""
    __tracebackhide__ = True
    seen = Answer(response)
    fits = seen.status == status if status is not None else 200 <= seen.status < 300 or seen.status == 304
    if not fits or seen.reason:
        raise AssertionError(f"not allowed{f' with {status}' if status else ''}, but: {seen}")


def _reason(slug: str) -> Reason:
    try:
        return Reason(slug)
    except ValueError:
        near = get_close_matches(slug, list(Reason), n=1)
        hint = f" Did you mean {str(near[0])!r}?" if near else ""
        message = f"{slug!r} is no reason.{hint}"
        raise ValueError(message) from None


def _pairs(headers: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    several = getattr(headers, "multi_items", headers.items)
    for name, value in several():
        text = [each.decode("latin-1") if isinstance(each, bytes) else str(each) for each in (name, value)]
        yield text[0], text[1]


def _content(response: Any) -> bytes:  # noqa: ANN401
    """The content, as far as it can be had without waiting."""
    if type(response).__module__.startswith("quart."):
        response = response.response
    for name in ("content", "data"):
        found = getattr(response, name, None)
        if isinstance(found, bytes | bytearray):
            return bytes(found)
    return b""


_EMBEDDED = re.compile(rb'<script type="application/problem\+json">(.*?)</script>', re.DOTALL)


def _problem(content: bytes, kind: str) -> dict[str, Any]:
    if not kind.startswith("application/problem+json"):
        found = _EMBEDDED.search(content)
        content = found[1] if found else b""
    try:
        said = json.loads(content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
