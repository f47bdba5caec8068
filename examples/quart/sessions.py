"""The same club with demur's sessions and pages, over the club's own people: Quart-Auth and its views are gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from app import PERMISSIONS, RULES
from club import Club, hashed, is_right, open_club
from quart import Quart
from views import board, plots

from demur.adapters.quart import Demur
from demur.core.model import Subject
from demur.core.ports import Account, Verified

if TYPE_CHECKING:
    from club import Member


class Members:
    """The club's people, as demur's sign-in asks for them."""

    def __init__(self, club: Club) -> None:
        self._club = club

    async def by_name(self, name: str) -> Account | None:
        """The account of that name."""
        return _account(self._club.members.get(name))

    async def by_id(self, subject: str) -> Account | None:
        """The account of that id."""
        return _account(self._club.by_id(subject))

    async def set_password(self, subject: str, encoded: str, *, replacing: str | None = None) -> bool:
        """Keep a new hash."""
        member = self._club.by_id(subject)
        if member is None or (replacing is not None and member.password != replacing):
            return False
        member.password = encoded
        return True


def _account(member: Member | None) -> Account | None:
    return member and Account(Subject(member.id, member.name, frozenset(member.groups)), member.password)


class Hashes:
    """The club's passwords, hashed as they have always been."""

    async def verify(self, password: str, encoded: str | None) -> Verified:
        """Check a password."""
        return Verified(await asyncio.to_thread(is_right, password, encoded))

    async def hash(self, password: str) -> str:
        """Make a hash to keep."""
        return await asyncio.to_thread(hashed, password)


def create_app(**options: Any) -> Quart:
    """The app."""
    app = Quart(__name__)
    club = app.extensions["club"] = open_club()
    given: Any = {
        "origin": "http://localhost:8000",
        "name": "Garden club",
        "store": "sqlite:sessions.db",
        "people": Members(club),
        "hasher": Hashes(),
        "rules": RULES,
        "permissions": PERMISSIONS,
        **options,
    }
    Demur(app, **given)
    app.register_blueprint(plots)
    app.register_blueprint(board)
    return app
