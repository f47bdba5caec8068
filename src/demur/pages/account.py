"""A person's own account: who they are here, and a new password.

GET shows it. POST takes `current` and `new`, the old password and the new one. What it answers:

- 303 (or JSON): changed. Every other session is over, and this one goes on under a new id.
- 403: the current password is not right. Not 401: the session is fine, and a client that is told "sign in" would
  throw it away. "If authentication credentials were provided in the request, the server considers them
  insufficient to grant access" (RFC 9110, 15.5.4).
- 422: the new password cannot be taken. Both at once are shown at once, with 403.
- 429: too many tries, counted for this session apart from sign-in.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from demur.accounts import passwords
from demur.accounts.people import NotInForce
from demur.core import fields
from demur.core.model import Details, Refuse, StoreUnavailable
from demur.core.reasons import Reason
from demur.core.words import duration
from demur.pages import forms, look
from demur.signin.patience import not_counted
from demur.signin.sessions import Issued, cookie

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demur.core.model import Fields, Live, Response
    from demur.core.ports import PasswordHasher
    from demur.pages.visit import Visit
    from demur.signin.password import PasswordSignIn

_log = logging.getLogger("demur")


class OwnPasswords(Protocol):
    """Where people change their own password: demur's own accounts."""

    async def change_own_password(self, subject: str, encoded: str, keep: bytes) -> None:
        """Store the hash, and end every session of that person but `keep` as revoked. Raises StoreUnavailable."""


class AccountPage:
    """The page `<prefix>/account`. Raises StoreUnavailable."""

    def __init__(self, people: OwnPasswords, hasher: PasswordHasher, sign_in: PasswordSignIn) -> None:
        self._people = people
        self._hasher = hasher
        self._sign_in = sign_in

    async def get(self, visit: Visit) -> Response:
        """Who is signed in."""
        if look.wants_page(visit):
            return self._show(visit, done=_done(visit))
        subject = _live(visit).subject
        return look.tell(
            {
                "id": subject.id,
                "name": subject.name,
                "display_name": subject.display_name,
                "email": subject.email,
                "groups": sorted(subject.groups),
            }
        )

    async def post(self, visit: Visit) -> Response:
        """Change the password."""
        live = _live(visit)
        try:
            sent = forms.read(visit.request, visit.body)
        except forms.UnreadableError as wrong:
            return look.refused(visit, Reason.REQUEST_MALFORMED, Details(detail=str(wrong)))
        current, new = sent.get("current", ""), sent.get("new", "")
        errors = {"new": fault} if (fault := _fault(current, new, live.subject.name)) else {}
        if not current:
            return self._again(visit, 422, {"current": "Type the password that you have now.", **errors})
        confirmed = await self._sign_in.confirm(current, live, visit.now)
        if not isinstance(confirmed, Issued):
            return self._not_confirmed(visit, confirmed, errors)
        renewed = ((b"set-cookie", cookie(visit.site, confirmed)),)
        if errors:
            return self._again(visit, 422, errors, renewed)
        # Whoever else knows the old password may be signed in with it; this session has its new id already.
        try:
            with not_counted():
                encoded = await self._hasher.hash(new)
            await self._people.change_own_password(live.subject.id, encoded, confirmed.session.id)
        except StoreUnavailable as down:
            return _not_stored(visit, down, renewed)
        if not look.wants_page(visit):
            return look.tell({"changed": True}, more=renewed)
        return look.see_other(f"{visit.site.prefix}/account?changed", more=renewed)

    def _not_confirmed(self, visit: Visit, refuse: Refuse, errors: Mapping[str, str]) -> Response:
        wait = refuse.details.retry_after
        if refuse.reason is Reason.TOO_MANY_ATTEMPTS and wait is not None:
            more = ((b"retry-after", fields.retry_after(wait)),)
            message = f"That was tried too often. Wait {duration(wait)} before you try again."
            return self._again(visit, 429, {"current": message, **errors}, more)
        if refuse.reason is Reason.CREDENTIALS_INVALID:
            return self._again(visit, 403, {"current": "This is not your current password.", **errors})
        return look.refused(visit, refuse.reason, refuse.details)

    def _again(self, visit: Visit, status: int, errors: Mapping[str, str], more: Fields = ()) -> Response:
        """The same page, with what was wrong beside the fields. The passwords are not sent back."""
        if look.wants_page(visit):
            return self._show(visit, status=status, errors=errors, more=more)
        # "about:blank" has no meaning beyond that of the status code (RFC 9457, 4.2.1).
        problem = {"type": "about:blank", "title": _PHRASES[status], "status": status, "errors": dict(errors)}
        return look.tell(problem, status=status, more=more)

    def _show(
        self,
        visit: Visit,
        *,
        status: int = 200,
        errors: Mapping[str, str] | None = None,
        done: str = "",
        more: Fields = (),
    ) -> Response:
        failed = errors or {}
        return look.show(
            visit,
            "account.html",
            title="Not changed: your account" if failed else "Your account",
            status=status,
            more=more,
            split=True,
            subject=_live(visit).subject,
            errors=failed,
            done=done,
            shortest=passwords.MIN_LENGTH,
        )


def _not_stored(visit: Visit, down: StoreUnavailable, renewed: Fields) -> Response:
    """Our own failure. The session has its new id by now, and without the cookie for it the person would be out."""
    _log.error("a new password could not be put into force (reference %s): %s", visit.reference, down.cause)
    saved = "Your new password is saved. Your other sessions end as soon as we can reach them."
    detail = saved if isinstance(down, NotInForce) else None
    answer = look.refused(visit, Reason.UNAVAILABLE, Details(retry_after=down.retry_after, detail=detail))
    return replace(answer, fields=(*answer.fields, *renewed))


_PHRASES: Final = {403: "Forbidden", 422: "Unprocessable Content", 429: "Too Many Requests"}


def _live(visit: Visit) -> Live:
    assert visit.live is not None  # noqa: S101 - nobody comes here who is not signed in
    return visit.live


def _fault(current: str, new: str, name: str) -> str:
    """What is wrong with a new password, "" if nothing is."""
    if new and new == current:
        return "This is the password that you have now."
    return passwords.problem(new, name) or ""


def _done(visit: Visit) -> str:
    """What the redirect after a POST says has happened."""
    changed = visit.request.target.endswith(b"?changed") and look.after_own_post(visit)
    return "Your password is changed, and every other session is signed out." if changed else ""
