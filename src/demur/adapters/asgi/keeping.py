"""What somebody sent when their session was over: kept before the refusal is answered, and sent when they say so.

- Who is asked nothing, reads nothing: the content is read after the decision, only if it is worth keeping, and within
  bounds; what does not come in time, or is too long, is dropped as it always was.
- That it is kept is said only if it is.
- What is sent again has been judged anew, as the request that it is: same address, same browser, new session. It is
  taken before it is passed on, so that however often somebody presses the button, the site sees it once.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from demur.adapters.asgi import wire
from demur.core import kept, respond
from demur.core.model import Allow, Refuse, Response, StoreUnavailable
from demur.pages import look
from demur.signin.kept import MOST_AT_ONCE

if TYPE_CHECKING:
    from demur.adapters.asgi.wire import Message, Receive, Scope
    from demur.core.kept import Kept, Sending
    from demur.core.model import Request
    from demur.core.site import Site
    from demur.guard import Checked
    from demur.signin.kept import KeptForms

LONGEST_KEEP = 10.0
"""Seconds for which a form may take to come. Whoever sends it waits so long for the refusal."""
_ABOUT_CONTENT = frozenset((b"content-type", b"content-length", b"transfer-encoding", b"referer"))


@dataclass(frozen=True, slots=True)
class Again:
    """A kept form as the request that goes to the site now."""

    handle: str
    form: Kept
    request: Request
    scope: Scope
    receive: Receive


class Keeping:
    """Keeps what is sent to one site in vain, and sends it when its person says so."""

    def __init__(self, site: Site, forms: KeptForms) -> None:
        self._site = site
        self._forms = forms

    async def keep(self, checked: Checked, request: Request, upload: wire.Upload) -> str | None:
        """Keep the content of a refused request, if that is worth it. The page that offers it; None if it is not
        kept, for whatever reason."""
        said = checked.decision
        if not isinstance(said, Refuse) or self._forms.reading >= MOST_AT_ONCE:
            return None
        subject = kept.whose(self._site, request, said, checked.evidence, checked.requirement, checked.presented)
        if not subject:
            return None
        self._forms.reading += 1
        try:
            content = await _in_time(upload)
            if content is None:
                return None
            return await self._forms.keep(self._site, request, content, subject, checked.now)
        except StoreUnavailable:
            return None
        finally:
            self._forms.reading -= 1

    def may_be_sending(self, request: Request) -> bool:
        """Whether a request that is allowed may be the word of its person to send what is kept."""
        return kept.may_be_sending(self._site, request)

    async def again(
        self, checked: Checked, request: Request, scope: Scope, receive: Receive
    ) -> Again | Response | Receive | None:
        """What becomes of such a request: the kept form in its place; an answer of ours, if that is not there any more;
        what to receive in place of `receive`, if it was a form of the site's own; None if its client is gone.
        Raises StoreUnavailable."""
        content = await wire.body(receive, kept.LONGEST_SENDING)
        if content is None:
            return None
        word = kept.read_sending(content)
        if word is None:
            return _first(content, receive)
        found = await self._taken(checked, request, word)
        if found is None:
            return look.see_other(kept.address(self._site, word.handle, _page(request)))
        form, filled = found
        with contextlib.suppress(StoreUnavailable):
            await self._forms.tell(word.handle, form, checked.now, arrived=True)
        return Again(word.handle, form, *_in_place(request, scope, form, filled), _first(filled, receive))

    async def _taken(self, checked: Checked, request: Request, word: Sending) -> tuple[Kept, bytes] | None:
        allow = checked.decision
        seen = await self._forms.find(word.handle, checked.now)
        if seen is None or not isinstance(allow, Allow) or allow.subject is None:
            return None
        form = seen.form
        here = (self._site.origin_of(request), request.target)
        if here != (form.origin, form.target.encode("ascii")) or not form.content:
            return None
        try:
            filled = kept.filled(form, word.typed)
        except ValueError:
            return None
        taken = await self._forms.take(word.handle, word.seal, allow.subject.id, checked.now)
        return None if taken is None else (taken, filled)

    async def give_back(self, again: Again, now: int) -> None:
        """The site did not answer, so nobody knows whether it arrived: it can be sent again."""
        with contextlib.suppress(StoreUnavailable):
            await self._forms.tell(again.handle, again.form, now, arrived=False)


async def _in_time(upload: wire.Upload) -> bytes | None:
    try:
        async with asyncio.timeout(LONGEST_KEEP):
            return await wire.body(upload.receive, kept.LONGEST)
    except TimeoutError:
        return None


def _page(request: Request) -> str:
    """Where the page of the offer would have led, as its own address says."""
    referer = (request.value(b"referer") or b"").decode("ascii", "replace")
    asked = parse_qs(referer.partition("?")[2]).get("next", ["/"])
    return respond.local(asked[0])


def _in_place(request: Request, scope: Scope, form: Kept, content: bytes) -> tuple[Request, Scope]:
    """The request as it was sent first: what is about the content is the form's, and so is the page that it came
    from."""
    about = [(b"content-type", form.kind.encode("latin-1")), (b"content-length", str(len(content)).encode("ascii"))]
    if form.page:
        about.append((b"referer", f"{form.origin}{form.page}".encode("ascii")))
    lines = [*wire.without(scope, _ABOUT_CONTENT)["headers"], *about]
    return replace(request, fields=tuple(lines)), {**scope, "headers": lines}


def _first(content: bytes, receive: Receive) -> Receive:
    """A content that was read already, and then whatever comes."""
    waiting: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed
