"""What a configuration has in common with other nodes, before this one starts: the store, its keys, and the people."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from demur import accounts, stores
from demur.core.model import StoreUnavailable
from demur.gateway.config.faults import Fault
from demur.stores.agreement import AgreedKeys, KeysDiffer
from demur.stores.keys import FileKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demur.gateway.config.tables import Config

KEYS_DIFFER: Final = (
    "Copy the folder of the keys from a node that runs. If the keys that the sessions were made with are lost, "
    "`demur keys replace` makes new ones, and everybody stays signed in."
)
"""What to do if the keys here are not those of the other nodes."""


def store_faults(config: Config) -> Iterator[Fault]:
    """A store that does not answer, and keys that are not those of the other nodes on it. Keys and files that are not
    there yet are made at the start."""
    url, folder = config.sessions.store, config.sessions.key_folder
    if url == "memory:" or (url.startswith("sqlite:") and not Path(url.removeprefix("sqlite:")).exists()):
        return
    keys = FileKeys(folder) if folder is not None and any(folder.glob("*.key")) else None
    try:
        asyncio.run(_look(url, keys))
    except KeysDiffer as differ:
        yield Fault(("sessions", "keys"), f"sessions.keys: {differ.cause}.", KEYS_DIFFER)
    except StoreUnavailable as down:
        fix = "Until it answers, whoever is signed in gets a 503."
        yield Fault(("sessions", "store"), f"sessions.store cannot be used: {down.cause}.", fix, "warning")


def accounts_faults(config: Config) -> Iterator[Fault]:
    """A database of people on the network that does not answer. A file was looked at before."""
    url = config.accounts.database
    if url.startswith("sqlite:"):
        return
    try:
        asyncio.run(_open(url))
    except StoreUnavailable as down:
        fix = "Until it answers, nobody can sign in."
        yield Fault(("accounts", "database"), f"accounts.database cannot be used: {down.cause}.", fix, "warning")


async def _open(url: str) -> None:
    people = accounts.open(url)
    try:
        await people.check()
    finally:
        await people.aclose()


async def _look(url: str, keys: FileKeys | None) -> None:
    store = stores.open(url)
    try:
        if keys is None:
            await store.check()
        else:
            await AgreedKeys(keys, store).look(int(time.time()))
    finally:
        await store.aclose()
