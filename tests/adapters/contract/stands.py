"""The apps, each in a world, and how they are asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.adapters.contract import worlds
from tests.adapters.contract.adapters import ADAPTERS
from tests.adapters.contract.cases import Case
from tests.adapters.contract.drive import HOST, Asked
from tests.adapters.contract.views import PAGES, UNMARKED

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from tests.adapters.contract.adapters import Adapter
    from tests.adapters.contract.drive import Seen
    from tests.golden.files import Answer

NAVIGATION = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]
SCRIPT = [("accept", "application/json"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")]


@dataclass(frozen=True, slots=True)
class Stand:
    """An app in a world, the value of each cookie there, and the same app without demur."""

    adapter: Adapter
    world: str
    app: Any
    bare: Any
    cookies: dict[str, str]
    runner: asyncio.Runner

    def ask(self, case: Case, method: str, *, bare: bool = False, seen: Seen | None = None) -> Answer:
        """What is answered to a case."""
        fields = [("host", HOST), *(NAVIGATION if case.page else SCRIPT), *self._cookie(case.who)]
        fields += [*case.fields, *([("content-length", str(len(case.body)))] if case.body else [])]
        fields += [] if "origin" in dict(fields) else [("sec-fetch-site", "same-origin")]
        asked = Asked(method, case.path, fields, case.body.encode())
        return self.adapter.ask(self.runner, self.bare if bare else self.app, asked, seen)

    def _cookie(self, who: str) -> list[tuple[str, str]]:
        if not who:
            return []
        name, value = ("__Host-demur", self.cookies[who]) if self.cookies else ("who", who)
        return [("cookie", f"theirs=1; {name}={value}")]


class Stands(dict[tuple[str, str], Stand]):
    """The apps that were made, one for each adapter and world."""

    def __init__(self, runner: asyncio.Runner, folder: Path) -> None:
        self._runner = runner
        self._folder = folder

    def __missing__(self, key: tuple[str, str]) -> Stand:
        name, world = key
        adapter = ADAPTERS[name]
        given = worlds.options(world, adapter.bridge, self._folder)
        cookies = self._runner.run(worlds.fill(given)) if "store" in given else {}
        stand = Stand(adapter, world, adapter.pages(given), adapter.pages(None), cookies, self._runner)
        stand.ask(Case("the first of all", "/open"), "GET")
        for page in PAGES:
            if page.path in UNMARKED:
                adapter.add(stand.app, page)
        self[key] = stand
        return stand
