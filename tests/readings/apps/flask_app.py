"""Flask under Werkzeug's server: which view it takes, and what it calls the path."""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

from flask import Flask, Response, request
from werkzeug.serving import WSGIRequestHandler, run_simple

app = Flask(__name__, static_folder=None)


def answer(name: str) -> Response:
    given = [request.path, request.environ["PATH_INFO"].encode("latin-1").decode(), urlsplit(request.url).path]
    return Response("\n".join([name, *given]), content_type="text/plain")


@app.route("/")
def root() -> Response:
    return answer("root")


@app.route("/page/<name>")
def page(name: str) -> Response:
    return answer("page")


@app.route("/account")
def account() -> Response:
    return answer("account")


@app.route("/api/<version>/secret")
def secret(version: str) -> Response:
    return answer("secret")


@app.route("/public")
@app.route("/public/")
@app.route("/public/<path:rest>")
def public(rest: str = "") -> Response:
    return answer("public")


@app.route("/admin")
@app.route("/admin/")
@app.route("/admin/<path:rest>")
def admin(rest: str = "") -> Response:
    return answer("admin")


@app.route("/members")
@app.route("/members/")
@app.route("/members/<path:rest>")
def members(rest: str = "") -> Response:
    return answer("members")


@app.errorhandler(404)
def anything(_: Exception) -> Response:
    return answer("any")


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - Werkzeug's name
        pass


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True, request_handler=Quiet)
