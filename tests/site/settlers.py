"""People of a site under test, as `demur user add` would make them. Whoever is the same in another house of the same
process is made once, because a command costs a second; and the hash is the cheapest that there is."""

from __future__ import annotations

import asyncio
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from demur import accounts
from demur.accounts.people import New
from demur.authenticators.password import Argon2Hasher

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "accounts.db"
HASHING = "OWASP_19_MIB"
"""To be said in the configuration, too: or whoever signs in is hashed anew."""


def settle(folder: Path, people: Mapping[str, str], groups: Mapping[str, tuple[str, ...]]) -> None:
    """Put a database with these people there: passwords and groups by name."""
    everybody = tuple((name, password, tuple(groups.get(name, ()))) for name, password in people.items())
    (folder / FILE).write_bytes(_database(everybody))


@cache
def _database(everybody: tuple[tuple[str, str, tuple[str, ...]], ...]) -> bytes:
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        runner.run(_made(Path(folder), everybody))
        assert [file.name for file in Path(folder).iterdir()] == [FILE]
        return (Path(folder) / FILE).read_bytes()


async def _made(folder: Path, everybody: tuple[tuple[str, str, tuple[str, ...]], ...]) -> None:
    people, hasher = accounts.open(f"sqlite:{folder / FILE}"), Argon2Hasher(HASHING)
    for name, password, groups in everybody:
        await people.add(New(name, frozenset(groups), encoded=await hasher.hash(password)), by="tests")
    await people.aclose()
    hasher.close()
