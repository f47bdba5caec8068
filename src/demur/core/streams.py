"""How what stays open is told that it is over: the close codes of WebSockets, and the last of a stream of events.

- A client learns why: a code that stands for a status, and the reason's slug; or the problem document as an event.
- Nobody is told anything in the middle of a message. Where an event has begun, its end is waited for, or there is no
  last event: "If the file ends in the middle of an event, before the final empty line, the incomplete event is not
  dispatched" (HTML, 9.2.6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from demur.core.reasons import REASONS, Reason

if TYPE_CHECKING:
    from demur.core.model import Fields

# IANA, WebSocket Close Code Number Registry: the first three stand for the HTTP statuses 401, 403 and 408.
UNAUTHORIZED = 3000
FORBIDDEN = 3003
TIMEOUT = 3008
TRY_AGAIN_LATER = 1013

EVENT = "demur"
"""The type of the last event of a stream."""

_TIME_IS_UP = frozenset((Reason.SESSION_IDLE, Reason.SESSION_EXPIRED, Reason.TOKEN_EXPIRED))
_CODES = {401: UNAUTHORIZED, 503: TRY_AGAIN_LATER}


def close_code(reason: Reason) -> int:
    """The code with which a WebSocket is closed that may not go on."""
    return TIMEOUT if reason in _TIME_IS_UP else _CODES.get(REASONS[reason].status, FORBIDDEN)


def last_event(problem: str) -> bytes:
    """The last event of a stream, with a problem document that is one line of JSON."""
    return f"event: {EVENT}\ndata: {problem}\n\n".encode()


def are_events(answer: Fields) -> bool:
    """Whether an answer is a stream of events (HTML, 9.2.1)."""
    kinds = [value.partition(b";")[0].strip().lower() for name, value in answer if name == b"content-type"]
    return kinds == [b"text/event-stream"]


def are_plain(answer: Fields) -> bool:
    """Whether something can be written behind the content: it has no coding, and its length was not promised."""
    codings = {value.strip().lower() for name, value in answer if name == b"content-encoding"}
    return codings <= {b"identity", b""} and not any(name == b"content-length" for name, _ in answer)


class Events:
    """Where a stream of events stands, as its reader sees it (HTML, 9.2.5 and 9.2.6): lines end with LF, CR or CRLF,
    an empty line ends an event, and a line that begins with a colon is a comment."""

    __slots__ = ("_after_cr", "_in_event", "_in_line")

    def __init__(self) -> None:
        self._in_event = False
        self._in_line = False
        self._after_cr = False

    @property
    def whole(self) -> bool:
        """Whether another event may begin here."""
        return not self._in_event and not self._in_line

    def feed(self, data: bytes) -> None:
        """Take what was sent next."""
        # Whatever stands before the last two ends of lines does not matter any more.
        last = max(data.rfind(b"\n\n"), data.rfind(b"\r\r"), data.rfind(b"\r\n\r\n"))
        if last >= 0:
            self._in_event = self._in_line = False
            self._after_cr = data[last] == 0x0D
            data = data[last + 1 :]
        self._walk(data, stop=False)

    def end_in(self, data: bytes) -> int | None:
        """How much of what comes next belongs to the event that has begun; None if it does not end there. What was
        looked at is taken."""
        return self._walk(data, stop=True)

    def _walk(self, data: bytes, *, stop: bool) -> int | None:
        at = 1 if self._after_cr and data.startswith(b"\n") else 0
        for line in data[at:].splitlines(keepends=True):
            at += len(line)
            content = line.rstrip(b"\r\n")
            if content and not self._in_line:
                self._in_event = self._in_event or not content.startswith(b":")
            ends = len(content) < len(line)
            if ends and not content and not self._in_line:
                self._in_event = False
            self._in_line = not ends
            if stop and self.whole:
                return at
        self._after_cr = data.endswith(b"\r") or (self._after_cr and not data)
        return None
