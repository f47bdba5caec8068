"""The same shed with demur's sessions and pages, over the shed's own table: SessionMiddleware and the form are gone."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shed import Shed, hashed, is_right
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool

from demur.adapters.starlette import Demur
from demur.core.model import Subject
from demur.core.ports import Account, Verified
from pages import PERMISSIONS, ROUTES, RULES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shed import Member


class Members:
    """The shed's people, as demur's sign-in asks for them."""

    def __init__(self, shed: Shed) -> None:
        self._shed = shed

    async def by_name(self, name: str) -> Account | None:
        """The account of that name."""
        return _account(await run_in_threadpool(self._shed.member, name=name))

    async def by_id(self, subject: str) -> Account | None:
        """The account of that id."""
        return _account(await run_in_threadpool(self._shed.member, key=int(subject)))

    async def set_password(self, subject: str, encoded: str, *, replacing: str | None = None) -> bool:
        """Keep a new hash."""
        query = "UPDATE member SET password = ? WHERE id = ? AND (? IS NULL OR password = ?)"
        return await run_in_threadpool(self._shed.write, query, encoded, int(subject), replacing, replacing)


def _account(member: Member | None) -> Account | None:
    return member and Account(Subject(str(member.id), member.name, member.groups), member.password)


class Hashes:
    """The shed's passwords, hashed as they have always been."""

    async def verify(self, password: str, encoded: str | None) -> Verified:
        """Check a password."""
        return Verified(await run_in_threadpool(is_right, password, encoded))

    async def hash(self, password: str) -> str:
        """Make a hash to keep."""
        return await run_in_threadpool(hashed, password)


def create_app(folder: Path = Path(), **options: Any) -> Demur:
    """The app, with its files in a folder."""
    shed = Shed(folder)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Shed]]:
        yield {"shed": shed}

    mine = {
        "origin": "http://localhost:8000",
        "name": "Tool shed",
        "store": f"sqlite:{folder / 'sessions.db'}",
        "keys": str(folder / "keys"),
        "people": Members(shed),
        "hasher": Hashes(),
        "rules": RULES,
        "permissions": PERMISSIONS,
    }
    return Demur(Starlette(routes=ROUTES, lifespan=lifespan), **{**mine, **options})
