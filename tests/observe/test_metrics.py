"""What happened is counted, over all workers, and nothing that clients send becomes a label."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demur.core.ports import Decided
from demur.core.reasons import Reason
from demur.observe.metrics import Metrics

Make = Callable[..., Decided]


def number(metrics: Metrics, series: str) -> float:
    """The value of one series of the exposition; 0 if it is not there."""
    _, body = metrics.exposition()
    found = re.search(rf"^{re.escape(series)} (\S+)$", body.decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_decisions(decided: Make) -> None:
    """Decisions are counted by outcome and reason, with how long they took."""
    metrics = Metrics()
    metrics.decided(decided())
    metrics.decided(decided(outcome="refuse", reason=Reason.SESSION_IDLE, status=401, seconds=0.02))
    metrics.decided(decided(outcome="refuse", reason=Reason.SESSION_IDLE, status=401))
    assert number(metrics, 'demur_decisions_total{outcome="allow",reason=""}') == 1
    assert number(metrics, 'demur_decisions_total{outcome="refuse",reason="session-idle"}') == 2
    assert number(metrics, "demur_decision_seconds_count") == 3
    assert number(metrics, 'demur_decision_seconds_bucket{le="0.01"}') == 2


def test_several_decisions(decided: Make) -> None:
    """Some that have outcome and reason in common are counted together."""
    metrics = Metrics()
    refused = decided(outcome="refuse", reason=Reason.SIGN_IN_REQUIRED, status=401)
    noted: Any = [(refused, 1.0, 0, None, seconds) for seconds in (0.02, 0.001, 0.3)]
    metrics.several(noted)
    assert number(metrics, 'demur_decisions_total{outcome="refuse",reason="sign-in-required"}') == 3
    assert number(metrics, "demur_decision_seconds_count") == 3
    assert number(metrics, 'demur_decision_seconds_bucket{le="0.025"}') == 2


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({"outcome": "refuse", "reason": Reason.UNAVAILABLE, "error": "locked"}, 1),
        ({"error": "locked"}, 1),  # allowed, because nobody had to be known
        ({"outcome": "refuse", "reason": Reason.UPSTREAM_TIMEOUT, "error": "30 s"}, 0),
        ({"outcome": "refuse", "reason": Reason.SESSION_IDLE}, 0),
    ],
)
def test_store_errors(changes: dict[str, Any], errors: int, decided: Make) -> None:
    """A store that cannot be asked is counted, and a site that does not answer is not its fault."""
    metrics = Metrics()
    metrics.decided(decided(**changes))
    assert number(metrics, "demur_store_errors_total") == errors


def test_sign_ins() -> None:
    """Sign-ins are counted by method and outcome."""
    metrics = Metrics()
    metrics.signed_in("password", "failure")
    metrics.signed_in("password", "failure")
    assert number(metrics, 'demur_signin_total{method="password",outcome="failure"}') == 2


async def test_open_requests() -> None:
    """A request is counted as long as it is open, whatever becomes of it."""
    metrics = Metrics()
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(number(metrics, "demur_requests_open"))
        if scope.get("fails"):
            raise RuntimeError

    async def unused(*_: Any) -> Any:
        raise AssertionError

    watched = metrics.watch(app)
    await watched({"type": "http"}, unused, unused)
    await watched({"type": "lifespan"}, unused, unused)
    with pytest.raises(RuntimeError):
        await watched({"type": "websocket", "fails": True}, unused, unused)
    assert seen == [1, 0, 1]
    assert number(metrics, "demur_requests_open") == 0


def test_nothing_personal(decided: Make) -> None:
    """Neither path nor person nor reference is in the exposition."""
    metrics = Metrics()
    metrics.decided(decided(subject="0192-person", target=b"/very/private"))
    content_type, body = metrics.exposition()
    assert content_type.startswith("text/plain; version=0.0.4")
    for private in (b"0192", b"private", b"members", b"example.com"):
        assert private not in body


def test_many_decisions(decided: Make) -> None:
    """However many are counted together, each is counted once, in its bucket, with its time."""
    metrics = Metrics()
    for number_ in range(1000):
        metrics.decided(decided(seconds=0.00005 if number_ % 2 else 0.02))
    assert number(metrics, 'demur_decisions_total{outcome="allow",reason=""}') == 1000
    assert number(metrics, "demur_decision_seconds_count") == 1000
    assert number(metrics, 'demur_decision_seconds_bucket{le="5e-05"}') == 500
    assert number(metrics, 'demur_decision_seconds_bucket{le="0.025"}') == 1000
    assert number(metrics, "demur_decision_seconds_sum") == pytest.approx(10.025)


_FEW = """
import os, sys
sys.path.insert(0, {folder!r})
from conftest import _decided
from demur.observe.metrics import Metrics
metrics = Metrics()
metrics.decided(_decided())  # not enough to be counted yet: it is this process's, and stays its own
child = os.fork()
metrics.decided(_decided())
if child:
    os.waitpid(child, 0)
    print(metrics.exposition()[1].decode())
"""


def test_what_few_workers_counted_is_told_at_their_end(tmp_path: Path) -> None:
    """What was counted by a process that ends is not lost, and what its parent counted is not counted twice."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    script = _FEW.format(folder=str(Path(__file__).parent))
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)
    assert 'demur_decisions_total{outcome="allow",reason=""} 3.0' in done.stdout


_WORKERS = """
import os
from demur.observe.metrics import Metrics, worker_gone
metrics = Metrics()
children = []
for worker in range(2):
    child = os.fork()
    if not child:
        metrics.signed_in("password", "success")
        metrics._open.inc()
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
print(metrics.exposition()[1].decode())
print("---")
for child in children:
    worker_gone(child)
print(metrics.exposition()[1].decode())
"""


def test_several_workers(tmp_path: Path) -> None:
    """What workers count is added up, survives them, and what a dead one had open is open no more."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", _WORKERS], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    before, after = done.stdout.split("---")
    for part in (before, after):
        assert 'demur_signin_total{method="password",outcome="success"} 2.0' in part
    assert "demur_requests_open 2.0" in before
    assert "demur_requests_open 2.0" not in after
