"""API tokens, against a real store."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests.core.support import NOW

from demur.core.model import Actor, Ended, Ending, Live, Lookup, Scheme, Subject
from demur.core.sessions import DAY, identify, read_api_token
from demur.signin.tokens import LONGEST, Made, Tokens
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

BO, ANNA = Subject("0192-bo", "bo"), Subject("0192-anna", "anna")
SCANNER = re.compile(r"\bdemur_[A-Za-z0-9_-]{56}(?![A-Za-z0-9_-])")
"""What the documentation gives to secret scanners."""


class Desk:
    """A store, a key ring, and the tokens of both."""

    def __init__(self) -> None:
        self.store, self.keys = MemoryStore(), MemoryKeys()
        self.tokens = Tokens(self.store, self.keys)

    async def make(
        self, subject: Subject = BO, *, label: str = "nightly", lasts: int = 90 * DAY, now: int = NOW
    ) -> Made:
        return await self.tokens.create(subject, label=label, scopes=("b:x", "a:x", "b:x"), lasts=lasts, now=now)


@pytest.fixture
def desk() -> Desk:
    """Nobody has a token yet."""
    return Desk()


async def test_a_token_is_kept_as_its_hash(desk: Desk) -> None:
    """The text leads to the session, with its person; the text itself is nowhere."""
    made = await desk.make(label=" nightly export ")
    assert read_api_token(made.text.encode(), desk.keys.ring()) == Lookup(Scheme.BEARER, identify(made.text))
    assert await desk.store.load([identify(made.text)]) == [Live(made.session, BO)]
    assert made.session.scopes == ("a:x", "b:x")
    assert (made.session.kind, made.session.label) == ("token", "nightly export")
    assert (made.session.idle, made.session.last_seen, made.session.expires_at) == (0, 0, NOW + 90 * DAY)
    assert made.text not in repr(made.session)


async def test_a_secret_scanner_finds_it(desk: Desk) -> None:
    """Each token matches the documented form, wherever it stands, and no two are alike."""
    texts = [(await desk.make()).text for _ in range(50)]
    assert len(set(texts)) == 50
    assert all(SCANNER.fullmatch(text) and SCANNER.search(f'key="{text}";') for text in texts)
    assert not SCANNER.search(f"{texts[0]}x")
    assert not SCANNER.search(texts[0][:-1])


@pytest.mark.parametrize(
    ("label", "lasts", "said"),
    [
        ("", DAY, "A label is"),
        ("  ", DAY, "A label is"),
        ("a\nb", DAY, "A label is"),
        ("x" * 81, DAY, "A label is"),
        ("ok", 0, "at most 366 days"),
        ("ok", LONGEST + 1, "at most 366 days"),
    ],
)
async def test_what_cannot_be_a_token(desk: Desk, label: str, lasts: int, said: str) -> None:
    """Nothing is kept of it."""
    with pytest.raises(ValueError, match=said):
        await desk.make(label=label, lasts=lasts)
    assert await desk.tokens.list(None, NOW) == []


async def test_a_list_has_what_is_alive(desk: Desk) -> None:
    """Of one person or of all, newest first; what has expired is not there, swept or not."""
    old, new = await desk.make(now=NOW - DAY), await desk.make(lasts=LONGEST)
    hers, over = await desk.make(ANNA, now=NOW - 5), await desk.make(lasts=DAY, now=NOW - DAY)
    assert await desk.tokens.list(None, NOW) == [new.session, hers.session, old.session]
    assert await desk.tokens.list(BO.id, NOW) == [new.session, old.session]
    assert over.session in await desk.tokens.list(BO.id, NOW - 1)


async def test_revoking(desk: Desk) -> None:
    """At once, by an administrator, and once."""
    one, other = await desk.make(), await desk.make()
    assert await desk.tokens.revoke([one.session], NOW + 5) == 1
    assert await desk.tokens.revoke([one.session, other.session], NOW + 6) == 1
    assert await desk.store.load([one.session.id, other.session.id]) == [
        Ended(Ending.REVOKED, NOW + at, Actor.ADMINISTRATOR, BO.id) for at in (5, 6)
    ]
    assert await desk.tokens.list(None, NOW) == []


async def test_of_somebody_who_was_disabled_meanwhile(desk: Desk) -> None:
    """A snapshot from before does not undo what the store knows."""
    await desk.store.publish(replace(BO, suspended=True, version=2))
    made = await desk.make()
    (found,) = await desk.store.load([made.session.id])
    assert isinstance(found, Live)
    assert found.subject.suspended
