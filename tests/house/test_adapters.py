"""An adapter knows its own framework and no other, and none of its neighbours but the protocol that it speaks."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ADAPTERS = Path(__file__).parents[2] / "src" / "demur" / "adapters"
SHARED = {"house", "options", "passed", "short", "surface"}
FRAMEWORKS: dict[str, tuple[str, set[str], set[str]]] = {
    # what is imported first; what else may be, where it is used; which other adapters
    "asgi": ("", set(), set()),
    "wsgi": ("", set(), set()),
    "starlette": ("starlette", set(), {"asgi"}),
    "fastapi": ("fastapi", {"starlette", "fastapi_users", "pydantic", "jwt"}, {"asgi", "starlette"}),
    "flask": ("flask", {"flask_login", "flask_wtf", "itsdangerous", "click", "werkzeug"}, {"wsgi"}),
    "quart": ("quart", {"quart_auth", "itsdangerous", "werkzeug", "click"}, {"asgi"}),
    "django": ("django", {"asgiref", "rest_framework", "ninja"}, {"asgi", "wsgi"}),
    "litestar": ("litestar", {"click", "jwt", "msgspec"}, {"asgi"}),
}
# Of these the package alone is nearly empty.
WHOLE = {"starlette": "starlette.applications", "django": "django.http, django.urls, django.views"}
NAMES = sorted({path.stem for path in ADAPTERS.iterdir() if path.stem not in {"__init__", "__pycache__"}})
OWN = [name for name in NAMES if name not in SHARED]


def modules(name: str) -> list[Path]:
    """The files of an adapter."""
    folder = ADAPTERS / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def imported(source: str) -> set[str]:
    """Every module that is imported, wherever the import stands, with the name that is taken out of it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import hides where it leads"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def stray(name: str, source: str) -> set[str]:
    """What an adapter may not import."""
    framework, more, neighbours = FRAMEWORKS[name]
    allowed = {framework, *more, "demur", *sys.stdlib_module_names}
    adapters = {name, *neighbours, *SHARED}
    return {
        each
        for each in imported(source)
        if each.partition(".")[0] not in allowed
        or (each.startswith("demur.adapters.") and each.split(".")[2] not in adapters)
        or each.startswith(("demur.gateway", "demur.cli", "demur.testing"))
    }


def test_every_adapter_is_in_the_table() -> None:
    """A new one says what it may import."""
    assert set(OWN) <= set(FRAMEWORKS)


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_imports_its_own_framework(name: str) -> None:
    """And what they share imports none."""
    asked = "asgi" if name in SHARED else name
    assert {path.name: found for path in modules(name) if (found := stray(asked, path.read_text()))} == {}


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("flask", "import flask, django", {"django"}),
        ("flask", "def f():\n    from quart import g", {"quart.g"}),
        ("starlette", "from demur.adapters.fastapi import Demur", {"demur.adapters.fastapi.Demur"}),
        ("starlette", "from demur.adapters import wsgi", {"demur.adapters.wsgi"}),
        ("wsgi", "from demur.gateway import app\nimport os", {"demur.gateway.app"}),
        ("fastapi", "from demur.adapters.starlette import Demur\nimport fastapi.routing", set()),
    ],
)
def test_the_net_has_no_holes(name: str, source: str, found: set[str]) -> None:
    """The check finds what it is for."""
    assert stray(name, source) == found


@cache
def loaded_by(statement: str) -> frozenset[str]:
    """The packages that a fresh interpreter has after a statement, but for the standard library."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return frozenset(name for name in done.stdout.split() if name not in sys.stdlib_module_names)


@pytest.mark.parametrize("name", OWN)
def test_an_adapter_needs_its_framework_and_nothing_beside_it(name: str) -> None:
    """Importing it brings no package that its framework does not bring: an extension is loaded where it is used."""
    framework = FRAMEWORKS[name][0]
    allowed = loaded_by(f"import {WHOLE.get(framework, framework) or 'sys'}")
    assert loaded_by(f"import demur.adapters.{name}") - allowed == {"demur"}
