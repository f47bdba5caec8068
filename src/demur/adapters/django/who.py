"""Who a request comes from: by a function of the project's own, and by Django's login.

It is found out when it matters and not before, in the way of whoever asks: at once, or to be awaited.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async

from demur.adapters.django.bridge import Login, groups
from demur.core.model import Live

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest

    from demur.core.model import Evidence


def in_loop() -> bool:
    """Whether this runs in an event loop, where nothing may wait for the database."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Bridge:
    """The surface's bridge. `given` is the project's own function, which may leave it to Django's login (None)."""

    def __init__(self, given: Callable[[HttpRequest], Any] | None) -> None:
        self.given = given

    def __call__(self, visit: Any) -> Evidence | Awaitable[Evidence]:  # noqa: ANN401 - a Visit
        """Who it is, to be awaited in an event loop."""
        who: Who = visit.who
        return who.aread() if in_loop() else who.read()


class Who:
    """One request's person. `groups` says whether their groups matter, which are a query of their own."""

    def __init__(self, request: HttpRequest, given: Callable[[HttpRequest], Any] | None) -> None:
        self._request = request
        self._given = given
        self.login = Login(request)
        self.groups = False

    @property
    def asks(self) -> bool:
        """Whether somebody may be known: without a cookie nobody is, but by a function of the project's own."""
        return self.login.sent or self._given is not None

    def read(self) -> Evidence:
        """Who it is. Raises StoreUnavailable."""
        given, found = self._given, None
        if given is not None:
            found = (async_to_sync(given) if iscoroutinefunction(given) else given)(self._request)
        return found or self._whole(self.login.read())

    async def aread(self) -> Evidence:
        """The same in an event loop."""
        given, found = self._given, None
        if given is not None:
            found = await (given if iscoroutinefunction(given) else sync_to_async(given))(self._request)
        if found:
            return found  # type: ignore[no-any-return]
        found = await self.login.aread()
        return await sync_to_async(self._whole)(found) if self.groups and isinstance(found, Live) else found

    def _whole(self, found: Evidence) -> Evidence:
        return self.with_groups(found) if self.groups else found

    def with_groups(self, found: Evidence) -> Evidence:
        """What Django's login knows, with the groups of its person."""
        if not isinstance(found, Live) or found is not self.login.known:
            return found
        return replace(found, subject=replace(found.subject, groups=groups(self._request.user)))

    def again(self) -> None:
        """Read it again: meanwhile the app has found out more, by a token for example."""
        self.login.known = None
