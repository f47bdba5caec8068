"""Sign-in with a name and a password, and confirming it later.

Unknown, disabled and wrong are one answer, in text, status and time. Whoever is signed in already is never held up by
others who try their name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from demur.authenticators.throttle import network, within
from demur.core.model import Details, Refuse, StoreUnavailable
from demur.core.reasons import Reason
from demur.signin.patience import not_counted

if TYPE_CHECKING:
    from demur.authenticators.throttle import Throttle
    from demur.core.model import Evidence, Live, Request
    from demur.core.ports import Account, Observer, PasswordHasher, People
    from demur.signin.sessions import Issued, Sessions


class PasswordSignIn:
    """Turns a name and a password into a session, or says why not. Every method raises StoreUnavailable when people,
    sessions or counters cannot be asked: then nobody is told that their password is wrong."""

    def __init__(
        self,
        people: People,
        hasher: PasswordHasher,
        throttle: Throttle,
        sessions: Sessions,
        observer: Observer | None = None,
    ) -> None:
        self._people = people
        self._hasher = hasher
        self._throttle = throttle
        self._sessions = sessions
        self._observer = observer

    async def sign_in(
        self, name: str, password: str, request: Request, *, before: Evidence, persistent: bool, now: int
    ) -> Issued | Refuse:
        """Sign somebody in. `before` is what the browser came with, `now` in seconds."""
        place = network(request.peer)
        account = await self._people.by_name(name)
        known = account.subject.id if account else None
        wait = await self._throttle.admit(known, name, place, now)
        if wait is not None:
            return self._refused("throttled", Refuse(Reason.TOO_MANY_ATTEMPTS, Details(retry_after=wait)))
        held = await right(self._people, self._hasher, account, password)
        if account is None or held is None:
            await self._throttle.failed(known, name, place, now)
            return self._refused("failure", Refuse(Reason.CREDENTIALS_INVALID))
        issued = await self._sessions.begin(
            account.subject, request, place, before=before, persistent=persistent, now=now
        )
        if not await self._still(account, held):
            await self._sessions.revoke(issued, now)
            return self._refused("failure", Refuse(Reason.CREDENTIALS_INVALID))
        await self._throttle.succeeded(account.subject.id, name, place, now)
        self._tell("success")
        return issued

    async def confirm(self, password: str, live: Live, now: int) -> Issued | Refuse:
        """Confirm that it still is the person who signed in; the session goes on under a new id. Attempts count for
        this session alone, so nobody else can use them up."""
        place = within(live.session.handle)
        subject = live.subject.id
        wait = await self._throttle.admit(subject, live.subject.name, place, now)
        if wait is not None:
            return self._refused("throttled", Refuse(Reason.TOO_MANY_ATTEMPTS, Details(retry_after=wait)))
        account = await self._people.by_id(subject)
        if await right(self._people, self._hasher, account, password) is None:
            await self._throttle.failed(subject, live.subject.name, place, now)
            return self._refused("failure", Refuse(Reason.CREDENTIALS_INVALID, Details(subject=live.subject)))
        await self._throttle.succeeded(subject, live.subject.name, place, now)
        self._tell("success")
        issued = await self._sessions.confirm(live, now)
        return issued or Refuse(Reason.SESSION_REPLACED)

    async def name_of(self, subject: str) -> str:
        """The name to sign in with, of somebody by their id; "" if they cannot be asked for: it is a convenience."""
        try:
            account = await self._people.by_id(subject)
        except StoreUnavailable:
            return ""
        return account.subject.name if account is not None and not account.disabled else ""

    async def _still(self, account: Account, held: str) -> bool:
        """Whether the password is still the one that was checked. Whoever changed it meanwhile, or disabled the
        account, ended all sessions before this one was there."""
        again = await self._people.by_id(account.subject.id)
        return again is not None and not again.disabled and again.password == held

    def _refused(self, outcome: str, refuse: Refuse) -> Refuse:
        self._tell(outcome)
        return refuse

    def _tell(self, outcome: str) -> None:
        if self._observer is not None:
            self._observer.signed_in("password", outcome)


async def right(people: People, hasher: PasswordHasher, account: Account | None, password: str) -> str | None:
    """The hash under which the password is right, None if it is wrong; always at the cost of one hash. An outdated
    hash is replaced on the way. Raises StoreUnavailable."""
    stored = account.password if account is not None and not account.disabled else None
    with not_counted():
        verified = await hasher.verify(password, stored)
    if account is None or stored is None or not verified.right:
        return None
    if verified.upgrade is None:
        return stored
    upgraded = await people.set_password(account.subject.id, verified.upgrade, replacing=stored)
    return verified.upgrade if upgraded else stored
