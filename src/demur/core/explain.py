"""Why a request is answered as it is, for whoever runs the site: which rule, what it asks, what is held and missing.

An explanation is for administrators and names rules and groups. What the refused person reads is a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demur.core import decide, paths, respond
from demur.core.model import Absent, Access, Allow, Live, Preflight, Refuse, Session
from demur.core.reasons import REASONS
from demur.core.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.core.model import Decision, Evidence, Request, Requirement, Subject, Terms
    from demur.core.reasons import Reason
    from demur.core.rules import Match, Rule
    from demur.core.site import Site

_A_SIGN_IN_LASTS = 3600


@dataclass(frozen=True, slots=True)
class Considered:
    """A rule whose path matches too, and why it does not hold."""

    number: int
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would happen, and because of what.

    `readings` are the paths as which the target can be read. `rule` is None where no rule matches. `asks`, `holds` and
    `missing` are for people. `outcome` is "allow", "refuse", "preflight" or "conceal"; `status` and `reason` belong to
    a refusal.
    """

    method: str
    target: str
    readings: tuple[str, ...]
    rule: str | None
    number: int | None
    considered: tuple[Considered, ...]
    captures: tuple[tuple[str, str], ...]
    asks: tuple[str, ...]
    holds: tuple[str, ...]
    missing: tuple[str, ...]
    outcome: str
    status: int | None
    reason: Reason | None


def explain(site: Site, request: Request, subject: Subject | None, now: int) -> Explanation:
    """What `request` would be answered, from nobody or from `subject` with a sign-in of this moment. `now` is in
    seconds; nothing is looked up."""
    decision, match = _decision(site, request, _signed_in(subject, now), now)
    requirement = match.requirement if match else None
    rule = match.rule if match else None
    readings = paths.readings(request.path) or ()
    refused = decision.reason if isinstance(decision, Refuse) else None
    concealed = (
        refused is not None and requirement is not None and requirement.conceal and REASONS[refused].status == 404
    )
    return Explanation(
        method=request.method,
        target=request.target.decode("ascii", "backslashreplace"),
        readings=readings,
        rule=rule.name if rule else None,
        number=rule.number if rule else None,
        considered=_considered(site.rules.all, rule, request, readings),
        captures=match.captures if match else (),
        asks=_asks(requirement) if requirement else ("a target that can be read",),
        holds=_holds(subject),
        missing=_missing(requirement, subject, now) if requirement else (),
        outcome="conceal" if concealed else _OUTCOMES[type(decision)],
        status=REASONS[refused].status if refused else None,
        reason=refused,
    )


_OUTCOMES: dict[type[Decision], str] = {Allow: "allow", Refuse: "refuse", Preflight: "preflight"}


def _signed_in(subject: Subject | None, now: int) -> Evidence:
    if subject is None:
        return Absent()
    until = now + _A_SIGN_IN_LASTS
    return Live(Session(b"", subject.id, now, now, now, expires_at=until, idle=0), subject)


def _decision(site: Site, request: Request, evidence: Evidence, now: int) -> tuple[Decision, Match | None]:
    plan = decide.plan(site, request)
    if isinstance(plan, decide.Plan):
        return decide.strictest(site, request, plan, evidence, now)
    if isinstance(plan, Refuse):
        return plan, None
    judged = paths.judge(site.rules, request.method, request.path, request.host)
    return plan, judged[0] if judged else None


def _considered(
    rules: Sequence[Rule], winner: Rule | None, request: Request, readings: Sequence[str]
) -> tuple[Considered, ...]:
    found = []
    for rule in rules:
        if rule is winner or not any(_reaches(rule, request, reading) for reading in readings):
            continue
        if not rule.covers(request.method):
            why = f"is for {', '.join(sorted(rule.methods or ()))} only"
        else:
            why = _weaker(rule, winner)
        found.append(Considered(rule.number, rule.name, why))
    return tuple(found)


def _reaches(rule: Rule, request: Request, reading: str) -> bool:
    """Whether the rule's path and host fit, whatever the method."""
    method = next(iter(rule.methods)) if rule.methods else request.method
    return Rules([rule]).match_segments(method, reading.split("/")[1:], request.host).rule is not None


def _weaker(rule: Rule, winner: Rule | None) -> str:
    """Why a rule that fits gave way to the one that holds."""
    if winner is None:
        return "does not hold"
    if rule.host != winner.host:
        return "is for fewer exact hosts" if rule.host.startswith("*.") else "names no host"
    for mine, other in zip(rule.segments, winner.segments, strict=False):
        if mine != other and not (mine.startswith("{") and other.startswith("{")):
            return f"is less specific: {mine or 'the end'!r} comes after {other or 'the end'!r}"
    if len(rule.segments) != len(winner.segments):
        return "is less specific: its path is shorter"
    return "names no methods"


def _asks(requirement: Requirement) -> tuple[str, ...]:
    if requirement.access is Access.OPEN:
        return ("nothing: anyone may come in",)
    if requirement.access is Access.OPTIONAL:
        return ("nothing: anyone may come in, and whoever is signed in is told to the site",)
    asks = ["to be signed in", *_terms(requirement.terms)]
    if requirement.max_age is not None:
        asks.append(f"a sign-in of the last {requirement.max_age} seconds")
    if requirement.acr:
        asks.append(f"a sign-in of strength {' or '.join(requirement.acr)}")
    return tuple(asks)


def _terms(terms: Terms) -> list[str]:
    asks = []
    if terms.nobody:
        asks.append("more than anybody has: what no rule opens is closed")
    if terms.groups:
        asks.append(f"one of the groups {', '.join(sorted(terms.groups))}")
    if terms.all_groups:
        asks.append(f"all of the groups {', '.join(sorted(terms.all_groups))}")
    if terms.permission:
        through = ", ".join(sorted(terms.permission_groups))
        asks.append(f"the permission {terms.permission}, which the groups {through} hold")
    return asks


def _holds(subject: Subject | None) -> tuple[str, ...]:
    if subject is None:
        return ("nobody is signed in",)
    groups = f"in the groups {', '.join(sorted(subject.groups))}" if subject.groups else "in no group"
    grants = [f"granted {permission} until {respond.moment(until)}" for permission, until in subject.grants]
    return (f"signed in as {subject.name}", groups, *grants)


def _missing(requirement: Requirement, subject: Subject | None, now: int) -> tuple[str, ...]:
    if requirement.access is not Access.REQUIRED:
        return ()
    if subject is None:
        return ("to be signed in",)
    if decide.holds(subject, requirement.terms, now):
        return ()
    terms = requirement.terms
    lacks = [] if not terms.nobody else ["more than anybody has"]
    if terms.groups and not terms.groups & subject.groups:
        lacks.append(f"one of the groups {', '.join(sorted(terms.groups))}")
    lacks += [f"the group {group}" for group in sorted(terms.all_groups - subject.groups)]
    if "permission" in decide.missing(subject, terms, now):
        lacks.append(f"the permission {terms.permission}")
    return tuple(lacks)
