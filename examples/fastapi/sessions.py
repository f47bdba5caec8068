"""The same shed with demur's sessions and pages, and its API tokens, over the shed's own table: `/token` is gone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api import PERMISSIONS, RULES, shed, wardens
from fastapi import FastAPI
from shed import Shed, hashed, is_right

from demur.adapters.fastapi import Demur
from demur.core.model import Subject
from demur.core.ports import Account, Verified

if TYPE_CHECKING:
    from shed import Member


class Members:
    """The shed's people, as demur's sign-in asks for them."""

    def __init__(self, people: Shed) -> None:
        self._people = people

    async def by_name(self, name: str) -> Account | None:
        """The account of that name."""
        return _account(await asyncio.to_thread(self._people.member, name=name))

    async def by_id(self, subject: str) -> Account | None:
        """The account of that id."""
        return _account(await asyncio.to_thread(self._people.member, key=int(subject)))

    async def set_password(self, subject: str, encoded: str, *, replacing: str | None = None) -> bool:
        """Keep a new hash."""
        query = "UPDATE member SET password = ? WHERE id = ? AND (? IS NULL OR password = ?)"
        return await asyncio.to_thread(self._people.write, query, encoded, int(subject), replacing, replacing)


def _account(member: Member | None) -> Account | None:
    return member and Account(Subject(str(member.id), member.name, member.groups), member.password)


class Hashes:
    """The shed's passwords, hashed as they have always been."""

    async def verify(self, password: str, encoded: str | None) -> Verified:
        """Check a password."""
        return Verified(await asyncio.to_thread(is_right, password, encoded))

    async def hash(self, password: str) -> str:
        """Make a hash to keep."""
        return await asyncio.to_thread(hashed, password)


def create_app(folder: Path = Path(), **options: Any) -> FastAPI:
    """The app, with its files in a folder."""
    app = FastAPI(title="Tool shed")
    app.state.shed = Shed(folder)
    mine = {
        "origin": "http://localhost:8000",
        "name": "Tool shed",
        "store": f"sqlite:{folder / 'sessions.db'}",
        "keys": str(folder / "keys"),
        "people": Members(app.state.shed),
        "hasher": Hashes(),
        "accepts": ["bearer"],
        "rules": RULES,
        "permissions": PERMISSIONS,
    }
    app.add_middleware(Demur, **{**mine, **options})
    app.include_router(shed)
    app.include_router(wardens)
    return app
