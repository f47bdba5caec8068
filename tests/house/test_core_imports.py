"""The core stays pure: what it may import is a list, and what it may call has no clock in it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "src" / "demur" / "core"

# What may be imported from the standard library. No asyncio, time, secrets, random, socket, os: a decision
# depends on what it is given and on nothing else.
ALLOWED = frozenset(
    {
        "__future__",
        "base64",
        "binascii",
        "bisect",
        "collections",
        "collections.abc",
        "dataclasses",
        "difflib",
        "email.utils",
        "enum",
        "functools",
        "hashlib",
        "hmac",
        "html",
        "importlib.resources",
        "ipaddress",
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "string",
        "struct",
        "tomllib",
        "types",
        "typing",
        "unicodedata",
        "urllib.parse",
        "uuid",
    }
)
# `datetime` writes dates; what asks it for the present time is found below.
ALLOWED_WITH_CARE = frozenset({"datetime"})
READS_THE_WORLD = frozenset(
    {"now", "utcnow", "today", "uuid1", "uuid4", "uuid6", "uuid7", "open", "print", "input", "exec", "eval"}
)

MODULES = sorted(path.relative_to(CORE).as_posix() for path in CORE.rglob("*.py"))


def imported(tree: ast.AST) -> set[str]:
    """Every module that is imported, wherever the import stands."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


def called(tree: ast.AST) -> set[str]:
    """The last name of everything that is called: `now` for `datetime.now()`."""
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        function.attr if isinstance(function, ast.Attribute) else function.id
        for function in functions
        if isinstance(function, ast.Attribute | ast.Name)
    }


def stray(source: str) -> set[str]:
    """What a module of the core must not import or call."""
    tree = ast.parse(source)
    imports = {
        name
        for name in imported(tree)
        if name not in ALLOWED | ALLOWED_WITH_CARE and name != "demur.core" and not name.startswith("demur.core.")
    }
    return imports | (called(tree) & READS_THE_WORLD)


def test_the_core_is_found() -> None:
    """The list of modules is not empty by mistake."""
    assert {"model.py", "reasons.py", "ports.py"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_what_is_allowed(module: str) -> None:
    """A module of the core imports the core and the pure part of the standard library."""
    assert stray((CORE / module).read_text()) == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time", {"time"}),
        ("from os import environ", {"os"}),
        ("def f():\n    import asyncio", {"asyncio"}),
        ("from demur.stores import memory", {"demur.stores"}),
        ("from . import page", {"."}),  # relative imports hide where they lead
        ("from datetime import datetime\ndatetime.now()", {"now"}),
        ("import uuid\nuuid.uuid4()", {"uuid4"}),
        ("from demur.core import model\nimport re", set()),
    ],
)
def test_the_net_has_no_holes(source: str, found: set[str]) -> None:
    """The check finds what it is for."""
    assert stray(source) == found
