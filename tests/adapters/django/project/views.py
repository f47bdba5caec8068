"""Views as people write them, with and without demur's marks."""

# mypy: disable-error-code="misc, import-untyped, attr-defined, unused-ignore"
from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required, login_required, permission_required, user_passes_test
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, StreamingHttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt, csrf_protect

import demur
from demur.adapters.django import Requires


def _who(request: HttpRequest) -> str:
    return request.user.get_username() or "nobody"


def home(request: HttpRequest) -> HttpResponse:
    """Everybody may."""
    return HttpResponse("home")


@login_required
def mine(request: HttpRequest) -> HttpResponse:
    """Django's own decorator."""
    return HttpResponse(f"mine: {_who(request)}")


@login_required
async def amine(request: HttpRequest) -> HttpResponse:
    """The same as an async view."""
    user = await request.auser()
    return HttpResponse(f"mine: {user.get_username()}")


@permission_required("shop.view_report")
def by_permission(request: HttpRequest) -> HttpResponse:
    """Which sends somebody who is signed in to the login, again and again."""
    return HttpResponse("reports")


@permission_required("shop.view_report", raise_exception=True)
def by_exception(request: HttpRequest) -> HttpResponse:
    """Which says 403 to somebody who is not signed in."""
    return HttpResponse("reports")


@user_passes_test(lambda user: user.is_staff, login_url="/staff/login/")
def staff(request: HttpRequest) -> HttpResponse:
    """With a login page of its own."""
    return HttpResponse("staff")


def denied(request: HttpRequest) -> HttpResponse:
    """The view finds out by itself."""
    messages.error(request, "never seen")
    raise PermissionDenied("Table 7 is locked.")


def forbidden(request: HttpRequest) -> HttpResponse:
    """It answers 403 by itself."""
    return HttpResponseForbidden("no")


def refused(request: HttpRequest) -> HttpResponse:
    """It says why."""
    raise demur.Refused(demur.Reason.NOT_PERMITTED, "Only its author may.")


def sign_out(request: HttpRequest) -> HttpResponse:
    """As tutorials do it, by GET."""
    logout(request)
    return redirect("/accounts/login/")


def said(request: HttpRequest) -> HttpResponse:
    """With a message for the next page."""
    messages.info(request, "Saved.")
    return HttpResponse("saved")


def read_messages(request: HttpRequest) -> HttpResponse:
    """And that page."""
    return HttpResponse(" ".join(str(each) for each in messages.get_messages(request)) or "none")


@demur.require()
def member(request: HttpRequest) -> HttpResponse:
    """For people who are signed in."""
    return HttpResponse(f"member: {_who(request)}, {request.demur.subject.name}")


@demur.require()
async def amember(request: HttpRequest) -> HttpResponse:
    """The same as an async view."""
    user = await request.auser()
    return HttpResponse(f"member: {user.get_username()}, {request.demur.subject.name}")


@demur.require("shop.view_report")
def report(request: HttpRequest) -> HttpResponse:
    """With a permission of Django's."""
    return HttpResponse("report")


@demur.require("shop.view_report")
async def areport(request: HttpRequest) -> HttpResponse:
    """The same as an async view."""
    return HttpResponse("report")


@demur.require(groups=["editors"])
def edit(request: HttpRequest) -> HttpResponse:
    """With a group of Django's."""
    return HttpResponse("edited")


@demur.require(fresh=300)
def fresh(request: HttpRequest) -> HttpResponse:
    """With a fresh sign-in."""
    return HttpResponse("fresh")


@demur.public
def public(request: HttpRequest) -> HttpResponse:
    """For anybody."""
    return HttpResponse(f"public: {_who(request)}")


@demur.identified
def identified(request: HttpRequest) -> HttpResponse:
    """For anybody, who is known if they can be."""
    subject = request.demur.subject
    return HttpResponse(f"identified: {subject.name if subject else 'nobody'}")


@login_not_required
def open_by_django(request: HttpRequest) -> HttpResponse:
    """Django's own way to say so."""
    return HttpResponse("open")


def unmarked(request: HttpRequest, **captured: object) -> HttpResponse:
    """Of which nobody says anything."""
    return HttpResponse("unmarked")


@csrf_exempt
@demur.require()
def hook(request: HttpRequest) -> HttpResponse:
    """Without a token."""
    return HttpResponse(f"got {len(request.body)}")


@csrf_protect
def protected(request: HttpRequest) -> HttpResponse:
    """With the decorator."""
    return HttpResponse("protected")


@demur.require()
def streamed(request: HttpRequest) -> StreamingHttpResponse:
    """Piece by piece."""
    return StreamingHttpResponse(iter(["one ", "two"]), headers={"Cache-Control": "public, max-age=60"})


def asks(request: HttpRequest) -> HttpResponse:
    """In the middle of the view."""
    request.demur.require(groups=["editors"])
    return HttpResponse("asked")


class Mixed(LoginRequiredMixin, View):
    """Django's mixin."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """A page."""
        return HttpResponse("mixed")


class Permitted(PermissionRequiredMixin, View):
    """Django's mixin, which raises for somebody who is signed in."""

    permission_required = "shop.view_report"

    def get(self, request: HttpRequest) -> HttpResponse:
        """A page."""
        return HttpResponse("permitted")


@demur.require(groups=["editors"])
class Marked(View):
    """The class is marked."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """A page."""
        return HttpResponse("marked")


class ByMethod(View):
    """One of its methods is for fewer people."""

    @demur.require()
    def get(self, request: HttpRequest) -> HttpResponse:
        """For people who are signed in."""
        return HttpResponse("got")

    @demur.require(groups=["editors"])
    def post(self, request: HttpRequest) -> HttpResponse:
        """For editors."""
        return HttpResponse("posted")

    def put(self, request: HttpRequest) -> HttpResponse:
        """Of which nobody says anything."""
        return HttpResponse("put")


@method_decorator(demur.require(groups=["editors"]), name="dispatch")
class Decorated(View):
    """By Django's own way to decorate classes."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """A page."""
        return HttpResponse("decorated")


@method_decorator([demur.require("shop.view_report"), demur.require(groups=["editors"])], name="dispatch")
class DecoratedTwice(View):
    """By two of them, both of which count."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """A page."""
        return HttpResponse("decorated twice")


class WithMixin(Requires, View):
    """demur's mixin."""

    require = demur.require("shop.view_report")

    def get(self, request: HttpRequest) -> HttpResponse:
        """A page."""
        return HttpResponse("with mixin")


class Plain(View):
    """To be marked where it is mounted."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """A page."""
        return HttpResponse("plain")


plain: Any = demur.require(groups=["editors"])(Plain.as_view())
