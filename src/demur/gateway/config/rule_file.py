"""A file with rules and nothing else: `[[rule]]` tables and `[permissions]`, to try them out without a gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demur.core import rules
from demur.gateway.config import tables as config
from demur.gateway.config.faults import BadConfig, Fault, nearest
from demur.gateway.config.rule_faults import table_faults

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from demur.core.rules import Rules
    from demur.gateway.config.tables import Document

_KEYS = ("rule", "permissions", "version")


@dataclass(frozen=True, slots=True)
class RuleFile:
    """The rules, and the document they stand in."""

    rules: Rules
    document: Document


def read(path: Path) -> RuleFile:
    """Read a file of rules. Raises `BadConfig` with everything that is wrong with it."""
    document = config.load(path)
    if found := list(_faults(document)):
        raise BadConfig(document.finding(fault) for fault in found)
    tables = document.data.get("rule", [])
    return RuleFile(rules.load(tables, document.data.get("permissions", {})), document)


def _faults(document: Document) -> Iterator[Fault]:
    data: Mapping[str, Any] = document.data
    for key in data:
        if key == "site":
            yield Fault((key,), "a file of rules has no sites.", "Name it with --config, or write [[rule]] alone.")
        elif key not in _KEYS:
            yield Fault((key,), f'there is no key "{key}" in a file of rules.', nearest(key, _KEYS))
    tables, permissions = data.get("rule", []), data.get("permissions", {})
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        yield Fault(("rule",), "rule must be a list of tables.", "Begin each rule with [[rule]].")
        return
    if not isinstance(permissions, dict) or not all(_are_texts(groups) for groups in permissions.values()):
        fix = 'Write [permissions] and below it "report:read" = ["staff"].'
        yield Fault(("permissions",), "permissions must name lists of groups.", fix)
        return
    yield from table_faults((), data, document.lines, can_ask=True)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
