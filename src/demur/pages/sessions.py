"""A person's own sessions: where they are signed in, and ending what should not be.

GET shows them. POST takes `end`: the handle of one of them, or `others` for all but the one that asks. A handle is
looked up among the person's own sessions only, so it is no use to anybody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from demur.core import sessions
from demur.core.device import UNKNOWN
from demur.core.model import Actor, Details, End, Ending
from demur.core.reasons import Reason
from demur.core.respond import moment
from demur.pages import forms, look

if TYPE_CHECKING:
    from demur.core.model import Live, Response, Session
    from demur.core.ports import Store
    from demur.pages.visit import Visit

OTHERS: Final = "others"


class SessionsPage:
    """The page `<prefix>/sessions`. Raises StoreUnavailable."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, visit: Visit) -> Response:
        """The list, this session first and then whoever was seen last."""
        live = _live(visit)
        own = await self._own(live, visit.now)
        if not look.wants_page(visit):
            return look.tell({"sessions": [_as_json(session, live) for session in own]})
        return look.show(
            visit,
            "sessions.html",
            title="Where you are signed in",
            sessions=own,
            current=live.session.id,
            unknown=UNKNOWN,
            done=_done(visit),
        )

    async def post(self, visit: Visit) -> Response:
        """End one, or all others."""
        live = _live(visit)
        try:
            which = forms.read(visit.request, visit.body).get("end", "")
        except forms.UnreadableError as wrong:
            return look.refused(visit, Reason.REQUEST_MALFORMED, Details(detail=str(wrong)))
        if not which:
            detail = 'Say which session in "end": the handle of one of them, or "others".'
            return look.refused(visit, Reason.REQUEST_MALFORMED, Details(detail=detail))
        ended = await self._end(which, live, visit.now)
        if not look.wants_page(visit):
            return look.tell({"ended": ended})
        return look.see_other(f"{visit.site.prefix}/sessions?ended={ended}")

    async def _end(self, which: str, live: Live, now: int) -> int:
        subject = live.subject.id
        if which == OTHERS:
            return await self._store.end_all(subject, Ending.ENDED, Actor.SELF, now, keep=live.session.id)
        chosen = [one for one in await self._store.sessions(subject) if one.handle == which]
        return sum(await self._store.apply([End(one.id, Ending.ENDED, Actor.SELF, now) for one in chosen]))

    async def _own(self, live: Live, now: int) -> list[Session]:
        found = await self._store.sessions(live.subject.id)
        # What nobody has swept yet is over all the same.
        alive = [one for one in found if sessions.ended(one, now) is None]
        return sorted(alive, key=lambda one: (one.id != live.session.id, -one.last_seen))


def _live(visit: Visit) -> Live:
    assert visit.live is not None  # noqa: S101 - nobody comes here who is not signed in
    return visit.live


def _as_json(session: Session, live: Live) -> dict[str, object]:
    return {
        "handle": session.handle,
        "current": session.id == live.session.id,
        "device": session.device or UNKNOWN,
        "network": session.network,
        "signed_in_at": moment(session.issued_at),
        "last_seen": moment(session.last_seen),
        "expires_at": moment(session.expires_at),
    }


def _done(visit: Visit) -> str:
    """What the redirect after a POST says has happened."""
    _, _, number = visit.request.target.partition(b"?ended=")
    if not number.isdigit() or len(number) > 4 or not look.after_own_post(visit):
        return ""
    many = int(number)
    if many == 0:
        return "There was nothing left to end."
    return "One session was ended." if many == 1 else f"{many} sessions were ended."
