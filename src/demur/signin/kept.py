"""Keeping what somebody sent when their session was over, until they are back.

It lies in the store, sealed with a key that only their browser has, for 15 minutes. Whoever holds tokens of sessions
that were cannot fill the store with it: there is one for each session, and a person has a bounded number.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from demur.core import fields, kept, respond, sealed
from demur.core.kept import Kept
from demur.core.model import StoreUnavailable

if TYPE_CHECKING:
    from demur.core.model import Request
    from demur.core.ports import Store
    from demur.core.site import Site

MOST_OF_ONE = 20
"""Forms that are read, to be kept, of one person in 15 minutes."""
MOST_AT_ONCE = 64
"""Forms that one process reads at a time, of 256 kB at most."""
_LONGEST_PAGE = 2000


@dataclass(frozen=True, slots=True)
class Found:
    """A kept form, and the seal that it lies under: another one for each that is kept."""

    form: Kept
    seal: str


class KeptForms:
    """Forms that wait in a store. Methods raise StoreUnavailable unless they say otherwise."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reading = 0

    async def keep(self, site: Site, request: Request, content: bytes, subject: str, now: int) -> str | None:
        """Keep the content of a refused request for a person, in place of what came with the same session before. The
        page that offers it; None if there is nothing in it to keep, or too much was kept already."""
        handle = of(site, request)
        # Counted before it is read, as reading takes its time.
        if handle is None or (await self._store.hit(_of_one(subject), kept.LASTS, now)).count > MOST_OF_ONE:
            return None
        kind = (request.value(b"content-type") or b"").decode("latin-1")
        try:
            left, gaps = kept.without_secrets(kind.encode("latin-1"), content, site.never_keep)
        except ValueError:
            return None
        origin, target = site.origin_of(request), request.target.decode("ascii")
        page = respond.came_from(site, request)
        page = page if len(page) <= _LONGEST_PAGE else ""  # it becomes part of an address
        form = Kept(subject, origin, target, kind, page, now, left, gaps)
        await self._put(handle, form)
        return kept.address(site, handle, page or "/")

    async def find(self, handle: str, now: int) -> Found | None:
        """What lies under a handle, and goes on lying there."""
        where = kept.opened(handle)
        return None if where is None else _open(await self._store.peek(where[0], now), where[1])

    async def take(self, handle: str, seal: str, subject: str, now: int) -> Kept | None:
        """What its person has seen and wants to send, or to be rid of: exactly one of any number of takers gets it.
        None if it is gone, another person's, or not what was seen."""
        seen = await self.find(handle, now)
        where = kept.opened(handle)
        if seen is None or where is None or seen.form.subject != subject or seen.seal != seal:
            return None
        found = _open(await self._store.take(where[0], now), where[1])
        if found is None:
            return None
        if found.seal == seal:
            return found.form
        await self._put(handle, found.form)  # the next one has come in between
        return None

    async def tell(self, handle: str, form: Kept, now: int, *, arrived: bool) -> None:
        """Note that a form was sent. Its content is kept on only if it is not known to have `arrived`."""
        content, gaps = (b"", ()) if arrived else (form.content, form.gaps)
        await self._put(handle, replace(form, content=content, gaps=gaps, sent_at=now))

    async def offered(self, site: Site, request: Request, subject: str, next_: str, now: int) -> str | None:
        """Where somebody who has just signed in can send what came with the session that they had here; None if there
        is nothing, or `next_`, where they go otherwise, is that page. Never raises: a sign-in does not fail for it."""
        handle = of(site, request)
        if handle is None or next_.startswith(f"{site.prefix}/kept?"):
            return None
        try:
            found = await self.find(handle, now)
        except StoreUnavailable:
            return None
        if found is None or found.form.sent_at or found.form.subject != subject:
            return None
        return kept.address(site, handle, next_) if found.form.origin == site.origin_of(request) else None

    async def waits(self, site: Site, next_: str, now: int) -> bool:
        """Whether that leads to something kept, so that it can be said once more after a sign-in that failed. Never
        raises."""
        path, _, query = next_.partition("?")
        if path != f"{site.prefix}/kept":
            return False
        try:
            found = await self.find(parse_qs(query).get("of", [""])[0], now)
        except StoreUnavailable:
            return False
        return found is not None and not found.form.sent_at

    async def _put(self, handle: str, form: Kept) -> None:
        where = kept.opened(handle)
        assert where is not None  # noqa: S101 - made here, or found there
        place, key = where
        await self._store.put(place, sealed.seal(key, secrets.token_bytes(sealed.NONCE), kept.pack(form)), form.until)


def of(site: Site, request: Request) -> str | None:
    """The handle of what is kept for the session whose cookie a request brings."""
    sent = fields.cookie_values(request.values(b"cookie"), site.cookie.name.encode("ascii"))
    return kept.handle(sent[0]) if len(sent) == 1 else None


def _of_one(subject: str) -> bytes:
    return b"kept-of:" + subject.encode()


def _open(lying: bytes | None, key: bytes) -> Found | None:
    packed = None if lying is None else sealed.unseal(key, lying)
    if lying is None or packed is None:
        return None
    return Found(kept.unpack(packed), base64.urlsafe_b64encode(lying[-12:]).decode("ascii"))
