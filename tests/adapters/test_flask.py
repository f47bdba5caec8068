"""The Flask extension: what is asked beside a view, and where."""

from __future__ import annotations

import functools
import gc
import weakref
from typing import TYPE_CHECKING, Any

import flask
import pytest
from flask.views import MethodView, View

import demur
from demur.adapters.flask import Demur, in_session
from demur.core.model import ConfigError, Refused
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PEOPLE = {1: ("anna", ["staff", "admins"]), 2: ("bo", [])}


def load(who: int) -> Any:
    """The app's own table of people."""
    return demur.person(who, *PEOPLE[who]) if who in PEOPLE else None


def make(**options: Any) -> flask.Flask:
    """An app with a login of its own, before anything is said beside its views."""
    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY="s", TESTING=True)
    Demur(app, **{"bridge": in_session(load), "login": "/login?next={next}", **options})

    @app.route("/as/<int:who>", methods=["POST"])
    @demur.public
    def sign_in(who: int) -> str:
        flask.session["user_id"] = who
        return "in"

    return app


def ask(app: flask.Flask, path: str, who: int | None = None, method: str = "GET", **more: Any) -> Any:
    """Ask as somebody."""
    client = app.test_client()
    if who is not None:
        assert client.post(f"/as/{who}").status_code == 200
    return client.open(path, method=method, **more)


def reason(answer: Any) -> str:
    """Why something was refused; "" if it was not."""
    found: str = answer.json["reason"] if answer.content_type == "application/problem+json" else ""
    return found


MARKED: Any = {"rules": [{"path": "/**", "allow": "marked"}, {"path": "/static/**", "allow": "anyone"}]}


def test_marks_are_judged_before_the_view_and_its_content() -> None:
    """Nobody is told what is wrong with what they sent before they are told to sign in."""
    app, seen = make(**MARKED), []

    @app.post("/plans")
    @demur.require(groups=["staff"])
    def plans() -> str:
        seen.append(flask.request.get_json())
        return "done"

    broken: Any = {"method": "POST", "data": "{", "content_type": "application/json"}
    answer = ask(app, "/plans", **broken)
    assert (answer.status_code, reason(answer)) == (401, "sign-in-required")
    assert answer.headers["demur-processed"] == "?0"
    assert (ask(app, "/plans", 2, **broken).status_code, ask(app, "/plans", 1, **broken).status_code) == (403, 400)
    assert ask(app, "/plans", 1, "POST", json={"a": 1}).text == "done"
    assert seen == [{"a": 1}]


def test_what_nobody_marked_is_closed() -> None:
    """And the app does not serve until somebody says who may open it."""
    app = make(**MARKED)

    @app.get("/forgotten/<name>")
    def forgotten(name: str) -> str:
        raise AssertionError

    with pytest.raises(ConfigError, match="GET /forgotten/<name>"):
        ask(app, "/forgotten/x", 1)


@pytest.mark.parametrize("outside", [True, False])
def test_no_order_of_decorators_opens_a_view(outside: bool) -> None:
    """A mark is found below other decorators; where one of these hides it, the view is closed."""
    app = make(**MARKED)

    def kind(view: Callable[[], str]) -> Callable[[], str]:
        return functools.wraps(view)(lambda: view())

    def rude(view: Callable[[], str]) -> Callable[[], str]:
        def hidden() -> str:
            return view()

        return hidden

    def view() -> str:
        return "seen"

    mark = demur.require(groups=["staff"])
    app.get("/kind", endpoint="kind")(mark(kind(view)) if outside else kind(mark(view)))
    assert [ask(app, "/kind", who).status_code for who in (None, 2, 1)] == [401, 403, 200]
    if not outside:
        other = make(**MARKED)
        other.get("/rude", endpoint="rude")(rude(mark(view)))
        with pytest.raises(ConfigError, match="/rude"):
            ask(other, "/rude", 1)


class Page(View):
    """A view that is a class."""

    def dispatch_request(self) -> str:
        return "seen"


class Thing(MethodView):
    """One with a method each."""

    @demur.require()
    def get(self) -> str:
        return "got"

    @demur.require(groups=["admins"])
    def delete(self) -> str:
        return "gone"

    @demur.public
    def options(self) -> str:
        return "open"


def test_views_that_are_classes() -> None:
    """The mark of a class counts, and in a method view that of the method; HEAD is asked what GET is asked."""
    app = make(**MARKED)
    marked: Any = demur.require(groups=["admins"])(type("Marked", (Page,), {}))
    app.add_url_rule("/page", view_func=marked.as_view("page"))
    app.add_url_rule("/thing", view_func=Thing.as_view("thing"))
    assert [ask(app, "/page", who).status_code for who in (None, 2, 1)] == [401, 403, 200]
    found = {
        method: [ask(app, "/thing", who, method).status_code for who in (None, 2, 1)]
        for method in ("GET", "HEAD", "DELETE", "OPTIONS", "PUT")
    }
    assert found == {
        "GET": [401, 200, 200],
        "HEAD": [401, 200, 200],
        "DELETE": [401, 403, 200],
        "OPTIONS": [200, 200, 200],
        "PUT": [405, 405, 405],
    }


def test_a_mark_or_a_rule_for_a_whole_blueprint() -> None:
    """Both hold for what is nested in it, and its views may ask for more."""
    rules = [{"path": "/**", "allow": "marked"}, {"path": "/ruled/**", "allow": {"groups": ["staff"]}}]
    app = make(rules=[*rules, {"path": "/static/**", "allow": "anyone"}])
    marked = demur.require(groups=["staff"])(flask.Blueprint("marked", __name__, url_prefix="/marked"))
    inner = flask.Blueprint("inner", __name__, url_prefix="/inner")
    ruled = flask.Blueprint("ruled", __name__, url_prefix="/ruled")
    for blueprint in (marked, inner):
        blueprint.get("/x")(lambda: "seen")
        blueprint.get("/more", endpoint="more")(demur.require(strength="mfa")(lambda: "seen"))
    ruled.get("/x")(demur.require()(lambda: "seen"))
    marked.register_blueprint(inner)
    app.register_blueprint(marked)
    app.register_blueprint(ruled)
    for path in ("/marked/x", "/marked/inner/x", "/ruled/x"):
        assert [ask(app, path, who).status_code for who in (None, 2, 1)] == [401, 403, 200], path
    assert reason(ask(app, "/marked/inner/more", 1)) == "step-up-required"
    assert reason(ask(app, "/marked/inner/more", 2)) == "not-permitted"


def test_the_routing_is_flasks_own() -> None:
    """What is not there, takes other methods or lacks a slash is answered by Flask, error handlers included."""
    app = make(**MARKED)
    app.get("/folder/", endpoint="folder")(demur.require()(lambda: "seen"))
    app.register_error_handler(404, lambda error: ("own page", 404))
    assert ask(app, "/nowhere").text == "own page"
    assert ask(app, "/folder").status_code == 308
    assert ask(app, "/folder/", method="PUT").status_code == 405
    assert ask(app, "/folder/", method="OPTIONS").status_code == 401


def test_an_error_page_that_says_ok_is_closed() -> None:
    """A catch-all that no rule opens is a page like any other."""
    app = make(**MARKED)
    app.register_error_handler(404, lambda error: "the whole app")
    assert [ask(app, "/nowhere", who).status_code for who in (None, 1)] == [401, 403]


def test_a_view_knows_who_it_is() -> None:
    """At `g.demur`, and it may ask for more there."""
    app = make()

    @app.get("/who")
    @demur.identified
    def who() -> str:
        return flask.g.demur.subject.name if flask.g.demur.subject else "nobody"

    @app.get("/deep")
    @demur.public
    def deep() -> str:
        return str(flask.g.demur.require(groups=["staff"]).name)

    assert [ask(app, "/who", who).text for who in (None, 1, 2)] == ["nobody", "anna", "bo"]
    assert ask(app, "/deep", 1).text == "anna"
    answer = ask(app, "/deep", 2)
    assert (answer.status_code, reason(answer)) == (403, "not-permitted")
    assert "demur-processed" not in answer.headers


@pytest.mark.parametrize("handled", [True, False])
def test_refused_is_answered(handled: bool) -> None:
    """Whatever else the app handles; a handler of its own for `Refused` has the last word on nothing."""
    app = make()
    if handled:
        app.register_error_handler(Exception, lambda error: ("own", 500))

    @app.get("/deep")
    def deep() -> str:
        raise Refused(Reason.ACCESS_PENDING, "The committee meets on Monday.")

    answer = ask(app, "/deep", 1)
    assert (answer.status_code, reason(answer)) == (403, "access-pending")
    assert answer.json["detail"] == "The committee meets on Monday."


def test_what_the_app_refuses_in_its_own_way() -> None:
    """A bare 401, a 403 to nobody, a way to the login; with the app's own error pages too."""
    app = make()
    app.register_error_handler(403, lambda error: ("own page", 403))
    app.get("/401", endpoint="401")(lambda: flask.abort(401))
    app.get("/403", endpoint="403")(lambda: flask.abort(403))
    app.get("/302", endpoint="302")(lambda: flask.redirect("/login"))
    app.get("/login", endpoint="login")(lambda: "login")
    for path in ("/401", "/403", "/302"):
        answer = ask(app, path)
        assert (answer.status_code, reason(answer)) == (401, "sign-in-required"), path
        assert answer.headers["www-authenticate"].startswith("Cookie ")
        assert "demur-processed" not in answer.headers
    assert [reason(ask(app, path, 2)) for path in ("/401", "/403", "/302")] == ["not-permitted", "not-permitted", ""]


def test_signing_out_and_registering_lead_to_the_login() -> None:
    """That refuses nothing, and the cookie that goes with it arrives."""
    app = make()

    @app.get("/sign-out")
    def sign_out() -> Any:
        flask.session.clear()
        return flask.redirect("/login")

    app.post("/register", endpoint="register")(lambda: flask.redirect("/login"))
    answer = ask(app, "/sign-out", 1)
    assert (answer.status_code, "set-cookie" in answer.headers) == (302, True)
    assert ask(app, "/register", method="POST").status_code == 302


def test_static_files_ask_nobody(tmp_path: Path) -> None:
    """They are the same for everybody, and caches may keep them."""
    asked: list[str] = []

    def bridge(request: flask.Request) -> Any:
        asked.append(request.path)
        return load(flask.session.get("user_id", 0)) or demur.nobody

    app = make(bridge=bridge)
    (tmp_path / "a.css").write_text("a")
    app.static_folder = str(tmp_path)
    answer = ask(app, "/static/a.css", 1)
    assert (answer.text, asked, "vary" in answer.headers) == ("a", [], False)
    assert (answer.headers["cache-control"], "server-timing" in answer.headers) == ("no-cache", False)
    answer.close()


def test_options_come_from_the_configuration_too() -> None:
    """The last word counts: `init_app`, then the extension, then `app.config["DEMUR"]`."""
    app = flask.Flask(__name__)
    app.config["DEMUR"] = {"bridge": lambda _: demur.nobody, "name": "one", "login": "/a"}
    extension = Demur(name="two", login="/b")
    extension.init_app(app, login="/c")
    site = app.extensions["demur"].site
    assert (site.name, site.login) == ("two", "/c")
    other = flask.Flask("other")
    extension.init_app(other, bridge=lambda _: demur.unknown)
    assert other.extensions["demur"].site.login == "/b"


def test_an_unknown_option_is_an_error() -> None:
    """With the nearest known one."""
    with pytest.raises(ConfigError, match="'bridge'"):
        Demur(flask.Flask(__name__), bridg=print)  # type: ignore[call-arg]


def test_nothing_comes_past() -> None:
    """An app whose `wsgi_app` was replaced does not serve."""
    app = make()
    app.wsgi_app = flask.Flask.wsgi_app.__get__(app)  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="came past demur"):
        ask(app, "/")


def test_the_routes_are_listed() -> None:
    """Each with what it asks for; the command fails where one says nothing."""
    app = make(**MARKED)
    app.add_url_rule("/thing/<int:id>", view_func=Thing.as_view("thing"))
    told = app.test_cli_runner().invoke(args=["demur", "routes"])
    assert told.output.splitlines() == [
        "POST /as/<int:who>  anyone",
        "GET /static/<path:filename>  rule /static/**",
        "DELETE /thing/<int:id>  groups admins",
        "GET /thing/<int:id>  signed in",
    ]
    assert told.exit_code == 0
    app.get("/forgotten", endpoint="forgotten")(lambda: "")
    told = app.test_cli_runner().invoke(args=["demur", "routes"])
    assert (told.exit_code, "Nobody says who may open GET /forgotten." in told.output) == (1, True)


def test_with_demurs_own_sessions(tmp_path: Path) -> None:
    """A session of demur's is a person for the same marks, and the sign-in is a page of ours."""
    app = flask.Flask(__name__)
    Demur(app, origin="http://localhost", store="memory:", keys=str(tmp_path / "keys"), **MARKED)
    app.get("/plans", endpoint="plans")(demur.require()(lambda: flask.g.demur.subject.name))
    client = app.test_client()
    assert reason(client.get("/plans")) == "sign-in-required"
    assert client.get("/.demur/client.js").status_code == 200
    from demur.testing import forget, signed_in  # noqa: PLC0415

    try:
        assert signed_in(client, "anna").get("/plans").text == "anna"
    finally:
        forget()


def test_a_request_is_gone_when_it_is_answered(tmp_path: Path) -> None:
    """And not only when the collector comes by, which would stop every thread for it."""
    app = make_with_sessions(tmp_path)
    kept: list[Any] = []

    @app.get("/")
    @demur.identified
    def whoever() -> str:
        kept.append(weakref.ref(flask.request._get_current_object()))  # type: ignore[attr-defined]
        return "x"

    gc.collect()
    gc.disable()
    try:
        for _ in range(4):
            assert app.test_client().get("/", base_url="https://localhost").status_code == 200
    finally:
        gc.enable()
    assert [each() for each in kept[2:]] == [None, None]


def make_with_sessions(tmp_path: Path) -> flask.Flask:
    """An app with demur's own sessions."""
    app = flask.Flask(__name__, static_folder=None)
    given: Any = {"origin": "https://localhost", "store": f"sqlite:{tmp_path / 'sessions.db'}"}
    Demur(app, **given, keys=str(tmp_path / "keys"), rules=[{"path": "/**", "allow": "marked"}])
    return app
