"""For Django REST framework: three settings.

    REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": ["demur.adapters.django.drf.Authentication"],
        "EXCEPTION_HANDLER": "demur.adapters.django.drf.exception_handler",
    }
    DEMUR = {"bridge": "demur.adapters.django.drf.tokens"}  # where programs come with tokens

- Who is not signed in gets a 401 with a challenge and the reason, who may not gets a 403.
- A mark on a view that programs call with tokens is judged by who the token is of, before the body is read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rest_framework import exceptions  # type: ignore[import-untyped]
from rest_framework.authentication import SessionAuthentication  # type: ignore[import-untyped]
from rest_framework.request import Request  # type: ignore[import-untyped]
from rest_framework.settings import api_settings  # type: ignore[import-untyped]

from demur.adapters.django import bridge
from demur.core import bridged
from demur.core.fields import Challenge
from demur.core.model import Refused
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from demur.core.model import Evidence


class Authentication(SessionAuthentication):  # type: ignore[misc]  # they have no types
    """`request.user` as the middleware has it, with CSRF checked for browsers. With a challenge: without one a 403 is
    said to somebody who is not signed in."""

    def authenticate_header(self, request: Request) -> str:
        """The challenge of cookie sessions."""
        passed = getattr(request._request, "demur", None)  # noqa: SLF001 - theirs, and there is no other
        params = () if passed is None else (("realm", passed.site.name), ("form-action", passed.site.sign_in_url()))
        return Challenge("Cookie", params or (("realm", "this site"),)).encode().decode("ascii")

    def enforce_csrf(self, request: Request) -> None:
        """Whether the request comes from a page of this site."""
        try:
            super().enforce_csrf(request)
        except exceptions.PermissionDenied as forged:
            raise Refused(Reason.CROSS_SITE_REFUSED) from forged


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Any:  # noqa: ANN401 - their response
    """What their own handler answers, with the reason for the middleware to say."""
    # Their views load this module.
    from rest_framework.views import exception_handler as theirs  # type: ignore[import-untyped] # noqa: PLC0415

    visit = getattr(getattr(context.get("request"), "_request", None), "_demur", None)
    if isinstance(error, Refused) or visit is None:
        return theirs(error, context)
    if isinstance(error, exceptions.AuthenticationFailed):
        visit.said = Refused(_of_token(error))
    elif isinstance(error, exceptions.PermissionDenied) and error.detail != exceptions.PermissionDenied.default_detail:
        visit.detail = str(error.detail)
    return theirs(error, context)


def _of_token(error: exceptions.AuthenticationFailed) -> Reason:
    """Some tell a token that is over from one that never was, in words only."""
    return Reason.TOKEN_EXPIRED if "expired" in str(error.detail).lower() else Reason.CREDENTIALS_INVALID


def tokens(request: HttpRequest) -> Evidence | None:
    """A bridge: whose token came along, by the default authentication classes. None, for Django's own login to be read,
    if there is none."""
    if "HTTP_AUTHORIZATION" not in request.META:
        return None
    classes = [
        each for each in api_settings.DEFAULT_AUTHENTICATION_CLASSES if not issubclass(each, SessionAuthentication)
    ]
    try:
        user = Request(request, authenticators=[each() for each in classes]).user
    except exceptions.AuthenticationFailed as wrong:
        return bridged.ended("expired", 0) if _of_token(wrong) is Reason.TOKEN_EXPIRED else bridged.unknown
    if not user.is_authenticated:
        return None
    found = bridge.person(user)
    return replace(found, subject=replace(found.subject, groups=bridge.groups(user)))
