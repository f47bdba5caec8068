"""A refusal that is said again: all of it but the reference is made once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from demur.adapters.asgi import wire
from demur.core.model import Refuse
from demur.core.reasons import REASONS

if TYPE_CHECKING:
    from demur.adapters.asgi.wire import Scope, Send
    from demur.core.marks import Mark
    from demur.core.model import Fields, Request, Response
    from demur.core.reasons import Reason
    from demur.guard import Checked


@dataclass(frozen=True, slots=True)
class No:
    """What is the same each time. `parts` are those of the body, with the reference between them."""

    origin: str
    rule: str
    reason: Reason
    status: int
    fields: Fields
    parts: tuple[bytes, ...]
    checked: Checked = field(compare=False)
    found: tuple[Mark, ...] | None
    """The marks of the view at which it was said. They are kept, so that no other ones can have their place."""

    # In the log's table two of them are the same only if they are one: there is one for each request that is known.
    __hash__ = object.__hash__

    @staticmethod
    def of(origin: str, checked: Checked, response: Response, found: tuple[Mark, ...] | None) -> No | None:
        """A refusal without its reference; None if that is not in its body alone."""
        refuse, reference = checked.decision, checked.reference.encode()
        parts = tuple(response.body.split(reference))
        if not isinstance(refuse, Refuse) or len(parts) < 2 or any(reference in value for _, value in response.fields):
            return None
        rule = checked.requirement.rule
        status = REASONS[refuse.reason].status
        return No(origin, rule, refuse.reason, status, response.fields, parts, checked, found)


class Refusing:
    """One time that it is said."""

    __slots__ = ("_method", "_reference", "no")

    def __init__(self, no: No, method: str, reference: str) -> None:
        self.no = no
        self._method = method
        self._reference = reference

    async def say(self, send: Send) -> None:
        """Answer."""
        no = self.no
        content = b"" if self._method == "HEAD" else self._reference.encode().join(no.parts)
        await send({"type": "http.response.start", "status": no.status, "headers": list(no.fields)})
        await send({"type": "http.response.body", "body": content, "more_body": False})


class NoNoted:
    """It, for the log: see `core.ports.Decided`."""

    __slots__ = ("_scope", "alike", "at", "number", "seconds")
    outcome = "refuse"
    subject = None
    error = ""

    def __init__(self, no: No, scope: Scope, at: float, seconds: float, reference: str) -> None:
        self.alike = no
        self._scope = scope
        self.at = at
        self.seconds = seconds
        self.number = reference

    @property
    def reference(self) -> str:
        return self.number

    @property
    def origin(self) -> str:
        return self.alike.origin

    @property
    def status(self) -> int:
        return self.alike.status

    @property
    def reason(self) -> Reason:
        return self.alike.reason

    @property
    def rule(self) -> str:
        return self.alike.rule

    @property
    def request(self) -> Request:
        return wire.read(self._scope)

    @property
    def method(self) -> str:
        return str(self._scope["method"])

    @property
    def path(self) -> bytes:
        return bytes(self._scope["raw_path"])
