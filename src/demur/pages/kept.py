"""The offer to send what somebody entered when their session was over: `<prefix>/kept`.

GET shows the page and the fields, to the person who entered them and to nobody else, and has the button that sends.
That one goes to the site's own address and is seen to there (`adapters`), because the answer is the site's. POST
discards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from demur.core import kept, markup, respond
from demur.core.model import Access, Details
from demur.core.reasons import Reason
from demur.pages import forms, look
from demur.pages.router import Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demur.core.kept import Entry, Kept
    from demur.core.model import Response
    from demur.pages.visit import Visit
    from demur.signin.kept import Found, KeptForms

MOST_SHOWN = 40
"""Fields that the page shows; it counts the others."""
LONGEST_SHOWN = 160
"""Characters of a value that the page shows."""

# The form goes on to wherever the site's own would: browsers hold what its answer redirects to against `form-action`,
# too (CSP3, 6.4.1), and a shop may lead to whoever takes the payment.
POLICY = markup.POLICY.replace("form-action 'self'; ", "")


class KeptPage:
    """The page `<prefix>/kept?of=<handle>&next=<where to go on to>`. Raises StoreUnavailable."""

    def __init__(self, forms_: KeptForms) -> None:
        self._forms = forms_

    def routes(self) -> Mapping[str, Route]:
        """Its address below the prefix."""
        return {"kept": Route(self.get, self.post, Access.REQUIRED)}

    async def get(self, visit: Visit) -> Response:
        """The offer; if there is nothing for this person, on to where they were."""
        query = parse_qs(visit.request.target.partition(b"?")[2].decode("ascii", "replace"))
        handle, next_ = query.get("of", [""])[0], respond.local(query.get("next", ["/"])[0])
        found = await self._forms.find(handle, visit.now)
        if found is None or not _is_for(visit, found.form):
            if look.wants_page(visit):
                return look.see_other(next_)
            return look.refused(visit, Reason.NOT_FOUND, Details(detail="Nothing is kept here for you."))
        if not look.wants_page(visit):
            return look.tell(_as_json(found.form))
        return _show(visit, found, handle, next_)

    async def post(self, visit: Visit) -> Response:
        """Discard it."""
        try:
            said = forms.read(visit.request, visit.body)
        except forms.UnreadableError as wrong:
            return look.refused(visit, Reason.REQUEST_MALFORMED, Details(detail=str(wrong)))
        assert visit.live is not None  # noqa: S101 - nobody comes here who is not signed in
        handle, seal = said.get("of", ""), said.get("seal", "")
        gone = await self._forms.take(handle, seal, visit.live.subject.id, visit.now)
        if not look.wants_page(visit):
            return look.tell({"discarded": True}) if gone else look.refused(visit, Reason.NOT_FOUND, Details())
        return look.see_other(respond.local(said.get("next", "/")))


def _is_for(visit: Visit, form: Kept) -> bool:
    assert visit.live is not None  # noqa: S101 - nobody comes here who is not signed in
    return form.subject == visit.live.subject.id and form.origin == visit.site.origin_of(visit.request)


def _show(visit: Visit, found: Found, handle: str, next_: str) -> Response:
    form = found.form
    can_be_sent = bool(form.content)
    entries = kept.entries(form) if can_be_sent else ()
    title = "This was sent" if not can_be_sent else "Send it again?" if form.sent_at else "Send what you entered?"
    return look.show(
        visit,
        "kept.html",
        title=title,
        policy=POLICY,
        split=True,
        form=form,
        sends=kept.SENDING.decode(),
        typed=kept.TYPED.decode(),
        handle=handle,
        seal=found.seal,
        entries=sorted((entry for entry in entries if not entry.gap), key=lambda one: one.of_the_page)[:MOST_SHOWN],
        others=max(0, sum(not entry.gap for entry in entries) - MOST_SHOWN),
        gaps=[entry for entry in entries if entry.gap],
        shortened=shortened,
        size=size,
        can_be_sent=can_be_sent,
        next=next_,
    )


def shortened(value: str) -> str:
    """As much of a value as is needed to know it again."""
    return value if len(value) <= LONGEST_SHOWN else value[:LONGEST_SHOWN].rstrip() + "…"


def size(bytes_: int) -> str:
    """How long a file is, for people: "512 bytes", "1.2 kB"."""
    return f"{bytes_} bytes" if bytes_ < 1000 else f"{bytes_ / 1000:.1f} kB"


def _as_json(form: Kept) -> dict[str, object]:
    entries = kept.entries(form) if form.content else ()
    return {
        "page": form.page or "/",
        "target": form.target,
        "kept_until": respond.moment(form.until),
        "sent_at": respond.moment(form.sent_at) if form.sent_at else None,
        "can_be_sent": bool(form.content),
        "fields": [_entry(entry) for entry in entries],
    }


def _entry(entry: Entry) -> dict[str, object]:
    if entry.file is not None:
        return {"name": entry.name, "file": entry.file, "size": entry.size}
    return {"name": entry.name, "value": None if entry.gap else shortened(entry.value)}
