"""Hostile paths, made of what programs read differently, the same ones in every run."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from demur.core import paths, rules
from demur.core.model import Access

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMED: list[dict[str, Any]] = [
    {"path": "/", "allow": "anyone"},
    {"path": "/public/**", "allow": "anyone"},
    {"path": "/page/{name}", "allow": "anyone"},
    {"path": "/members/**", "allow": "signed-in"},
    {"path": "/admin/**", "allow": {"groups": ["admins"]}},
    {"path": "/account", "allow": "signed-in"},
    {"path": "/api/{version}/secret", "allow": "signed-in"},
]
TABLES = {"closed": rules.load(NAMED), "open": rules.load([{"path": "/**", "allow": "anyone"}, *NAMED])}
"""What is not named is closed in one, and open in the other."""

STARTS = ["/public/", "/public", "/page/", "/", "/Public/", "/x/", "/x", "/publicity/", "/%70ublic/", "/public/a/"]
RESTRICTED = ["admin", "admin/x", "members", "members/1", "account", "api/1/secret", "Admin", "aDmin/x", "%61dmin"]
BETWEEN = [
    *("", "", ""),
    *("/", "//", "\\", "%2f", "%2F", "%5c", "%5C", "%252f", "%255c", "/%2f", "\\\\", "%25%32%66", "..%c0%af"),
    *("../", "..", "./", ".", "..;/", "..;x/", ";/../", "/..", "%2e%2e/", "%2e%2e%2f", ".%2e/", "..%2f", "..%5c"),
    *("..\\", "%252e%252e/", "%252e%252e%252f", "..%252f", ".../", ".%20/", "..%20/", "..%00/", "%2e%2e;/"),
    *(";", ";x=1", "%3b", ";/", "%3b/", ";a=b;c", "#", "%23", "%3f", "%253f", "%2523", "?", "%00", "%20", "%09", "."),
    *("a", "b/", "a/", "é", "%C3%A9", "%EF%BC%8F", "%EF%BC%8E%EF%BC%8E/", "%E2%80%8B", "+", "@", ":", "::$DATA", "~"),
    *("index.php/", "app.php/", ".json", ".php", ".html", ".css", "%252561", "%25", "%2561", "%c2%ad", "_", "-", ","),
]
TEMPLATES = ["{start}{a}{name}", "{start}{a}{b}{name}", "{start}{a}{name}{b}", "{start}{a}{b}{c}{name}"]
TEMPLATES += ["/{a}{name}{b}", "/{name}{a}"]


def hostile(seed: int) -> Iterator[bytes]:
    """Request targets without end."""
    chance = random.Random(seed)
    seen: set[bytes] = set()
    while True:
        parts = {key: chance.choice(BETWEEN) for key in "abc"}
        parts |= {"start": chance.choice(STARTS), "name": chance.choice(RESTRICTED)}
        path = chance.choice(TEMPLATES).format(**parts).encode()
        if path not in seen:
            seen.add(path)
            yield path


def opened(target: bytes) -> set[str]:
    """In which tables a target is open to everybody, under every reading of its path."""
    path = target.partition(b"?")[0]
    return {name for name, table in TABLES.items() if _open(table, path)}


def _open(table: rules.Rules, path: bytes) -> bool:
    found = paths.judge(table, "GET", path)
    return found is not None and all(match.requirement.access is Access.OPEN for match in found)
