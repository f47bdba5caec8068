"""Numbers for Prometheus.

No label is made of what a client sends or of who it is: no path, no person, no id. So the number of series is
bounded by the number of reasons.

prometheus_client chooses between one process and several when it is imported, by the variable
PROMETHEUS_MULTIPROC_DIR in the environment. So it is imported here only when `Metrics` is made: whoever starts
several workers sets the variable, to an empty directory of their own, before that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from demur.core.ports import Decided

    Scope: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the directory which several workers share."""

# Seconds. A decision without a read takes some microseconds, one that waits for a store milliseconds.
_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

# Failures of the site behind us, and not of our store.
_OF_UPSTREAM = frozenset({Reason.UPSTREAM_UNREACHABLE, Reason.UPSTREAM_TIMEOUT})


class Metrics:
    """Counts decisions, sign-ins, failures of the store and open requests. One for each process."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram  # noqa: PLC0415 - see above

        self._registry = registry = CollectorRegistry()
        self._decisions = Counter("demur_decisions", "Decisions.", ["outcome", "reason"], registry=registry)
        self._seconds = Histogram(
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
        # To look a series up by its labels costs more than to count.
        self._by_outcome: dict[tuple[str, Reason | None], Counter] = {}

    def decided(self, decided: Decided) -> None:
        """Count a decision, and how long it took."""
        key = (decided.outcome, decided.reason)
        counter = self._by_outcome.get(key)
        if counter is None:
            counter = self._decisions.labels(decided.outcome, decided.reason.value if decided.reason else "")
            self._by_outcome[key] = counter
        counter.inc()
        self._seconds.observe(decided.seconds)
        if decided.error and decided.reason not in _OF_UPSTREAM:
            self._store_errors.inc()

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
