"""What is told together is told soon, in order, whole, and before anybody asks."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import pytest

from demur.core.ports import Decided, Noted
from demur.observe import Both, by_patience
from demur.observe.gathered import TOGETHER, Gathered
from demur.observe.log import Log
from demur.observe.metrics import Metrics

Make = Callable[..., Decided]


class Common:
    """What some decisions have in common."""

    outcome, reason = "allow", None

    def __init__(self, decided: Decided) -> None:
        self._decided = decided

    def decided(self, at: float, number: int, subject: str | None, seconds: float) -> Decided:
        return self._decided


class Patient:
    """Is told together, when it asks."""

    def __init__(self) -> None:
        self.told: list[Noted] = []
        self.pieces: list[int] = []
        self.tells: list[Callable[[], None]] = []

    def decided(self, decided: Decided) -> None:
        raise AssertionError("it is told together")

    def signed_in(self, method: str, outcome: str) -> None:
        pass

    def several(self, noted: Sequence[Noted]) -> None:
        self.pieces.append(len(noted))
        self.told += noted

    def expect(self, tell: Callable[[], None]) -> None:
        self.tells.append(tell)


def some(decided: Make, count: int) -> list[Noted]:
    common = Common(decided())
    return [(common, 1700000000.0, 0, None, nth / 1e6) for nth in range(count)]


def test_together(decided: Make) -> None:
    """So many are told at once, in their order; an observer says once for them when it wants the rest."""
    patient, noted = Patient(), some(decided, TOGETHER + 3)
    gathered = Gathered(patient)
    for each in noted:
        gathered.note(each)
    assert (patient.told, len(patient.tells)) == (noted[:TOGETHER], 2)
    patient.tells[-1]()
    patient.tells[-1]()  # nothing is left
    assert (patient.told, patient.pieces) == (noted, [TOGETHER, 3])


def test_from_many_threads(decided: Make) -> None:
    """Nothing is lost, and nothing is told twice."""
    patient, noted = Patient(), some(decided, 5 * TOGETHER + 7)
    gathered = Gathered(patient)

    def note_all() -> None:
        for each in noted:
            gathered.note(each)

    noting = [threading.Thread(target=note_all) for _ in range(8)]
    for thread in noting:
        thread.start()
    for thread in noting:
        thread.join()
    gathered.tell()
    assert sorted(each[4] for each in patient.told) == sorted(8 * [each[4] for each in noted])


def test_an_observer_that_fails(decided: Make) -> None:
    """A request does not fail because its line does."""

    class Broken(Patient):
        def several(self, noted: Sequence[Noted]) -> None:
            raise RuntimeError

    gathered = Gathered(Broken())
    for each in some(decided, TOGETHER):
        gathered.note(each)
    gathered.tell()


def test_before_anybody_asks(decided: Make) -> None:
    """What is noted is in the log when that is closed, and in the numbers when they are asked for."""
    stream, metrics = io.StringIO(), Metrics()
    log = Log(stream, human=False)
    gathered = Gathered(Both(log, metrics))
    for each in some(decided, 3):
        gathered.note(each)
    _, body = metrics.exposition()
    assert 'demur_decisions_total{outcome="allow",reason=""} 3.0' in body.decode()
    gathered.note(some(decided, 1)[0])
    log.close()
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["decision"] * 4


def test_one_that_cannot_be_written(decided: Make) -> None:
    """It has a line that says so; the others have theirs."""
    stream = io.StringIO()
    log = Log(stream, human=False)
    noted = some(decided, 3)
    noted[1] = (noted[1][0], float("nan"), 0, None, 0.0)
    log.several(noted)
    log.close()
    events = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert events == ["decision", "log-failed", "decision"]


def test_by_patience() -> None:
    """Those who want to be told of each are told of each, however they are put together."""

    class Each:
        def decided(self, decided: Decided) -> None: ...
        def signed_in(self, method: str, outcome: str) -> None: ...

    patient, each = Patient(), Each()
    found = [one.observers if isinstance(one, Both) else one for one in by_patience(Both(Both(each), patient))]
    assert found == [(patient,), (each,)]
    assert by_patience(each)[0] is None
    assert by_patience(patient)[1] is None


_FORKS = """
import os, sys
from demur.core.model import Request
from demur.core.ports import Decided
from demur.observe.gathered import Gathered
from demur.observe.log import Log
from demur.observe.reference import named, new_number

class Common:
    outcome, reason = "allow", None
    def decided(self, at, number, subject, seconds):
        request = Request("GET", b"/", "http", "localhost", "", ())
        return Decided(at, named(number), "", request, self.outcome, None, None, "all", subject, seconds)

log = Log(sys.stdout, human=False)
gathered = Gathered(log)
gathered._telling.acquire()  # by another thread, which is not there after the fork
gathered.note((Common(), 1e9, new_number(), "before", 0.0))
child = os.fork()
if child:
    gathered._telling.release()
    os.waitpid(child, 0)
gathered.note((Common(), 1e9, new_number(), "parent" if child else "child", 0.0))
log.close()
if not child:
    os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_after_a_fork() -> None:
    """What was noted before it is the parent's to tell; both go on, and no two decisions have the same reference."""
    done = subprocess.run([sys.executable, "-c", _FORKS], capture_output=True, text=True, check=True, timeout=60)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["subject"] for line in lines) == ["before", "child", "parent"]
    assert len({line["reference"] for line in lines}) == 3
