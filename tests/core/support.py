"""What the tests of the core are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demur.core import rules, sessions
from demur.core.model import Key, KeyRing, Live, Request, Session, Subject
from demur.core.site import Cors, Site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOW = 1_800_000_000

TABLE: list[dict[str, Any]] = [
    {"path": "/", "allow": "anyone"},
    {"path": "/public/**", "allow": "anyone"},
    {"path": "/who", "allow": "anyone", "identify": True},
    {"path": "/members/**", "allow": "signed-in"},
    {"path": "/poll", "allow": "signed-in", "keeps_alive": False},
    {"path": "/staff/**", "allow": {"groups": ["staff", "admins"]}},
    {"path": "/board/**", "allow": {"all_groups": ["staff", "board"]}},
    {"path": "/reports/**", "allow": {"permission": "report:read"}},
    {"path": "/admin/**", "allow": {"groups": ["admins"], "fresh": "15m"}},
    {"path": "/inner/vault/**", "allow": {"groups": ["admins"]}, "conceal": True},
    {"path": "/inner/**", "allow": "signed-in"},
    {"path": "/open/vault/**", "allow": {"groups": ["admins"], "fresh": "15m"}, "conceal": True},
    {"path": "/open/**", "allow": "anyone"},
    {"path": "/api/fixed", "allow": "signed-in", "form": "api"},
    {"path": "/page/fixed", "allow": "signed-in", "form": "page"},
]


def make_site(table: Sequence[Mapping[str, Any]] = TABLE, **more: Any) -> Site:
    """A site with the usual rules."""
    loaded = rules.load(table, {"report:read": ["readers"]})
    return Site(**{"origin": "https://app.example.com", "name": "Sample", "rules": loaded, **more})


def make_request(method: str = "GET", target: str = "/", **fields: str) -> Request:
    """A request; `sec_fetch_mode="cors"` becomes a field."""
    lines = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in fields.items())
    return Request(method, target.encode(), "https", "app.example.com", "192.0.2.7", lines)


def make_live(*, groups: Sequence[str] = (), age: int = 60, quiet: int = 0, idle: int = 3600, **more: Any) -> Live:
    """A session that began `age` seconds ago and was last used `quiet` seconds ago."""
    subject = Subject("0192-bo", "bo", frozenset(groups), **more)
    session = Session(b"s" * 32, subject.id, NOW - age, NOW - age, NOW - quiet, NOW - age + 86400, idle)
    return Live(session, subject)


SITE = make_site(cors=Cors(frozenset(("https://partner.example",)), ("GET", "PUT"), ("content-type",)))
"""The usual site."""

RING = KeyRing((Key(2, b"n" * 32), Key(1, b"o" * 32)))
"""A ring of two keys."""

TOKEN = sessions.mint(b"r" * 32, RING.current)
"""A token of the newest key."""
