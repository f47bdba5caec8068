"""May this happen, and if not, why not: pure, from the requirement and the evidence.

- Missing, bad or dead credentials come first (401), what the person lacks after (403), a fresher sign-in last: nobody
  is asked to confirm who they are for something that they may not do anyway (RFC 9110, 11.4; RFC 9470).
- A dead session wins over permission.
- Nothing here reads a clock or a store.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from demur.core import fields, sessions
from demur.core.model import (
    Absent,
    Access,
    Allow,
    Details,
    Ended,
    Live,
    Lookup,
    Malformed,
    Preflight,
    Refuse,
    Touch,
)
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.model import Evidence, KeyRing, Request, Requirement, Session, Subject, Terms
    from demur.core.site import Site

SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""Methods that ask for no change (RFC 9110, 9.2.1)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be known to decide: ask a source for `lookup`, or, without one, `evidence` is already here."""

    requirement: Requirement
    lookup: Lookup | None = None
    evidence: Evidence = Absent()  # noqa: RUF009 - frozen


def plan(site: Site, request: Request, ring: Callable[[], KeyRing]) -> Plan | Refuse | Preflight:
    """The requirement that a request falls under and the one look-up, if any, that the decision takes.

    A public path looks nothing up, and asks for no keys. Until every reading of a path is judged, a target that has
    more than one is refused.
    """
    if not fields.plain_target(request.target):
        return Refuse(
            Reason.REQUEST_MALFORMED, Details(detail="The address has characters that could be read in two ways.")
        )
    requirement = site.rules.match(request.method, request.path, request.host).requirement
    if requirement.access is Access.OPEN:
        return Plan(requirement)
    if is_preflight(request):
        return Preflight(forward=site.cors.upstream)
    found = credentials(site, request, ring)
    if isinstance(found, Lookup):
        return Plan(requirement, found)
    return Plan(requirement, evidence=found)


def credentials(site: Site, request: Request, ring: Callable[[], KeyRing]) -> Lookup | Absent | Malformed:
    """What the request carries for us. Two cookies of our name are none that we could choose between."""
    sent = fields.cookie_values(request.values(b"cookie"), site.cookie.name.encode("ascii"))
    if not sent:
        return Absent()
    return sessions.read(sent[0], ring()) if len(sent) == 1 else Malformed()


def is_preflight(request: Request) -> bool:
    """Whether this is a CORS preflight (Fetch, 3.2.2). "A CORS-preflight request never includes credentials"."""
    return (
        request.method == "OPTIONS"
        and request.value(b"origin") is not None
        and request.value(b"access-control-request-method") is not None
    )


def decide(site: Site, request: Request, requirement: Requirement, evidence: Evidence, now: int) -> Allow | Refuse:
    """The decision. `now` is in seconds."""
    if requirement.access is Access.OPEN:
        return Allow()
    decision = _decide(site, request, requirement, evidence, now)
    if isinstance(decision, Allow):
        return decision
    if requirement.access is Access.OPTIONAL:
        return Allow()
    return _concealed(requirement, decision)


def _decide(site: Site, request: Request, requirement: Requirement, evidence: Evidence, now: int) -> Allow | Refuse:
    if isinstance(evidence, Absent):
        return Refuse(Reason.SIGN_IN_REQUIRED)
    if isinstance(evidence, Ended):
        return _dead(evidence, now)
    if not isinstance(evidence, Live):
        return Refuse(Reason.CREDENTIALS_INVALID)
    session, subject = evidence.session, evidence.subject
    if over := sessions.ended(session, now):
        return _dead(over, now)
    if subject.suspended:
        return Refuse(Reason.SESSION_REVOKED)
    if changes_something(request) and fields.cross_site(request, site.origin):
        return Refuse(Reason.CROSS_SITE_REFUSED, Details(subject=subject))
    if not holds(subject, requirement.terms, now):
        return Refuse(Reason.NOT_PERMITTED, Details(subject=subject, missing=missing(subject, requirement.terms, now)))
    if step := _step_up(requirement, session, now):
        return Refuse(Reason.STEP_UP_REQUIRED, replace(step, subject=subject))
    return allow(request, requirement, evidence, now)


def _dead(tombstone: Ended, now: int) -> Refuse:
    return Refuse(sessions.reason(tombstone, now), Details(ended_at=tombstone.when))


def allow(request: Request, requirement: Requirement, live: Live, now: int) -> Allow:
    """A yes to a live session, with the note that the person was seen when that is worth writing."""
    session = live.session
    seen = requirement.keeps_alive and is_activity(request) and sessions.touch_due(session, now)
    if seen:
        session = replace(session, last_seen=now)
    changes = (Touch(session.id, now),) if seen else ()
    return Allow(live.subject, session, changes, sessions.ends(session))


def changes_something(request: Request) -> bool:
    """Whether a browser could be made to send this by another site to some effect. A WebSocket handshake is a GET,
    yet opens a channel that the same-origin policy does not guard (RFC 6455, 10.2)."""
    return request.method not in SAFE or request.is_websocket


def is_activity(request: Request) -> bool:
    """Whether the person did something. What a page asks in the background, and what a browser fetches in advance,
    says nothing of the person."""
    if request.value(b"demur-background") == b"?1":
        return False
    purpose = request.value(b"sec-purpose") or request.value(b"purpose") or b""
    return b"prefetch" not in purpose


def holds(subject: Subject, terms: Terms, now: int) -> bool:
    """Whether a subject meets the terms."""
    return not terms.nobody and not missing(subject, terms, now)


def missing(subject: Subject, terms: Terms, now: int) -> tuple[str, ...]:
    """The kind of what a subject lacks. Which group it would be is for administrators (`core.explain`): names of groups
    say more about a site than somebody who was refused needs to know."""
    lacks = []
    if (terms.groups and not terms.groups & subject.groups) or not terms.all_groups <= subject.groups:
        lacks.append("group")
    if terms.permission is not None and not _permitted(subject, terms, now):
        lacks.append("permission")
    return tuple(lacks)


def _permitted(subject: Subject, terms: Terms, now: int) -> bool:
    if terms.permission_groups & subject.groups:
        return True
    return any(permission == terms.permission and now < until for permission, until in subject.grants)


def _step_up(requirement: Requirement, session: Session, now: int) -> Details | None:
    """What a fresher or stronger sign-in has to be, if this one is not enough (RFC 9470, 3)."""
    stale = requirement.max_age is not None and now - session.authenticated_at > requirement.max_age
    weak = bool(requirement.acr) and session.acr not in requirement.acr
    if not stale and not weak:
        return None
    return Details(max_age=requirement.max_age if stale else None, acr_values=requirement.acr if weak else ())


def _concealed(requirement: Requirement, refuse: Refuse) -> Refuse:
    """The same refusal, or "not found" where the rule conceals: then nothing differs from an unused page beside it.

    Where that page asks for a sign-in, so does this one, and only the lack of permission is concealed. Where it is
    open, everything is, but for the question to confirm who one is: it is put to people who may come in.
    """
    if requirement.conceal is None or refuse.reason is Reason.STEP_UP_REQUIRED:
        return refuse
    if requirement.conceal.sibling is Access.OPEN:
        return Refuse(Reason.NOT_FOUND)
    if refuse.reason is Reason.NOT_PERMITTED:
        return Refuse(Reason.NOT_FOUND)
    return refuse
