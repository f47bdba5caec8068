"""The list of hostile and of odd but honest requests: what each one is, and its bytes.

A file `NN-name.json` holds one class. A case says what is sent, who asks, and which answers are right; CONTRIBUTING.md
says how to add one. In a request, `{name}` stands for what is known only when a gateway runs (`Surface.known`),
`{ab*9}` for nine times "ab", and everything else is sent as it stands, a byte for a character (ISO 8859-1).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.hostile.figures import FOLDER, HONEST, KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CLOSED: Final = 0
"""In place of a status: the connection was closed without an answer."""

__all__ = ["ASKERS", "CASES", "CLOSED", "HONEST", "KINDS", "Case", "fill", "of"]

ASKERS: Final = ("anonymous", "member", "admin", "idle", "revoked", "unknown")
"""Who asks. The last three have no live session: one that lapsed, one that was ended, one that never was."""

_KEYS: Final = frozenset(
    {"id", "source", "note", "as", "request", "end", "methods", "status", "then", "reached", "foreign"}
)
_PLACE = re.compile(r"\{(?:([a-z_]+)|([^{}]+?)\*([0-9]+))\}")


@dataclass(frozen=True, slots=True)
class Case:
    """One request. `status` are the right ones for the first answer, and `then` those for the answers after it;
    `reached` says whether the site has to see it (None: that does not matter). `lines` is the request before it is
    filled in, `end` what comes after it: "next", a last request on the same connection, or "nothing". `foreign` is a
    request of another version, to which there may be an answer of that version."""

    id: str
    kind: str
    source: str
    note: str
    who: str
    text: str
    end: str
    methods: tuple[str, ...]
    status: tuple[int, ...]
    then: tuple[tuple[int, ...], ...]
    reached: bool | None
    foreign: bool

    @property
    def honest(self) -> bool:
        """Whether this has to be allowed."""
        return self.kind == HONEST

    def bytes(self, known: Mapping[str, str]) -> bytes:
        """What is sent."""
        return fill(self.text, known).encode("latin-1")


def fill(text: str, known: Mapping[str, str]) -> str:
    """A text with what is known put in place. Raises KeyError for a name that is not."""

    def value(found: re.Match[str]) -> str:
        name, piece, times = found.groups()
        return piece * int(times) if name is None else known[name]

    return _PLACE.sub(value, text)


def _text(request: str | list[str]) -> str:
    """A list is the lines of a head; a text is everything."""
    return request if isinstance(request, str) else "\r\n".join([*request, "", ""])


def _case(kind: str, said: Mapping[str, Any]) -> Case:
    if strange := set(said) - _KEYS:
        raise ValueError(f"{said.get('id')}: unknown {', '.join(sorted(strange))}")
    text = _text(said["request"])
    first = re.match(r"[\r\n]*([^ \t\r\n]*)", text)
    return Case(
        said["id"],
        kind,
        said["source"],
        said["note"],
        said.get("as", "anonymous"),
        text,
        said.get("end", "next"),
        tuple(said.get("methods", [first[1] if first else ""])),
        tuple(said["status"]),
        tuple(tuple(each) for each in said.get("then", ())),
        said.get("reached"),
        said.get("foreign", False),
    )


def _read() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("[0-9][0-9]-*.json")):
        listed = json.loads(path.read_text("utf-8"))
        for said in listed["cases"]:
            yield _case(listed["class"], said)


CASES: Final = tuple(_read())


def of(kind: str) -> list[Case]:
    """The cases of a class."""
    return [case for case in CASES if case.kind == kind]
