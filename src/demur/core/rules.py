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
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from demur.core.model import Access, Conceal, ConfigError, Form, Requirement, Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

CLOSED = Requirement(Access.REQUIRED, "what no rule opens is closed", Terms(nobody=True))
"""What is asked where no rule matches: nobody can meet it."""

_PORT = re.compile(r":[0-9]*\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(value: object, *, place: str = "") -> int:
    """Seconds out of `"90s"`, `"15m"`, `"1h"`, `"30d"` or a positive whole number of seconds. Raises ConfigError."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(value, str) and (match := re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", value)):
        return int(match[1]) * _UNITS[match[2]]
    raise ConfigError(
        f"{value!r} is not a duration.", place=place, fix='Write for example "90s", "15m", "1h" or "30d".'
    )


# --- a rule ---------------------------------------------------------------------------------------


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


_NOWHERE = Match(CLOSED)


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

    __slots__ = ("_any", "_exact", "_wild", "all", "conceals")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.all = tuple(rules)
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
        return _NOWHERE

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


# --- loading --------------------------------------------------------------------------------------

_KEYS = frozenset(("path", "methods", "allow", "identify", "conceal", "form", "keeps_alive", "name", "host"))
_ALLOW_KEYS = frozenset(("groups", "all_groups", "permission", "fresh"))
_LATER = {
    "requestable": "Requests for access are not there yet.",
    "strength": "Only passwords are there yet, so no sign-in could be strong enough.",
}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CAPTURE = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")


def load(
    tables: Sequence[Mapping[str, Any]],
    permissions: Mapping[str, Sequence[str]] | None = None,
    *,
    can_ask: bool = True,
) -> Rules:
    """Compile rule tables, from TOML or written in Python. `permissions` maps a permission to the groups that hold it;
    `can_ask` says whether the surface can ask the site for a page of its own, which `conceal` needs.

    Raises ConfigError with `place` "rule N" and the fix.
    """
    rules = [_rule(number, table, permissions or {}) for number, table in enumerate(tables, start=1)]
    plain = Rules(rules)
    if not plain.conceals:
        return plain
    return Rules([_concealed(rule, plain, can_ask=can_ask) for rule in rules])


def _rule(number: int, table: Mapping[str, Any], permissions: Mapping[str, Sequence[str]]) -> Rule:
    place = f"rule {number}"
    _known(table, _KEYS, place)
    path = table.get("path")
    if not isinstance(path, str):
        raise ConfigError("A rule needs a path.", place=place, fix='Write for example path = "/members/**".')
    methods = _methods(table.get("methods"), place)
    name = _text(table, "name", place) or f"{' '.join(sorted(methods)) + ' ' if methods else ''}{path}"
    host = (_text(table, "host", place) or "").lower()
    access, terms, max_age = _allow(table, permissions, place)
    requirement = Requirement(
        access,
        name,
        terms,
        max_age=max_age,
        conceal=Conceal(0, Access.REQUIRED) if _flag(table, "conceal", place) else None,
        form=_form(table.get("form"), place),
        keeps_alive=_flag(table, "keeps_alive", place, default=True),
    )
    return Rule(number, path, _segments(path, place), methods, host, requirement)


def _known(table: Mapping[str, Any], keys: frozenset[str], place: str) -> None:
    for key in table:
        if key in keys:
            continue
        if key in _LATER:
            raise ConfigError(f"{key!r} cannot be used in this version. {_LATER[key]}", place=place, fix="Remove it.")
        near = get_close_matches(key, keys, n=1)
        fix = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(sorted(keys))}."
        raise ConfigError(f"Unknown key {key!r}.", place=place, fix=fix)


def _text(table: Mapping[str, Any], key: str, place: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{key!r} is a text, not {value!r}.", place=place, fix="Put it in quotes.")
    return value


def _flag(table: Mapping[str, Any], key: str, place: str, *, default: bool = False) -> bool:
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{key!r} is true or false, not {value!r}.", place=place, fix="Write it without quotes.")
    return value


def _form(value: object, place: str) -> Form | None:
    if value is None:
        return None
    if value not in {"page", "api"}:
        raise ConfigError(f"{value!r} is not a form of refusal.", place=place, fix='Write "page" or "api".')
    return Form(str(value))


def _methods(value: object, place: str) -> frozenset[str] | None:
    if value is None:
        return None
    texts = _texts(value, "methods", place)
    for method in texts:
        if not _TOKEN.fullmatch(method) or method != method.upper():
            raise ConfigError(f"{method!r} is not a method.", place=place, fix='Methods are in capitals, as "GET".')
    return frozenset(texts)


def _texts(value: object, key: str, place: str) -> tuple[str, ...]:
    if isinstance(value, (list, tuple, set, frozenset)) and value and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ConfigError(f"{key!r} is a list of texts, not {value!r}.", place=place, fix=f'Write {key} = ["…"].')


def _segments(path: str, place: str) -> tuple[str, ...]:
    def wrong(what: str, fix: str) -> ConfigError:
        return ConfigError(f"The path {path!r} {what}", place=place, fix=fix)

    if not path.startswith("/"):
        raise wrong("does not begin with a slash.", f'Write "/{path}".')
    if "%" in path or "?" in path or "#" in path or "\\" in path:
        raise wrong(
            "has a character that stands for something else.", "Write the path as people read it, without query."
        )
    segments = tuple(path.split("/")[1:])
    for index, segment in enumerate(segments):
        if segment == "**" and index != len(segments) - 1:
            raise wrong('has "**" in the middle.', 'Let "**" be the last segment; "*" is one segment anywhere.')
        if segment in {".", ".."} or (segment == "" and index != len(segments) - 1):
            raise wrong("has an empty or a dot segment.", "Remove it.")
        if any(mark in segment for mark in "*{}") and segment not in {"*", "**"} and not _CAPTURE.fullmatch(segment):
            raise wrong(
                f"has {segment!r}, which is not a whole segment.", 'Write "*", "**" or "{name}" between slashes.'
            )
    return segments


def _allow(
    table: Mapping[str, Any], permissions: Mapping[str, Sequence[str]], place: str
) -> tuple[Access, Terms, int | None]:
    allow = table.get("allow")
    identify = _flag(table, "identify", place)
    if identify and allow != "anyone":
        raise ConfigError(
            "'identify' goes with allow = \"anyone\".", place=place, fix="Remove it: others are identified anyway."
        )
    if allow == "anyone":
        return (Access.OPTIONAL if identify else Access.OPEN), Terms(), None
    if allow == "signed-in":
        return Access.REQUIRED, Terms(), None
    if allow == "nobody":
        return Access.REQUIRED, Terms(nobody=True), None
    if not isinstance(allow, dict) or not allow:
        said = "A rule needs 'allow'." if allow is None else f"{allow!r} is not something to allow."
        fix = 'Write allow = "anyone", "signed-in", "nobody" or { groups = ["…"] }.'
        raise ConfigError(said, place=place, fix=fix)
    _known(allow, _ALLOW_KEYS, place)
    max_age = duration(allow["fresh"], place=place) if "fresh" in allow else None
    return Access.REQUIRED, _terms(allow, permissions, place), max_age


def _terms(allow: Mapping[str, Any], permissions: Mapping[str, Sequence[str]], place: str) -> Terms:
    permission = _text(allow, "permission", place)
    if permission is not None and permission not in permissions:
        near = get_close_matches(permission, permissions, n=1)
        fix = f"Did you mean {near[0]!r}?" if near else f'Add "{permission}" = ["…"] to [permissions].'
        raise ConfigError(f"No group holds the permission {permission!r}.", place=place, fix=fix)
    return Terms(
        groups=frozenset(_texts(allow["groups"], "groups", place)) if "groups" in allow else frozenset(),
        all_groups=frozenset(_texts(allow["all_groups"], "all_groups", place))
        if "all_groups" in allow
        else frozenset(),
        permission=permission,
        permission_groups=frozenset(permissions[permission]) if permission is not None else frozenset(),
    )


# --- concealment ----------------------------------------------------------------------------------

UNUSED = "~unused~"
"""A segment that no rule names literally, for asking what a page that is not there would be answered."""


def _concealed(rule: Rule, plain: Rules, *, can_ask: bool) -> Rule:
    """The rule with what concealment needs: where to put an unused name, and what is asked for there."""
    requirement = rule.requirement
    if requirement.conceal is None:
        return rule
    place = f"rule {rule.number}"
    if not can_ask:
        raise ConfigError(
            "'conceal' needs a site that can be asked for its own 404.",
            place=place,
            fix="Remove it, or let demur be the proxy.",
        )
    depth = _last_literal(rule.segments)
    if depth is None or requirement.access is not Access.REQUIRED:
        raise ConfigError(
            "There is nothing here to conceal.", place=place, fix="Conceal a restricted path with a name, as /vault/**."
        )
    sibling = plain.match("GET", _sibling(rule.segments[: depth + 1], depth, UNUSED).encode(), rule.host)
    asked = sibling.requirement
    if asked.access is Access.REQUIRED and (asked.terms != Terms() or asked.max_age is not None):
        raise ConfigError(
            f"A page beside {rule.path!r} that is not there would be refused, by {asked.rule!r}, and not be a 404.",
            place=place,
            fix='Open what is around it to allow = "signed-in" or "anyone", or remove conceal.',
        )
    around = Access.REQUIRED if asked.access is Access.REQUIRED else Access.OPEN
    concealed = Requirement(
        requirement.access,
        requirement.rule,
        requirement.terms,
        max_age=requirement.max_age,
        acr=requirement.acr,
        conceal=Conceal(depth, around),
        form=requirement.form,
        keeps_alive=requirement.keeps_alive,
    )
    return Rule(rule.number, rule.path, rule.segments, rule.methods, rule.host, concealed)


def _last_literal(segments: Iterable[str]) -> int | None:
    found = None
    for index, segment in enumerate(segments):
        if segment and segment[0] not in "*{":
            found = index
    return found


def _sibling(segments: Sequence[str], depth: int, name: str) -> str:
    return "/" + "/".join((*segments[:depth], name, *segments[depth + 1 :]))


def sibling(path: bytes, depth: int, random: str) -> bytes:
    """The path with its segment number `depth` made one that is surely unused; still percent-encoded."""
    segments = path.decode("ascii").split("/")[1:]
    return _sibling(segments, depth, random).encode("ascii")
