"""On which line of a TOML document each key and each value stands.

`tomllib` gives values without places. This reads the same text a second time, for places only, and relies
on `tomllib` having accepted it: of a document that is not TOML it says nothing useful.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Path: TypeAlias = tuple[str | int, ...]

# Strings come first, the long ones before the short ones, so that nothing inside of them counts.
_TOKEN = re.compile(
    r"""
    (?P<text>   \"\"\"(?:\\.|[^\\])*?\"{3,5} | '''.*?'{3,5} | "(?:\\.|[^"\\])*" | '[^']*')
  | (?P<mark>   [\[\]{},=.\n])
  | (?P<skip>   [ \t\r]+ | \#[^\n]*)
  | (?P<bare>   [^\[\]{},=.\s"'#]+)
    """,
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


class Lines:
    """The places in one document. `of(path)` gives the line (from 1) of the key at that path, or, where that is
    not in the document, of what is nearest around it."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        self._tokens = list(_tokens(text))
        self._at = 0
        self._document()

    def of(self, path: Path) -> int:
        """The line of the key at `path`; a number in it counts the elements of a list from 0."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._lines:
                return self._lines[path[:end]]
        return 1

    def _document(self) -> None:
        table: Path = ()
        while self._at < len(self._tokens):
            if self._text() == "\n":
                self._at += 1
            elif self._text() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _text(self) -> str:
        token = self._tokens[self._at] if self._at < len(self._tokens) else None
        return "\n" if token is None else "" if token.kind == "text" else token.text

    def _header(self) -> Path:
        line = self._tokens[self._at].line
        self._at += 1
        many = self._text() == "["
        self._at += many
        path: Path = ()
        *parents, last = self._key()
        for part in parents:
            path = self._inside((*path, part))
        path = (*path, last)
        self._at += 1 + many
        self._lines.setdefault(path, line)
        if many:
            path = (*path, self._count(path))
            self._lines[path] = line
        return path

    def _inside(self, path: Path) -> Path:
        # "[site.cors]" after "[[site]]" belongs to the last site.
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _count(self, path: Path) -> int:
        self._counts[path] = self._counts.get(path, 0) + 1
        return self._counts[path] - 1

    def _key(self) -> list[str]:
        parts = []
        while True:
            token = self._tokens[self._at]
            parts.append(_plain(token))
            self._at += 1
            if self._text() != ".":
                return parts
            self._at += 1

    def _pair(self, table: Path) -> None:
        line = self._tokens[self._at].line
        path = table
        for part in self._key():
            path = (*path, part)
            self._lines.setdefault(path, line)
        self._at += 1
        self._value(path)

    def _value(self, path: Path) -> None:
        opening = self._text()
        if opening not in {"[", "{"}:
            # a number or a date may hold dots, a date a blank: all up to what ends a value
            while self._text() not in {",", "]", "}", "\n"}:
                self._at += 1
            return
        closing = {"[": "]", "{": "}"}[opening]
        self._at += 1
        index = 0
        while (mark := self._text()) != closing:
            if mark in {",", "\n"}:
                self._at += 1
            elif opening == "{":
                self._pair(path)
            else:
                self._lines[(*path, index)] = self._tokens[self._at].line
                self._value((*path, index))
                index += 1
        self._at += 1


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind != "skip":
            yield _Token(kind, match.group(), line)
        line += match.group().count("\n")


def _plain(token: _Token) -> str:
    if token.kind != "text":
        return token.text
    return str(tomllib.loads(f"key = {token.text}")["key"])
