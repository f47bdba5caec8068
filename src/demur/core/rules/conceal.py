"""What a rule needs so that its refusals look like pages that are not there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from demur.core import fields
from demur.core.model import Access, Conceal, ConfigError, Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    sibling = plain.match("GET", _sibling(rule.segments[: depth + 1], depth, UNUSED).encode(), rule.host)
    asked = sibling.requirement
    if asked.access is Access.REQUIRED and (asked.terms != Terms() or asked.max_age is not None or asked.acr):
        raise ConfigError(
            f"A page beside {rule.path!r} that is not there would be refused, by {asked.rule!r}, and not be a 404.",
            place=place,
            fix='Open what is around it to allow = "signed-in" or "anyone", or remove conceal.',
        )
    around = Access.REQUIRED if asked.access is Access.REQUIRED else Access.OPEN
    if asked.accepts != requirement.accepts or asked.challenge_basic != requirement.challenge_basic:
        raise ConfigError(
            f"A page beside {rule.path!r} that is not there would be refused in other words, by {asked.rule!r}.",
            place=place,
            fix="Give both rules the same accepts and challenge.",
        )
    return replace(rule, requirement=replace(requirement, conceal=Conceal(depth, around, rule.segments[:depth])))


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
    if fields.plain_path(path):
        beside = _sibling(path.decode("ascii").split("/")[1:], conceal.depth, random).encode("ascii")
        found = rules.match("GET", beside).requirement
        if (found.access is Access.REQUIRED) is (conceal.sibling is Access.REQUIRED) and found.terms == Terms():
            return beside
    before = [random if segment[:1] in {"*", "{"} else quote(segment, safe="") for segment in conceal.before]
    return _sibling(before, conceal.depth, random).encode("ascii")
