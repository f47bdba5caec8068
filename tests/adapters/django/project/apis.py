"""The project's APIs."""

# mypy: disable-error-code="misc, import-untyped, attr-defined, unused-ignore"
from __future__ import annotations

from typing import Any

from django.http import HttpRequest  # noqa: TC002 - ninja reads the annotations
from ninja import NinjaAPI, Schema
from ninja.security import django_auth
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import AllowAny, IsAdminUser, IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

import demur
from demur.adapters.django.ninja import SignedIn, install


@api_view(["GET", "POST"])
@permission_classes([IsAuthenticated])
def mine(request: Any) -> Response:
    """For people who are signed in, by their classes."""
    return Response({"user": request.user.get_username()})


@api_view(["GET"])
@permission_classes([IsAdminUser])
def admins(request: Any) -> Response:
    """For administrators."""
    return Response({"user": request.user.get_username()})


@api_view(["GET"])
@permission_classes([AllowAny])
def anybody(request: Any) -> Response:
    """For anybody, as they say."""
    return Response({})


class Picky(IsAuthenticated):
    """A permission with a sentence for people."""

    message = "Only on weekdays."

    def has_permission(self, request: Any, view: Any) -> bool:
        """Nobody, once they are signed in."""
        return not request.user.is_authenticated and super().has_permission(request, view)


class Closed(APIView):
    """Says no, with a sentence."""

    permission_classes = (Picky,)

    def get(self, request: Any) -> Response:
        """Never."""
        return Response({})


@demur.require(groups=["editors"])
class Items(ViewSet):
    """A view set that is marked."""

    def list(self, request: Any) -> Response:
        """All."""
        return Response(["item"])


class Actions(ViewSet):
    """One action is marked."""

    @demur.require(groups=["editors"])
    def list(self, request: Any) -> Response:
        """All."""
        return Response(["item"])

    def create(self, request: Any) -> Response:
        """Of which nobody says anything."""
        return Response({}, status=201)


api = NinjaAPI(urls_namespace="shop")
install(api)


class Order(Schema):
    """What is ordered."""

    table: int


@api.get("/open", auth=None)
def open_(request: HttpRequest) -> dict[str, str]:
    """For anybody: nothing is said of it."""
    return {}


@api.get("/theirs", auth=django_auth)
def theirs(request: HttpRequest) -> dict[str, str]:
    """By ninja's own means."""
    return {"user": request.user.get_username()}


@api.post("/orders", auth=SignedIn())
def order(request: HttpRequest, order: Order) -> dict[str, int]:
    """With a body."""
    return {"table": order.table}


@api.get("/reports", auth=SignedIn(demur.require("shop.view_report")))
def reports(request: HttpRequest) -> dict[str, str]:
    """With a permission."""
    return {"user": request.auth.get_username()}


@api.get("/areports", auth=SignedIn(demur.require("shop.view_report")))
async def areports(request: HttpRequest) -> dict[str, str]:
    """With a permission, async."""
    return {"user": request.auth.get_username()}


@api.get("/marked")
@demur.require(groups=["editors"])
def marked(request: HttpRequest) -> dict[str, str]:
    """Marked."""
    return {}


@api.get("/raises", auth=None)
def raises(request: HttpRequest) -> dict[str, str]:
    """Finds out late."""
    raise demur.Refused(demur.Reason.NOT_PERMITTED, "Only its author may.")
