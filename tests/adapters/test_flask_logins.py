"""Who somebody is, read from a Flask session and from Flask-Login: what they can tell apart stays apart."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import flask
import flask_login  # type: ignore[import-untyped]
import pytest
from flask.sessions import SecureCookieSessionInterface, SessionInterface
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]
from itsdangerous import TimestampSigner

import demur
from demur.adapters.flask import Demur, FlaskLogin, in_session

if TYPE_CHECKING:
    from collections.abc import Iterator

USERS = {"1": ("anna", True), "2": ("dora", False)}


class User(flask_login.UserMixin):  # type: ignore[misc]
    """A user of the app."""

    def __init__(self, key: str) -> None:
        self.id = key
        self.username, self.active = USERS[key]

    @property
    def is_active(self) -> bool:
        return self.active


def with_session(**config: Any) -> flask.Flask:
    """An app that keeps an id in its session."""
    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY="s", TESTING=True, **config)
    people = {1: demur.person(1, "anna")}
    Demur(app, bridge=in_session(people.get), login="/login?next={next}")

    @app.get("/as/<int:who>")
    def sign_in(who: int) -> str:
        flask.session["user_id"] = who
        flask.session.permanent = "permanent" in flask.request.args
        return "in"

    @app.get("/visit")
    def visit() -> str:
        flask.session["seen"] = True
        return "seen"

    app.route("/plans", methods=["GET", "POST"], endpoint="plans")(demur.require()(lambda: flask.g.demur.subject.name))
    return app


def with_flask_login(**config: Any) -> flask.Flask:
    """An app with Flask-Login and the forms of Flask-WTF, in the order in which tutorials set them up."""
    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY="s", TESTING=True, **config)
    manager = flask_login.LoginManager(app)
    manager.login_view = "login"
    CSRFProtect(app)
    manager.user_loader(lambda key: User(key) if key in USERS else None)
    Demur(app, bridge=FlaskLogin(), login="/login?next={next}")

    @app.route("/login", methods=["GET", "POST"])
    def login() -> str:
        args = flask.request.args
        flask_login.login_user(User(args.get("id", "1")), remember="remember" in args, force=True)
        return "in"

    @app.get("/logout")
    def logout() -> Any:
        flask_login.logout_user()
        return flask.redirect("/login")

    @app.route("/plans", methods=["GET", "POST"])
    @flask_login.login_required
    def plans() -> str:
        return str(flask_login.current_user.username)

    @app.get("/secret")
    @flask_login.fresh_login_required
    def secret() -> str:
        return "secret"

    app.get("/fresh", endpoint="fresh")(demur.require(fresh=300)(lambda: "fresh"))
    return app


def refusal(answer: Any) -> tuple[int, str]:
    """Status and reason."""
    refused = answer.content_type == "application/problem+json"
    return answer.status_code, answer.json["reason"] if refused else answer.text


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Have cookies been signed so many seconds ago."""

    def signed(ago: int) -> None:
        monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: int(time.time()) - ago)

    yield signed
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("sign_in", "refresh", "ago", "said"),
    [
        ("/as/1", True, 0, (200, "anna")),
        ("/as/1?permanent", True, 0, (200, "anna")),
        ("/as/1", True, 70, (401, "session-expired")),
        ("/as/1?permanent", True, 70, (401, "session-idle")),  # each answer would have signed it again
        ("/as/1?permanent", False, 70, (401, "session-expired")),
        ("/as/2", True, 0, (401, "session-revoked")),  # is not there any more
        ("/visit", True, 0, (401, "sign-in-required")),
        ("/visit", True, 70, (401, "sign-in-required")),  # what has ended was nobody's
    ],
)
def test_a_session_of_flask(sign_in: str, refresh: bool, ago: int, said: Any, later: Any) -> None:
    """A signature that is too old is a session that has ended, and says when."""
    lifetime = timedelta(seconds=60)
    app = with_session(PERMANENT_SESSION_LIFETIME=lifetime, SESSION_REFRESH_EACH_REQUEST=refresh)
    client: Any = app.test_client()
    later(ago)
    client.get(sign_in)
    # A browser would drop the cookie of its own accord, but for a clock that is slow.
    (cookie,) = (each.decoded_value for each in client._cookies.values())
    later(0)
    answer: Any = app.test_client(use_cookies=False).get("/plans", headers={"cookie": f"session={cookie}"})
    assert refusal(answer) == said
    if ago and said[1] != "sign-in-required":
        then = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() - 10))
        assert answer.json["ended_at"].startswith(then)


@pytest.mark.parametrize(
    ("cookie", "reason"), [(None, "sign-in-required"), ("", "sign-in-required"), ("x.y.z", "credentials-invalid")]
)
def test_no_session_of_flask(cookie: str | None, reason: str) -> None:
    """Nothing sent, and something that nobody signed."""
    headers = {} if cookie is None else {"cookie": f"session={cookie}"}
    answer: Any = with_session().test_client(use_cookies=False).get("/plans", headers=headers)
    assert refusal(answer) == (401, reason)
    assert 'cookie-name="session"' in answer.headers["www-authenticate"]


def test_a_session_that_is_kept_on_the_server() -> None:
    """What it has forgotten cannot be told from what it never knew, unless it is a visitor's."""

    class Kept(SessionInterface):
        def open_session(self, app: Any, request: Any) -> Any:
            found = SecureCookieSessionInterface().open_session(app, request)
            assert found is not None
            found.update({"a": 1} if request.cookies.get("session") == "visitor" else {})
            return found

        def save_session(self, *_: Any) -> None:
            pass

    app = with_session()
    app.session_interface = Kept()
    client = app.test_client(use_cookies=False)
    answers = [client.get("/plans", headers={"cookie": f"session={key}"}) for key in ("visitor", "old")]
    assert [refusal(each)[1] for each in answers] == ["sign-in-required", "credentials-invalid"]


# --- Flask-Login ------------------------------------------------------------------------------------


def test_login_required_is_a_mark() -> None:
    """The refusal comes before the check of forms, and says that nothing was processed; signed in, forms are
    checked."""
    app = with_flask_login()
    client: Any = app.test_client()
    answer: Any = client.post("/plans")
    assert (refusal(answer), answer.headers["demur-processed"]) == ((401, "sign-in-required"), "?0")
    page = client.get("/plans", headers={"accept": "text/html"})
    assert (page.status_code, 'href="/login?next=/plans"' in page.text) == (401, True)
    client.get("/login")
    assert client.get("/plans").text == "anna"
    forged = client.post("/plans")
    assert (refusal(forged), forged.json["detail"]) == ((403, "cross-site-refused"), "The CSRF token is missing.")


def test_an_app_that_answers_forged_forms_itself() -> None:
    """Its own words stay."""
    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY="s", TESTING=True)
    app.register_error_handler(CSRFError, lambda error: ("own", 400))
    CSRFProtect(app)
    Demur(app, bridge=lambda _: demur.nobody, login="/login")
    app.post("/x", endpoint="x")(lambda: "never")
    assert refusal(app.test_client().post("/x")) == (400, "own")


def test_signing_out_arrives() -> None:
    """It leads to the login and refuses nothing; then nobody is signed in."""
    client: Any = with_flask_login().test_client()
    client.get("/login?remember")
    assert client.get("/logout").status_code == 302
    assert refusal(client.get("/plans")) == (401, "sign-in-required")


def test_a_remembered_person_is_known_and_not_fresh() -> None:
    """What wants a fresh sign-in asks for one, by Flask-Login's decorator and by the mark."""
    app = with_flask_login()
    client: Any = app.test_client()
    client.get("/login?remember")
    assert [client.get(path).text for path in ("/plans", "/secret", "/fresh")] == ["anna", "secret", "fresh"]
    client.delete_cookie("session")
    assert client.get("/plans").text == "anna"
    for path in ("/secret", "/fresh"):
        assert refusal(client.get(path)) == (401, "step-up-required"), path
    forged = app.test_client()
    forged.set_cookie("remember_token", "1|x")
    assert refusal(forged.get("/plans")) == (401, "credentials-invalid")


def test_a_sign_in_ages() -> None:
    """The session keeps when its person last showed who they are."""
    client: Any = with_flask_login().test_client()
    client.get("/login")
    with client.session_transaction() as session:
        session["_demur_since"] -= 400
    answer: Any = client.get("/fresh")
    assert (refusal(answer), answer.json["max_age"]) == ((401, "step-up-required"), 300)


def test_people_who_are_not_there_any_more_and_people_who_may_not() -> None:
    """Removed, and suspended."""
    app = with_flask_login()
    client: Any = app.test_client()
    client.get("/login?id=2")
    assert refusal(client.get("/plans")) == (403, "account-suspended")
    with client.session_transaction() as session:
        session["_user_id"] = "3"
    assert refusal(client.get("/plans")) == (401, "session-revoked")


def test_a_session_that_flask_login_ends_to_protect_it() -> None:
    """It is no other than one that was revoked."""
    client: Any = with_flask_login(SESSION_PROTECTION="strong").test_client()
    client.get("/login", headers={"user-agent": "one"})
    assert client.get("/plans", headers={"user-agent": "one"}).text == "anna"
    assert refusal(client.get("/plans", headers={"user-agent": "two"})) == (401, "session-revoked")


@pytest.mark.parametrize("handler", [True, False])
def test_unauthorized_in_the_middle_of_a_view(handler: bool) -> None:
    """Whatever the app would have answered; the view has run, and nothing is promised."""
    app = with_flask_login()
    if handler:
        app.login_manager.unauthorized_handler(lambda: ("own", 418))  # type: ignore[attr-defined]
    app.get("/deep", endpoint="deep")(lambda: app.login_manager.unauthorized())  # type: ignore[attr-defined]
    answer: Any = app.test_client().get("/deep")
    assert (refusal(answer), "demur-processed" in answer.headers) == ((401, "sign-in-required"), False)


def test_a_blueprint_that_flask_login_guards() -> None:
    """By a function before each of its requests; and the switch of Flask-Login for tests still works."""
    for disabled in (False, True):
        app = with_flask_login(LOGIN_DISABLED=disabled, WTF_CSRF_ENABLED=True)
        blueprint = flask.Blueprint("inner", __name__, url_prefix="/inner")
        blueprint.before_request(flask_login.login_required(lambda: None))
        blueprint.post("/x", endpoint="x")(lambda: "never")
        app.register_blueprint(blueprint)
        reason = refusal(app.test_client().post("/inner/x"))[1]
        assert reason == ("cross-site-refused" if disabled else "sign-in-required")


def test_an_app_says_more_of_its_users() -> None:
    """Groups, for marks that ask for them."""
    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY="s", TESTING=True)
    flask_login.LoginManager(app).request_loader(lambda request: User("1") if "key" in request.args else None)
    Demur(app, bridge=FlaskLogin(lambda user: demur.person(user.id, user.username, ["staff"])), login="/login")
    app.get("/staff", endpoint="staff")(demur.require(groups=["staff"])(lambda: "staff"))
    app.get("/admins", endpoint="admins")(demur.require(groups=["admins"])(lambda: "admins"))
    answers = [app.test_client().get(path) for path in ("/staff", "/staff?key=x", "/admins?key=x")]
    assert [each.status_code for each in answers] == [401, 200, 403]
