"""The adapters under test: for each its apps, and over what they are asked."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tests.adapters.contract.drive import Asked, Seen, over_asgi, over_wsgi

if TYPE_CHECKING:
    import asyncio

    from tests.adapters.contract.views import Page
    from tests.golden.files import Answer


@dataclass(frozen=True, slots=True)
class Adapter:
    """`module` has the apps, under names with this `prefix`; `wsgi` says over what they are asked."""

    module: str
    wsgi: bool = False
    prefix: str = ""

    @property
    def missing(self) -> str:
        """Why it cannot be tested."""
        try:
            self._made("golden")
        except ImportError as error:
            return str(error)
        return ""

    def golden(self, options: dict[str, Any]) -> Any:
        """The golden club's site."""
        return self._made("golden")(options)

    def pages(self, options: dict[str, Any] | None) -> Any:
        """The site of the cases; without demur if there are no options."""
        return self._made("pages")(options)

    def add(self, app: Any, page: Page) -> None:
        """Add a page to an app that has started, if it was not there from the beginning."""
        add = getattr(import_module(f"tests.adapters.contract.apps.{self.module}"), "add", None)
        if add is not None:
            add(app, page)

    @property
    def bridge(self) -> Any:
        """The bridge to the login of these apps."""
        module = import_module(f"tests.adapters.contract.apps.{self.module}")
        return getattr(module, f"{self.prefix}bridge", None) or module.bridge

    def ask(self, runner: asyncio.Runner, app: Any, asked: Asked, seen: Seen | None = None) -> Answer:
        """What an app answers."""
        return over_wsgi(app, asked, seen) if self.wsgi else runner.run(over_asgi(app, asked, seen))

    def _made(self, name: str) -> Any:
        return getattr(import_module(f"tests.adapters.contract.apps.{self.module}"), self.prefix + name)


ADAPTERS = {
    "asgi": Adapter("raw", prefix="a"),
    "wsgi": Adapter("raw", wsgi=True),
    "starlette": Adapter("with_starlette"),
    "fastapi": Adapter("with_fastapi"),
    "flask": Adapter("with_flask", wsgi=True),
    "quart": Adapter("with_quart"),
    "litestar": Adapter("with_litestar"),
    "django": Adapter("with_django", wsgi=True),
    "django-async": Adapter("with_django", prefix="a"),
}
