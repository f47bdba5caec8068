"""A decision with what it was made from, and what is decided when nobody can be asked."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from demur.core.model import (
    Absent,
    Access,
    Allow,
    Details,
    Presented,
    Refuse,
    Requirement,
    Scheme,
)
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from demur.core import decide
    from demur.core.model import Decision, Evidence, Request, StoreUnavailable
    from demur.core.rules import Match

RETRY_AFTER = 5
UNPLANNED = Requirement(Access.REQUIRED, "(none)")

_log = logging.getLogger("demur")


@dataclass(frozen=True, slots=True)
class Checked:
    """A decision with what it was made from. `reference` (a UUID) names it in the log and in the refusal;
    `presented` says how the request identified itself, and `plan` what was asked for, unless the request could not be
    read. `blind` says that nobody could be asked who it is."""

    decision: Decision
    requirement: Requirement
    evidence: Evidence
    reference: str
    now: int
    presented: Presented = Presented()  # noqa: RUF009 - frozen
    plan: decide.Plan | None = None
    blind: bool = False


Said: TypeAlias = tuple[Checked, str]
"""What was decided, and what is for the log."""


def session_of(checked: Checked) -> bytes | None:
    """The session or token that something was allowed to; None for a password, whose session is made up each time."""
    allowed = checked.decision
    if not isinstance(allowed, Allow) or allowed.session is None or checked.presented.scheme is Scheme.BASIC:
        return None
    return allowed.session.id


def strictly(match: Match) -> Match:
    asked = match.requirement
    access = asked.access if asked.access is Access.OPEN else Access.REQUIRED
    return replace(match, requirement=replace(asked, access=access, conceal=None))


def failed(request: Request, fault: Exception, reference: str, now: int) -> Said:
    _log.error("demur could not decide about %s", request.path, exc_info=fault)
    refuse = Refuse(Reason.UNAVAILABLE, Details(retry_after=RETRY_AFTER))
    return Checked(refuse, UNPLANNED, Absent(), reference, now), repr(fault)


def store_down(plan: decide.Plan, down: StoreUnavailable, reference: str, now: int) -> Said:
    decision, requirement = without_store(plan, down)
    return Checked(decision, requirement, Absent(), reference, now, plan.presented, plan, blind=True), down.cause


def without_store(plan: decide.Plan, down: StoreUnavailable) -> tuple[Allow | Refuse, Requirement]:
    asked = [match.requirement for match in plan.matches]
    needed = next((each for each in asked if each.access is Access.REQUIRED), None)
    if needed is None:
        return Allow(), asked[0]
    return Refuse(Reason.UNAVAILABLE, Details(retry_after=down.retry_after)), needed
