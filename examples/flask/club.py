"""The table of people that the club has always had, and its plots: nothing here knows of demur."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_login import UserMixin
from werkzeug.security import check_password_hash, generate_password_hash

if TYPE_CHECKING:
    from pathlib import Path

METHOD = "scrypt:16384:8:1"


@dataclass
class Member(UserMixin):
    """Somebody of the club."""

    id: int
    name: str
    password: str
    groups: frozenset[str]

    def knows(self, password: str) -> bool:
        """Whether this is their password."""
        return check_password_hash(self.password, password)


def open_club(folder: Path) -> Club:
    """The club of a folder; a new one has two members and a plot."""
    is_new = not (folder / "club.db").exists()
    club = Club(folder / "club.db")
    if is_new:
        club.add("anna", "anna plants 40 beans", "board")
        club.add("bo", "bo borrows the rake")
        club.plant(1, 40)
    return club


class Club:
    """The club's own file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(self._open()) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS member (id INTEGER PRIMARY KEY, name UNIQUE, password, groups)")
            db.execute("CREATE TABLE IF NOT EXISTS plot (id INTEGER PRIMARY KEY, beans INTEGER)")

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path)

    def add(self, name: str, password: str, groups: str = "") -> None:
        """Take somebody in."""
        row = (name, generate_password_hash(password, METHOD), groups)
        with closing(self._open()) as db, db:
            db.execute("INSERT INTO member (name, password, groups) VALUES (?, ?, ?)", row)

    def remove(self, name: str) -> None:
        """Somebody has left."""
        with closing(self._open()) as db, db:
            db.execute("DELETE FROM member WHERE name = ?", (name,))

    def member(self, **by: object) -> Member | None:
        """The member of that name or id."""
        ((column, value),) = by.items()
        assert column in {"id", "name"}
        with closing(self._open()) as db:
            row = db.execute(f"SELECT id, name, password, groups FROM member WHERE {column} = ?", (value,)).fetchone()
        return Member(row[0], row[1], row[2], frozenset(row[3].split())) if row else None

    def set_password(self, key: int, encoded: str) -> bool:
        """Somebody has changed it."""
        with closing(self._open()) as db, db:
            return db.execute("UPDATE member SET password = ? WHERE id = ?", (encoded, key)).rowcount == 1

    def plots(self) -> dict[int, int]:
        """How many beans stand on each plot."""
        with closing(self._open()) as db:
            return dict(db.execute("SELECT id, beans FROM plot ORDER BY id"))

    def plant(self, plot: int, beans: int) -> None:
        """Plant a plot anew."""
        with closing(self._open()) as db, db:
            db.execute(
                "INSERT INTO plot VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET beans = excluded.beans", (plot, beans)
            )

    def clear(self, plot: int) -> None:
        """Take a plot away."""
        with closing(self._open()) as db, db:
            db.execute("DELETE FROM plot WHERE id = ?", (plot,))
