"""The people that the club has always had, and its plots: nothing here knows of demur, or of Quart."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field


def hashed(password: str, salt: str | None = None) -> str:
    """A password as the club keeps it."""
    salt = salt or secrets.token_hex(8)
    key = hashlib.scrypt(password.encode(), salt=salt.encode(), n=2**14, r=8, p=1, maxmem=2**25)
    return f"{salt}${key.hex()}"


NOBODYS = hashed("nobody")


def is_right(password: str, encoded: str | None) -> bool:
    """Whether this is the password. Nobody's takes as long as anybody's."""
    salt = (encoded or NOBODYS).partition("$")[0]
    return hmac.compare_digest(hashed(password, salt), encoded or NOBODYS) and encoded is not None


@dataclass
class Member:
    """Somebody of the club."""

    id: str
    name: str
    password: str
    groups: tuple[str, ...] = ()


@dataclass
class Club:
    """Everything that the club has. A real one would keep it in a database."""

    members: dict[str, Member] = field(default_factory=dict)
    plots: dict[int, int] = field(default_factory=lambda: {1: 40})

    def add(self, name: str, password: str, *groups: str) -> None:
        """Take somebody in."""
        self.members[name] = Member(str(len(self.members) + 1), name, hashed(password), groups)

    def by_id(self, key: str) -> Member | None:
        """The member of that id."""
        return next((member for member in self.members.values() if member.id == key), None)


def open_club() -> Club:
    """The club, with two members and a plot."""
    club = Club()
    club.add("anna", "anna plants 40 beans", "board")
    club.add("bo", "bo borrows the rake")
    return club
