"""demur before a FastAPI app: Starlette's middleware, and what FastAPI has beside that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from demur.adapters import starlette
from demur.adapters.fastapi import described, early
from demur.adapters.starlette import routes

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from demur.adapters.options import Options
    from demur.adapters.surface import Surface

DOCS: tuple[dict[str, Any], ...] = tuple(
    {"path": path, "allow": "anyone"} for path in ("/docs/**", "/redoc", "/openapi.json")
)
"""Rules that open FastAPI's own pages about the API, at their usual addresses."""


class Demur(starlette.Demur):
    """The middleware, with the options of all adapters (see `demur.adapters.options.Options`)."""

    def __init__(self, app: ASGIApp, surface: Surface | None = None, **options: Unpack[Options]) -> None:
        super().__init__(app, surface, **options)
        described.describe(app, self.surface)

    def _start(self, app: ASGIApp) -> None:
        super()._start(app)
        described.describe(app, self.surface)


early.install()
described.install()
routes.install()
