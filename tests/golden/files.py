"""Reading `*.http` files, and comparing an answer with one of them. The format is in README.md beside this."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TypeAlias

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.http"))

Pairs: TypeAlias = list[tuple[str, str]]

# What belongs to the server and the connection, not to the answer.
_NOT_OURS = frozenset(("date", "server", "content-length", "connection", "keep-alive", "transfer-encoding", "via"))
# Fields whose members may come in any order.
_SETS = frozenset(("vary", "access-control-expose-headers", "access-control-allow-methods"))

_FORMS = {
    "{uuid}": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "{date}": r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z",
    "{number}": r"[0-9]+",
    "{token}": r"[A-Za-z0-9_-]{56}",
    "{key}": r"[A-Za-z0-9_-]{43}",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from a surface. Names of fields in lower case."""

    status: int
    fields: Pairs
    body: bytes


@dataclass(frozen=True, slots=True)
class Tokens:
    """What was given to a case: the token of its session, and an API token. "" where there is none."""

    session: str = ""
    api: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One file."""

    name: str
    given: dict[str, str]
    method: str
    target: str
    request: Pairs
    sent: bytes
    status: int
    fields: Pairs
    body: str

    def fill(self, given: Tokens) -> Pairs:
        """The request's fields, with the tokens that were given."""
        return [
            (name, value.replace("{session}", given.session).replace("{api-token}", given.api))
            for name, value in self.request
        ]


def read(path: Path) -> Case:
    """One case out of its file."""
    lines = path.read_text().splitlines()
    given: dict[str, str] = {}
    while lines[0].startswith("#"):
        line = lines.pop(0)
        if line.startswith("# Given:"):
            given = dict(part.strip().split("=") for part in line.removeprefix("# Given:").split(","))
    asked, answered = _split(lines)
    method, target, _ = asked[0].split(" ")
    request, sent = _message(asked[1:])
    fields, body = _message(answered[1:])
    status = int(answered[0].split(" ")[1])
    return Case(path.stem, given, method, target, request, sent.encode(), status, fields, body)


def _split(lines: list[str]) -> tuple[list[str], list[str]]:
    at = next(number for number, line in enumerate(lines) if line.startswith("HTTP/1.1 "))
    return lines[: at - 1], lines[at:]


def _message(lines: list[str]) -> tuple[Pairs, str]:
    at = lines.index("") if "" in lines else len(lines)
    fields = [line.split(": ", 1) for line in lines[:at]]
    return [(name.lower(), value) for name, value in fields], "\n".join(lines[at + 1 :])


# --- comparing ------------------------------------------------------------------------------------


def pattern(text: str) -> re.Pattern[str]:
    """What a text with placeholders stands for."""
    parts = re.split(r"(\{(?:uuid|date|number|token|key)\})", text)
    return re.compile("".join(_FORMS.get(part, re.escape(part)) for part in parts))


def differences(case: Case, answer: Answer, policy: str) -> list[str]:
    """Everything in which an answer is not what the file says."""
    found = []
    if answer.status != case.status:
        found.append(f"status {answer.status}, not {case.status}")
    found += _fields(case.fields, answer.fields, policy)
    if case.method == "HEAD":
        return [*found, *(["a body in answer to HEAD"] if answer.body else [])]
    return found + _body(case, answer)


def _fields(expected: Pairs, got: Pairs, policy: str) -> list[str]:
    framed = policy.replace("frame-ancestors 'none'", "frame-ancestors 'self'")
    left = [(name, value) for name, value in got if name not in _NOT_OURS]
    found = []
    for name, value in expected:
        wanted = pattern(_sorted(name, value.replace("{policy}", policy).replace("{framed}", framed)))
        match = next((line for line in left if line[0] == name and wanted.fullmatch(_sorted(*line))), None)
        if match is None:
            others = [line for line in left if line[0] == name]
            found.append(f"missing {name}: {value} (there is {others})")
        else:
            left.remove(match)
    return found + [f"not expected: {name}: {value}" for name, value in left]


def _sorted(name: str, value: str) -> str:
    return ", ".join(sorted(part.strip().lower() for part in value.split(","))) if name in _SETS else value


def _body(case: Case, answer: Answer) -> list[str]:
    kind = next((value for name, value in case.fields if name == "content-type"), "")
    text = answer.body.decode()
    if kind.startswith("text/html"):
        return _page(case.body, text)
    if "json" in kind:
        return _json(case.body, text)
    return [] if text == case.body else [f"body {text!r}, not {case.body!r}"]


def _json(expected: str, got: str) -> list[str]:
    """The same members with the same values in the same order."""
    try:
        shown = json.dumps(json.loads(got), indent=2, ensure_ascii=False)
    except ValueError:
        return [f"not JSON: {got[:200]!r}"]
    wanted = json.dumps(json.loads(expected), indent=2, ensure_ascii=False)
    if pattern(wanted).fullmatch(shown):
        return []
    return [f"problem:\n{shown}\nnot\n{wanted}"]


class _Reader(HTMLParser):
    """The tags, the texts and the embedded problem of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.problem = ""
        self._inside = ""
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = "problem" if ("type", "application/problem+json") in attrs else tag
        shown = dict(attrs)
        if tag == "input" and shown.get("type") != "hidden":
            self.text += f" {shown.get('value') or ''} "

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "problem":
            self.problem += data
        elif not self._inside:
            self.text += f"{data} "


def _page(expected: str, got: str) -> list[str]:
    problem, _, rest = expected.rpartition("</script>")
    page = _Reader(got)
    # A page that refuses nothing has no problem.
    found = _json(problem.partition(">")[2], page.problem) if problem else [page.problem] if page.problem else []
    for line in rest.strip().splitlines():
        found += _line(page, line)
    return found


def _line(page: _Reader, line: str) -> list[str]:
    if line.startswith("!<"):
        return [f"there is a {line[1:]}>"] if any(tag == line[2:] for tag, _ in page.tags) else []
    if line.startswith("<"):
        (tag, wanted), *_ = _Reader(line).tags
        there = any(name == tag and wanted.items() <= has.items() for name, has in page.tags)
        return [] if there else [f"there is no {line}"]
    return [] if pattern(line).search(page.text) else [f"the page does not say {line!r}"]
