"""The project in examples/django, with Django's login and with demur's sessions, in processes of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).parents[3] / "examples" / "django"
ASK = """
import json, sys
import django
django.setup()
from django.test import Client
from django.test.utils import setup_test_environment
setup_test_environment()
here = {"HTTP_HOST": "localhost:8000", "HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_ACCEPT": "application/json"}
client, said = Client(**here), []
for method, path, sent in json.loads(sys.argv[1]):
    if path == "django's login":
        client.login(username=sent["username"], password=sent["password"])
        continue
    answer = client.generic(method, path, json.dumps(sent or {}), content_type="application/json")
    kind = answer.headers.get("Content-Type", "")
    said.append([answer.status_code, answer.json()["reason"] if "problem" in kind else answer.content.decode()])
print(json.dumps(said))
"""
PASSWORD = "correct horse"


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., str]:
    """A copy of it, with its people; runs what is asked with either settings."""
    home = tmp_path / "django"
    shutil.copytree(EXAMPLE, home, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3", "*.db", "keys"))

    def run(settings: str, *command: str) -> str:
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": settings, "PYTHONPATH": str(home)}
        done = subprocess.run([sys.executable, *command], cwd=home, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("club.settings", "manage.py", "migrate", "--verbosity=0")
    run("club.settings", "manage.py", "people")
    return run


@pytest.mark.parametrize("settings", ["club.settings", "club.kept"])
def test_nothing_is_wrong(project: Callable[..., str], settings: str) -> None:
    """Somebody says of every view who may open it."""
    project(settings, "manage.py", "check", "--fail-level", "WARNING")
    project(settings, "manage.py", "demur_routes", "--closed")
    listed = project(settings, "manage.py", "demur_routes")
    assert "mark: signed in" not in listed
    assert "login_required, or the like" in listed
    assert "minutes:write" in listed


@pytest.mark.parametrize("settings", ["club.settings", "club.kept"])
def test_who_may_what(project: Callable[..., str], settings: str) -> None:
    """Nobody, bo, who is in the club, and anna, who is on its board."""

    def sign_in(name: str) -> list[list[object]]:
        sent = {"username": name, "password": PASSWORD}
        return [["POST", "/.demur/sign-in" if settings == "club.kept" else "django's login", sent]]

    pages = [["GET", path, None] for path in ("/", "/plans/", "/books/", "/board/", "/board/vote/", "/minutes/")]
    pages += [["POST", "/minutes/", None]]
    said = json.loads(project(settings, "-c", ASK, json.dumps([*pages, *sign_in("bo"), *pages])))
    nobody, bo = said[: len(pages)], said[-len(pages) :]
    assert nobody == [[200, "Hello stranger.\n"], *[[401, "sign-in-required"]] * 6]
    assert bo == [
        [200, "Hello bo.\n"],
        [200, "bo plans 40 beans.\n"],
        *[[403, "not-permitted"]] * 3,
        [200, "We met, and we ate beans.\n"],
        [403, "not-permitted"],
    ]
    said = json.loads(project(settings, "-c", ASK, json.dumps([*sign_in("anna"), *pages])))
    assert [status for status, _ in said[-len(pages) :]] == [200, 200, 200, 200, 200, 200, 201]
