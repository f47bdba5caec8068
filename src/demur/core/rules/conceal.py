"""What a rule needs so that its refusals look like pages that are not there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from demur.core import fields
from demur.core.model import Access, Conceal, ConfigError, Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from demur.core.model import Requirement
    from demur.core.rules.tree import Rule, Rules

UNUSED = "~unused~"
"""A segment that no rule names literally, for asking what a page that is not there would be answered."""


def concealed(rule: Rule, plain: Rules, *, can_ask: bool) -> Rule:
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
    for asked in _asked_beside(rule, depth, plain):
        _check(rule, asked)
    conceal = Conceal(depth, rule.segments[: depth + 1], _around(rule, depth, plain))
    return replace(rule, requirement=replace(requirement, conceal=conceal))


def _around(rule: Rule, depth: int, plain: Rules) -> Requirement | None:
    """What is asked for at every page beside a concealed one, if one rule holds for all of them."""
    others = [other for other in plain.all if _reaches(other, rule.segments, depth)]
    holding = max(others, key=lambda other: len(other.segments), default=None)
    if holding is None or any(not _holds_all(other, rule, depth) for other in others):
        return None
    return holding.requirement


def _reaches(other: Rule, segments: Sequence[str], depth: int) -> bool:
    """Whether a rule may hold for a page beside that one."""
    for at in range(depth + 1):
        if at == len(other.segments):
            return False
        pattern = other.segments[at]
        if pattern == "**":
            return True
        if at == depth:
            return pattern[:1] in {"*", "{"}
        if pattern != segments[at] and pattern[:1] not in {"*", "{"} and segments[at][:1] not in {"*", "{"}:
            return False
    return False


def _holds_all(other: Rule, rule: Rule, depth: int) -> bool:
    """Whether a rule is for everything below a folder in which the concealed one stands, whatever the method."""
    *folder, last = other.segments
    same = tuple(folder) == rule.segments[: len(folder)] and len(folder) <= depth
    return last == "**" and same and other.methods is None and other.host == rule.host


def _check(rule: Rule, asked: Requirement) -> None:
    """Whether a page beside a concealed one, that is not there, is answered by the site, or refused in the same words.
    Raises ConfigError."""
    place, requirement = f"rule {rule.number}", rule.requirement
    if asked.access is Access.REQUIRED and (asked.terms != Terms() or asked.max_age is not None or asked.acr):
        raise ConfigError(
            f"A page beside {rule.path!r} that is not there would be refused, by {asked.rule!r}, and not be a 404.",
            place=place,
            fix='Open what is around it, below too, to allow = "signed-in" or "anyone", or remove conceal.',
        )
    words = (requirement.accepts, requirement.challenge_basic, requirement.form)
    if words != (asked.accepts, asked.challenge_basic, asked.form):
        raise ConfigError(
            f"A page beside {rule.path!r} that is not there would be refused in other words, by {asked.rule!r}.",
            place=place,
            fix="Give both rules the same accepts, challenge and form.",
        )


def beside(rule: Rule, plain: Rules) -> Iterator[str]:
    """What the rules are called under which pages beside a concealed one fall that are not there."""
    conceal = rule.requirement.conceal
    if conceal is not None:
        yield from (asked.rule for asked in _asked_beside(rule, conceal.depth, plain))


def _asked_beside(rule: Rule, depth: int, plain: Rules) -> Iterator[Requirement]:
    """What is asked for at pages beside a concealed one that are not there."""
    segments = [UNUSED if segment[:1] in {"*", "{"} else segment for segment in rule.segments]
    segments[depth] = UNUSED
    tails: list[list[str]] = [[]]
    if rule.segments[-1] == "**":
        segments.pop()
        longest = max(len(each.segments) for each in plain.all) + 1
        tails = [[*[UNUSED] * number, *end] for number in range(longest) for end in ([], [""])]
    for tail in tails:
        yield plain.match_segments("GET", [*segments, *tail], rule.host).requirement


def _last_literal(segments: Iterable[str]) -> int | None:
    found = None
    for index, segment in enumerate(segments):
        if segment and segment[0] not in "*{":
            found = index
    return found


def _sibling(segments: Sequence[str], depth: int, name: str) -> str:
    return "/" + "/".join((*segments[:depth], name, *segments[depth + 1 :]))


def sibling(rules: Rules, path: bytes, conceal: Conceal, random: str) -> bytes:
    """The path with the segment that is concealed made one that is surely unused; still percent-encoded.

    Where that would not be the page beside it, because the path can be read in several ways or leads there by another
    name, it is put together from the rule itself.
    """
    segments = path.decode("ascii", "replace").split("/")[1:]
    if fields.plain_path(path) and len(segments) > conceal.depth:
        there = _sibling(segments, conceal.depth, random + _suffix(conceal, segments)).encode("ascii")
        if all(map(_fits, conceal.here, segments)) or rules.match("GET", there).requirement.terms == Terms():
            return there
    before = [random if segment[:1] in {"*", "{"} else quote(segment, safe="") for segment in conceal.here]
    return _sibling(before, conceal.depth, random).encode("ascii")


def _suffix(conceal: Conceal, segments: Sequence[str]) -> str:
    """What follows the concealed name in its segment, as in `/vault.json`: sites answer in the format that it names,
    when nothing is there, too."""
    name, segment = conceal.here[conceal.depth], segments[conceal.depth]
    return segment[len(name) :] if segment.lower().startswith(f"{name.lower()}.") else ""


def _fits(pattern: str, segment: str) -> bool:
    return pattern[:1] in {"*", "{"} or pattern == (unquote(segment) if "%" in segment else segment)
