"""The slip that carries a decision from the check to the step that renders it.

nginx throws away the body of a refused check, so the words are asked for in a second request. That one must not decide
again: between the two a session may end, and then the answer would not be about what happened. So the check writes
the decision on a slip, and the renderer reads it.

- A slip is signed, and valid for some seconds and for one request: the same method, address and client's cookie.
- It travels between the proxy and us only. It holds no more of a person than the page will show.
- What is the same for many refusals is written once (`Pad`): to refuse is as cheap as to allow.
- The last part of the reference is not signed. It tells apart what was refused in the same second, and nothing hangs on
  it; were it signed, each refusal would need a signature of its own.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from demur.core.model import Details, Form, KeyRing, Preflight, Presented, Refuse, Request, Scheme, Subject
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from demur.core.model import Key

LASTS = 10
"""Seconds."""

# Other things are signed with the same keys; none of them in this way, with these words.
_PURPOSE = b"demur slip 3"

_LAST = 12
"""Characters: the last part of a UUID."""

_FORM = re.compile(
    rb"(?P<key>[0-9]{1,3})\.(?P<said>[A-Za-z0-9_\-]+)\.(?P<until>[0-9]{1,12})\.(?P<reference>[A-Za-z0-9\-]{1,64})"
    rb"\.(?P<tag>[0-9a-f]{32})"
)
_REST = re.compile(rb"\.([0-9]{1,12})\.([A-Za-z0-9\-]{1,64})\.([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Slip:
    """A decision that is not a yes, its reference, the form that the rule fixes, and how the request identified
    itself."""

    decision: Refuse | Preflight
    reference: str
    form: Form | None = None
    presented: Presented = Presented()  # noqa: RUF009 - frozen


class Pad:
    """Slips that differ in their reference, their time and the address that they are about, and in nothing else: of one
    decision, about requests with the same method, site and credentials."""

    __slots__ = ("_begins", "_signed", "key")

    def __init__(self, slip: Slip, request: Request, key: Key) -> None:
        said = _encode(json.dumps(_content(slip), separators=(",", ":")).encode("ascii"))
        self.key = key
        self._begins = b"%d.%b." % (key.id, said)
        self._signed = _signing(said, request, key)

    def begun(self, reference: str, now: int) -> Begun:
        """What all slips of this second share whose references differ in their last part alone."""
        told = f"{now + LASTS}.{reference[:-_LAST]}".encode("ascii")
        signed = self._signed.copy()
        signed.update(told + b" ")
        return Begun(self._begins + told, signed)

    def reference(self, rest: bytes, target: bytes, now: int) -> bytes | None:
        """The reference on a slip about that address, of which this is what stands behind its `beginning`; None if it
        does not hold."""
        found = _REST.fullmatch(rest)
        if found is None or not now <= int(found[1]) <= now + LASTS:
            return None
        signed = self._signed.copy()
        signed.update(b"%b.%b %b" % (found[1], found[2][:-_LAST], target))
        return found[2] if hmac.compare_digest(signed.hexdigest().encode("ascii"), found[3]) else None


@dataclass(frozen=True, slots=True)
class Begun:
    """Slips that differ in the last part of their reference and in the address: what stands `before` that part, and a
    signature that is begun."""

    before: bytes
    signed: blake2b

    def after(self, target: bytes) -> bytes:
        """What stands after that part, about an address."""
        signed = self.signed.copy()
        # The address is last: nothing can move from one part to the next.
        signed.update(target)
        return b".%b" % signed.hexdigest().encode("ascii")


def beginning(value: bytes) -> int:
    """How many bytes of a slip say what was decided, and are the same for all that say the same; -1 if it is none."""
    return value.find(b".", value.find(b".") + 1)


def key_of(value: bytes) -> int:
    """The id of the key that a slip is signed with."""
    return int(value.partition(b".")[0])


def write(slip: Slip, request: Request, key: Key, now: int) -> bytes:
    """The slip as the value of a field."""
    begun = Pad(slip, request, key).begun(slip.reference, now)
    return begun.before + slip.reference[-_LAST:].encode("ascii") + begun.after(request.target)


def read(value: bytes, request: Request, ring: KeyRing, now: int) -> Slip:
    """The slip for this request. Raises ValueError if we did not write it, or not for this, or not now."""
    found = _FORM.fullmatch(value)
    key = ring.find(int(found["key"])) if found else None
    if found is None or key is None or not hmac.compare_digest(_tag(found, request, key), found["tag"]):
        raise ValueError("the slip is not signed with a key of ours, or it is for another request")
    # From here on it is what we wrote ourselves.
    if not now <= int(found["until"]) <= now + LASTS:
        raise ValueError("the slip is too old")
    said = json.loads(base64.urlsafe_b64decode(found["said"] + b"=="))
    reference = found["reference"].decode("ascii")
    form = Form(said["form"]) if "form" in said else None
    if "reason" not in said:
        return Slip(Preflight(forward=False), reference, form)
    refuse = Refuse(Reason(said["reason"]), _details(said["details"]))
    return Slip(refuse, reference, form, _presented(said))


def _content(slip: Slip) -> dict[str, Any]:
    said: dict[str, Any] = {
        "scheme": slip.presented.scheme,
        "challenges": slip.presented.challenges,
        "vary": [name.decode("ascii") for name in slip.presented.vary],
    }
    if slip.form is not None:
        said["form"] = slip.form.value
    if isinstance(slip.decision, Refuse):
        said["reason"] = slip.decision.reason.value
        said["details"] = _plain(slip.decision.details)
    return said


def _signing(said: bytes, request: Request, key: Key) -> blake2b:
    """A signature begun with all but the address and the time. The host decides the site, and the credentials who is
    refused."""
    cookies, authorization = (b";".join(request.values(name)) for name in (b"cookie", b"authorization"))
    parts = (said, request.method.encode(), request.scheme.encode(), request.host.encode(), cookies, authorization)
    # Each part with its length, so that nothing can move from one to the next.
    whole = b"".join(b"%d:%b" % (len(part), part) for part in parts)
    return blake2b(whole, digest_size=16, key=key.secret, person=_PURPOSE)


def _tag(found: re.Match[bytes], request: Request, key: Key) -> bytes:
    signed = _signing(found["said"], request, key)
    signed.update(b"%b.%b %b" % (found["until"], found["reference"][:-_LAST], request.target))
    return signed.hexdigest().encode("ascii")


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
