"""Which rule a request falls under, and what it asks for.

- What no rule opens is closed.
- The most specific rule wins: an exact host before a wildcard before none; then segment by segment a literal before
  `{capture}` before `*` before `**`; then a rule with methods before one without. Two that are equal in all three
  are an error at load, which names both.
- `/x/**` also matches `/x` and `/x/`. HEAD follows GET.
- Nothing opens by User-Agent, suffix or query: a rule cannot even say so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from demur.core.model import Access, ConfigError, Requirement, Terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from demur.core.model import Scheme

CLOSED = Requirement(Access.REQUIRED, "what no rule opens is closed", Terms(nobody=True))
"""What is asked where no rule matches: nobody can meet it."""

_PORT = re.compile(r":[0-9]*\Z")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table, as loaded. `segments` are decoded; `methods` is None for all of them."""

    number: int
    path: str
    segments: tuple[str, ...]
    methods: frozenset[str] | None
    host: str
    requirement: Requirement

    @property
    def name(self) -> str:
        """How logs and explanations call it."""
        return self.requirement.rule

    def covers(self, method: str) -> bool:
        """Whether a method falls under the rule. HEAD follows GET."""
        if self.methods is None:
            return True
        return method in self.methods or (method == "HEAD" and "GET" in self.methods)


@dataclass(frozen=True, slots=True)
class Match:
    """The rule that a request falls under (None: no rule), what it asks for, and what its captures bound."""

    requirement: Requirement
    rule: Rule | None = None
    captures: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Node:
    """A place in the tree of segments. One visit per segment and branch: the cost follows the path's length."""

    literals: dict[str, _Node] = field(default_factory=dict)
    capture: _Node | None = None
    star: _Node | None = None
    here: list[Rule] = field(default_factory=list)
    below: list[Rule] = field(default_factory=list)

    def branches(self, segment: str) -> Iterator[_Node]:
        """Where a segment leads, the most specific first."""
        if node := self.literals.get(segment):
            yield node
        if segment and self.capture:
            yield self.capture
        if segment and self.star:
            yield self.star


class Rules:
    """A site's compiled table. Made by `load`, never changed."""

    __slots__ = ("_any", "_exact", "_nowhere", "_wild", "accepts", "all", "conceals")

    def __init__(self, rules: Sequence[Rule], accepts: frozenset[Scheme] = frozenset()) -> None:
        self.all = tuple(rules)
        self.accepts = accepts.union(*(rule.requirement.accepts for rule in rules))
        self._nowhere = Match(replace(CLOSED, accepts=accepts))
        self.conceals = any(rule.requirement.conceal for rule in rules)
        self._exact: dict[str, _Node] = {}
        self._wild: dict[str, _Node] = {}
        self._any = _Node()
        for rule in rules:
            self._add(rule)
        # the longest wildcard is the most specific one
        self._wild = dict(sorted(self._wild.items(), key=lambda item: -len(item[0])))

    def match(self, method: str, path: bytes, host: str = "") -> Match:
        """The rule for a plain path, still percent-encoded (without query), and what it asks for. The port of a host
        does not count."""
        segments = unquote(path.decode("ascii"), errors="strict").split("/")[1:]
        for tree in self._trees(_PORT.sub("", host)):
            if rule := _find(tree, segments, 0, method):
                return Match(rule.requirement, rule, _bind(rule, segments))
        return self._nowhere

    def _trees(self, host: str) -> Iterator[_Node]:
        if self._exact and (tree := self._exact.get(host)):
            yield tree
        for suffix, tree in self._wild.items():
            if host.endswith(suffix) and len(host) > len(suffix):
                yield tree
        yield self._any

    def _tree(self, host: str) -> _Node:
        if not host:
            return self._any
        if host.startswith("*."):
            return self._wild.setdefault(host[1:], _Node())
        return self._exact.setdefault(host, _Node())

    def _add(self, rule: Rule) -> None:
        node = self._tree(rule.host)
        for segment in rule.segments:
            if segment == "**":
                _insert(node.below, rule)
                return
            node = _step(node, segment)
        _insert(node.here, rule)


def _step(node: _Node, segment: str) -> _Node:
    if segment == "*":
        node.star = node.star or _Node()
        return node.star
    if segment.startswith("{"):
        node.capture = node.capture or _Node()
        return node.capture
    return node.literals.setdefault(segment, _Node())


def _insert(place: list[Rule], rule: Rule) -> None:
    for other in place:
        if _same_methods(rule, other):
            raise ConfigError(
                f"{rule.name} and {other.name} are equally specific, so it is open which of them holds.",
                place=f"rule {rule.number}",
                fix="Remove one of them, or give one of them other methods or a more specific path.",
            )
    place.append(rule)
    place.sort(key=lambda each: each.methods is None)


def _same_methods(one: Rule, other: Rule) -> bool:
    if one.methods is None or other.methods is None:
        return one.methods is other.methods
    return any(other.covers(method) for method in one.methods) or any(one.covers(method) for method in other.methods)


def _find(node: _Node, segments: list[str], at: int, method: str) -> Rule | None:
    if at == len(segments):
        found = _first(node.here, method)
    else:
        found = None
        for branch in node.branches(segments[at]):
            if found := _find(branch, segments, at + 1, method):
                break
    return found or _first(node.below, method)


def _first(rules: list[Rule], method: str) -> Rule | None:
    for rule in rules:
        if rule.covers(method):
            return rule
    return None


def _bind(rule: Rule, segments: list[str]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (pattern[1:-1], segment)
        for pattern, segment in zip(rule.segments, segments, strict=False)
        if pattern.startswith("{")
    )
