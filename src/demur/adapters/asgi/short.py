"""The short way of ASGI (see `demur.adapters.short`), for an app that is asked in one thread."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from demur.adapters.asgi import wire
from demur.adapters.short import CHANGES, LONGEST, USUAL, LeftToTheView, No, Noes, ShortPassed, room
from demur.core import fields, respond, streams
from demur.guard import new_number
from demur.observe.reference import named

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from demur.adapters.asgi.wire import Message, Scope, Send
    from demur.adapters.surface import Surface
    from demur.core.model import Request
    from demur.guard import Checked

_PRIVATE = (b"cache-control", b"private, no-cache")


class _Read:
    """What a request of ASGI says. `lines` are the fields that the app sees."""

    __slots__ = ()
    scope: Scope
    lines: list[Any]

    def inner(self) -> Scope:
        """The scope that the app sees."""
        inner = dict(self.scope)
        inner["headers"] = self.lines
        inner["demur"] = self
        return inner

    def _read(self) -> Request:
        return wire.read(self.scope)


class KnownPassed(_Read, ShortPassed):
    """A request that may go on."""

    __slots__ = ("lines",)


class LeftPassed(_Read, LeftToTheView):
    """A request that is left to the view."""

    __slots__ = ("lines",)

    def came(self) -> Scope:
        """The scope as it came."""
        return self.scope


class Short(Noes):
    """The short way of one surface."""

    def __init__(self, surface: Surface) -> None:
        super().__init__(surface)
        self._harmless = set(USUAL)
        self._untouched: set[bytes] = set()
        self._kinds: set[bytes | None] = {None}

    # --- in ---------------------------------------------------------------------------------------

    def enter(self, scope: Scope) -> KnownPassed | LeftPassed | None:
        """The way on, with the scope that the app sees; None if this has to go the long way."""
        began = time.perf_counter()
        try:
            lines = scope["headers"]
            sent: dict[bytes, bytes] = dict(lines)
            cookie = sent.get(b"cookie")
            ours = cookie is not None and b"demur" in cookie
            way = self._ways.get((scope["method"], scope.get("raw_path"), sent.get(b"host"), scope["scheme"], ours))
        except (KeyError, TypeError, ValueError):  # no request, or of another make than a server's usual
            return None
        if way is None or len(sent) != len(lines) or not self._harmless.issuperset(sent):
            return None
        key, left = self.whose(cookie) if cookie is not None else (None, None)
        query = scope["query_string"]
        if (query and not fields.plain_query(query)) or not _is_whole(scope, query):
            return None
        at = self._guard.clock()
        noted = True
        passed: KnownPassed | LeftPassed
        if way.open:
            passed = KnownPassed(self, scope, way, None, int(at))
        else:
            if key is None and (ours or not way.left):
                return None
            if way.left:
                passed = LeftPassed(self, scope, way, int(at), key)
                noted = False  # it is decided at the view, and noted there
            else:
                known = self._recall(cast("bytes", key), way.requirement, int(at))
                if known is None:
                    return None
                passed = KnownPassed(self, scope, way, known, int(at))
        passed.lines = lines if left is None else self._with(lines, list(sent).index(b"cookie"), left)
        if noted:
            self.note(passed, at, began)
        return passed

    @staticmethod
    def _with(lines: list[Any], index: int, left: bytes) -> list[Any]:
        kept = lines.copy()
        if left:
            kept[index] = (b"cookie", left)
        else:
            del kept[index]
        return kept

    def learn(self, scope: Scope, request: Request, checked: Checked) -> None:
        """What was decided on the long way, or left to the view."""
        path, host = scope.get("raw_path"), request.values(b"host")
        if scope["type"] != "http" or not path or len(path) > LONGEST or len(host) != 1 or len(host[0]) > LONGEST:
            return
        ours = self.names_us(request)
        way = self.learned(request, checked) or self.learned_of_nobody(request, checked)
        if way is None:
            return
        room(self._ways)[(request.method, bytes(path), host[0], scope["scheme"], ours)] = way
        for name, _ in request.fields:
            if self.harmless(name):
                room(self._harmless).add(name)

    # --- no -----------------------------------------------------------------------------------------

    def said(self, came: Scope) -> tuple[object, ...]:
        """All that a request says."""
        target = came.get("extensions", {}).get("demur.target")
        target = (came["raw_path"] or came["path"]) if target is None else target["raw"]
        return came["method"], target, came["query_string"], came["scheme"], *came["headers"]

    def refuse(self, scope: Scope, send: Send) -> Awaitable[None] | None:
        """Say what the very same request, without credentials, was answered a moment ago; None if that is not known."""
        began = time.perf_counter()
        no = self.known_no(scope)
        if no is None:
            return None
        number = new_number()
        self.say_no(no, partial(wire.read, scope), self._guard.clock(), time.perf_counter() - began, number)
        return say(no, scope, named(number), send)

    # --- out --------------------------------------------------------------------------------------

    def leave(self, passed: ShortPassed, message: Message) -> Message | None:
        """The first message of an answer as it leaves; None if this has to go the long way."""
        status, lines = message["status"], message.get("headers", ())
        if not passed.given or not 200 <= status < 300 or not self._dresses or type(lines) is not list:
            return None
        try:
            said = dict(lines)
        except (TypeError, ValueError):
            return None
        if len(said) != len(lines) or not self._untouched.issuperset(said) or passed.refused or passed.answer:
            self._learn_names(lines)
            return None
        if said.get(b"content-type") not in self._kinds:
            self._learn_kind(lines)
            return None
        brief = passed.brief
        if brief is None:
            return message
        timing = (b"server-timing", brief.timing(passed.now))
        control = said.get(b"cache-control")
        if control is None:
            left = [*lines, _PRIVATE, timing]
        else:
            kept = [line for line in lines if line[0] != b"cache-control"]
            left = [*kept, (b"cache-control", respond.private(control)), timing]
        return {**message, "headers": left}

    def _learn_names(self, lines: list[Any]) -> None:
        for name, _ in lines:
            if (
                type(name) is bytes
                and name == name.lower()
                and len(name) <= LONGEST
                and name not in CHANGES
                and (name == b"cache-control" or not name.endswith(b"-cache-control"))
            ):
                room(self._untouched).add(name)

    def _learn_kind(self, lines: list[Any]) -> None:
        (kind,) = [value for name, value in lines if name == b"content-type"]
        if type(kind) is bytes and len(kind) <= LONGEST and not streams.are_events(((b"content-type", kind),)):
            room(self._kinds).add(kind)


def _is_whole(scope: Scope, query: bytes) -> bool:
    """Whether path and query are all of the target, where the server gives that too."""
    given = scope.get("extensions", {}).get("demur.target")
    if given is None:
        return True
    path: bytes = scope["raw_path"]
    return bool(given["raw"] == (path + b"?" + query if query else path))


async def say(no: No, scope: Scope, reference: str, send: Send) -> None:
    """Answer with a refusal, as it was before."""
    content = b"" if scope["method"] == "HEAD" else no.body(reference)
    await send({"type": "http.response.start", "status": no.status, "headers": list(no.fields)})
    await send({"type": "http.response.body", "body": content, "more_body": False})
