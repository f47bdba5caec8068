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
from functools import lru_cache
from typing import TYPE_CHECKING
from unicodedata import normalize
from urllib.parse import unquote

from demur.core.model import Access, ConfigError, Requirement, Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from demur.core.model import Scheme

CLOSED = Requirement(Access.REQUIRED, "what no rule opens is closed", Terms(nobody=True))
"""What is asked where no rule matches: nobody can meet it."""

_PORT = re.compile(r":[0-9]*\Z")
_MARGIN = 3
"""Segments beyond those of a rule that tell that a path is longer, even without a script and a slash at its end."""


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


class Tree:
    """Rules by host, then segment by segment. With `twins`, rules may be equally specific; then the first is found."""

    __slots__ = ("_any", "_exact", "_twins", "_wild")

    def __init__(self, rules: Iterable[Rule], *, twins: bool = False) -> None:
        self._twins = twins
        self._exact: dict[str, _Node] = {}
        self._wild: dict[str, _Node] = {}
        self._any = _Node()
        for rule in rules:
            self._add(rule)
        # the longest wildcard is the most specific one
        self._wild = dict(sorted(self._wild.items(), key=lambda item: -len(item[0])))

    def find(self, method: str, segments: Sequence[str], host: str) -> Rule | None:
        """The most specific rule for a path in decoded segments. The port of a host does not count."""
        for tree in self._trees(_PORT.sub("", host) if ":" in host else host):
            if rule := _find(tree, segments, 0, method):
                return rule
        return None

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
                _insert(node.below, rule, twins=self._twins)
                return
            node = _step(node, segment)
        _insert(node.here, rule, twins=self._twins)


class Rules:
    """A site's compiled table. Made by `load`, never changed; `judged` is what `core.paths` remembers of it, and
    `permissions` the groups that hold each permission, for the marks beside views."""

    __slots__ = (
        *("_longest", "_nowhere", "_tree", "_without_captures"),
        *("accepts", "all", "conceals", "judged", "kin", "permissions"),
    )

    def __init__(
        self,
        rules: Sequence[Rule],
        accepts: frozenset[Scheme] = frozenset(),
        permissions: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.all = tuple(rules)
        self.permissions = {name: frozenset(groups) for name, groups in (permissions or {}).items()}
        self.accepts = accepts.union(*(rule.requirement.accepts for rule in rules))
        self.conceals = any(rule.requirement.conceal for rule in rules)
        self.kin = Kin(rules)
        self.judged: dict[tuple[str, bytes, str], tuple[Match, ...]] = {}
        self._longest = max((len(rule.segments) for rule in rules), default=0) + _MARGIN
        self._nowhere = Match(replace(CLOSED, accepts=accepts))
        self._tree = Tree(rules)
        self._without_captures = {
            rule.number: Match(rule.requirement, rule)
            for rule in rules
            if not any(segment.startswith("{") for segment in rule.segments)
        }

    def match(self, method: str, path: bytes, host: str = "") -> Match:
        """The rule for a plain path, still percent-encoded (without query), and what it asks for. The port of a host
        does not count."""
        text = path.decode("ascii")
        decoded = unquote(text, errors="strict") if "%" in text else text
        return self.match_segments(method, decoded.split("/")[1:], host)

    def beginning(self, text: str) -> list[str]:
        """As many segments of a path as can matter to any rule."""
        longest = self._longest
        return text.split("/", longest + 1)[1 : longest + 1]

    def match_segments(self, method: str, segments: Sequence[str], host: str = "") -> Match:
        """The same for one reading of a path: what stands behind each of its slashes, decoded."""
        rule = self._tree.find(method, segments, host)
        if rule is None:
            return self._nowhere
        return self._without_captures.get(rule.number) or Match(rule.requirement, rule, bind(rule, segments))


# --- what programs take for the same name ---------------------------------------------------------

_SCRIPT = ".php"


# What nobody sees, and file systems of macOS leave out of a comparison (Unicode's default ignorable code points).
_UNSEEN = re.compile("[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
_ODD = re.compile(r"[. ](?:/|\Z)|:\$|[^\x00-\x7f]")
_LONGEST_NAME = 255
"""Characters. No file system has longer names, and no rule needs them."""


def fold(segment: str) -> str:
    """A segment as those compare it who tell fewer names apart than we do.

    Letters of either case: file systems of Windows and macOS, Express, Java's `equalsIgnoreCase` (so that a dotless i
    is an i, too). Forms of one letter, and characters that nobody sees: file systems of macOS, Windows' code pages.
    Dots and spaces at the end, and streams as in `admin::$DATA`: Windows.
    """
    if len(segment) > _LONGEST_NAME:
        return segment
    folded = segment.lower() if segment.isascii() else _fold_wide(segment)
    if ":$" in folded:
        folded = folded.partition(":")[0] or folded
    return folded.rstrip(". ") or folded


@lru_cache(maxsize=512)
def _fold_wide(segment: str) -> str:
    seen = _UNSEEN.sub("", normalize("NFKC", segment))
    return normalize("NFKC", seen.upper().casefold()).replace("i\u0307", "i")


class Kin:
    """The rules that a path may fall under for programs that take another name for a rule's own.

    Only rules with a literal count: what other names stand for is guessed, and a guess must not close what is open
    beside it, or close everything because nothing is open under the other name.
    """

    __slots__ = ("_ends", "_names", "_spelt", "_tree", "_twins")

    def __init__(self, rules: Sequence[Rule]) -> None:
        literals = {segment for rule in rules for segment in rule.segments if _is_literal(segment)}
        self._names = {fold(literal) for literal in literals}
        self._spelt = not literals <= self._names
        self._ends = {len(rule.segments) for rule in rules if rule.segments[-1] not in {"", "**"}}
        self._ends |= {-len(rule.segments) for rule in rules if not rule.segments[-1]}
        self._twins: dict[object, list[Rule]] = {}
        folded = []
        for rule in rules:
            segments = tuple(fold(segment) if _is_literal(segment) else segment for segment in rule.segments)
            self._twins.setdefault(_place(rule, segments), []).append(rule)
            folded.append(replace(rule, segments=segments))
        self._tree = Tree(folded, twins=True)

    def may_differ(self, text: str, segments: Sequence[str], simple: bool = False) -> bool:  # noqa: FBT001, FBT002 - hot
        """Whether it is worth to ask `find` about a path: almost never, and to know this is cheap. `simple` is ASCII
        without anything but letters, digits, `_`, `~`, `-`, and dots within a name."""
        end = segments[-1]
        if (-len(segments) - 1 if end else len(segments) - 1) in self._ends:
            return True
        folded = text.lower()
        if "." in text:
            stem = (end or segments[-2]).rpartition(".")[0]
            if (stem.lower() if simple else fold(stem)) in self._names or _SCRIPT in folded:
                return True
        if not simple and _ODD.search(text):
            return any(fold(segment) in self._names for segment in segments)
        if self._spelt:
            return not self._names.isdisjoint(folded.split("/"))
        if folded != text:
            for segment in segments:
                if (name := segment.lower()) != segment and name in self._names:
                    return True
        return False

    def find(self, method: str, segments: Sequence[str], host: str) -> Iterator[tuple[Rule, Sequence[str]]]:
        """Every rule that holds for another name of the path, and the segments under that name."""
        for other, ends_otherwise in self._others(segments):
            found = self._tree.find(method, [fold(segment) for segment in other], host)
            if found is None or not any(map(_is_literal, found.segments)):
                continue
            # It covers both ends, and a rule for just one of them stands before it.
            if ends_otherwise and found.segments[-1] == "**":
                continue
            for rule in self._twins[_place(found, found.segments)]:
                if rule.covers(method):
                    yield rule, other

    def _others(self, segments: Sequence[str]) -> Iterator[tuple[Sequence[str], bool]]:
        """The path as it stands, without the script that serves it, without its suffix, with and without a slash at
        its end, and all of these together; and whether it is the end that was changed."""
        for path in _scriptless(segments):
            for each in self._suffixless(path):
                yield each, False
                yield each[:-1] if len(each) > 1 and not each[-1] else [*each, ""], True

    def _suffixless(self, segments: Sequence[str]) -> Iterator[Sequence[str]]:
        """Rails' routes end in `(.:format)`, and Spring's did in `.*`: `/admin.json` is `/admin`. What a rule calls by
        its name is nothing else."""
        yield segments
        at = len(segments) - (2 if len(segments) > 1 and not segments[-1] else 1)
        stem, _, suffix = segments[at].rpartition(".")
        if stem and suffix and fold(segments[at]) not in self._names:
            yield [*segments[:at], stem, *segments[at + 1 :]]


def _scriptless(segments: Sequence[str]) -> Iterator[Sequence[str]]:
    """What follows a script is the path for it: PHP's `PATH_INFO`, with which front controllers route
    (`/index.php/admin`)."""
    yield segments
    for at, segment in enumerate(segments[:-1]):
        if fold(segment).endswith(_SCRIPT):
            yield [*segments[:at], *segments[at + 1 :]]
            return


def _place(rule: Rule, segments: Sequence[str]) -> tuple[str, tuple[str, ...], bool]:
    """Equal for rules of which none is more specific than the other."""
    return rule.host, tuple("{" if segment[:1] == "{" else segment for segment in segments), rule.methods is None


def _is_literal(segment: str) -> bool:
    return bool(segment) and segment[0] not in "*{"


def _step(node: _Node, segment: str) -> _Node:
    if segment == "*":
        node.star = node.star or _Node()
        return node.star
    if segment.startswith("{"):
        node.capture = node.capture or _Node()
        return node.capture
    return node.literals.setdefault(segment, _Node())


def _insert(place: list[Rule], rule: Rule, *, twins: bool) -> None:
    for other in place:
        if not twins and _same_methods(rule, other):
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


def _find(node: _Node, segments: Sequence[str], at: int, method: str) -> Rule | None:
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


def bind(rule: Rule, segments: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What the captures of a rule that matches these segments are bound to."""
    return tuple(
        (pattern[1:-1], segment)
        for pattern, segment in zip(rule.segments, segments, strict=False)
        if pattern.startswith("{")
    )
