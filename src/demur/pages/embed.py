"""The sign-in page inside the client's dialog: the one page that another page, of the same origin, may frame.

- It is the same form at the same address, with `?embed`; what it refuses is shown inside the dialog, too.
- It says that somebody is signed in only to somebody who is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from demur.core import decide, embedded, respond
from demur.core.model import Absent, Access, Refuse, Requirement
from demur.core.ports import View
from demur.pages import look

if TYPE_CHECKING:
    from demur.core.embedded import Embedded
    from demur.core.model import Response
    from demur.core.ports import Renderer
    from demur.core.reasons import Reason
    from demur.pages.visit import Visit

_SIGNED_IN = Requirement(Access.REQUIRED, "demur's own page", keeps_alive=False)


def show(visit: Visit, asked: Embedded, renderer: Renderer, idle: int) -> Response:
    """The form, or, for whoever has just signed in, the word that it is done."""
    site, live = visit.site, visit.live
    done = asked.done and live is not None
    # Whoever comes here from the form, without any cookie, has a browser that took none.
    lost = asked.done and isinstance(visit.evidence, Absent) and look.after_own_post(visit)
    said = embedded.parameters(visit.request.target.partition(b"?")[2])
    view = View(
        reason=_why(visit),
        status=200,
        site=site.name,
        title="Sign in",
        detail="",
        next=respond.onward(site, visit.request, said.get("next", "")),
        username=live.subject.name if live and not asked.other else "",
        person=(live.subject.display_name or live.subject.name) if live else "",
        message=embedded.NOT_KEPT if lost else "",
        prefix=site.prefix,
        help_url=site.help_url or "",
        idle=idle,
        keep=site.keep_me_signed_in,
    )
    view = respond.inside(view, site, visit.request, asked)
    if done:
        view = replace(view, embedded=asked, form=None)
    body = renderer.render(view)
    return look.html(body, respond.page_policy(renderer, framed=True, site=site), lang=asked.lang)


def on_to(visit: Visit, asked: Embedded, next_: str) -> str:
    """Where a sign-in inside a dialog leads: to the word that it is done, here or at the site that people came from."""
    if not next_.startswith("/"):
        return next_
    return replace(asked, done=True, other=False, username="").address(visit.site.prefix)


def to_the_same(visit: Visit, asked: Embedded, refuse: Refuse, name: str) -> Refuse:
    """A refusal to somebody who wanted to confirm, and is asked for the password alone again."""
    if visit.live is None or asked.other or name not in {"", visit.live.subject.name}:
        return refuse
    return replace(refuse, details=replace(refuse.details, subject=visit.live.subject))


def _why(visit: Visit) -> Reason | None:
    """What would be said of a page for somebody who is signed in."""
    decision = decide.decide(visit.site, visit.request, _SIGNED_IN, visit.evidence, visit.now)
    return decision.reason if isinstance(decision, Refuse) else None
