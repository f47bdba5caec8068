"""The apps in Flask: view functions and `MethodView`s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask, Response, abort, g, request
from flask.views import MethodView
from tests.adapters.contract.views import REPORT, Page, Said, act, shown, titled
from tests.adapters.contract.views import golden as golden_page
from tests.adapters.contract.worlds import evidence

from demur.adapters.flask import Demur

if TYPE_CHECKING:
    from flask import Request
    from tests.adapters.contract.worlds import Evidence

METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]


def golden(options: dict[str, Any]) -> Any:
    """The golden club's site."""
    app = Flask("golden", static_folder=None)
    app.url_map.merge_slashes = False
    Demur(app, **options)

    @app.route("/", defaults={"path": ""}, methods=METHODS)
    @app.route("/<path:path>", methods=METHODS)
    def anything(path: str) -> Response:
        fields = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
        return answer(golden_page(f"/{path}", g.demur.subject.name if g.demur.subject else "", fields))

    return app


def pages(options: dict[str, Any] | None) -> Any:
    """The site of the cases; without demur if there are no options."""
    app = Flask("pages", static_folder=None)
    if options is not None:
        Demur(app, **options)
    for page in shown(options):
        app.add_url_rule(page.path, page.name, view(page), methods=[page.method])
    return app


def add(app: Any, page: Page) -> None:
    """Add a page to an app that has started, past the method that forbids it."""
    app.view_functions[page.name] = view(page)
    app.url_map.add(app.url_rule_class(page.path, endpoint=page.name, methods=[page.method]))


def bridge(request: Request) -> Evidence:
    """Who somebody is, by the app's own login."""
    return evidence(request.cookies.get("who"))


def view(page: Page) -> Any:
    """A page as a view."""

    def run() -> Response:
        passed = g.get("demur")
        said = act(page, passed.subject.name if passed and passed.subject else "")
        if page.does == "json":
            said = titled(request.get_data()) or said
        if page.does == "asks":
            passed.require(REPORT)
        if page.does.startswith("own-"):
            abort(int(page.does[4:]))
        return answer(said)

    class View(MethodView):
        def get(self) -> Response:
            return run()

    run.__name__ = page.name
    if page.kind == "function":
        return page.marked(run)
    if page.kind == "class":
        return page.marked(View).as_view(page.name)
    View.get = page.marked(View.get)  # type: ignore[method-assign]
    return View.as_view(page.name)


def answer(said: Said) -> Response:
    """What was said, as a response."""
    body = said.streamed() if len(said.parts) > 1 else said.text
    return Response(body, said.status, dict(said.fields), content_type="text/plain; charset=utf-8")
