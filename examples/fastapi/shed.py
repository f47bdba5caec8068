"""What the shed has always had, in a file: tools, and people with hashed passwords. Nothing here knows of demur."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from hashlib import scrypt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

TABLES = """
CREATE TABLE IF NOT EXISTS member (id INTEGER PRIMARY KEY, name TEXT UNIQUE, password TEXT, groups TEXT);
CREATE TABLE IF NOT EXISTS tool (id INTEGER PRIMARY KEY, name TEXT, borrower TEXT);
"""


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who may borrow."""

    id: int
    name: str
    password: str
    groups: frozenset[str]


def hashed(password: str, salt: str = "") -> str:
    """A password as it is kept."""
    salt = salt or secrets.token_hex(16)
    return f"{salt}${scrypt(password.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1).hex()}"


NOBODYS = hashed("")


def is_right(password: str, kept: str | None) -> bool:
    """Whether a password is the one that is kept; nobody's takes as long as anybody's."""
    known = kept or NOBODYS
    return secrets.compare_digest(hashed(password, known.partition("$")[0]), known) and kept is not None


class Shed:
    """The file. A new one has two members and two tools."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "shed.db"
        is_new = not self._path.exists()
        with closing(sqlite3.connect(self._path)) as db:
            db.executescript(TABLES)
        if is_new:
            self.write("INSERT INTO tool (name) VALUES ('saw'), ('ladder')")
            self.join("wanda", "wanda wields the wrench", "wardens")
            self.join("bert", "bert borrows the blade")

    def read(self, query: str, *values: object) -> list[Any]:
        """The rows of a query."""
        with closing(sqlite3.connect(self._path)) as db:
            return db.execute(query, values).fetchall()

    def write(self, query: str, *values: object) -> bool:
        """Whether a query changed anything."""
        with closing(sqlite3.connect(self._path)) as db, db:
            return db.execute(query, values).rowcount > 0

    def join(self, name: str, password: str, groups: str = "") -> None:
        """Take somebody in."""
        row = (name, hashed(password), groups)
        self.write("INSERT INTO member (name, password, groups) VALUES (?, ?, ?)", *row)

    def member(self, *, name: str = "", key: int = 0) -> Member | None:
        """The member of that name, or of that id."""
        rows = self.read("SELECT id, name, password, groups FROM member WHERE name = ? OR id = ?", name, key)
        return Member(*rows[0][:3], frozenset(rows[0][3].split())) if rows else None

    def tools(self) -> list[dict[str, object]]:
        """What there is, and who has it."""
        rows = self.read("SELECT id, name, borrower FROM tool ORDER BY id")
        return [{"id": key, "name": name, "borrower": borrower} for key, name, borrower in rows]
