"""Who somebody is, as Django's own login knows it.

- A session cookie that leads to nobody is not nothing: see `tombstones`. Its reason is said as long as the browser has
  the cookie, so that stays there until somebody signs in.
- When somebody signed in is written into their session, so that a view can ask for a fresh sign-in.
- A database that cannot be asked is nobody's fault: `StoreUnavailable`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import Error as DatabaseError
from django.utils.functional import SimpleLazyObject

from demur.adapters.django.tombstones import watch
from demur.core import bridged
from demur.core.model import Ended, StoreUnavailable

if TYPE_CHECKING:
    from django.http import HttpRequest

    from demur.core.model import Evidence, Live

SINCE = "_demur_authenticated_at"
"""Where the session keeps when its person showed who they are."""


class Login:
    """The sign-in that came with a request, `known` once it was read. Made before anybody has looked at the session."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._remains = watch(request)
        self.known: Evidence | None = None

    def read(self) -> Evidence:
        """What it turns out to be. Raises StoreUnavailable."""
        if self.known is None:
            try:
                self.known = self._read()
            except DatabaseError as down:
                raise _unavailable(down) from down
        return self.known

    async def aread(self) -> Evidence:
        """The same in an event loop."""
        if self.known is None:
            try:
                self.known = await self._aread()
            except DatabaseError as down:
                raise _unavailable(down) from down
        return self.known

    def _read(self) -> Evidence:
        claimed = self._remains.claimed() if self._remains is not None else None
        user = self._request.user
        if user.is_authenticated:
            session = getattr(self._request, "session", None)
            return person(user, session.get(SINCE, 0) if session is not None else 0)
        return self._nobody(claimed)

    async def _aread(self) -> Evidence:
        claimed = await self._remains.aclaimed() if self._remains is not None else None
        user = vars(self._request).get("user")
        if user is None or isinstance(user, SimpleLazyObject):  # else the app has found it out in a way of its own
            user = await self._request.auser()
        if user.is_authenticated:
            session = getattr(self._request, "session", None)
            return person(user, await session.aget(SINCE, 0) if session is not None else 0)
        if self._remains is None:
            return bridged.nobody
        return await sync_to_async(self._nobody)(claimed)

    def _nobody(self, claimed: str | None) -> Evidence:
        if self._remains is None:
            return bridged.nobody
        if claimed is None or self._remains.ended is not None:
            return self._remains.lost()
        return _inactive(claimed) or bridged.ended("revoked", time.time())

    @property
    def sent(self) -> bool:
        """Whether a session's cookie came along."""
        return self._remains is not None

    def signs_out(self) -> None:
        """What ends now is ended by its person."""
        if self._remains is not None:
            self._remains.signing_out = True

    def keep_cookie(self) -> None:
        """Leave an ended session's cookie in the browser: the session middleware takes away one that leads to nothing,
        and the next request would look as if nobody had ever signed in."""
        if isinstance(self.known, Ended):
            self._request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)


def person(user: Any, since: float = 0, *, suspended: bool = False) -> Live:  # noqa: ANN401 - a project's own
    """Somebody of the app's user table."""
    return bridged.person(
        user.pk,
        user.get_username(),
        display_name=user.get_full_name() if hasattr(user, "get_full_name") else "",
        email=getattr(user, "email", "") or "",
        authenticated_at=since,
        suspended=suspended,
    )


def _inactive(claimed: str) -> Live | None:
    """Somebody whose account is there, and switched off."""
    table = get_user_model()
    user = table._default_manager.filter(pk=table._meta.pk.to_python(claimed)).first()  # noqa: SLF001 - Django's names
    return person(user, suspended=True) if user is not None and not user.is_active else None


def _unavailable(down: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"Django's database: {down}")


def groups(user: Any) -> frozenset[str]:  # noqa: ANN401 - a project's own
    """The names of somebody's groups."""
    return frozenset(user.groups.values_list("name", flat=True)) if hasattr(user, "groups") else frozenset()
