"""Sessions as a person makes and ends them: a new id at every sign-in and at every step-up, with no call to forget."""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from demur.core import fields, sessions
from demur.core.device import device
from demur.core.model import Absent, Actor, End, Ended, Ending, Live, Rotate, Session
from demur.signin.patience import still_waited_for

if TYPE_CHECKING:
    from demur.core.model import Change, Evidence, Request, Subject
    from demur.core.ports import Keys, Store
    from demur.core.sessions import Limits
    from demur.core.site import Site


PASSWORD = "pwd"  # noqa: S105 - the word for a sign-in with one
"""How strong a sign-in with a name and a password is."""

# Other things are made with the same keys; none of them begins with these bytes.
_DRAFTS = b"demur draft, version 1\n"


@dataclass(frozen=True, slots=True)
class Issued:
    """A new session and the token for it, which exists here and in the browser only.

    `switched` says that another person was in this browser before.
    """

    token: str
    session: Session
    subject: Subject
    switched: bool = False


class Sessions:
    """Issues, rotates and ends sessions in a store."""

    def __init__(self, store: Store, keys: Keys, limits: Limits) -> None:
        self.store = store
        self._keys = keys
        self._limits = limits

    async def begin(
        self,
        subject: Subject,
        request: Request,
        network: str,
        *,
        before: Evidence,
        persistent: bool,
        now: int,
        acr: str = PASSWORD,
    ) -> Issued:
        """A session for somebody who has just shown who they are. `before` is what the browser came with: a session of
        the same person goes on under the new id, anybody else's ends. `acr` says how strongly they have shown it, in
        the words of the rules' `strength`: an app with a sign-in of its own knows. Raises StoreUnavailable."""
        still_waited_for()
        token, session = self._new(subject.id, now)
        agent = request.value(b"user-agent") or b""
        session = replace(session, device=device(agent), network=network, persistent=persistent, acr=acr)
        switched = not isinstance(before, Absent) and _whose(before) != subject.id
        if isinstance(before, Live):
            if switched:
                await self._apply(End(before.session.id, Ending.ENDED, Actor.SELF, now))
            elif await self._apply(Rotate(before.session.id, session, now)):
                return Issued(token, session, subject)
        await self.store.issue(session, subject)
        return Issued(token, session, subject, switched=switched)

    async def confirm(self, live: Live, now: int) -> Issued | None:
        """The same session, fresh and under a new id; "reauthentication" resets both limits (SP 800-63B-4, 5.2). It
        stays as strong as it was: the session itself stands for what was shown when it began. None if it has ended or
        been replaced meanwhile. Raises StoreUnavailable."""
        still_waited_for()
        token, fresh = self._new(live.session.subject, now)
        old = live.session
        session = replace(fresh, device=old.device, network=old.network, persistent=old.persistent, acr=old.acr)
        if not await self._apply(Rotate(old.id, session, now)):
            return None
        return Issued(token, session, live.subject)

    async def end(self, live: Live, now: int) -> bool:
        """Sign out: over at once, on every node. Whether it was this call that ended it. Raises StoreUnavailable."""
        return await self._apply(End(live.session.id, Ending.ENDED, Actor.SELF, now))

    async def revoke(self, issued: Issued, now: int) -> None:
        """Take back a session whose token nobody has seen yet. Raises StoreUnavailable."""
        await self._apply(End(issued.session.id, Ending.REVOKED, Actor.SYSTEM, now))

    def draft_key(self, subject: Subject) -> str:
        """A key of this person's, under which a page may keep what they have typed: whoever uses the browser after them
        does not get it. Raises StoreUnavailable."""
        made = hmac.digest(self._keys.ring().current.secret, _DRAFTS + subject.id.encode(), "sha256")
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode("ascii")

    async def _apply(self, change: Change) -> bool:
        (took_effect,) = await self.store.apply([change])
        return took_effect

    def _new(self, subject: str, now: int) -> tuple[str, Session]:
        token = sessions.mint(secrets.token_bytes(32), self._keys.ring().current)
        session = Session(
            id=sessions.identify(token),
            subject=subject,
            issued_at=now,
            authenticated_at=now,
            last_seen=now,
            expires_at=now + self._limits.absolute,
            idle=self._limits.idle,
        )
        return token, session


def _whose(before: Evidence) -> str:
    """Whose browser this was. A cookie that leads to nobody any more was somebody's, too."""
    if isinstance(before, Live):
        return before.subject.id
    return before.subject if isinstance(before, Ended) else ""


def cookie(site: Site, issued: Issued) -> bytes:
    """The `Set-Cookie` value for a new session. It outlives the session by the time for which we can still say how
    that ended; unless the person wants to stay signed in, it ends with the browser."""
    lasts = issued.session.expires_at - issued.session.issued_at + sessions.TOMBSTONES_LAST
    max_age = lasts if issued.session.persistent else None
    return fields.set_cookie(
        site.cookie.name, issued.token, secure=site.cookie.secure, max_age=max_age, domain=site.cookie.domain
    )


def forget(site: Site) -> bytes:
    """The `Set-Cookie` value that takes our cookie away. Path and Secure have to be as they were, or the browser
    ignores it for a `__Host-` cookie (rfc6265bis, 5.7)."""
    return fields.expired_cookie(site.cookie.name, secure=site.cookie.secure, domain=site.cookie.domain)


def clear(site: Site, request: Request, *, keep_ours: bool) -> tuple[tuple[bytes, bytes], ...]:
    """The fields that take away what the site kept in the browser for the person who leaves.

    `Clear-Site-Data` works on https only, and its "cookies" would take the cookie that the same answer sets. So the
    site's cookies, as far as they were sent here, are expired by name as well.
    """
    if not site.clear_site_data:
        return ()
    lines = []
    if "cookies" in site.clear_site_data:
        names = {name for value in request.values(b"cookie") for name in _names(value)}
        names -= {site.cookie.name.encode("ascii")}
        lines = [(b"set-cookie", name + _GONE[name.startswith(b"__")]) for name in sorted(names)]
    kinds = [kind for kind in site.clear_site_data if not (keep_ours and kind == "cookies")]
    if kinds and site.origin.startswith("https:"):
        lines.append((b"clear-site-data", ", ".join(f'"{kind}"' for kind in kinds).encode("ascii")))
    return tuple(lines)


# Browsers ignore the deletion of a cookie whose prefix asks for Secure if it is not there (rfc6265bis, 5.7).
_GONE = {False: b"=; Path=/; Max-Age=0", True: b"=; Path=/; Max-Age=0; Secure"}


def _names(value: bytes) -> list[bytes]:
    """The names of the cookies in a `Cookie` field that can be written back into a `Set-Cookie` as they are."""
    names = (pair.partition(b"=")[0].strip(b" \t") for pair in value.split(b";"))
    return [name for name in names if name and not any(byte < 0x21 or byte == 0x7F for byte in name)]
