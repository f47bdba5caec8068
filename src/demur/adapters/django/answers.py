"""What Django and the app answer, and what they mean by it.

- A redirect to a login page that is to lead back here is a refusal; any other redirect is a redirect.
- A CSRF error is said after it is known who it is: somebody whose session is over is told so, and not that a form was
  forged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.http import HttpResponseForbidden
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, reverse
from django.utils.functional import SimpleLazyObject
from django.views.csrf import csrf_failure as _djangos

from demur.adapters.django import config, replies, views
from demur.core.decide import SAFE
from demur.core.marks import identified, require
from demur.core.model import Live, Refused, Response
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from demur.adapters.django.visit import Visit
    from demur.core.marks import Mark
    from demur.core.model import Fields

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_CSRF_VIEWS = frozenset(("django.views.csrf.csrf_failure", "demur.adapters.django.csrf_failure"))
_SIGNED_IN = require()


def by_rule(visit: Visit) -> bool:
    """Whether a rule decides whatever the view is, so that the view need not be found."""
    plan = visit.passed.checked.plan
    return visit.passed.left and plan is not None and not plan.left


def late(visit: Visit, response: HttpResponseBase) -> tuple[Mark, ...] | None:
    """What is to be judged after the app has answered, for the reason why it refuses; None for nothing."""
    passed = visit.passed
    if isinstance(response, replies.Answer) or passed.refused is not None or passed.answer is not None:
        return None
    if _forged(visit, response):
        visit.forged = True
        return _before_the_token(visit)
    visit.led_to = _login(visit, response)
    if response.status_code not in (401, 403) and not visit.led_to:
        if visit.eager:
            passed.forget()
        return None
    if visit.known and not isinstance(passed.checked.evidence, Live) and _is_somebody(visit.request):
        visit.again()
    return None if visit.known else (identified,)


def _is_somebody(request: HttpRequest) -> bool:
    """Whether the app has found out who it is, by a way of its own that is later than ours."""
    user = vars(request).get("user")
    return user is not None and not isinstance(user, SimpleLazyObject) and bool(user.is_authenticated)


def leave(visit: Visit, response: HttpResponseBase) -> HttpResponseBase:
    """The answer as it leaves."""
    if isinstance(response, replies.Answer):
        return response
    if _is_the_apps(visit, response):
        return response
    was = replies.answered(response)
    said = _said(visit, response.status_code, was)
    if isinstance(said, Response):
        if visit.who is not None:
            visit.who.login.keep_cookie()
        return replies.instead(said, visit.request, response)
    replies.dress(response, was, said)
    return response


def _is_the_apps(visit: Visit, response: HttpResponseBase) -> bool:
    """Whether all was left to the app, and it has refused nothing: then its answer leaves as it came."""
    passed, site = visit.passed, visit.surface.site
    return (
        visit.the_apps
        and passed.left
        and response.status_code < 300
        and not (visit.forged or visit.said or site.cors.origins or site.rules.conceals)
        and "Demur-Refuse" not in response.headers
        and "Demur-Processed" not in response.headers
    )


def _said(visit: Visit, status: int, was: Fields) -> Response | Fields:
    passed, surface = visit.passed, visit.surface
    if visit.forged and passed.refused is None:
        return surface.raised(passed, Refused(Reason.CROSS_SITE_REFUSED)) or was
    if visit.said is not None and passed.refused is None:
        return surface.raised(passed, visit.said) or was
    if visit.detail and status == 403 and passed.refused is None and passed.allow.subject is not None:
        return surface.raised(passed, Refused(Reason.NOT_PERMITTED, visit.detail)) or was
    if visit.led_to:
        # The page leads to the login that the app has for this view: the admin's is another one.
        other = visit.led_to != surface.site.sign_in_url()
        return (config.surface(visit.led_to) if other else surface).leave(passed, 401, ())
    if status in _REDIRECTS:
        there = tuple(line for line in was if line[0] == b"location")
        rest = tuple(line for line in was if line[0] != b"location")
        said = surface.leave(passed, status, rest)
        return said if isinstance(said, Response) else (*said, *there)
    return surface.leave(passed, status, was)


# --- a CSRF error ------------------------------------------------------------------------------------


def _forged(visit: Visit, response: HttpResponseBase) -> bool:
    """Whether this says that a form's token is not right: our own view for that was called, or Django's middleware has
    refused what would change something before any view was asked."""
    if visit.forged or visit.viewed or response.status_code != 403:
        return visit.forged
    asked = visit.request
    return asked.method not in SAFE and asked.resolver_match is not None and settings.CSRF_FAILURE_VIEW in _CSRF_VIEWS


def _before_the_token(visit: Visit) -> tuple[Mark, ...]:
    """What the view asks for, which counts more than the token."""
    if visit.viewed or visit.request.resolver_match is None:
        return (identified,)
    asked = views.of(visit.request, visit.request.resolver_match.func, kept=visit.surface.bridge is None)
    return asked.marks or ((_SIGNED_IN,) if asked.own else (identified,))


# --- a way to the login ------------------------------------------------------------------------------


def _login(visit: Visit, response: HttpResponseBase) -> str:
    """The path of the login page to which the app sends somebody who is to come back here; "" if it does not."""
    if response.status_code not in _REDIRECTS:
        return ""
    request, there = visit.request, urlsplit(response.headers.get("Location", ""))
    if there.netloc and there.netloc != request.get_host():
        return ""
    here = {request.get_full_path(), request.build_absolute_uri()}
    back = [value for values in parse_qs(there.query).values() for value in values]
    return there.path if not here.isdisjoint(back) and there.path in _logins(visit) else ""


def _logins(visit: Visit) -> set[str]:
    match = visit.request.resolver_match
    view = match.func if match is not None else None
    given = [settings.LOGIN_URL, getattr(view, "login_url", None), "account_login"]
    given.append(getattr(getattr(view, "view_class", None), "login_url", None))
    found = {path for each in given if each and (path := _path(str(each)))}
    found.add(visit.surface.site.sign_in_url())
    if match is not None and "admin" in match.app_names:
        found.add(reverse("admin:login", current_app=match.namespaces[-1]))
    return found


def _path(name: str) -> str:
    try:
        return str(resolve_url(name)).partition("?")[0]
    except NoReverseMatch:
        return ""


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """For `CSRF_FAILURE_VIEW`: whoever is not signed in is told so, and only then that the token is not right."""
    visit = getattr(request, "_demur", None)
    if visit is None:
        return _djangos(request, reason=reason)
    visit.forged = True
    return HttpResponseForbidden()
