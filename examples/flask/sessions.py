"""The same club with demur's sessions and pages, over the club's own table: Flask-Login and its views are gone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import PERMISSIONS, RULES
from club import METHOD, Club, open_club
from flask import Flask, redirect
from views import board, plots
from werkzeug.security import check_password_hash, generate_password_hash

import demur
from demur.adapters.flask import Demur
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
        return _account(await asyncio.to_thread(self._club.member, name=name))

    async def by_id(self, subject: str) -> Account | None:
        """The account of that id."""
        return _account(await asyncio.to_thread(self._club.member, id=int(subject)))

    async def set_password(self, subject: str, encoded: str, *, replacing: str | None = None) -> bool:
        """Keep a new hash."""
        return await asyncio.to_thread(self._club.set_password, int(subject), encoded)


def _account(member: Member | None) -> Account | None:
    return member and Account(Subject(str(member.id), member.name, member.groups), member.password)


class Hashes:
    """The club's passwords, hashed as they have always been."""

    _nobodys = generate_password_hash("nobody", METHOD)

    async def verify(self, password: str, encoded: str | None) -> Verified:
        """Check a password; nobody's takes as long as anybody's."""
        right = await asyncio.to_thread(check_password_hash, encoded or self._nobodys, password)
        return Verified(right and encoded is not None)

    async def hash(self, password: str) -> str:
        """Make a hash to keep."""
        return await asyncio.to_thread(generate_password_hash, password, METHOD)


def create_app(folder: Path = Path(), **options: Any) -> Flask:
    """The app, with its files in a folder."""
    app = Flask(__name__)
    club = app.extensions["club"] = open_club(folder)
    Demur(
        app,
        **{
            "origin": "http://localhost:8000",
            "name": "Garden club",
            "store": f"sqlite:{folder / 'sessions.db'}",
            "keys": str(folder / "keys"),
            "people": Members(club),
            "hasher": Hashes(),
            "rules": RULES,
            "permissions": PERMISSIONS,
            **options,
        },
    )
    app.register_blueprint(plots)
    app.register_blueprint(board)
    app.get("/")(demur.public(lambda: redirect("/plots/")))
    return app
