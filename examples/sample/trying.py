"""Every reason, live: what the page `/try/` asks for, so that one sees each refusal and what the client makes of it.

A real site never touches demur's store. This one does, for the one who asks and on purpose: it ends their session as
time or an administrator would, and makes them a token that is over already. Everything else is refused by demur itself,
or by the one header that a site refuses with. The few reasons that nobody can meet at will are only shown.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from demur import stores
from demur.core.model import Actor, End, Ending, Subject
from demur.core.reasons import BASE, REASONS, Reason
from demur.signin.tokens import Tokens
from demur.stores.keys import FileKeys

BY_TIME = {Ending.IDLE, Ending.EXPIRED, Ending.REPLACED}
MANY_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Try:
    """How a reason is met: what the script does first (`before`), what it asks for, and what to expect in words."""

    reason: Reason
    how: str
    before: str = ""
    path: str = "/try/api/call"
    shown: bool = False

    @property
    def status(self) -> int:
        """The status of the refusal."""
        return REASONS[self.reason].status

    @property
    def title(self) -> str:
        """Its title."""
        return REASONS[self.reason].title


def _said(reason: Reason, how: str) -> Try:
    return Try(reason, how, path=f"/try/api/said/{reason}")


def _shown(reason: Reason, how: str) -> Try:
    return Try(reason, how, path=f"/try/shown/{reason}", shown=True)


TRIES = (
    Try(Reason.SIGN_IN_REQUIRED, "You sign out, and a call is made. Sign in, and it is made again.", "sign-out"),
    Try(Reason.SESSION_IDLE, "Your session ends as if you had been away.", "end/idle"),
    Try(Reason.SESSION_EXPIRED, "Your session ends as if a day had passed.", "end/expired"),
    Try(Reason.SESSION_ENDED, "Your session is signed out, as if on another device.", "end/ended"),
    Try(Reason.SESSION_REVOKED, "An administrator ends your session.", "end/revoked"),
    Try(Reason.SESSION_REPLACED, "Your session has another id, which this browser never got.", "end/replaced"),
    Try(Reason.CREDENTIALS_INVALID, "You sign out, and a cookie is sent that somebody made up.", "made-up"),
    Try(Reason.CREDENTIALS_MALFORMED, "A call is made with an Authorization that is none.", "malformed"),
    Try(Reason.TOKEN_EXPIRED, "A call is made with a token of yours whose time is over.", "token/expired"),
    Try(Reason.TOKEN_REVOKED, "A call is made with a token of yours that was revoked.", "token/revoked"),
    Try(Reason.STEP_UP_REQUIRED, "A call needs a sign-in of the last ten seconds.", path="/try/api/fresh"),
    _said(Reason.ENROLMENT_REQUIRED, "The site wants a second factor."),
    _said(Reason.NOT_PERMITTED, "The site says no."),
    Try(Reason.SCOPE_INSUFFICIENT, "A call is made with a token that is good for something else.", "token/scope"),
    _said(Reason.ACCESS_REQUESTABLE, "The site says that you can ask for it."),
    _said(Reason.ACCESS_PENDING, "The site says that you have asked already."),
    _said(Reason.GRANT_EXPIRED, "The site says that you had access, and that it is over."),
    _said(Reason.CONTEXT_REFUSED, "The site says: not at this time."),
    _said(Reason.CROSS_SITE_REFUSED, "The site takes the call for another site's."),
    _shown(Reason.SUBJECT_CHANGED, "Met by a page that is still open when somebody else has signed in."),
    _said(Reason.ACCOUNT_SUSPENDED, "The site has suspended the account."),
    _shown(Reason.TOO_MANY_ATTEMPTS, "Met after many wrong passwords."),
    _said(Reason.NOT_FOUND, "The site conceals what is there."),
    Try(Reason.REQUEST_MALFORMED, "The address has a byte that no address has.", path="/try/api/%00"),
    _shown(Reason.HOST_UNKNOWN, "Met under a name that is no site of this gateway."),
    Try(
        Reason.UPSTREAM_UNREACHABLE, "The site answers with something that demur cannot pass on.", path="/try/api/fault"
    ),
    _shown(Reason.UPSTREAM_TIMEOUT, "Met when the site takes too long."),
    _shown(Reason.UNAVAILABLE, "Met when demur's own store is away."),
)
"""Every reason, in the order of the table."""


def problem(reason: Reason) -> bytes:
    """What demur would say, for a reason that is only shown."""
    row = REASONS[reason]
    said = {"type": BASE + reason, "title": row.title, "status": row.status, "detail": row.detail, "reason": reason}
    return json.dumps({**said, "instance": uuid.uuid4().urn}).encode()


class Endings:
    """Ends sessions, and makes tokens that are over. `store` is the configuration's, `keys` its folder of keys."""

    def __init__(self, store: str, keys: Path) -> None:
        self._store = stores.open(store)
        self._tokens = Tokens(self._store, FileKeys(keys))

    @classmethod
    def of_this_machine(cls) -> Endings | None:
        """Those of the gateway that `make serve` has started; None if somebody else has started the site."""
        folder = os.environ.get("SAMPLE_STATE")
        return cls(f"sqlite:{folder}/sessions.db", Path(folder) / "keys") if folder else None

    async def end(self, subject: str, how: str) -> None:
        """End what a person has here, in this way."""
        ending, now = Ending(how), int(time.time())
        actor = Actor.SYSTEM if ending in BY_TIME else Actor.SELF if ending is Ending.ENDED else Actor.ADMINISTRATOR
        ends = [End(each.id, ending, actor, now) for each in await self._store.sessions(subject)]
        await self._store.apply(ends)

    async def token(self, person: Subject, kind: str) -> str:
        """The text of a token that is refused for this reason."""
        now = int(time.time())
        scopes = ["elsewhere:read"] if kind == "scope" else None
        made = await self._tokens.create(person, label="try", scopes=scopes, lasts=MANY_SECONDS, now=now)
        if kind != "scope":
            ending = Ending.EXPIRED if kind == "expired" else Ending.REVOKED
            await self._store.apply([End(made.session.id, ending, Actor.ADMINISTRATOR, now)])
        return made.text
