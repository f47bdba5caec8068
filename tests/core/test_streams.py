"""What stays open and how it ends: codes, the last event, and where an event ends."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demur.core import streams
from demur.core.reasons import REASONS, Reason
from demur.core.streams import Events


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.SIGN_IN_REQUIRED, 3000),
        (Reason.SESSION_ENDED, 3000),
        (Reason.SESSION_REVOKED, 3000),
        (Reason.SESSION_REPLACED, 3000),
        (Reason.TOKEN_REVOKED, 3000),
        (Reason.SESSION_IDLE, 3008),
        (Reason.SESSION_EXPIRED, 3008),
        (Reason.TOKEN_EXPIRED, 3008),
        (Reason.NOT_PERMITTED, 3003),
        (Reason.GRANT_EXPIRED, 3003),
        (Reason.NOT_FOUND, 3003),
        (Reason.UNAVAILABLE, 1013),
    ],
)
def test_codes(reason: Reason, code: int) -> None:
    """A code says what a status would: 401, 403, 408 or 503."""
    assert streams.close_code(reason) == code


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_fits_a_close_frame(reason: Reason) -> None:
    """A close frame has room for 123 bytes beside the code (RFC 6455, 5.5), and its code may be sent by an app."""
    assert len(reason.value.encode()) <= 123
    assert streams.close_code(reason) in {1013, 3000, 3003, 3008}


def test_the_last_event_is_one_line() -> None:
    """A reader gets the problem as it is, whatever it says."""
    problem = json.dumps({"reason": "x", "detail": "a\nb\r\n\r\nc\u2028é"}, ensure_ascii=False)
    name, data, *rest = streams.last_event(problem).split(b"\n")
    assert (name, rest) == (b"event: demur", [b"", b""])
    assert json.loads(data.removeprefix(b"data: ")) == json.loads(problem)


@pytest.mark.parametrize(
    ("kind", "yes"),
    [
        (b"text/event-stream", True),
        (b" Text/Event-Stream ; charset=utf-8", True),
        (b"text/event-stream2", False),
        (b"text/plain; x=text/event-stream", False),
    ],
)
def test_what_are_events(kind: bytes, yes: bool) -> None:
    """The media type says it, in any case and with parameters, and nothing else does."""
    assert streams.are_events(((b"content-type", kind),)) is yes


@pytest.mark.parametrize(
    ("field", "yes"),
    [
        ((b"x-other", b"gzip"), True),
        ((b"content-encoding", b"identity"), True),
        ((b"content-encoding", b"gzip"), False),
        ((b"content-encoding", b"BR"), False),
        ((b"content-length", b"100"), False),
    ],
)
def test_where_something_can_be_added(field: tuple[bytes, bytes], yes: bool) -> None:
    """Not behind compressed content, and not behind one whose length was said."""
    assert streams.are_plain((field,)) is yes


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([], True),
        ([b""], True),
        ([b"data: x\n\n"], True),
        ([b"data: x\r\n\r\n"], True),
        ([b"data: x\r\r"], True),
        ([b"data: x\n\r\n"], True),
        ([b"data: x\r\n\n"], True),
        ([b"data: x\n"], False),
        ([b"data: x\r\n"], False),
        ([b"data: x\r"], False),
        ([b"data: x\r", b"\n"], False),  # one end of a line, in two pieces
        ([b"data: x\r", b"\n\r\n"], True),
        ([b"data: x\r", b"", b"\n"], False),
        ([b"data: x\r\n\r", b"\n"], True),
        ([b"data: x", b"\n", b"\n"], True),
        ([b"data: x\n\nd"], False),
        ([b"id: 5\n"], False),  # it would become ours
        ([b": a comment"], False),
        ([b": a comment\n"], True),
        ([b"data: x\n: a comment\n"], False),
        ([b"data: x\n", b":", b"\n", b"\n"], True),
        ([b"data: x\n\n: a comment\n"], True),
        ([b"data:\n: not the\n\n", b"\n\n\n"], True),
        ([b"a" * 70_000, b"\n" * 2], True),
    ],
)
def test_where_an_event_may_begin(parts: list[bytes], whole: bool) -> None:
    """After an empty line, at the beginning, and after comments; however it is cut."""
    events = Events()
    for part in parts:
        events.feed(part)
    assert events.whole is whole


@pytest.mark.parametrize(
    ("before", "data", "end"),
    [
        (b"data: x\n", b"\ndata: y\n\n", 1),
        (b"data: x\r", b"\n\r\ndata", 3),
        (b"data: x\r", b"\ndata: y\r\n\r\n", 12),
        (b"data: x", b"y\n\ndata: z\n\n", 3),
        (b"data: x", b"y\ndata: z\n", None),
        (b"data: x\r\n", b"\r", 1),
        (b": comm", b"ent\ndata: x\n\n", 4),
    ],
)
def test_where_the_event_ends(before: bytes, data: bytes, end: int | None) -> None:
    """What has begun is let through to its end, and nothing after it."""
    events = Events()
    events.feed(before)
    assert events.end_in(data) == end


PIECES = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b":", b"a", b"data: x", b""]), max_size=12)


@given(PIECES, st.data())
def test_cuts_make_no_difference(pieces: list[bytes], data: st.DataObject) -> None:
    """A stream stands where it stands, in however many pieces it came; and what ends an event ends it for a reader."""
    text = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    at_once, in_pieces, by_lines = Events(), Events(), Events()
    at_once.feed(text)
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        in_pieces.feed(text[start:end])
    for line in text.splitlines(keepends=True):
        by_lines.feed(line)
    assert at_once.whole == in_pieces.whole == by_lines.whole == plainly(text)


def plainly(text: bytes) -> bool:
    """The same, slowly and by the words of the standard: whether nothing is left when the stream ends."""
    lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    *complete, rest = lines
    fields: list[bytes] = []
    for line in complete:
        if not line:
            fields.clear()
        elif not line.startswith(b":"):
            fields.append(line)
    return not fields and not rest
