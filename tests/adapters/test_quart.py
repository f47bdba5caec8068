"""Quart with demur: where marks are judged, what stands around it, and who somebody is by the logins of its apps."""

from __future__ import annotations

import json
import time
import warnings
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from quart import Blueprint, Quart, Response, abort, g, request, session, websocket
from quart.views import MethodView
from quart_auth import AuthUser, current_user, login_required, login_user, logout_user
from quart_auth import QuartAuth as Auth
from tests.adapters.connect import handshake

import demur
from demur.adapters.quart import Demur, QuartAuth, in_session

if TYPE_CHECKING:
    from pathlib import Path

    from quart import Request

    from demur.core.model import Evidence

GROUPS = {"anna": ["staff"], "bo": []}
MARKED = [{"path": "/static/**", "allow": "app"}, {"path": "/**", "allow": "marked"}]
NOBODY = (401, "sign-in-required", False)
NO = (403, "not-permitted", False)
STAFF = demur.require(groups=["staff"])


def bridge(sent: Request) -> Evidence:
    """The app's own login: a cookie with a name."""
    name = sent.cookies.get("who")
    if name is None:
        return demur.nobody
    return demur.person(name, groups=GROUPS[name]) if name in GROUPS else demur.unknown


def app_of(**more: Any) -> Quart:
    """An app behind demur that keeps its own login."""
    app = Quart(__name__, static_folder=None)
    app.secret_key = "x" * 32
    Demur(app, **{"bridge": bridge, "rules": MARKED, **more})
    return app


class Client(httpx.AsyncClient):
    """A browser of somebody."""

    def __init__(self, app: Quart, who: str | None = None, **more: Any) -> None:
        cookies = {"who": who} if who else {}
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
        super().__init__(transport=transport, base_url="http://localhost", cookies=more.pop("cookies", cookies), **more)

    async def no(self, path: str, method: str = "GET", **more: Any) -> tuple[int, str, bool | None]:
        """Status and reason of a refusal, and what it says of whether anything was processed."""
        answer = await self.request(method, path, **more)
        problem = answer.json()
        return answer.status_code, problem["reason"], problem.get("processed")


async def yes() -> str:
    """A view."""
    return "in"


# --- where a mark may stand -------------------------------------------------------------------------------


class OnClass(MethodView):
    """A view for each method."""

    async def get(self) -> str:
        """Reads."""
        return "in"

    async def post(self) -> str:
        """Writes."""
        return "written"


class OnMethod(MethodView):
    """A view one of whose methods asks for more."""

    @demur.require(groups=["staff"])
    async def get(self) -> str:
        """Reads."""
        return "in"

    @demur.require()
    async def post(self) -> str:
        """Writes."""
        return "written"


def marked_in_every_place() -> Quart:
    """One page for each place."""
    app = app_of()

    @app.get("/below")
    @demur.require(groups=["staff"])
    async def below() -> str:
        return "in"

    @demur.require(groups=["staff"])
    @app.get("/above")
    async def above() -> str:
        return "in"

    @app.get("/sync")
    @demur.require(groups=["staff"])
    def sync() -> str:
        return "in"

    app.add_url_rule("/class", view_func=STAFF(OnClass).as_view("class"))
    app.add_url_rule("/method", view_func=OnMethod.as_view("method"))
    inner, outer = Blueprint("inner", __name__), STAFF(Blueprint("outer", __name__, url_prefix="/outer"))
    inner.add_url_rule("/inner", view_func=yes)
    outer.add_url_rule("/page/<int:number>", "page", lambda number: "in")
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    return app


@pytest.mark.parametrize("path", ["/below", "/above", "/sync", "/class", "/method", "/outer/inner", "/outer/page/1"])
async def test_a_mark_is_judged_wherever_it_stands(path: str) -> None:
    """On functions, classes, their methods, and blueprints around blueprints."""
    app = marked_in_every_place()
    assert await Client(app).no(path) == NOBODY
    assert await Client(app, "bo").no(path) == NO
    assert (await Client(app, "anna").get(path)).text == "in"
    assert (await Client(app, "anna").head(path)).status_code == 200


async def test_each_method_of_a_class_has_its_own_mark() -> None:
    """What may be written by anybody who is signed in may be read by some of them only."""
    app = marked_in_every_place()
    assert (await Client(app, "bo").post("/method")).text == "written"
    assert await Client(app, "bo").no("/method") == NO


async def test_what_nobody_marked_is_closed_and_does_not_start() -> None:
    """Every such route is named."""
    app = app_of()
    app.add_url_rule("/plain", view_func=yes)
    app.add_url_rule("/item/<int:number>", "item", lambda number: str(number), methods=["POST"])
    app.add_url_rule("/open", "open", demur.public(lambda: "open"))
    assert await Client(app).no("/plain") == NOBODY
    assert await Client(app, "anna").no("/plain") == NO
    with pytest.raises(demur.ConfigError, match=r"Nobody says who may open GET /plain, POST /item/<int:number>\."):
        await app.startup()


def test_the_routes_can_be_listed() -> None:
    """With what each asks for; a route of which nobody says anything fails the command."""
    app = marked_in_every_place()
    run = app.test_cli_runner()
    listed = run.invoke(args=["demur", "routes"])
    assert listed.exit_code == 0, listed.output
    assert "GET /below  groups staff\n" in listed.output
    assert "POST /method  signed in\n" in listed.output
    app.add_url_rule("/plain", view_func=yes)
    listed = run.invoke(args=["demur", "routes"])
    assert listed.exit_code == 1
    assert "GET /plain" in listed.output


async def test_static_files_are_the_same_for_everybody(tmp_path: Path) -> None:
    """Where a rule leaves them to the app; nobody is looked up."""
    (tmp_path / "style.css").write_text("a {}")
    asked = []

    def noting(sent: Request) -> Evidence:
        asked.append(sent.path)
        return demur.nobody

    app = Quart(__name__, static_folder=str(tmp_path), static_url_path="/static")
    Demur(app, bridge=noting, rules=MARKED)
    assert (await Client(app).get("/static/style.css")).text == "a {}"
    assert asked == []
    closed = Quart(__name__, static_folder=str(tmp_path), static_url_path="/static")
    Demur(closed, bridge=bridge, rules=[{"path": "/**", "allow": "marked"}])
    assert await Client(closed).no("/static/style.css") == NOBODY


# --- before anything else looks at the request ------------------------------------------------------------


async def test_the_marks_come_before_every_other_hook() -> None:
    """Whenever that was added."""
    seen = []
    app = Quart(__name__, static_folder=None)

    @app.before_request
    async def first() -> None:
        seen.append(request.path)

    @app.get("/page")
    @demur.require()
    async def page() -> str:
        return "in"

    Demur(app, bridge=bridge)
    assert await Client(app).no("/page") == NOBODY
    assert seen == []
    assert (await Client(app, "bo").get("/page")).text == "in"
    assert seen == ["/page"]


async def test_nobody_is_told_what_is_wrong_with_a_body_before_they_are_known() -> None:
    """Malformed JSON without credentials is 401; with them it is the framework's affair."""
    app = app_of()

    @app.post("/json")
    @demur.require()
    async def take() -> str:
        return str((await request.get_json())["a"])

    sent: Any = {"content": "{", "headers": {"content-type": "application/json"}}
    assert await Client(app).no("/json", "POST", **sent) == NOBODY
    assert (await Client(app, "bo").post("/json", **sent)).status_code == 400
    assert (await Client(app, "bo").post("/json", json={"a": 1})).text == "1"


async def test_what_is_not_there_stays_the_apps_affair() -> None:
    """404, 405, a redirect to the right spelling, and a page of the app's own with status 200."""
    app = app_of()
    app.add_url_rule("/folder/", "folder", STAFF(lambda: "in"))
    app.register_error_handler(404, lambda _: ("shell", 200))
    assert (await Client(app).get("/nowhere")).text == "shell"
    assert (await Client(app).post("/folder/")).status_code == 405
    assert (await Client(app).get("/folder")).status_code == 308


async def test_a_websocket_is_refused_before_it_is_open() -> None:
    """With the whole answer where the server can send one; by a handler of the app's, too."""
    app = app_of()

    @app.websocket("/ws")
    @demur.require()
    async def ws() -> None:
        if "late" in websocket.headers:
            raise demur.Refused(demur.Reason.NOT_PERMITTED, "Not today.")
        await websocket.accept()
        await websocket.send(g.demur.subject.name)

    start, *body = await handshake(app, "/ws")
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert json.loads(body[0]["body"])["reason"] == "sign-in-required"
    assert [each["type"] for each in await handshake(app, "/ws", denies=False)] == ["websocket.close"]
    assert (await handshake(app, "/ws", [("cookie", "who=bo")]))[0]["type"] == "websocket.accept"
    start, *body = await handshake(app, "/ws", [("cookie", "who=bo"), ("late", "1")])
    assert (start["status"], json.loads(body[0]["body"])["detail"]) == (403, "Not today.")


# --- in a view --------------------------------------------------------------------------------------------


async def test_a_view_may_refuse_and_ask() -> None:
    """Without the promise that nothing was processed, whatever handlers of errors the app has."""
    app = app_of()

    @app.get("/deep")
    @demur.require()
    async def deep() -> str:
        raise demur.Refused(demur.Reason.NOT_PERMITTED, "Only its author may.")

    @app.get("/asks")
    @demur.identified
    async def asks() -> str:
        return str((await g.demur.arequire(groups=["staff"])).name)

    @app.get("/own")
    @demur.require()
    async def own() -> str:
        abort(403)

    @app.errorhandler(Exception)
    async def wrong(_: Exception) -> Response:
        return Response("oops", 500)

    assert await Client(app, "bo").no("/deep") == (403, "not-permitted", None)
    assert await Client(app).no("/asks") == (401, "sign-in-required", None)
    assert await Client(app, "bo").no("/asks") == (403, "not-permitted", None)
    assert (await Client(app, "anna").get("/asks")).text == "anna"


async def test_options_may_stand_in_the_apps_own_configuration() -> None:
    """And the extension may be made before the app."""
    extension = Demur(bridge=bridge)
    app = Quart(__name__, static_folder=None)
    app.config["DEMUR"] = {"rules": MARKED, "name": "The club"}
    app.config["SESSION_COOKIE_NAME"] = "club"
    app.add_url_rule("/page", "page", demur.require()(lambda: "in"))
    extension.init_app(app)
    challenge = (await Client(app).get("/page")).headers["www-authenticate"]
    assert 'realm="The club"' in challenge
    assert 'cookie-name="club"' in challenge


async def test_what_goes_past_demur_goes_nowhere() -> None:
    """An app whose `asgi_app` was put back is not open."""
    app = app_of()
    app.add_url_rule("/page", "page", demur.public(lambda: "in"))
    del app.asgi_app  # what the class has comes to light again
    assert (await Client(app).get("/page")).status_code == 500


# --- a login that keeps an id in the session --------------------------------------------------------------


def in_the_session(**config: Any) -> Quart:
    """Such an app."""
    app = Quart(__name__, static_folder=None)
    app.secret_key = "x" * 32
    app.config.update(config)

    async def load(name: str) -> Evidence | None:
        return demur.person(name, groups=GROUPS[name]) if name in GROUPS else None

    Demur(app, bridge=in_session(load, key="name"), rules=MARKED, login="/sign-in")

    @app.get("/sign-in/<name>")
    @demur.public
    async def sign_in(name: str) -> str:
        session.permanent = "PERMANENT" in app.config
        session["name"] = name
        return "in"

    @app.get("/visit")
    @demur.public
    async def visit() -> str:
        session["basket"] = 1
        return "hello"

    @app.get("/mine")
    @demur.require()
    async def mine() -> str:
        return str(g.demur.subject.name)

    return app


def signed(app: Quart, ago: float, content: dict[str, Any]) -> dict[str, str]:
    """A session cookie that was made some seconds ago."""
    serializer: Any = app.session_interface.get_signing_serializer(app)

    class Past(serializer.signer):  # type: ignore[misc]
        def get_timestamp(self) -> int:
            return int(time.time() - ago)

    serializer.signer = Past
    return {"session": serializer.dumps(content)}


async def test_a_session_opens_for_who_is_in_it() -> None:
    """Nobody, a visitor, somebody, and somebody who is not there any more."""
    app = in_the_session()
    client = Client(app)
    assert await client.no("/mine") == NOBODY
    await client.get("/visit")
    assert await client.no("/mine") == NOBODY
    await client.get("/sign-in/bo")
    assert (await client.get("/mine")).text == "bo"
    await client.get("/sign-in/gone")
    assert await client.no("/mine") == (401, "session-revoked", False)


MONTH = 32 * 24 * 60 * 60


@pytest.mark.parametrize(
    ("config", "content", "reason"),
    [
        ({}, {"name": "bo"}, "session-expired"),
        ({}, {"name": "bo", "_permanent": True}, "session-idle"),
        ({"SESSION_REFRESH_EACH_REQUEST": False}, {"name": "bo", "_permanent": True}, "session-expired"),
        ({}, {"basket": 1}, "sign-in-required"),
    ],
)
async def test_a_session_that_is_over_says_so(config: Any, content: Any, reason: str) -> None:
    """By when it was signed, and whether each answer would have signed it again."""
    app = in_the_session(**config)
    assert await Client(app, cookies=signed(app, MONTH, content)).no("/mine") == (401, reason, False)


async def test_a_session_that_nobody_signed_is_not_valid() -> None:
    """Whatever is in it."""
    app = in_the_session()
    right = signed(app, 0, {"name": "anna"})["session"]
    for cookie in ("x", right[:-4] + "AAAA"):
        assert await Client(app, cookies={"session": cookie}).no("/mine") == (401, "credentials-invalid", False)


# --- Quart-Auth -------------------------------------------------------------------------------------------


def with_quart_auth(bridge: QuartAuth | None = None, **config: Any) -> Quart:
    """An app with Quart-Auth, and nothing of demur's beside its views."""
    app = Quart(__name__, static_folder=None)
    app.secret_key = "x" * 32
    app.config.update({"QUART_AUTH_COOKIE_SECURE": False, **config})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Auth(app)
    Demur(app, bridge=bridge or QuartAuth(), login="/sign-in")

    @app.get("/sign-in/<name>")
    async def sign_in(name: str) -> str:
        login_user(AuthUser(name), remember=True)
        return "in"

    @app.get("/sign-out")
    async def sign_out() -> str:
        logout_user()
        return "out"

    @app.get("/mine")
    @login_required
    async def mine() -> str:
        return str(current_user.auth_id)

    @app.post("/mine")
    @login_required
    async def add() -> str:
        return "added"

    @app.get("/staff")
    @demur.require(groups=["staff"])
    @login_required
    async def staff() -> str:
        return "staff"

    @app.get("/fresh")
    @demur.require(fresh="15m")
    async def fresh() -> str:
        return "fresh"

    @app.get("/own")
    @login_required
    async def own() -> str:
        return "own" if current_user.auth_id == "anna" else abort(403)

    return app


async def test_quart_auth_opens_what_it_opened() -> None:
    """`login_required` counts as a mark: what it refuses has seen nothing of what was sent."""
    client = Client(with_quart_auth())
    assert await client.no("/mine") == NOBODY
    assert await client.no("/mine", "POST", content="typed") == NOBODY
    await client.get("/sign-in/bo")
    assert (await client.get("/mine")).text == "bo"
    assert (await client.get("/fresh")).text == "fresh"
    assert await client.no("/own") == (403, "not-permitted", None)
    await client.get("/sign-out")
    assert await client.no("/mine") == NOBODY


async def test_the_app_tells_more_of_its_people() -> None:
    """Their groups; or that they are not there any more."""

    async def describe(user: AuthUser) -> Evidence | None:
        name = str(user.auth_id)
        return demur.person(name, groups=GROUPS[name]) if name in GROUPS else None

    client = Client(with_quart_auth(QuartAuth(describe)))
    await client.get("/sign-in/anna")
    assert (await client.get("/staff")).text == "staff"
    await client.get("/sign-in/bo")
    assert await client.no("/staff") == NO
    await client.get("/sign-in/gone")
    assert await client.no("/mine") == (401, "session-revoked", False)


async def token(app: Quart, name: str, ago: float) -> str:
    """What Quart-Auth made some seconds ago."""
    (auth,) = app.extensions["QUART_AUTH"]
    serializer = auth.serializer_class(app.secret_key, auth.salt)

    class Past(serializer.signer):  # type: ignore[misc, name-defined]
        def get_timestamp(self) -> int:
            return int(time.time() - ago)

    serializer.signer = Past
    return str(serializer.dumps(name))


async def test_a_sign_in_that_is_over_says_so() -> None:
    """When it was signed is when somebody signed in, unless the app renews it."""
    app = with_quart_auth(QUART_AUTH_DURATION=3600)
    for ago, path, reason in ((7200, "/mine", "session-expired"), (1800, "/fresh", "step-up-required")):
        cookies = {"QUART_AUTH": await token(app, "bo", ago)}
        assert await Client(app, cookies=cookies).no(path) == (401, reason, False)
    assert await Client(app, cookies={"QUART_AUTH": "x"}).no("/mine") == (401, "credentials-invalid", False)
    renewing = with_quart_auth(QuartAuth(renews=True))
    cookies = {"QUART_AUTH": await token(renewing, "bo", 60)}
    assert await Client(renewing, cookies=cookies).no("/fresh") == (401, "step-up-required", False)
    assert (await Client(renewing, cookies=cookies).get("/mine")).text == "bo"


async def test_quart_auth_with_tokens() -> None:
    """In `Authorization`."""
    app = with_quart_auth(QUART_AUTH_MODE="bearer")
    sent = {"authorization": f"Bearer {await token(app, 'bo', 0)}"}
    assert (await Client(app, headers=sent).get("/mine")).text == "bo"
    assert await Client(app).no("/mine") == NOBODY


async def test_a_page_of_quart_auths_own_refusal_is_turned_right() -> None:
    """An app that sends whoever is not signed in to its login keeps the address, and says why."""
    app = with_quart_auth()
    challenge = (await Client(app).get("/mine", headers={"accept": "text/html"})).headers["www-authenticate"]
    assert 'form-action="/sign-in"' in challenge
    assert 'cookie-name="QUART_AUTH"' in challenge
