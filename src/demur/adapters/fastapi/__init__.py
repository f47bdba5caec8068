"""FastAPI: the middleware, and what a path operation asks for as a dependency."""

from demur.adapters.fastapi.asked import Principal, identified, public, require
from demur.adapters.fastapi.middleware import DOCS, Demur

__all__ = ["DOCS", "Demur", "Principal", "identified", "public", "require"]
