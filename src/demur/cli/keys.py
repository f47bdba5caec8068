"""`demur keys`: the keys of sessions and assertions, which all nodes on one store share."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import typer

from demur.cli.opened import iso, moment
from demur.cli.terminal import DEFAULT, AsJson, ConfigFile, as_json, fail, table

if TYPE_CHECKING:
    from pathlib import Path

    from demur.core.model import Key, KeyRing
    from demur.core.ports import Store
    from demur.stores.agreement import AgreedKeys
    from demur.stores.keys import FileKeys

app = typer.Typer(help="See and change the keys that all nodes share.", no_args_is_help=True)


@app.command("list")
def list_(*, config: ConfigFile = DEFAULT, json: AsJson = False) -> None:
    """List the keys, newest first, each by a digest that is the same on every node."""
    from demur.stores.agreement import fingerprint  # noqa: PLC0415 - load what is used

    files, _ = _opened(config)
    found = [(key, fingerprint(key)) for key in files.ring().keys]
    if json:
        as_json([{"id": key.id, "digest": digest, "since": iso(key.at) if key.at else None} for key, digest in found])
        return
    rows = ((str(key.id), digest, _since(key), _signs(key)) for key, digest in found)
    table(("Key", "Digest", "Since", "Signs assertions from"), rows, empty="There are no keys.")


@app.command()
def rotate(*, config: ConfigFile = DEFAULT) -> None:
    """Put a new key in front. The old ones verify for 30 days, and nobody is signed out.

    Nodes with a copy of the folder need a copy of the new file, within ten minutes if there are assertions.
    """
    files, store = _opened(config)
    ring = asyncio.run(_rotated(files, store))
    typer.echo(f"Key {ring.current.id} makes tokens from now on, and signs assertions from {_signs(ring.current)}.")


@app.command()
def replace(*, config: ConfigFile = DEFAULT) -> None:
    """Have one new key in place of lost ones. Nobody is signed out.

    Every node needs a copy of the folder before it is started again.
    """
    files, store = _opened(config)
    ring = asyncio.run(_replaced(files, store))
    typer.echo(f"Key {ring.current.id} is the only one now. Copy the folder to the other nodes, and restart them.")


async def _rotated(files: FileKeys, store: Store) -> KeyRing:
    now = int(time.time())
    keys = _agreed(files, store)
    try:
        await keys.agree(now)  # who has other keys than the rest must not add to that
        ring = keys.rotate(now)
        await keys.agree(now)
        return ring
    finally:
        await store.aclose()


async def _replaced(files: FileKeys, store: Store) -> KeyRing:
    now = int(time.time())
    keys = _agreed(files, store)
    try:
        ring = files.replace(now, await keys.taken(now))
        await keys.prevail(now)
        return ring
    finally:
        await store.aclose()


def _agreed(files: FileKeys, store: Store) -> AgreedKeys:
    from demur.stores.agreement import AgreedKeys  # noqa: PLC0415 - load what is used

    return AgreedKeys(files, store)


def _opened(config: Path) -> tuple[FileKeys, Store]:
    """The keys and the store of a configuration. Ends the command if they are in another process's memory."""
    from demur import stores  # noqa: PLC0415 - load what is used
    from demur.gateway.config import tables as configuration  # noqa: PLC0415 - load what is used
    from demur.stores.keys import FileKeys  # noqa: PLC0415 - load what is used

    read = configuration.read(config, serves=False).sessions
    if read.key_folder is None:
        fail(
            "These keys are in the memory of the process that serves, and end with it.",
            'Write store = "sqlite:sessions.db" in [sessions].',
        )
    return FileKeys(read.key_folder), stores.open(read.store)


def _since(key: Key) -> str:
    return moment(key.at) if key.at else "the beginning"


def _signs(key: Key) -> str:
    from demur.authenticators.assertions.signing import AHEAD  # noqa: PLC0415 - load what is used

    return moment(key.at + AHEAD) if key.at else "the beginning"
