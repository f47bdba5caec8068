"""May this happen, and if not, why not: pure, from the requirement and the evidence.

- Missing, bad or dead credentials come first (401), what the person lacks after (403), a fresher sign-in last: nobody
  is asked to confirm who they are for something that they may not do anyway (RFC 9110, 11.4; RFC 9470).
- A dead session wins over permission.
- That a request is meant for somebody else (`Demur-Subject`) is a precondition, and said last: "A server MUST ignore
  all received preconditions if its response to the same request without those conditions [...] would have been a
  status code other than a 2xx (Successful) or 412" (RFC 9110, 13.2.1). So nobody learns by it of what they may not.
- Nothing here reads a clock or a store.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from demur.core import credentials, fields, paths, rules, sessions
from demur.core.model import (
    Absent,
    Access,
    Allow,
    Details,
    Ended,
    Ending,
    Live,
    Preflight,
    Presented,
    Refuse,
    Requirement,
    Scheme,
    Terms,
    Throttled,
    Touch,
    Unreadable,
)
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.core.model import Conceal, Evidence, Request, Session, Subject
    from demur.core.rules import Match
    from demur.core.site import Permits, Site

SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""Methods that ask for no change (RFC 9110, 9.2.1)."""


_HARDNESS = {
    Reason.SUBJECT_CHANGED: -1,
    Reason.STEP_UP_REQUIRED: 1,
    Reason.SCOPE_INSUFFICIENT: 2,
    Reason.NOT_PERMITTED: 3,
}

# What a concealing rule says all the same, because it is put to people who may come in.
_NOT_CONCEALED = frozenset((Reason.STEP_UP_REQUIRED, Reason.SUBJECT_CHANGED))

LEFT = frozenset((Access.MARKED, Access.APP))
"""What is decided where the app's own routing has found the view."""
SIGNED_IN = Requirement(Access.REQUIRED, "signed in")
_THE_APP = Requirement(Access.OPTIONAL, "what the app decides")

_AS_IF_CONCEALED = Requirement(Access.REQUIRED, "(none)", Terms(groups=frozenset((" ",))))


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be known to decide. `matches` are the rules that the readings of the path fall under, the path as it
    is written first: what all of them ask for has to be met. `presented` says how the request identifies itself."""

    matches: tuple[Match, ...]
    presented: Presented = Presented()  # noqa: RUF009 - frozen

    @property
    def looks(self) -> bool:
        """Whether it matters who it is. A public path looks nothing up."""
        for match in self.matches:  # noqa: SIM110 - asked for every request, mostly of one match
            if match.requirement.access is not Access.OPEN:
                return True
        return False

    @property
    def pretends(self) -> bool:
        """Whether it is looked up who asks although it does not matter, for the time that it takes."""
        for match in self.matches:  # noqa: SIM110 - as above
            if match.requirement.beside is not None:
                return True
        return False

    @property
    def left(self) -> bool:
        """Whether the view has to be known to decide."""
        for match in self.matches:  # noqa: SIM110 - as above
            if match.requirement.access in LEFT:
                return True
        return False

    def joined(self, marks: Sequence[Requirement], *, closed: bool = True) -> Plan:
        """The plan once the view is known: what its marks ask for, beside what the rules ask for themselves. Where a
        rule leaves it to the mark and there is none, it is closed, unless there is no view at all (not `closed`)."""
        own = [match for match in self.matches if match.requirement.access not in LEFT]
        left = [match for match in self.matches if match.requirement.access in LEFT]
        captures = left[0].captures if left else self.matches[0].captures
        asked = [rules.Match(self._as_here(mark), None, captures) for mark in marks]
        if left and not asked:
            unmarked = any(match.requirement.access is Access.MARKED for match in left)
            asked = [rules.Match(self._as_here(rules.CLOSED if unmarked and closed else _THE_APP), None, captures)]
        return replace(self, matches=(*own, *asked))

    def _as_here(self, asked: Requirement) -> Requirement:
        """A requirement with what the rule of the path says beside it."""
        rule = self.matches[0].requirement
        return replace(
            asked,
            form=asked.form or rule.form,
            keeps_alive=rule.keeps_alive,
            accepts=self.accepts,
            challenge_basic=rule.challenge_basic,
            origins=rule.origins,
        )

    @property
    def accepts(self) -> frozenset[Scheme]:
        """The schemes of `Authorization` that every reading accepts."""
        if len(self.matches) == 1:
            return self.matches[0].requirement.accepts
        return frozenset.intersection(*(match.requirement.accepts for match in self.matches))


def plan(site: Site, request: Request) -> Plan | Refuse | Preflight:
    """The rules that a request falls under, and how it identifies itself. A refusal if the target is none."""
    if request.method != request.method.upper():
        # "The method token is case-sensitive" (RFC 9110, 9.1), and apps that put it into capitals (Django, Werkzeug)
        # would read another one than the rules did.
        detail = "The method has small letters, which some programs read as capitals."
        return Refuse(Reason.REQUEST_MALFORMED, Details(detail=detail))
    path, _, query = request.target.partition(b"?")
    matches = paths.judge(site.rules, request.method, path, request.host) if fields.plain_query(query) else None
    if matches is None:
        detail = "The address has characters that could be read in two ways."
        return Refuse(Reason.REQUEST_MALFORMED, Details(detail=detail))
    planned = Plan(matches)
    if not planned.looks and not planned.pretends:
        return planned
    if planned.looks and is_preflight(request):
        # An app may have a policy of its own, if the site has none here.
        return Preflight(forward=site.cors.upstream or (planned.left and not site.cors.origins))
    presented = credentials.presented(site, request, matches[0].requirement, planned.accepts)
    return replace(planned, presented=presented)


def is_preflight(request: Request) -> bool:
    """Whether this is a CORS preflight (Fetch, 3.2.2). "A CORS-preflight request never includes credentials"."""
    return (
        request.method == "OPTIONS"
        and request.value(b"origin") is not None
        and request.value(b"access-control-request-method") is not None
    )


def decide(
    site: Site,
    request: Request,
    requirement: Requirement,
    evidence: Evidence,
    now: int,
    scheme: Scheme | None = Scheme.COOKIE,
) -> Allow | Refuse:
    """The decision. `scheme` is how the evidence was presented, `now` is in seconds."""
    if requirement.beside is not None:
        # What is concealed is decided about twice, so what could lie there in its place is, too.
        _decide(site, request, _AS_IF_CONCEALED, evidence, now, scheme)
    if requirement.access is Access.OPEN:
        return Allow()
    decision = _decide(site, request, requirement, evidence, now, scheme)
    if isinstance(decision, Allow):
        return decision
    if requirement.access is Access.OPTIONAL:
        return decision if decision.reason is Reason.SUBJECT_CHANGED else Allow()
    if requirement.conceal is None or decision.reason in _NOT_CONCEALED:
        return decision
    return _concealed(site, request, requirement.conceal, evidence, now, scheme)


def _decide(
    site: Site, request: Request, requirement: Requirement, evidence: Evidence, now: int, scheme: Scheme | None
) -> Allow | Refuse:
    if not isinstance(evidence, Live):
        return without_session(evidence, now, scheme)
    session, subject = evidence.session, evidence.subject
    if session.kind != "app" and (session.kind == "token") is not (scheme is Scheme.BEARER):
        return Refuse(Reason.CREDENTIALS_INVALID)
    if over := _over(evidence, now, scheme):
        return over
    if scheme is not Scheme.BEARER and is_cross_site(site, request, requirement):
        return Refuse(Reason.CROSS_SITE_REFUSED, Details(subject=subject))
    if not holds(subject, requirement.terms, now):
        return Refuse(Reason.NOT_PERMITTED, Details(subject=subject, missing=missing(subject, requirement.terms, now)))
    if session.scopes is not None and requirement.terms.permission not in session.scopes:
        # A token with scopes is good for what its scopes name and for nothing else.
        scope = requirement.terms.permission or ""
        return Refuse(Reason.SCOPE_INSUFFICIENT, Details(subject=subject, scope=scope))
    if step := _step_up(requirement, session, now):
        return Refuse(Reason.STEP_UP_REQUIRED, replace(step, subject=subject))
    if not is_meant_for(request, subject):
        return Refuse(Reason.SUBJECT_CHANGED, Details(subject=subject))
    return allow(request, requirement, evidence, now)


def _over(live: Live, now: int, scheme: Scheme | None) -> Refuse | None:
    """Why a sign-in that was not ended is over all the same."""
    if over := sessions.ended(live.session, now):
        return _dead(over, now, scheme)
    if not live.subject.suspended:
        return None
    if live.session.kind == "app":
        return Refuse(Reason.ACCOUNT_SUSPENDED, Details(subject=live.subject))
    return _dead(Ended(Ending.REVOKED, now), now, scheme, known=False)


def without_session(evidence: Evidence, now: int, scheme: Scheme | None) -> Refuse:
    """Why somebody is not signed in."""
    if isinstance(evidence, Absent):
        return Refuse(Reason.SIGN_IN_REQUIRED)
    if isinstance(evidence, Ended):
        return _dead(evidence, now, scheme)
    if isinstance(evidence, Unreadable):
        return Refuse(Reason.CREDENTIALS_MALFORMED)
    if isinstance(evidence, Throttled):
        return Refuse(Reason.TOO_MANY_ATTEMPTS, Details(retry_after=evidence.retry_after))
    return Refuse(Reason.CREDENTIALS_INVALID)


def is_over(live: Live, now: int) -> bool:
    """Whether a sign-in is over, or its person may not go on."""
    return live.subject.suspended or sessions.ended(live.session, now) is not None


def _dead(tombstone: Ended, now: int, scheme: Scheme | None, *, known: bool = True) -> Refuse:
    reason = sessions.reason(tombstone, now, scheme)
    if not known:
        return Refuse(reason)
    # A page learns from it whether it is the same person who signs in next. Who holds a token need not be a person.
    holder = "" if scheme is Scheme.BEARER else tombstone.subject
    return Refuse(reason, Details(ended_at=tombstone.when, holder=holder))


def is_cross_site(site: Site, request: Request, requirement: Requirement) -> bool:
    """Whether another site could have made a browser send this to some effect. The origins that may read the site's
    answers with credentials, and those that the rule lists, may."""
    if not changes_something(request) or not fields.cross_site(request, site.origin_of(request)):
        return False
    friends = requirement.origins | (site.cors.origins if site.cors.credentials else frozenset())
    sent = request.values(b"origin")
    return len(sent) != 1 or sent[0].decode("latin-1") not in friends


def allow(request: Request, requirement: Requirement, live: Live, now: int) -> Allow:
    """A yes to a live session, with the note that the person was seen when that is worth writing."""
    session = live.session
    seen = requirement.keeps_alive and is_activity(request) and sessions.touch_due(session, now)
    if seen:
        session = replace(session, last_seen=now)
    changes = (Touch(session.id, now),) if seen else ()
    # Of a sign-in that the app keeps it may not be known when it ends.
    ends = None if session.kind == "app" and not session.idle and not session.expires_at else sessions.ends(session)
    return Allow(live.subject, session, changes, ends)


def changes_something(request: Request) -> bool:
    """Whether a browser could be made to send this by another site to some effect. A WebSocket handshake is a GET,
    yet opens a channel that the same-origin policy does not guard (RFC 6455, 10.2)."""
    return request.method not in SAFE or request.is_websocket


def is_meant_for(request: Request, subject: Subject) -> bool:
    """Whether a request is meant for this person, or says nothing of that. A page knows whom it was made for, and the
    browser sends the cookie of whoever signed in last."""
    said = request.values(b"demur-subject")
    return not said or (len(said) == 1 and said[0].strip(b" \t") == subject.id.encode())


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
    if terms.permits is not None and terms.permits(subject):
        return True
    if terms.permission_groups & subject.groups:
        return True
    return any(permission == terms.permission and now < until for permission, until in subject.grants)


def _step_up(requirement: Requirement, session: Session, now: int) -> Details | None:
    """What a fresher or stronger sign-in has to be, if this one is not enough (RFC 9470, 3). Who holds a token need
    not be who made it, so it is never fresh."""
    aged = session.kind == "token" or now - session.authenticated_at > (requirement.max_age or 0)
    stale = requirement.max_age is not None and aged
    weak = bool(requirement.acr) and session.acr not in requirement.acr
    if not stale and not weak:
        return None
    return Details(max_age=requirement.max_age if stale else None, acr_values=requirement.acr if weak else ())


def _concealed(
    site: Site, request: Request, conceal: Conceal, evidence: Evidence, now: int, scheme: Scheme | None
) -> Refuse:
    """What would be decided about a page beside the concealed one that is not there: the same refusal, or, where that
    page would be asked for, "not found". So nothing differs from it, whatever is open or closed there.

    The question to confirm who one is is not concealed, nor who one is: it is put to people who may come in.
    """
    if conceal.around is not None:
        decided = decide(site, request, conceal.around, evidence, now, scheme)
    else:
        there = replace(request, target=rules.sibling(site.rules, request.path, conceal, rules.UNUSED))
        decided = _beside(site, there, evidence, now, scheme)
        if isinstance(decided, Allow) and request.method not in {"GET", "HEAD"}:
            # It is GET that the site is asked with in its place.
            decided = _beside(site, replace(there, method="GET"), evidence, now, scheme)
    return decided if isinstance(decided, Refuse) else Refuse(Reason.NOT_FOUND, Details(beside=decided))


def _beside(site: Site, there: Request, evidence: Evidence, now: int, scheme: Scheme | None) -> Allow | Refuse:
    matches = paths.judge(site.rules, there.method, there.path, there.host) or ()
    return strictest(site, there, Plan(matches, Presented(scheme)), evidence, now)[0]


def _asking(permits: Permits, match: Match) -> Match:
    """A rule that asks for a permission, with the app's own function to ask."""
    terms = match.requirement.terms
    if terms.permission is None:
        return match
    name, captures = terms.permission, dict(match.captures)
    terms = replace(terms, permits=lambda subject: permits(subject, name, captures))
    return replace(match, requirement=replace(match.requirement, terms=terms))


def strictest(
    site: Site, request: Request, plan: Plan, evidence: Evidence, now: int, permits: Permits | None = None
) -> tuple[Allow | Refuse, Match]:
    """The decision about a request whose path may be read in several ways, and the rule that it came from. All that any
    reading asks for has to be met; of several refusals the one that is hardest to mend is said. `permits` is asked who
    holds a permission, in place of the site's own function."""
    scheme = plan.presented.scheme
    permits = permits or site.permits
    matches = plan.matches if permits is None else tuple(_asking(permits, match) for match in plan.matches)
    if len(matches) == 1:
        (match,) = matches
        return decide(site, request, match.requirement, evidence, now, scheme), match
    decided = [(decide(site, request, match.requirement, evidence, now, scheme), match) for match in matches]
    refused = [(said, match) for said, match in decided if isinstance(said, Refuse)]
    if refused:
        return max(refused, key=lambda pair: _HARDNESS.get(pair[0].reason, 0))
    return max(decided, key=lambda pair: pair[1].requirement.access is Access.REQUIRED)
