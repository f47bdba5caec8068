"""What a site behind us says by itself, and what it means to us.

A site refuses with one response field, a structured one (RFC 9651):

    Demur-Refuse: not-permitted; detail="Only the author may publish this."

It may say only what a site can know after demur has let the request pass: that this person may not do this
(any reason with status 403), that a fresher or stronger sign-in is needed, or that there is nothing to find.
Anything else is a fault of the site, to be logged and answered with 502; nothing is half understood.

An app with a login of its own refuses in its own way, too, and that is turned right: a 401 without a reason, a 403 to
somebody who is not signed in, a 401 or a way to the login for somebody who is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

from demur.core import decide
from demur.core.fields import Item, item
from demur.core.model import Absent, Details, Live, Refuse, Scheme, Unknown
from demur.core.reasons import REASONS, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.core.model import Evidence, Fields, Presented, Request
    from demur.core.site import Site

LONGEST_DETAIL = 1000
"""Characters of `detail`: some sentences for a person, not a document."""

MAY_SAY = frozenset(reason for reason, row in REASONS.items() if row.status == 403) | {
    Reason.STEP_UP_REQUIRED,
    Reason.NOT_FOUND,
}
"""The reasons that a site may give."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ACR_VALUES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")
_PARAMS = {"detail"}
_STEP_UP_PARAMS = {"detail", "max_age", "acr_values"}


def read_refuse(values: Sequence[bytes]) -> Refuse:
    """The refusal that the `Demur-Refuse` field lines of a response ask for.

    Raises ValueError, with a sentence for the log, unless there is exactly one and all of it is understood.
    """
    if len(values) != 1:
        raise ValueError(f"Demur-Refuse is sent {len(values)} times, and one response is refused once")
    said = item(values[0])
    reason = _reason(said.token)
    allowed = _STEP_UP_PARAMS if reason is Reason.STEP_UP_REQUIRED else _PARAMS
    for name in said.params:
        if name not in allowed:
            raise ValueError(
                f"Demur-Refuse: {reason} has no parameter {name}; it may have {', '.join(sorted(allowed))}"
            )
    return Refuse(
        reason,
        Details(detail=_detail(said), max_age=_max_age(said), acr_values=_acr_values(said)),
    )


_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_SCOPE = re.compile(rb'(?:\A|[\s,])scope="([\x21\x23-\x5b\x5d-\x7e ]+)"')


def read_answer(
    site: Site,
    request: Request,
    status: int,
    answered: Fields,
    evidence: Evidence | None,
    presented: Presented,
    now: int,
) -> Refuse | None:
    """What an app means by an answer that refuses in its own way; None if it refuses nothing. `evidence` is who it was
    when the request came, None if nobody knows. The login itself is never refused."""
    if status in _REDIRECTS:
        if not _sends_to_login(site, request, answered, evidence):
            return None
    elif status not in (401, 403):
        return None
    if site.login and request.path.decode("latin-1") == site.sign_in_url():
        return None
    if isinstance(evidence, Live) and not decide.is_over(evidence, now):
        return _not_permitted(evidence, answered)
    if evidence is None or (isinstance(evidence, Absent) and presented.scheme is Scheme.BEARER):
        evidence = Absent() if presented.scheme is None else Unknown()
    if isinstance(evidence, Live):
        said = decide.decide(site, request, decide.SIGNED_IN, evidence, now, presented.scheme)
        return said if isinstance(said, Refuse) else None
    return decide.without_session(evidence, now, presented.scheme)


def _not_permitted(live: Live, answered: Fields) -> Refuse:
    challenges = [value for name, value in answered if name == b"www-authenticate"]
    scope = next((found[1].decode("ascii") for value in challenges if (found := _SCOPE.search(value))), "")
    reason = Reason.SCOPE_INSUFFICIENT if scope else Reason.NOT_PERMITTED
    return Refuse(reason, Details(subject=live.subject, scope=scope))


def _sends_to_login(site: Site, request: Request, answered: Fields, evidence: Evidence | None) -> bool:
    """Whether a redirect means "sign in first". After a sign-out, or when somebody has just registered, it does not,
    and there it does not say what to come back to."""
    place = _login_place(site, request, answered)
    if place is None:
        return False
    asked = parse_qs(place.partition("#")[0].partition("?")[2])
    if any(_path_of(each) == unquote_to_bytes(request.path) for values in asked.values() for each in values):
        return True
    if isinstance(evidence, Live):
        return False
    return request.method in decide.SAFE or not isinstance(evidence, (Absent, type(None)))


def _path_of(url: str) -> bytes | None:
    try:
        return unquote_to_bytes(urlsplit(url).path)
    except ValueError:
        return None


def _login_place(site: Site, request: Request, answered: Fields) -> str | None:
    places = [value.decode("latin-1") for name, value in answered if name == b"location"]
    if not site.login or len(places) != 1:
        return None
    here = site.origin_of(request)
    place = places[0].removeprefix(here) if places[0].startswith(here + "/") else places[0]
    return place if place.partition("?")[0].partition("#")[0] == site.sign_in_url() else None


def _reason(slug: str) -> Reason:
    reason = next((reason for reason in MAY_SAY if reason.value == slug), None)
    if reason is None:
        raise ValueError(f"Demur-Refuse: a site cannot refuse with {slug!r}; it may with {', '.join(sorted(MAY_SAY))}")
    return reason


def _detail(said: Item) -> str | None:
    detail = said.params.get("detail", "")
    if not isinstance(detail, str):
        raise ValueError("Demur-Refuse: detail has to be a string")  # noqa: TRY004 - what is wrong is a value
    if len(detail) > LONGEST_DETAIL:
        raise ValueError(f"Demur-Refuse: detail is longer than {LONGEST_DETAIL} characters")
    if _CONTROL.search(detail):
        raise ValueError("Demur-Refuse: detail has control characters")
    return detail or None


def _max_age(said: Item) -> int | None:
    max_age = said.params.get("max_age")
    if max_age is None:
        return None
    # bool is an int to Python, and `;max_age` alone is the boolean true.
    if isinstance(max_age, bool) or not isinstance(max_age, int) or max_age < 0:
        # "a non-negative integer" (RFC 9470, 3)
        raise ValueError("Demur-Refuse: max_age has to be a whole number of seconds, zero or more")
    return max_age


def _acr_values(said: Item) -> tuple[str, ...]:
    values = said.params.get("acr_values", "")
    if values == "":
        return ()
    if not isinstance(values, str) or not _ACR_VALUES.fullmatch(values):
        raise ValueError("Demur-Refuse: acr_values has to be a string of names with one space between them")
    return tuple(values.split(" "))
