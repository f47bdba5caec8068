"""For django-ninja: `auth=SignedIn()`, on the API, a router or an operation, or `SignedIn(demur.require("…"))`.

- Who is not signed in gets a 401 with a challenge and the reason, who may not gets a 403; both before the body is read.
- It is a security scheme of the OpenAPI document.
- Marks on operations are judged, too, by the middleware; with `marked` rules an operation needs one or the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from ninja.security.base import AuthBase
from ninja.utils import check_csrf

from demur.adapters.django import replies
from demur.core.marks import Mark, require
from demur.core.model import Refused
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from ninja import NinjaAPI


class SignedIn(AuthBase):
    """Somebody who is signed in, and holds what the mark asks for; gives `request.user`."""

    openapi_type = "apiKey"
    openapi_in = "cookie"

    def __init__(self, mark: Mark | None = None, *, csrf: bool = True) -> None:
        self.openapi_name = settings.SESSION_COOKIE_NAME
        self._mark = mark or require()
        self._csrf = csrf
        super().__init__()

    def __call__(self, request: HttpRequest) -> Any:  # noqa: ANN401 - a project's own user
        """The user, or None: why not, is for the middleware to say."""
        visit = request._demur  # noqa: SLF001 - ours
        if not visit.judge((self._mark,)):
            return None
        if self._csrf and not getattr(request, "_ninja_csrf_exempt", False) and check_csrf(request):
            visit.said = Refused(Reason.CROSS_SITE_REFUSED)
            return None
        return request.user


def install(api: NinjaAPI) -> None:
    """Let `demur.Refused` through that an operation raises; in debug mode they would show a traceback."""

    def refused(request: HttpRequest, error: Refused | type[Refused]) -> HttpResponseBase:
        assert isinstance(error, Refused)  # noqa: S101 - for the type checker
        said = request.demur.surface.raised(request.demur, error)
        return replies.answer(said, request)

    api.add_exception_handler(Refused, refused)
