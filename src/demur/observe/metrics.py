"""Numbers for Prometheus.

No label is made of what a client sends or of who it is: no path, no person, no id. So the number of series is
bounded by the number of reasons.

To count is to put a number where it will be found: the series are brought up to date when there are enough of them,
when somebody asks, and, with several workers, a moment later, by a thread.

prometheus_client chooses between one process and several when it is imported, by the variable
PROMETHEUS_MULTIPROC_DIR in the environment. So it is imported here only when `Metrics` is made: whoever starts
several workers sets the variable, to an empty directory of their own, before that.
"""

from __future__ import annotations

import atexit
import os
import threading
from bisect import bisect_right
from collections import deque
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from demur.core.reasons import Reason
from demur.observe.gathered import Expected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence

    from demur.core.ports import Decided, Noted

    Scope: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the directory which several workers share."""

# Seconds. A decision without a read takes some microseconds, one that waits for a store milliseconds.
_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_COMMON, _SECONDS = itemgetter(0), itemgetter(4)  # of what `Noted` is
_MOST_GATHERED = 256
_LATER = 0.25  # seconds

# Failures of the site behind us, and not of our store.
_OF_UPSTREAM = frozenset({Reason.UPSTREAM_UNREACHABLE, Reason.UPSTREAM_TIMEOUT})


class Metrics:
    """Counts decisions, sign-ins, failures of the store and open requests. One for each process."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram  # noqa: PLC0415 - see above

        self._registry = registry = CollectorRegistry()
        self._decisions = Counter("demur_decisions", "Decisions.", ["outcome", "reason"], registry=registry)

        class Seconds(Histogram):
            """A histogram that is told of many at once."""

            def add(self, seconds: list[float]) -> None:
                """Observe all of these, in order of size."""
                self._sum.inc(sum(seconds))
                before = 0
                for bucket, bound in zip(self._buckets, self._upper_bounds, strict=True):
                    upto = bisect_right(seconds, bound)
                    if upto > before:
                        bucket.inc(upto - before)
                    before = upto

        self._seconds = Seconds(
            "demur_decision_seconds", "How long a decision took.", buckets=_BUCKETS, registry=registry
        )
        self._signins = Counter("demur_signin", "Tries to sign in.", ["method", "outcome"], registry=registry)
        self._store_errors = Counter(
            "demur_store_errors", "Decisions for which the session store could not be asked.", registry=registry
        )
        self._open = Gauge(
            "demur_requests_open",
            "Requests and WebSockets that are being served.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._gathered: dict[tuple[str, Reason | None], deque[float]] = {}
        self._expected = Expected()
        self._counting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._later = bool(os.environ.get(MULTIPROCESS))
        os.register_at_fork(after_in_child=self._forget)

    def decided(self, decided: Decided) -> None:
        """Count a decision, and how long it took."""
        self._gather((decided.outcome, decided.reason), (decided.seconds,))
        if decided.error and decided.reason not in _OF_UPSTREAM:
            self._store_errors.inc()

    def several(self, noted: Sequence[Noted]) -> None:
        """Count some decisions, for none of which a store failed to be asked."""
        kinds = {(common.outcome, common.reason) for common in set(map(_COMMON, noted))}
        for kind in kinds:
            some = noted if len(kinds) == 1 else [each for each in noted if (each[0].outcome, each[0].reason) == kind]
            self._gather(kind, map(_SECONDS, some))

    def expect(self, tell: Callable[[], None]) -> None:
        """Something waits to be told; it will be asked for when somebody asks, and a moment later if others show what
        is counted here."""
        self._expected.add(tell)
        if self._later and self._thread is None:
            self._count_later()

    def _gather(self, kind: tuple[str, Reason | None], seconds: Iterable[float]) -> None:
        gathered = self._gathered.get(kind)
        if gathered is None:
            gathered = self._gathered.setdefault(kind, deque())
        gathered.extend(seconds)
        if len(gathered) >= _MOST_GATHERED:
            self._count()
        elif self._later and self._thread is None:
            self._count_later()

    def count(self) -> None:
        """Bring the series up to date."""
        self._expected.ask()
        self._count()

    def _count(self) -> None:
        with self._counting:
            for (outcome, reason), gathered in list(self._gathered.items()):
                seconds = sorted(gathered.popleft() for _ in range(len(gathered)))
                if seconds:
                    self._add(outcome, reason, seconds)

    def _add(self, outcome: str, reason: Reason | None, seconds: list[float]) -> None:
        self._decisions.labels(outcome, reason.value if reason else "").inc(len(seconds))
        self._seconds.add(seconds)

    def _count_later(self) -> None:
        """Others show what this process counts: a thread writes it down for them, a moment later."""
        with self._counting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._counts, name="demur-metrics", daemon=True)
                self._thread.start()
                atexit.register(self.count)

    def _counts(self) -> None:
        never = threading.Event()
        while not never.wait(_LATER):
            self.count()

    def _forget(self) -> None:
        """What was gathered before a fork is the parent's to count, and no thread survives one."""
        self._gathered, self._counting, self._thread, self._expected = {}, threading.Lock(), None, Expected()

    def signed_in(self, method: str, outcome: str) -> None:
        """Count a sign-in."""
        self._signins.labels(method, outcome).inc()

    def watch(self, app: App) -> App:
        """An ASGI app that counts the requests which are open in `app`."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in {"http", "websocket"}:
                await app(scope, receive, send)
                return
            self._open.inc()
            try:
                await app(scope, receive, send)
            finally:
                self._open.dec()

        return watched

    def exposition(self) -> tuple[str, bytes]:
        """The numbers of all workers in the text format, and its content type."""
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - see above
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4  # noqa: PLC0415
        from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

        self.count()
        registry = self._registry
        if os.environ.get(MULTIPROCESS):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)


def worker_gone(pid: int) -> None:
    """To be told by the supervisor when a worker has ended: what it had open is open no more."""
    if os.environ.get(MULTIPROCESS):
        from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - see above

        mark_process_dead(pid)  # type: ignore[no-untyped-call]
