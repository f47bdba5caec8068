"""Name and password with every request (RFC 7617), for programs that know nothing better.

- The person is read for each request, so a changed password, a disabled or a renamed person counts at the next one.
- argon2id is run once for each password and not for each request: what was right is known again by a keyed hash, which
  covers the stored hash as well and is good in this process only. No password is kept.
- Unknown, disabled and wrong are one answer at one cost. Guesses are held up as those at the sign-in form are, by the
  same counts; what is known to be right is never held up.
- Requests that come together with the same name and password are checked once.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demur.authenticators.throttle import network
from demur.core.model import Live, Session, Throttled, Unknown
from demur.signin.password import right

if TYPE_CHECKING:
    from demur.authenticators.throttle import Throttle
    from demur.core.model import Evidence
    from demur.core.ports import Account, Observer, PasswordHasher, People

KEPT: Final = 5 * 60
"""Seconds for which a right password is known again after it was last used."""
AT_MOST: Final = 60 * 60
"""Seconds after which it is checked again, however often it is used; the network stays familiar by that."""
MOST: Final = 1024
"""How many right passwords are known again at once; of more, those used last."""


@dataclass(frozen=True, slots=True)
class _Right:
    """When a password was found right, and when it was last used."""

    since: int
    used: int


class BasicPasswords:
    """A `core.ports.PasswordSource` on the people who may sign in. Configuration until it is used; for one event loop
    after another. Raises StoreUnavailable when people or counters cannot be asked."""

    def __init__(
        self, people: People, hasher: PasswordHasher, throttle: Throttle, observer: Observer | None = None
    ) -> None:
        self._people = people
        self._hasher = hasher
        self._throttle = throttle
        self._observer = observer
        self._secret = b""
        self._known: OrderedDict[bytes, _Right] = OrderedDict()
        self._checks: dict[tuple[bytes, str], asyncio.Task[bytes | Throttled | None]] = {}

    async def load(self, credentials: bytes, peer: str, now: int) -> Evidence:
        """See `PasswordSource.load`."""
        name, _, password = credentials.decode("utf-8").partition(":")
        account = await self._people.by_name(name)
        tag = self._tag(account, name, password, _stored(account))
        if account is not None and self._is_known(tag, now):
            return _live(account, tag, now)
        found = await self._together((tag, network(peer)), account, name, password, now)
        if isinstance(found, Throttled):
            return found
        return Unknown() if found is None or account is None else _live(account, found, now)

    def _is_known(self, tag: bytes, now: int) -> bool:
        kept = self._known.get(tag)
        if kept is None:
            return False
        if not kept.used <= now < kept.used + KEPT or now >= kept.since + AT_MOST:
            del self._known[tag]
            return False
        self._known[tag] = _Right(kept.since, now)
        self._known.move_to_end(tag)
        return True

    async def _together(
        self, which: tuple[bytes, str], account: Account | None, name: str, password: str, now: int
    ) -> bytes | Throttled | None:
        """One check for all that ask for it at the same time, from one network; it goes on when one of them leaves."""
        loop = asyncio.get_running_loop()
        check = self._checks.get(which)
        if check is None or check.get_loop() is not loop:
            check = loop.create_task(self._check(account, name, password, which[1], now))
            self._checks[which] = check
            check.add_done_callback(lambda done: self._done(which, done))
        return await asyncio.shield(check)

    def _done(self, which: tuple[bytes, str], done: asyncio.Task[bytes | Throttled | None]) -> None:
        if self._checks.get(which) is done:
            del self._checks[which]
        if not done.cancelled():
            done.exception()  # whoever still waits is told; if nobody does, nobody has to be

    async def _check(
        self, account: Account | None, name: str, password: str, place: str, now: int
    ) -> bytes | Throttled | None:
        """The tag under which the password is known from now on; None if it is wrong."""
        whose = account.subject.id if account is not None else None
        wait = await self._throttle.admit(whose, name, place, now)
        if wait is not None:
            return self._told("throttled", Throttled(wait))
        held = await right(self._people, self._hasher, account, password)
        if account is None or held is None:
            await self._throttle.failed(whose, name, place, now)
            return self._told("failure", None)
        await self._throttle.succeeded(account.subject.id, name, place, now)
        # Under the hash that is stored now, which may be a better one of the same password.
        tag = self._tag(account, name, password, held)
        self._known[tag] = _Right(now, now)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return self._told("success", tag)

    def _told(self, outcome: str, found: bytes | Throttled | None) -> bytes | Throttled | None:
        if self._observer is not None:
            self._observer.signed_in("basic", outcome)
        return found

    def _tag(self, account: Account | None, name: str, password: str, stored: str) -> bytes:
        """What a name and a password are known by: of use to nobody without the secret of this process."""
        if not self._secret:
            self._secret = secrets.token_bytes(32)
        whose = account.subject.id if account is not None else ""
        keyed = hashlib.blake2b(key=self._secret, digest_size=32, person=b"demur.basic")
        for part in (whose, name, stored, password):
            data = part.encode("utf-8")
            keyed.update(len(data).to_bytes(8) + data)
        return keyed.digest()


def _stored(account: Account | None) -> str:
    """The hash that a password would have to be right under; "" where none is."""
    return (account.password or "") if account is not None and not account.disabled else ""


def _live(account: Account, tag: bytes, now: int) -> Live:
    """A session for this one request: the person is here now, and has just shown the password."""
    session = Session(
        id=tag,
        subject=account.subject.id,
        issued_at=now,
        authenticated_at=now,
        last_seen=now,
        expires_at=now + AT_MOST,
        idle=0,
    )
    return Live(session, account.subject)
