"""Who may see and do what stands beside it."""

from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.views import View

import demur


@demur.identified
def start(request: HttpRequest) -> HttpResponse:
    """Greets whoever it is."""
    return HttpResponse(f"Hello {request.user.get_username() or 'stranger'}.\n")


@login_required
def plans(request: HttpRequest) -> HttpResponse:
    """As it was before demur."""
    return HttpResponse(f"{request.user.get_username()} plans 40 beans.\n")


@permission_required("auth.view_user")
def books(request: HttpRequest) -> HttpResponse:
    """As it was before demur, too."""
    return HttpResponse("Who is in the club: anna, bo.\n")


@demur.require()
def agenda(request: HttpRequest) -> HttpResponse:
    """For the board, by the rule for its prefix."""
    return HttpResponse("1. Beans. 2. Peas.\n")


@demur.require(fresh="15m")
def vote(request: HttpRequest) -> HttpResponse:
    """For the board, by the same rule, and for nobody who has left a browser open."""
    return HttpResponse("Counted.\n")


class Minutes(View):
    """Everybody in the club may read them; the board may write them."""

    @demur.require()
    def get(self, request: HttpRequest) -> HttpResponse:
        """Read."""
        return HttpResponse("We met, and we ate beans.\n")

    @demur.require("minutes:write")
    def post(self, request: HttpRequest) -> HttpResponse:
        """Write."""
        return HttpResponse("Written.\n", status=201)
