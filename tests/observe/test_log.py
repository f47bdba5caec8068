"""Every decision leaves a line, and no line ever harms a request."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from demur.core.ports import Decided, Noted
from demur.core.reasons import Reason
from demur.observe import Both
from demur.observe.gathered import decided_of
from demur.observe.log import LONGEST_PATH, LONGEST_QUEUE, Log
from demur.observe.reference import named, new_number

Make = Callable[..., Decided]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_allowed_request(decided: Make) -> None:
    """What is known is written, what is not there is left out, and of the target only the path."""
    stream = io.StringIO()
    log = Log(stream)
    log.decided(decided())
    log.close()
    assert lines_of(stream) == [
        {
            "at": "2023-11-14T22:13:20.500Z",
            "level": "info",
            "event": "decision",
            "reference": "0192d3f4-7a1b-7c3d-8e9f-000000000001",
            "origin": "https://app.example.com",
            "method": "GET",
            "path": "/members/",
            "outcome": "allow",
            "rule": "/members/**",
            "ms": 0.12,
        }
    ]
    assert "secret" not in stream.getvalue()


def test_a_refused_request(decided: Make) -> None:
    """A refusal is written with its status, its reason, the subject and what was wrong."""
    stream = io.StringIO()
    log = Log(stream)
    log.decided(
        decided(outcome="refuse", status=503, reason=Reason.UNAVAILABLE, subject="0192-1", error='disk "full"\n')
    )
    log.close()
    (line,) = lines_of(stream)
    expected = {
        "status": 503,
        "reason": "unavailable",
        "subject": "0192-1",
        "error": 'disk "full"\n',
        "level": "error",
        "outcome": "refuse",
    }
    assert expected.items() <= line.items()


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a\r\n{}", "/a\\r\\n{}"),
        (b"/\x1b[31m\x00\x7f", "/\\x1b[31m\\x00\\x7f"),
        (b"/\xc3\xa9", "/\\xc3\\xa9"),
        (b"/a#token=x", "/a"),
        (b"/" + b"a" * 5000, "/" + "a" * (LONGEST_PATH - 1) + "..."),
    ],
)
@pytest.mark.parametrize("make", [io.StringIO, Terminal])
def test_hostile_paths(target: bytes, path: str, make: type[io.StringIO], decided: Make) -> None:
    """A path can neither begin a line of its own nor send anything to a terminal."""
    stream = make()
    log = Log(stream)
    log.decided(decided(target=target))
    log.close()
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["path"] == path if make is io.StringIO else path in line


def test_a_terminal(decided: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a line is short and coloured, and a refusal shows the reference that the person has."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    log = Log(stream)
    log.decided(decided())
    log.decided(decided(outcome="refuse", status=401, reason=Reason.SESSION_IDLE, method="PO\x1bST"))
    log.decided(decided(outcome="refuse", status=503, reason=Reason.UNAVAILABLE, error="locked"))
    log.decided(decided(outcome="preflight"))
    log.signed_in("password", "failure")
    log.close()
    allowed, refused, failed, preflight, signed_in = stream.getvalue().splitlines()
    assert "\x1b[32m ok\x1b[0m GET /members/" in allowed
    assert "0192d3f4" not in allowed
    assert "\x1b[33m401\x1b[0m PO\\x1bST /members/" in refused
    assert "session-idle" in refused
    assert "0192d3f4-7a1b-7c3d-8e9f-000000000001" in refused
    assert "\x1b[31m503" in failed
    assert "locked" in failed
    assert "204" in preflight
    assert "sign-in by password: failure" in signed_in


def test_no_colour(decided: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR is respected."""
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    log = Log(stream)
    log.decided(decided(outcome="refuse", status=403, reason=Reason.NOT_PERMITTED))
    log.close()
    assert "\x1b" not in stream.getvalue()
    assert "403  GET /members/  not-permitted  rule /members/**  0.1 ms  0192d3f4" in stream.getvalue()


def test_sign_ins() -> None:
    """A sign-in is written with its method and its outcome, and without a name."""
    stream = io.StringIO()
    log = Log(stream)
    log.signed_in("password", "success")
    log.signed_in("password", "throttled")
    log.close()
    first, second = lines_of(stream)
    assert (first["event"], first["method"], first["outcome"], first["level"]) == (
        "sign-in",
        "password",
        "success",
        "info",
    )
    assert (second["outcome"], second["level"]) == ("throttled", "warning")


def test_a_reader_who_does_not_read(decided: Make) -> None:
    """A full pipe delays nobody: lines wait, then they are dropped, and it is said how many."""
    reading, writing = os.pipe()
    log = Log(os.fdopen(writing, "w"))
    sent = LONGEST_QUEUE + 10_000  # some of them are being written
    for _ in range(sent):
        log.decided(decided())  # returns, although nobody reads
    received: list[str] = []

    def read() -> None:
        with os.fdopen(reading) as stream:
            received.extend(stream)

    reader = threading.Thread(target=read)
    reader.start()
    log.close(timeout=60)
    log.decided(decided())  # after closing, too: and now the dropped ones are told
    log.close(timeout=60)
    log._stream.close()
    reader.join(60)
    lines = [json.loads(line) for line in received]
    dropped = sum(line["lines"] for line in lines if line["event"] == "lines-dropped")
    assert dropped > 0
    assert dropped + sum(line["event"] == "decision" for line in lines) == sent + 1


def test_a_broken_pipe_and_a_closed_stream(decided: Make) -> None:
    """Nobody to read is no reason to raise."""
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    log = Log(stream)
    log.decided(decided())
    log.close()
    with pytest.raises(BrokenPipeError):
        stream.close()  # what the stream itself still holds
    log.decided(decided())
    log.signed_in("password", "success")
    log.close()
    closed = io.StringIO()
    closed.close()
    silent = Log(closed)
    silent.decided(decided())
    silent.close()


def test_a_decision_that_cannot_be_written(decided: Make) -> None:
    """What is wrong with a line is written in its place."""
    stream = io.StringIO()
    log = Log(stream)
    log.decided(decided(at="noon"))
    log.close()
    (line,) = lines_of(stream)
    assert line["event"] == "log-failed"


_FORKS = """
import os, sys
from demur.observe.log import Log
log = Log(sys.stdout)
log.signed_in("password", "parent-before")
log.close()
child = os.fork()
log.signed_in("password", "parent" if child else "child")
log.close()
if not child:
    os._exit(0)
os.waitpid(child, 0)
"""


def test_after_a_fork() -> None:
    """A log that was made, and used, before a fork works on both sides of it, and nothing is written twice."""
    done = subprocess.run([sys.executable, "-c", _FORKS], capture_output=True, text=True, check=True, timeout=60)
    outcomes = sorted(json.loads(line)["outcome"] for line in done.stdout.splitlines())
    assert outcomes == ["child", "parent", "parent-before"]


class Alike:
    """What some decisions have in common."""

    def __init__(self, decided: Decided) -> None:
        self._decided = decided
        self.outcome, self.reason = decided.outcome, decided.reason

    def decided(self, at: float, number: int, subject: str | None, seconds: float) -> Decided:
        of_one = replace(self._decided, at=at, reference=named(number), seconds=seconds)
        return of_one if subject is None else replace(of_one, subject=subject)


@pytest.mark.parametrize("human", [False, True])
def test_several_decisions(decided: Make, human: bool) -> None:
    """Each has the line that it would have by itself; those that nobody was told a reference have one, too."""
    together, one_by_one = io.StringIO(), io.StringIO()
    first, second = Log(together, human=human), Log(one_by_one, human=human)
    refused = Alike(decided(outcome="refuse", status=401, reason=Reason.SESSION_IDLE, subject="0192-1"))
    allowed = Alike(decided())
    told: list[Noted] = [
        (refused, 1700000000.25, new_number(), None, 0.00012),
        (refused, 1700000001.5, new_number(), None, 0.25),
        (allowed, 1700000001.75, new_number(), "0192-2", 0.25),
    ]
    first.several(told)
    for each in told:
        second.decided(decided_of(each))
    first.several([(Alike(decided()), 1700000001.5, 0, None, 0.25)] * 2)
    for log in (first, second):
        log.close()
    lines = together.getvalue().splitlines()
    assert (lines[:3], len(lines)) == (one_by_one.getvalue().splitlines(), 5)
    if not human:
        assert all(re.fullmatch("[0-9a-f-]{36}", line["reference"]) for line in lines_of(together))
        assert len({line["reference"] for line in lines_of(together)}) == 5


@pytest.mark.parametrize("number", [0, new_number()], ids=["nobody was told", "somebody was told"])
def test_no_two_have_the_same_reference(decided: Make, number: int) -> None:
    """However many come together: those that somebody was told keep theirs, the others are given one."""
    stream, alike = io.StringIO(), Alike(decided())
    log = Log(stream, human=False)
    log.several([(alike, 1700000001.5, number and number + nth, None, 0.25) for nth in range(5000)])
    log.close()
    found = [line["reference"] for line in lines_of(stream)]
    assert len(set(found)) == 5000
    if number:
        assert found == [named(number + nth) for nth in range(5000)]


def test_no_more_wait_than_may(decided: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes together is bounded like what comes one by one, and it is told how many were dropped."""
    monkeypatch.setattr("demur.observe.log.LONGEST_QUEUE", 3)
    stream = io.StringIO()
    log = Log(stream)
    log.several([(Alike(decided()), 1700000001.5, 0, None, 0.25)] * 5)
    log.close()
    assert [line["event"] for line in lines_of(stream)] == ["decision"] * 3 + ["lines-dropped"]


def test_both(decided: Make) -> None:
    """All observers are told, whatever one of them does."""

    class Broken:
        def decided(self, decided: Decided) -> None:
            raise RuntimeError(decided.reference)

        def signed_in(self, method: str, outcome: str) -> None:
            raise RuntimeError(method + outcome)

    first, second = io.StringIO(), io.StringIO()
    logs = Log(first), Log(second)
    both = Both(logs[0], Broken(), logs[1])
    both.decided(decided())
    both.signed_in("password", "success")
    both.several([(Alike(decided()), 1700000001.5, 0, None, 0.25)])
    for log in logs:
        log.close()
    assert [line["event"] for line in lines_of(first)] == ["decision", "sign-in", "decision"]
    assert [line["event"] for line in lines_of(second)] == ["decision", "sign-in", "decision"]
