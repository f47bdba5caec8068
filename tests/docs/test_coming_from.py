"""The page about what people come from: what it says that others answer is measured, and what it names is there."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import flask
import flask_login  # type: ignore[import-untyped]
import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthenticationBackend, AuthenticationError, requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import demur
from demur.adapters.options import Options

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of httpx in the place of httpx2
    from starlette.testclient import TestClient

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PAGE = (HOW_TO / "coming-from.md").read_text()
CONFIGURATION = (HOW_TO.parent / "reference" / "configuration.md").read_text()
KEYS = set(re.findall(r"`(\w+)`", CONFIGURATION)) | {"groups", "all_groups", "strength"}
SAID = {row[0]: row[1:] for row in re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)}
TO_LOGIN = "302 to the login"
BARE = "401 without a challenge"


def said(answer: Any) -> str:
    """An answer in the words of the page."""
    status = answer.status_code
    if status == 302:
        return TO_LOGIN if "/login" in answer.headers["location"] else "302"
    return BARE if status == 401 and "www-authenticate" not in answer.headers else str(status)


def test_what_flask_login_says() -> None:
    """With a page for the login and without."""
    app = flask.Flask("before", static_folder=None)
    app.secret_key = "for a test"
    manager = flask_login.LoginManager(app)
    manager.user_loader(lambda _: None)

    @app.route("/login", methods=["GET", "POST"])
    @flask_login.login_required
    def login() -> str:
        return str(flask.request.get_json())

    nobody, _, broken = SAID["Flask-Login, `login_required`"]
    client = app.test_client()
    first, _, without = nobody.partition("; ")
    assert without == f"{said(client.get('/login'))} where there is no `login_view`"
    manager.login_view = "login"
    assert first == said(client.get("/login"))
    assert broken == said(client.post("/login", data="{", content_type="application/json"))


def test_what_starlette_says() -> None:
    """To nobody, and to somebody without the scope; and what a backend raises."""

    class Backend(AuthenticationBackend):
        async def authenticate(self, conn: Any) -> Any:
            if "authorization" in conn.headers:
                raise AuthenticationError("bad")

    @requires(["authenticated", "admin"])
    async def view(request: Any) -> PlainTextResponse:
        return PlainTextResponse(str(await request.json()))

    routes = [Route("/", view, methods=["GET", "POST"])]
    client = TestClient(Starlette(routes=routes, middleware=[Middleware(AuthenticationMiddleware, backend=Backend())]))
    nobody, _, broken = SAID["Starlette, `requires`"]
    assert nobody == said(client.get("/"))
    assert broken == said(client.post("/", content=b"{"))
    raised = client.get("/", headers={"authorization": "Bearer x"})
    assert f"`AuthenticationError`, which is {raised.status_code}" in PAGE


DJANGO = """
import django
from django.conf import settings
settings.configure(
    ROOT_URLCONF=__name__, SECRET_KEY="for a test", ALLOWED_HOSTS=["*"], LOGIN_URL="/login",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware"],
)
django.setup()
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import path

def denied(request):
    raise PermissionDenied

def view(request):
    return HttpResponse(request.body)

urlpatterns = [
    path("login_required", login_required(view)),
    path("permission_required", permission_required("auth.x")(view)),
    path("PermissionDenied", denied),
]
call_command("migrate", verbosity=0)
nobody, bo = Client(), Client()
bo.force_login(User.objects.create_user("bo"))
for each in urlpatterns:
    name = str(each.pattern)
    answers = nobody.get(f"/{name}"), bo.get(f"/{name}"), nobody.post(f"/{name}", "{", content_type="application/json")
    print(name, *(f"{answer.status_code}{answer.headers.get('location', '')[:6]}" for answer in answers))
"""
IN_WORDS = {"302/login": TO_LOGIN, "403": "403", "200": "–"}  # noqa: RUF001 - as on the page


def test_what_django_says(tmp_path: Path) -> None:
    """By decorator, and by exception; in a process of its own, since Django has its settings once."""
    script = tmp_path / "before.py"
    script.write_text(DJANGO)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) == 3
    for name, *answers in rows:
        told = [words.partition(",")[0] for words in SAID[f"Django, `{name}`"]]
        assert told == [IN_WORDS[answer] for answer in answers], name


def test_what_is_read_about_others_is_in_their_code() -> None:
    """Every name that the tables have in the first column is one of the package's own."""
    for heading, modules in {
        "Flask-Login": [
            "flask_login.login_manager",
            "flask_login.utils",
            "flask_login.mixins",
            "flask_login.test_client",
        ],
        "Django's auth": [
            *("django.contrib.auth", "django.contrib.auth.decorators", "django.contrib.auth.mixins"),
            *("django.contrib.auth.middleware", "django.conf.global_settings", "django.core.exceptions"),
            *("django.test.client", "django.middleware.csrf", "rest_framework.authentication"),
        ],
        "Starlette": ["starlette.authentication", "starlette.middleware.sessions", "starlette.requests"],
    }.items():
        source = "".join(source_of(name) for name in modules)
        for name in theirs(heading):
            assert re.search(rf"\b{name}\b", source), f"{heading}: {name}"


def source_of(module: str) -> str:
    """Its text; nothing of Django's can be imported without settings."""
    found = find_spec(module)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).read_text()


def theirs(heading: str) -> list[str]:
    """The names in the first column of a section's table."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)[2:]
    spans = [span for cell in cells for span in re.findall(r"`@?([^`]+)`", cell)]
    return [name for span in spans if len(name := re.split(r"[(.=]", span)[-1 if "(" not in span else 0]) > 2]


def test_what_is_named_of_demur_is_there() -> None:
    """Names after `demur.`, keywords that are options, and keys of a configuration."""
    for name in set(re.findall(r"\bdemur\.(?!toml|adapters|testing|subject)(\w+)", PAGE)):
        assert name in demur.__all__, name
    for name in set(re.findall(r"`\"?(demur\.adapters[\w.]*)\"?`", PAGE)):
        module, _, last = name.rpartition(".")
        known = module != "demur.adapters" and re.search(rf"\b{last}\b", source_of(module))
        assert known or find_spec(name) is not None, name
    python, _, gateway = PAGE.partition("\n## Authelia\n")
    for option in set(re.findall(r"`(bridge|login|cookie|accepts|permissions|limits|store)=", python)):
        assert option in Options.__annotations__
    ours = "".join(re.findall(r"^\|[^|]+\|([^|]+)\|", gateway, re.MULTILINE))
    for key in re.findall(r"`(\w+)(?: = [^`]*)?`", ours):
        assert key in KEYS, key


@pytest.mark.parametrize("heading", ["Flask-Login", "Django's auth", "Starlette"])
def test_the_net_has_no_holes(heading: str) -> None:
    """The tables are found."""
    assert len(theirs(heading)) > 5
