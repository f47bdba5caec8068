"""API tokens: made once, shown once, kept as a hash.

A token is a session of another kind: it stands for its person in the same store, ends in the same ways, and leaves the
same tombstone. It is never idle, and never fresh.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demur.core import sessions
from demur.core.model import Actor, End, Ending, Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from demur.core.model import Subject
    from demur.core.ports import Keys, Store

LONGEST: Final = 366 * sessions.DAY
"""Seconds that a token may last. Nobody remembers for longer who holds it, and what is replaced once a year is replaced
by people who still know how."""

LONGEST_LABEL: Final = 80


@dataclass(frozen=True, slots=True)
class Made:
    """A new token and its text, which exists here and with its holder only."""

    text: str
    session: Session


class Tokens:
    """Makes, lists and revokes API tokens in a store. Every method raises StoreUnavailable."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys

    async def create(self, subject: Subject, *, label: str, scopes: Iterable[str] | None, lasts: int, now: int) -> Made:
        """A token of a person. `label` is for its list, `scopes` are the permissions that it is good for (None: all
        that its person may), `lasts` is in seconds. Raises ValueError, with a sentence, for a label or a time that
        cannot be."""
        if not label.strip() or not label.isprintable() or len(label) > LONGEST_LABEL:
            raise ValueError(f"A label is 1 to {LONGEST_LABEL} visible characters.")
        if not 0 < lasts <= LONGEST:
            raise ValueError(
                f"A token lasts at most {LONGEST // sessions.DAY} days: then somebody should know it again."
            )
        text = sessions.mint_api_token(secrets.token_bytes(32), self._keys.ring().current)
        session = Session(
            id=sessions.identify(text),
            subject=subject.id,
            issued_at=now,
            authenticated_at=now,
            last_seen=0,
            expires_at=now + lasts,
            idle=0,
            kind="token",
            scopes=None if scopes is None else tuple(sorted(set(scopes))),
            label=label.strip(),
        )
        await self._store.issue(session, subject)
        return Made(text, session)

    async def list(self, subject: str | None, now: int) -> list[Session]:
        """The tokens that are alive, of one person (by id) or of all, newest first."""
        kept = await self._store.sessions(subject, kind="token")
        return [token for token in kept if sessions.ended(token, now) is None]

    async def revoke(self, tokens: Sequence[Session], now: int) -> int:
        """End these tokens, at once and everywhere, by an administrator; how many were still alive."""
        ends = [End(token.id, Ending.REVOKED, Actor.ADMINISTRATOR, now) for token in tokens]
        return sum(await self._store.apply(ends))
