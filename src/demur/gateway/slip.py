"""The slip that carries a decision from the check to the step that renders it.

nginx throws away the body of a refused check, so the words are asked for in a second request. That one must not decide
again: between the two a session may end, and then the answer would not be about what happened. So the check writes
the decision on a slip, and the renderer reads it.

- A slip is signed, and valid for some seconds and for one request: the same method, address and client's cookie.
- It travels between the proxy and us only. It holds no more of a person than the page will show.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demur.core.model import Details, Form, KeyRing, Preflight, Presented, Refuse, Request, Scheme, Subject
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from demur.core.model import Key

LASTS = 10
"""Seconds."""

# Other things are signed with the same keys; none of them begins with these bytes.
_PURPOSE = b"demur refusal slip, version 1\n"

_FORM = re.compile(rb"(?P<key>[0-9]{1,3})\.(?P<payload>[A-Za-z0-9_\-]+)\.(?P<tag>[A-Za-z0-9_\-]+)")


@dataclass(frozen=True, slots=True)
class Slip:
    """A decision that is not a yes, its reference, the form that the rule fixes, and how the request identified
    itself."""

    decision: Refuse | Preflight
    reference: str
    form: Form | None = None
    presented: Presented = Presented()  # noqa: RUF009 - frozen


def write(slip: Slip, request: Request, key: Key, now: int) -> bytes:
    """The slip as the value of a field: base64url, some hundred bytes."""
    said: dict[str, Any] = {
        "until": now + LASTS,
        "for": _digest(request),
        "reference": slip.reference,
        "scheme": slip.presented.scheme,
        "challenges": slip.presented.challenges,
        "vary": [name.decode("ascii") for name in slip.presented.vary],
    }
    if slip.form is not None:
        said["form"] = slip.form.value
    if isinstance(slip.decision, Refuse):
        said["reason"] = slip.decision.reason.value
        said["details"] = _plain(slip.decision.details)
    payload = _encode(json.dumps(said, separators=(",", ":")).encode("ascii"))
    return b"%d.%b.%b" % (key.id, payload, _encode(_tag(payload, key)))


def read(value: bytes, request: Request, ring: KeyRing, now: int) -> Slip:
    """The slip for this request. Raises ValueError if we did not write it, or not for this, or not now."""
    found = _FORM.fullmatch(value)
    key = ring.find(int(found["key"])) if found else None
    if found is None or key is None or not hmac.compare_digest(_encode(_tag(found["payload"], key)), found["tag"]):
        raise ValueError("the slip is not signed with a key of ours")
    # From here on it is what we wrote ourselves.
    said = json.loads(base64.urlsafe_b64decode(found["payload"] + b"=="))
    if not now <= said["until"] <= now + LASTS:
        raise ValueError("the slip is too old")
    if said["for"] != _digest(request):
        raise ValueError("the slip is for another request")
    form = Form(said["form"]) if "form" in said else None
    if "reason" not in said:
        return Slip(Preflight(forward=False), said["reference"], form)
    refuse = Refuse(Reason(said["reason"]), _details(said["details"]))
    return Slip(refuse, said["reference"], form, _presented(said))


def _digest(request: Request) -> str:
    """The request in a few characters. The host decides the site, and the credentials who is refused."""
    cookies, authorization = (b";".join(request.values(name)) for name in (b"cookie", b"authorization"))
    where = (request.method.encode(), request.scheme.encode(), request.host.encode(), request.target)
    parts = (*where, cookies, authorization)
    # Each part with its length, so that nothing can move from one to the next.
    whole = b"".join(b"%d:%b" % (len(part), part) for part in parts)
    return _encode(hashlib.sha256(whole).digest()[:16]).decode("ascii")


def _tag(payload: bytes, key: Key) -> bytes:
    return hmac.digest(key.secret, _PURPOSE + payload, "sha256")


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _plain(details: Details) -> dict[str, Any]:
    """What is there, as JSON has it. Of the person: whom the page names."""
    said = {
        "detail": details.detail,
        "ended_at": details.ended_at,
        "max_age": details.max_age,
        "acr_values": details.acr_values,
        "missing": details.missing,
        "retry_after": details.retry_after,
        "scope": details.scope,
        "holder": details.holder,
    }
    person = details.subject
    if person is not None:
        said["subject"] = (person.id, person.name, person.display_name)
    return {name: value for name, value in said.items() if value not in (None, (), "")}


def _presented(said: dict[str, Any]) -> Presented:
    scheme = None if said["scheme"] is None else Scheme(said["scheme"])
    challenges = tuple(Scheme(each) for each in said["challenges"])
    return Presented(scheme, challenges, tuple(name.encode("ascii") for name in said["vary"]))


def _details(said: dict[str, Any]) -> Details:
    person = said.pop("subject", None)
    for name in ("acr_values", "missing"):
        said[name] = tuple(said.get(name, ()))
    return Details(subject=person and Subject(id=person[0], name=person[1], display_name=person[2]), **said)
