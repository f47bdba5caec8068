"""Somebody made up for as long as an examination lasts, who may open everything that groups open."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING

from demur import stores
from demur.core import sessions
from demur.core.model import Actor, Ending, Session, Subject
from demur.core.rules import STRENGTHS
from demur.stores.keys import FileKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demur.core.model import Key
    from demur.core.site import Site
    from demur.gateway.config.tables import Config

NAME = "demur-doctor"
_LASTS = 120


@contextlib.contextmanager
def visitor(config: Config, site: Site, key: Key) -> Iterator[str]:
    """The token of a session, which ends with the block, or by itself soon. Raises StoreUnavailable."""
    now = int(time.time())
    # A UUID of no person: those are version 7.
    subject = Subject(f"00000000-0000-4000-8000-{secrets.token_hex(6)}", NAME, groups(site))
    token = sessions.mint(secrets.token_bytes(32), key)
    session = Session(
        sessions.identify(token), subject.id, now, now, now, now + _LASTS, 0, acr=STRENGTHS[-1], device=NAME
    )

    async def begin() -> None:
        store = stores.open(config.sessions.store)
        await store.issue(session, subject)
        await store.aclose()

    async def end() -> None:
        store = stores.open(config.sessions.store)
        await store.end_all(subject.id, Ending.ENDED, Actor.SYSTEM, int(time.time()))
        await store.aclose()

    # Also where the beginning is interrupted: it may be written already.
    try:
        asyncio.run(begin())
        yield token
    finally:
        asyncio.run(end())


def key_of(config: Config) -> Key | None:
    """The key that the running demur signs with; None if it keeps it to itself."""
    return None if config.sessions.key_folder is None else FileKeys(config.sessions.key_folder).ring().current


def groups(site: Site) -> frozenset[str]:
    """Every group that opens something there."""
    terms = [rule.requirement.terms for rule in site.rules.all]
    return frozenset[str]().union(*(each.groups | each.all_groups | each.permission_groups for each in terms))
