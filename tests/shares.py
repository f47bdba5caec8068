"""Which tests run in the same process, and in which order, when there are several processes.

- The tests of a file stay together: what a module starts is started once, and not once in each process. Where they
  ask one proxy after the other, those of a proxy do.
- What takes longest begins first, so that no process waits for another in the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

PROXIES = frozenset({"nginx", "caddy", "traefik", "envoy", "haproxy", "apache"})
LONG = (
    "client/test_scenarios.py",
    "client/test_wcag.py",
    "client/test_hands.py",
    "client/test_adversary.py",
    "client/test_drafts.py",
    "client/test_ui.py",
    "browser/test_embed.py",
    "browser/test_pages.py",
    "docs/test_how_to.py",
    "docs/test_framework_pages.py",
    "doctor/test_faults.py",
    "faults/test_kill.py",
    "faults/test_matrix_postgres.py",
    "faults/test_matrix_redis.py",
    "faults/test_matrix_sqlite.py",
    "site/test_concealment.py",
    "site/test_browser.py",
    "site/test_failures.py",
    "adapters/django/test_suite.py",
    "judges/test_schemathesis.py",
    "exhaustion/test_exhaustion.py",
    "proxies/test_faithful.py",
    "site/test_many_sites.py",
    "typing/test_pyright.py",
    "adapters/public/test_public.py",
    "readings/test_oracle.py",
    "hostile/test_real_proxies.py",
    "conformance/test_conformance.py",
    "stores/test_state.py",
)
"""Files that take more than some ten seconds, the longest first."""
_PLACES = {f"tests/{file}": place for place, file in enumerate(LONG)}


def share(nodeid: str) -> str:
    """What a test belongs to: its file, or a proxy in its file."""
    file, _, test = nodeid.partition("::")
    asked = PROXIES.intersection(test.partition("[")[2].rstrip("]").split("-"))
    return " ".join((file, *asked))


class Shares(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each process the next share when it has all but finished its own."""

    def _split_scope(self, nodeid: str) -> str:
        return share(nodeid)

    def schedule(self) -> None:
        """Hand out the first shares, the long ones before the others."""
        if self.collection is None:
            for node, collection in self.registered_collections.items():
                self.registered_collections[node] = _Places(collection)
        super().schedule()

    def _assign_work_unit(self, node: WorkerController) -> None:
        ahead = min(self.workqueue, key=lambda share: _PLACES.get(share.partition(" ")[0], len(_PLACES)))
        self.workqueue.move_to_end(ahead, last=False)
        super()._assign_work_unit(node)


class _Places(list[str]):
    """Tests in their order, which knows where each is without looking at all that are before it."""

    def __init__(self, collection: list[str]) -> None:
        super().__init__(collection)
        self._places = {nodeid: place for place, nodeid in enumerate(collection)}

    def index(self, nodeid: str, *_: object) -> int:
        return self._places[nodeid]
