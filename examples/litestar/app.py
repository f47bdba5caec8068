"""The club with the login that it has always had (Litestar's sessions), and demur's refusals, rules and marks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from club import Member, is_right, open_club
from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.params import FromQuery, URLEncodedBody  # noqa: TC002 - Litestar reads annotations
from litestar.response import Redirect
from litestar.security.session_auth import SessionAuth
from views import Plots, board

import demur
from demur.adapters.litestar import Demur, session_auth

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection

FORM = """<!doctype html><title>Sign in</title>
<form method="post"><p>{}<p><label>Name <input name="name"></label>
<p><label>Password <input name="password" type="password"></label><p><button>Sign in</button></form>"""

RULES = [{"path": "/**", "allow": "marked"}, {"path": "/schema/**", "allow": "signed-in"}]
PERMISSIONS = {"plot:remove": ["board"]}


class SignedIn(NamedTuple):
    """A member, and the second at which they gave their password."""

    member: Member
    since: float


def who(user: SignedIn) -> Any:
    """Who a member is for demur."""
    member, since = user
    return demur.person(member.id, member.name, member.groups, authenticated_at=since)


@get("/login", media_type=MediaType.HTML, opt={"demur": demur.public})
async def form() -> str:
    """Where members sign in."""
    return FORM.format("")


@post("/login", opt={"demur": demur.public})
async def login(
    request: Request[Any, Any, State],
    data: URLEncodedBody[dict[str, str]],
    next: FromQuery[str] = "/plots",  # noqa: A002 - its name in the address
) -> Response[Any]:
    """Begin a session."""
    member = request.app.state.club.members.get(data["name"])
    if not is_right(data["password"], member and member.password):
        return Response(FORM.format("That is not right."), media_type=MediaType.HTML, status_code=401)
    request.set_session({"id": member.id, "since": time.time()})
    return Redirect(next if next.startswith("/") and not next.startswith(("//", "/\\")) else "/plots", status_code=303)


@post("/logout", opt={"demur": demur.public}, status_code=303)
async def logout(request: Request[Any, Any, State]) -> Redirect:
    """End it."""
    request.clear_session()
    return Redirect("/login", status_code=303)


def create_app() -> Litestar:
    """The app."""
    club = open_club()

    async def retrieve(data: dict[str, Any], _: ASGIConnection[Any, Any, Any, Any]) -> SignedIn | None:
        member = club.by_id(data.get("id", ""))
        return member and SignedIn(member, data["since"])

    auth = SessionAuth[SignedIn, Any](
        retrieve_user_handler=retrieve,
        session_backend_config=ServerSideSessionConfig(),
        exclude=["^/plots$", "^/login$", "^/logout$"],
    )
    return Litestar(
        [form, login, logout, Plots, board],
        state=State({"club": club}),
        on_app_init=[auth.on_app_init],
        plugins=[
            Demur(
                bridge=session_auth(auth, who),
                login="/login?next={next}",
                rules=RULES,
                permissions=PERMISSIONS,
            )
        ],
    )
