"""Signing in and out, and what a page's script asks about the session: for browsers with and without JavaScript."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from demur.core import embedded, fields, page, respond, sessions
from demur.core.model import Access, Details, Ended, Live, Refuse, Response, Touch
from demur.core.ports import View
from demur.core.reasons import REASONS, WHAT_TO_DO, Reason
from demur.pages import embed, forms, look
from demur.pages.router import Route
from demur.signin.sessions import clear, cookie, forget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demur.core.embedded import Embedded
    from demur.core.model import Session, Subject
    from demur.core.ports import Renderer
    from demur.pages.visit import Visit
    from demur.signin.kept import KeptForms
    from demur.signin.password import PasswordSignIn
    from demur.signin.sessions import Issued, Sessions

WRONG = "The name or the password is not right."
WRONG_PASSWORD = "The password is not right."  # noqa: S105 - a sentence
_NO_STORE = (b"cache-control", b"no-store")


class SignInPages:
    """The pages of a site with sign-in by password. `idle` is the inactivity limit in seconds, for the form to say.
    `kept` is what somebody may have sent in vain: a sign-in leads there."""

    def __init__(
        self,
        sign_in: PasswordSignIn,
        sessions_: Sessions,
        renderer: Renderer,
        *,
        idle: int,
        kept: KeptForms | None = None,
    ) -> None:
        self._kept = kept
        self._sign_in = sign_in
        self._sessions = sessions_
        self._renderer = renderer
        self._idle = idle

    def routes(self) -> Mapping[str, Route]:
        """The addresses below the prefix."""
        return {
            "": Route(self.show_account),
            "sign-in": Route(self.show_form, self.sign_in, shared=True),
            "sign-out": Route(self.ask_to_sign_out, self.sign_out),
            "signed-out": Route(self.show_signed_out),
            "cleared.css": Route(self.clear_caches),
            "session": Route(self.tell, access=Access.REQUIRED, background=True, readable=True),
            "session/extend": Route(post=self.extend, access=Access.REQUIRED),
            "reasons/*": Route(self.explain),
        }

    # --- in -------------------------------------------------------------------------------------------

    async def show_form(self, visit: Visit) -> Response:
        """The form on a page of its own; `?next=` is where it leads."""
        inside = embedded.asked(visit.site, visit.request)
        if inside is not None:
            return embed.show(visit, await self._known(visit, inside), self._renderer, self._idle)
        asked = parse_qs(visit.request.target.partition(b"?")[2].decode("ascii", "replace"))
        next_ = respond.onward(visit.site, visit.request, asked.get("next", ["/"])[0])
        if visit.site.sign_in_origin:
            there = visit.site.origin_of(visit.request) + next_ if next_.startswith("/") else next_
            return look.see_other(f"{visit.site.sign_in_url()}?{urlencode({'next': there})}")
        return self._page(
            visit, "Sign in", "Use the name and the password of your account.", form="sign-in", next_=next_
        )

    async def _known(self, visit: Visit, asked: Embedded) -> Embedded:
        """With the name of whoever's session was here, for them not to type it again (WCAG 2.2, 3.3.7). Only the
        browser that had the session learns it."""
        over = visit.evidence
        if asked.username or asked.other or visit.live is not None:
            return asked
        if isinstance(over, Live):  # nobody has swept it yet
            return replace(asked, username="" if over.subject.suspended else over.subject.name)
        name = await self._sign_in.name_of(over.subject) if isinstance(over, Ended) else ""
        return replace(asked, username=name)

    async def sign_in(self, visit: Visit) -> Response:
        """Sign in, or, for whoever is signed in already and gives only the password, confirm."""
        try:
            form = forms.read(visit.request, visit.body)
        except forms.UnreadableError as wrong:
            return self._refuse(visit, Refuse(Reason.REQUEST_MALFORMED, Details(detail=str(wrong))))
        persistent = visit.site.keep_me_signed_in and bool(form.get("keep"))
        name, password = form.get("username", ""), form.get("password", "")
        next_ = respond.onward(visit.site, visit.request, form.get("next", "/"))
        if visit.live is not None and name in {"", visit.live.subject.name}:
            result = await self._sign_in.confirm(password, visit.live, visit.now)
        else:
            result = await self._sign_in.sign_in(
                name, password, visit.request, before=visit.evidence, persistent=persistent, now=visit.now
            )
        if isinstance(result, Refuse):
            waits = self._kept is not None and await self._kept.waits(visit.site, next_, visit.now)
            return self._again(visit, result, name, next_, kept=waits)
        return self._welcome(visit, result, next_, await self._offer(visit, result, next_))

    async def _offer(self, visit: Visit, issued: Issued, next_: str) -> str | None:
        """Where to send what was sent in vain before."""
        if self._kept is None:
            return None
        return await self._kept.offered(visit.site, visit.request, issued.subject.id, next_, visit.now)

    def _again(self, visit: Visit, refuse: Refuse, name: str, next_: str, *, kept: bool) -> Response:
        inside = embedded.asked(visit.site, visit.request)
        if inside is not None and self._is_page(visit):
            if refuse.reason is Reason.SESSION_REPLACED:
                # Another window was faster, and this browser has the new id already.
                return look.see_other(embed.on_to(visit, inside, next_))
            refuse = embed.to_the_same(visit, inside, refuse, name)
        known = refuse.details.subject is not None
        message = (WRONG_PASSWORD if known else WRONG) if refuse.reason is Reason.CREDENTIALS_INVALID else ""
        return self._refuse(visit, refuse, username=name, message=message, next_=next_, kept=kept)

    def _welcome(self, visit: Visit, issued: Issued, next_: str, kept: str | None) -> Response:
        lines = [(b"set-cookie", cookie(visit.site, issued))]
        if issued.switched:
            lines += clear(visit.site, visit.request, keep_ours=True)
        if self._is_page(visit):
            inside = embedded.asked(visit.site, visit.request)
            where = embed.on_to(visit, inside, next_) if inside else kept or next_
            return look.see_other(where, more=tuple(lines))
        offer = {"kept": kept} if kept else {}
        told = self._session(visit, issued.subject, issued.session)
        return look.tell({**told, "next": next_, **offer}, more=tuple(lines))

    async def show_account(self, visit: Visit) -> Response:
        """The prefix itself leads to the person's own page."""
        return look.see_other(f"{visit.site.prefix}/account")

    # --- out ------------------------------------------------------------------------------------------

    async def ask_to_sign_out(self, visit: Visit) -> Response:
        """A page with the button, for links and bookmarks: a GET signs nobody out."""
        if visit.live is None:
            return look.see_other(f"{visit.site.prefix}/signed-out")
        return self._page(visit, "Sign out", "Your session ends here and on the server.", form="sign-out")

    async def sign_out(self, visit: Visit) -> Response:
        """End the session on the server, and take away what the browser keeps of it."""
        if isinstance(visit.evidence, Live):
            await self._sessions.end(visit.evidence, visit.now)
        lines = [(b"set-cookie", forget(visit.site)), *clear(visit.site, visit.request, keep_ours=False)]
        if not self._is_page(visit):
            return Response(204, (_NO_STORE, *lines))
        try:
            next_ = forms.read(visit.request, visit.body).get("next")
        except forms.UnreadableError:
            next_ = None
        where = respond.onward(visit.site, visit.request, next_) if next_ else f"{visit.site.prefix}/signed-out"
        return look.see_other(where, more=tuple(lines))

    async def show_signed_out(self, visit: Visit) -> Response:
        """The page after signing out. It loads the style sheet below, so that no page that was left open comes back."""
        view = View(None, 200, visit.site.name, "", "", prefix=visit.site.prefix)
        return look.html(page.signed_out(view), page.SIGNED_OUT_POLICY.encode("ascii"))

    async def clear_caches(self, visit: Visit) -> Response:
        """An empty style sheet whose answer empties the browser's caches of this site, the pages left open included."""
        lines = (
            (b"content-type", b"text/css; charset=utf-8"),
            _NO_STORE,
            (b"clear-site-data", b'"cache"'),
            (b"x-content-type-options", b"nosniff"),
            (b"content-length", b"0"),
        )
        return Response(200, lines)

    # --- the session ----------------------------------------------------------------------------------

    async def tell(self, visit: Visit) -> Response:
        """Who is signed in and when that ends. Asking is not activity."""
        live = _live(visit)
        return look.tell(self._session(visit, live.subject, live.session))

    async def extend(self, visit: Visit) -> Response:
        """The person is here: the idle time begins anew. The absolute limit stays."""
        live = _live(visit)
        await self._sessions.store.apply([Touch(live.session.id, visit.now)])
        (evidence,) = await self._sessions.store.load([live.session.id])
        found = evidence if isinstance(evidence, Live) else live
        return look.tell(self._session(visit, found.subject, found.session))

    def _session(self, visit: Visit, subject: Subject, session: Session) -> dict[str, object]:
        ends = sessions.ends(session)
        return {
            "subject": subject.id,
            "name": subject.name,
            "display_name": subject.display_name,
            "idle_ends_at": respond.moment(ends.idle) if ends.idle else None,
            "expires_at": respond.moment(ends.absolute),
            # A browser's clock may be wrong by hours.
            "idle_ends_in": max(0, ends.idle - visit.now) if ends.idle else None,
            "expires_in": max(0, ends.absolute - visit.now),
            # What is kept under it is kept by pages of this site; others that may read this have no use for it.
            "draft_key": None if _from_elsewhere(visit) else self._sessions.draft_key(subject),
        }

    async def explain(self, visit: Visit) -> Response:
        """The site's page about a reason."""
        slug = visit.request.path.rpartition(b"/")[2].decode("ascii")
        if slug not in {reason.value for reason in REASONS}:
            return self._refuse(visit, Refuse(Reason.NOT_FOUND))
        row = REASONS[Reason(slug)]
        return self._page(visit, row.title, f"{row.detail} What to do: {WHAT_TO_DO[row.remedy]}.")

    # --- answers --------------------------------------------------------------------------------------

    def _is_page(self, visit: Visit) -> bool:
        return fields.is_navigation(visit.request)[0]

    def _refuse(
        self,
        visit: Visit,
        refuse: Refuse,
        *,
        username: str = "",
        message: str = "",
        next_: str | None = None,
        kept: bool = False,
    ) -> Response:
        said = respond.Refusal(
            visit.site,
            visit.request,
            refuse,
            visit.reference,
            before=False,
            username=username,
            message=message,
            next=next_,
            idle=self._idle,
            kept=kept,
        )
        return visit.refuse(said)

    def _page(self, visit: Visit, title: str, detail: str, *, form: str | None = None, next_: str = "/") -> Response:
        site, live = visit.site, visit.live
        action = {"sign-out": f"{site.prefix}/sign-out"}.get(form or "", f"{site.prefix}/sign-in")
        person = (live.subject.display_name or live.subject.name) if live else ""
        view = View(
            None, 200, site.name, title, detail, form=form, action=action, next=next_, person=person,
            prefix=site.prefix, help_url=site.help_url or "", idle=self._idle,
            keep=site.keep_me_signed_in,
        )  # fmt: skip
        return look.html(self._renderer.render(view), respond.page_policy(self._renderer, site=site))


def _live(visit: Visit) -> Live:
    if visit.live is None:
        message = "this page is for somebody who is signed in"
        raise ValueError(message)
    return visit.live


def _from_elsewhere(visit: Visit) -> bool:
    """Whether a page of another origin reads this. Browsers name the origin of each such request (Fetch, 3.2)."""
    own = visit.site.origin_of(visit.request).encode("ascii")
    return any(value != own for value in visit.request.values(b"origin"))
