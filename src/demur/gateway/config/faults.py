"""What is wrong with a configuration: where, what, and what to do about it.

All of it is told at once: whoever fixes a file should not have to start it again for each mistake.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from demur.core.model import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Place: TypeAlias = tuple[str | int, ...]
"""Keys and, in lists, numbers from 0: `("site", 0, "rule", 2, "path")`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a configuration. An error stops the start, a warning does not.

    `file` is the name as it was given, `line` counts from 1 (0: the file as a whole), `fix` is a sentence.
    """

    severity: Literal["error", "warning"]
    file: str
    line: int
    message: str
    fix: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.severity}: {self.message}\n    {self.fix}"


class BadConfig(ConfigError):  # noqa: N818 - as plain as `Refused`
    """The configuration cannot be used, for each of the reasons in `findings`, in the order of their lines."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(sorted(findings, key=lambda finding: finding.line))
        first = self.findings[0]
        super().__init__(first.message, place=f"{first.file}:{first.line}", fix=first.fix)

    def __str__(self) -> str:
        return "\n".join(str(finding) for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Fault:
    """A mistake at a place in the document, before anybody has looked up its line."""

    place: Place
    message: str
    fix: str
    severity: Literal["error", "warning"] = "error"


def wrong(message: str, fix: str) -> PydanticCustomError:
    """What a validator raises: pydantic collects it with all the others."""
    # the words go in as data, so that braces in them stay braces
    return PydanticCustomError("demur", "{message}", {"message": message, "fix": fix})


def faults(error: ValidationError, model: type[BaseModel], data: Mapping[str, Any]) -> Iterator[Fault]:
    """Each mistake that pydantic found in `data`, in our words."""
    for details in error.errors(include_url=False):
        yield _fault(details, model, data)


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence that leads from an unknown word to a known one."""
    choices = sorted(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f'Did you mean "{close[0]}"?' if close else f"Known here: {', '.join(choices)}."


def dotted(place: Place) -> str:
    """A place as one would write it in TOML: `site.cors.origins`."""
    return ".".join(_key(part) for part in place if not isinstance(part, int))


def _key(part: str | int) -> str:
    # "Bare keys may only contain ASCII letters, ASCII digits, underscores, and dashes" (TOML 1.0)
    return str(part) if re.fullmatch(r"[A-Za-z0-9_-]+", str(part)) else json.dumps(part, ensure_ascii=False)


def _fault(details: ErrorDetails, model: type[BaseModel], data: Mapping[str, Any]) -> Fault:
    kind = details["type"]
    place = _in_document(details["loc"], data, absent=kind in {"missing", "extra_forbidden"})
    context: Mapping[str, Any] = details.get("ctx", {})
    if kind == "demur":
        return Fault(place, f"{dotted(place)}: {context['message']}", context["fix"])
    if kind == "extra_forbidden":
        return _unknown_key(place, model)
    if kind == "missing":
        return Fault(place, f"{dotted(place)} is missing.", MISSING.get(dotted(place), "Add it."))
    must, fix = _must(kind, place, context)
    return Fault(place, f"{dotted(place)} must be {must}, not {_shown(details['input'])}.", fix)


def _in_document(loc: Sequence[str | int], data: object, *, absent: bool) -> Place:
    # pydantic puts the tags of unions between the keys; those are not in the document
    place: list[str | int] = []
    for index, part in enumerate(loc):
        inner = _inside(data, part)
        if inner is not None or (absent and index == len(loc) - 1):
            data = inner
            place.append(part)
    return tuple(place)


def _inside(data: object, part: str | int) -> object:
    if isinstance(data, dict):
        return data.get(part)
    return data[part] if isinstance(data, list) and isinstance(part, int) and part < len(data) else None


def _unknown_key(place: Place, model: type[BaseModel]) -> Fault:
    *above, key = place
    table = f"[{dotted(tuple(above))}]"
    if above and isinstance(above[-1], int):
        table = f"[{table}]"
    where = f"in {table}" if above else "at the top of the file"
    return Fault(place, f'there is no key "{key}" {where}.', nearest(str(key), _keys(model, above)))


def _keys(model: type[BaseModel], path: Iterable[str | int]) -> set[str]:
    for part in path:
        if isinstance(part, str):
            inner = _model_in(model.model_fields[part].annotation)
            if inner is None:
                break
            model = inner
    return set(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)


MISSING = {
    "version": "Write version = 1 as the first line.",
    "site": 'Add a table [[site]] with at least an origin, such as origin = "http://localhost:8000".',
    "site.origin": 'Add what browsers see, such as origin = "https://app.example.com".',
    "gateway.tls.certificate": "A certificate and its key belong together: add the file with the certificate chain.",
    "gateway.tls.key": "A certificate and its key belong together: add the file with the private key.",
}


LITERALS = {
    "version": "This demur reads version 1.",
    "site.cors": 'Write cors = "upstream", or a table [site.cors] with origins.',
}


def _must(kind: str, place: Place, context: Mapping[str, Any]) -> tuple[str, str]:
    name = _key(place[-1])
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return "a table", _table_fix(place)
    if kind in {"list_type", "tuple_type"}:
        return "a list", _list_fix(place)
    if kind == "literal_error":
        expected = str(context["expected"]).replace("'", '"')
        fix = LITERALS.get(dotted(place), "Choose one of them.")
        return (f"one of {expected}" if " or " in expected else expected), fix
    if kind in {"greater_than_equal", "less_than_equal"}:
        bound = context.get("ge", context.get("le"))
        return f"at {'least' if 'ge' in context else 'most'} {bound}", f"Write {name} = {bound}, or leave it out."
    return {
        "string_type": ("text", 'Put it in quotes: "…".'),
        "bool_type": ("true or false", "Write true or false, without quotes."),
        "int_type": ("a whole number", "Write a whole number, without quotes."),
    }.get(kind, (f"something else ({kind})", "Look it up in the reference of the configuration."))


def _table_fix(place: Place) -> str:
    if place[:1] == ("site",) and "rule" in place:
        return "Begin each rule with [[site.rule]]."
    name = dotted(place)
    return f"Begin it with [{name}] on a line of its own, or write {_key(place[-1])} = {{ … }}."


def _list_fix(place: Place) -> str:
    name = dotted(place)
    if name in {"site", "site.rule"}:
        return f"There may be many: write [[{name}]], with two brackets."
    return f'Put it in brackets: {_key(place[-1])} = ["…"].'


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
