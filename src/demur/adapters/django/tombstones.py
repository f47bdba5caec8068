"""What became of a session of Django's, for whoever still brings its cookie.

- Django forgets a session that ends: its row is deleted, and its cookie looks like one that somebody made up. Here the
  row stays until its time, with nothing in it but whose it was, how it ended and when.
- The app sees what it would see without us: a new and empty session.
- A row past its `expire_date` is an expired session, and so is a signed cookie past its age.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessions
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieSessions
from django.core import signing

from demur.core import bridged

if TYPE_CHECKING:
    from django.http import HttpRequest

    from demur.core.model import Ended, Evidence

STONE = "_demur_ended"
"""What is left of a session: how it ended, when, and whose it was."""
_SALT = "django.contrib.sessions.backends.signed_cookies"


class Remains:
    """The session that one request brought a cookie for, watched from before anybody has looked at it. `ended` is how
    it ended, once that is known."""

    def __init__(self, session: Any, sent: str) -> None:  # noqa: ANN401 - of some backend
        self._session = session
        self._sent = sent
        self.signing_out = False
        self.ended: Ended | None = None
        if isinstance(session, CookieSessions):
            return
        self._load, self._aload, self._flush, self._aflush = session.load, session.aload, session.flush, session.aflush
        if hasattr(session, "_session_cache"):  # with CSRF_USE_SESSIONS somebody was faster
            session._session_cache = self._read(session._session_cache)  # noqa: SLF001 - it has no other name
        session.load, session.aload, session.flush, session.aflush = self.load, self.aload, self.flush, self.aflush

    def claimed(self) -> str | None:
        """Whose session it says that it is."""
        return self._session.get(SESSION_KEY)  # type: ignore[no-any-return]

    async def aclaimed(self) -> str | None:
        """The same in an event loop."""
        return await self._session.aget(SESSION_KEY)  # type: ignore[no-any-return]

    # --- in place of the session's own

    def load(self) -> dict[str, Any]:
        """What the app sees of it."""
        return self._read(self._load())

    async def aload(self) -> dict[str, Any]:
        """The same in an event loop."""
        return self._read(await self._aload())

    def flush(self) -> None:
        """End it: signed out, or its person has another password now."""
        stone = self._stone(self.claimed())
        if stone is None:
            self._flush()
            return
        store = self._empty(stone)
        with contextlib.suppress(UpdateError):  # somebody else was faster
            store.save()
        self._forget()

    async def aflush(self) -> None:
        """The same in an event loop."""
        stone = self._stone(await self.aclaimed())
        if stone is None:
            await self._aflush()
            return
        store = self._empty(stone)
        with contextlib.suppress(UpdateError):
            await store.asave()
        self._forget()

    def _read(self, data: dict[str, Any]) -> dict[str, Any]:
        stone = data.get(STONE)
        if stone is None:
            return data
        self.ended = _ended(*stone)
        self._session._session_key = None  # noqa: SLF001 - as Django's own `load` does with what is not there
        return {}

    def _stone(self, claimed: str | None) -> list[Any] | None:
        if claimed is None or self._session.session_key is None:
            return None
        stone: list[Any] = ["ended" if self.signing_out else "revoked", int(time.time()), claimed]
        self.ended = _ended(*stone)
        return stone

    def _empty(self, stone: list[Any]) -> Any:  # noqa: ANN401
        store = type(self._session)(self._session.session_key)
        store.clear()  # or it would be read first
        store[STONE] = stone
        return store

    def _forget(self) -> None:
        self._session.clear()
        self._session._session_key = None  # noqa: SLF001 - as Django's own `flush` does

    # --- a cookie that leads to nothing

    def lost(self) -> Evidence:
        """What a session was in which nobody is signed in. It has been loaded."""
        if self.ended is not None:
            return self.ended
        if isinstance(self._session, CookieSessions):
            return self._signed()
        if self._session.session_key:
            return bridged.nobody  # it is alive, and nobody has signed in
        return self._row() if isinstance(self._session, DatabaseSessions) else bridged.unknown

    def _row(self) -> Evidence:
        rows = self._session.model.objects.filter(session_key=self._sent)
        for data, expired in rows.values_list("session_data", "expire_date"):
            return _over(self._session.decode(data), expired.timestamp())
        return bridged.unknown

    def _signed(self) -> Evidence:
        try:
            data = signing.loads(self._sent, serializer=self._session.serializer, salt=_SALT)
            at = signing.b62_decode(self._sent.rsplit(":", 2)[1])
        except Exception:  # noqa: BLE001 - a serializer may raise anything at what is not its own
            return bridged.unknown
        until = at + settings.SESSION_COOKIE_AGE
        return bridged.nobody if until > time.time() else _over(data, until)


def _ended(how: str, at: float, claimed: str) -> Ended:
    return replace(bridged.ended(how, at), subject=str(claimed))


def _over(data: dict[str, Any], at: float) -> Evidence:
    if STONE in data:
        return _ended(*data[STONE])
    claimed = data.get(SESSION_KEY)
    if claimed is None:
        return bridged.nobody
    # With SESSION_SAVE_EVERY_REQUEST each request puts the end off, so that it comes by inactivity.
    return _ended("idle" if settings.SESSION_SAVE_EVERY_REQUEST else "expired", at, claimed)


def watch(request: HttpRequest) -> Remains | None:
    """Watch the session that a request brought a cookie for; None if it brought none."""
    sent = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    session = getattr(request, "session", None)
    return Remains(session, sent) if sent and session is not None else None
