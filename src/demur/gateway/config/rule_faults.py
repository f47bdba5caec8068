"""Every rule that the core will not load, and not only the first: each with the line on which it stands.

The core stops at the first rule that it cannot use. Here that rule is taken out and the rest is tried again.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from demur.core import rules
from demur.core.model import ConfigError, Scheme
from demur.gateway.config.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from demur.gateway.config.faults import Place
    from demur.gateway.config.lines import Lines

Tables: TypeAlias = "Mapping[int, Mapping[str, Any]]"

_NUMBER = re.compile(r"rule (\d+)")
_QUOTED = re.compile(r"'([^']+)'")


def rule_faults(data: Mapping[str, Any], lines: Lines) -> Iterator[Fault]:
    """What is wrong with the rules of all sites in a document, whatever else is wrong with it."""
    sites = data.get("site")
    for index, site in enumerate(sites if isinstance(sites, list) else ()):
        if isinstance(site, dict):
            yield from table_faults(("site", index), site, lines, can_ask="upstream" in site)


def _accepted(value: object) -> list[Scheme]:
    return [Scheme(each) for each in value if each in ("bearer", "basic")] if isinstance(value, list) else []


def table_faults(above: Place, data: Mapping[str, Any], lines: Lines, *, can_ask: bool) -> Iterator[Fault]:
    """What is wrong with the tables `rule` and `permissions` in `data`, which stands at the place `above`."""
    listed = data.get("rule")
    if not isinstance(listed, list) or not all(isinstance(table, dict) for table in listed):
        return
    tables = dict(enumerate(listed))
    permissions = _permissions(data.get("permissions"))
    load = partial(rules.load, can_ask=can_ask, accepts=_accepted(data.get("accepts")))
    # What a concealed rule needs stands in other rules, so it is judged when those are right.
    open_ = {number: _without_conceal(table) for number, table in tables.items()}
    bad = False
    for number, error in _failing(open_, permissions, load):
        bad = True
        yield _fault((*above, "rule", number), tables, error, permissions, lines)
    if bad:
        return
    for number, error in _failing(dict(tables), permissions, load):
        yield _fault((*above, "rule", number), tables, error, permissions, lines)


def _without_conceal(table: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in table.items() if key != "conceal" or value is not True}


def _permissions(value: object) -> dict[str, Sequence[str]]:
    if not isinstance(value, dict):
        return {}
    return {
        name: groups if isinstance(groups, list) and all(isinstance(group, str) for group in groups) else ()
        for name, groups in value.items()
    }


def _failing(
    tables: dict[int, Mapping[str, Any]], permissions: Mapping[str, Sequence[str]], load: Callable[..., object]
) -> Iterator[tuple[int, ConfigError]]:
    while tables:
        numbers = list(tables)
        try:
            load(list(tables.values()), permissions)
        except ConfigError as error:
            number = _NUMBER.search(error.place)
            at = numbers[int(number[1]) - 1] if number else numbers[-1]
            del tables[at]
            yield at, error
        else:
            return


def _fault(
    place: Place,
    tables: Tables,
    error: ConfigError,
    permissions: Mapping[str, Sequence[str]],
    lines: Lines,
) -> Fault:
    number = int(place[-1])
    message = f"rule {number + 1}: {error.message}"
    if "equally specific" in error.message:
        other = _rival(number, tables, permissions)
        message += f" The other one is rule {other + 1}, on line {lines.of((*place[:-1], other))}."
    return Fault((*place, *_key(tables[number], error.message)), message, error.fix)


def _rival(number: int, tables: Tables, permissions: Mapping[str, Sequence[str]]) -> int:
    for other in range(number):
        try:
            rules.load([{**tables[n], "conceal": False} for n in (other, number)], permissions)
        except ConfigError:
            return other
    return number


def _key(table: Mapping[str, Any], message: str) -> Place:
    """The key that the message speaks of, if it names one."""
    if message.startswith("The path"):
        return ("path",)
    allow = table.get("allow")
    for word in _QUOTED.findall(message):
        if word in table:
            return (word,)
        if isinstance(allow, dict) and word in allow:
            return ("allow", word)
    return ()
