"""What somebody sent and demur refused: which forms are kept for them, and what is kept of one.

- Kept is what a person sent with a form of this very site, in a window of theirs, with a cookie that was theirs: never
  what came from another site, from a program or from nobody in particular. What cannot be told is not kept.
- Nothing secret is kept: in its place stands a gap, and its person types it again.
- It is found by a handle that is made of the cookie, and can be read with that handle alone: the store, which knows
  neither, holds nothing that anybody else could read.
- Nothing is ever sent by itself. What is sent is what was shown, byte for byte, once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from demur.core import fields, forms
from demur.core.model import Ended, Form, Live, Scheme
from demur.core.reasons import Reason
from demur.core.secret_fields import guards_a_form, is_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from demur.core.model import Evidence, Presented, Refuse, Request, Requirement
    from demur.core.site import Site

LASTS = 15 * 60
"""Seconds for which a form is kept."""
LONGEST = 256 * 1024
"""Bytes of the longest form that is kept."""
_LONGEST_HEAD = 8 * 1024

_ENDS_WELL = frozenset(
    (
        Reason.SESSION_IDLE,
        Reason.SESSION_EXPIRED,
        Reason.SESSION_ENDED,
        Reason.SESSION_REVOKED,
        Reason.SESSION_REPLACED,
        # Its person is signed in and is only asked to confirm that: what was typed for it is as much worth.
        Reason.STEP_UP_REQUIRED,
    )
)
"""Refusals after which the same person can come back and may send the same again."""


def whose(
    site: Site, request: Request, refuse: Refuse, evidence: Evidence, requirement: Requirement, presented: Presented
) -> str:
    """The subject for whom the content of a refused request is worth keeping; "" if it is not kept. Says nothing of the
    content itself, which nobody has read yet."""
    if not site.keep_forms or refuse.reason not in _ENDS_WELL or presented.scheme is not Scheme.COOKIE:
        return ""
    if refuse.details.acr_values or requirement.form is Form.API:
        return ""  # there is no form to sign in with, or nobody to see it
    if not _is_sent_by_a_page(site, request) or not _can_be_read(request):
        return ""
    if isinstance(evidence, Live):
        return evidence.subject.id
    return evidence.subject if isinstance(evidence, Ended) else ""


def _is_sent_by_a_page(site: Site, request: Request) -> bool:
    """Whether a form on a page of this site was sent, in a window: proved, and not only not disproved."""
    if request.method != "POST" or not fields.is_navigation(request)[0]:
        return False
    return fields.same_origin(request, site.origin_of(request)) and request.target.isascii()


def _can_be_read(request: Request) -> bool:
    kinds, lengths = request.values(b"content-type"), request.values(b"content-length")
    if len(kinds) != 1 or not forms.is_form(kinds[0]) or len(kinds[0]) > _LONGEST_HEAD:
        return False
    if request.value(b"expect") is not None or request.value(b"content-encoding") is not None:
        # With `Expect: 100-continue` the content is not here, and is not asked for (RFC 9110, 10.1.1).
        return False
    return all(length.isdigit() and 0 < int(length) <= LONGEST for length in lengths)


# --- what is kept -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """A form that was refused. `kind` is its `Content-Type`, `page` the path of the page that it was on ("" if that is
    not known), `at` the second at which it came. `gaps` are the places in `content` where something secret stood.
    `sent_at` is when its person sent it again (0: not yet); unless it is known that it did not arrive, the content is
    gone then."""

    subject: str
    origin: str
    target: str
    kind: str
    page: str
    at: int
    content: bytes
    gaps: tuple[int, ...] = ()
    sent_at: int = 0

    @property
    def until(self) -> int:
        """The second from which it is not kept any more."""
        return self.at + LASTS


@dataclass(frozen=True, slots=True)
class Entry:
    """A field of a kept form, for its person to look at. `file` is the name of a file, `size` its bytes. A `gap` has to
    be typed again. What is `of_the_page` was not typed at all."""

    name: str
    value: str = ""
    file: str | None = None
    size: int = 0
    gap: bool = False
    of_the_page: bool = False


def without_secrets(kind: bytes, content: bytes, never: Iterable[str] = ()) -> tuple[bytes, tuple[int, ...]]:
    """A form's content less what is secret in it, and where that stood. Raises ValueError for what cannot be read, and
    for a form in which nothing is."""
    found = forms.read(kind, content)
    if not any(field.end > field.start for field in found):
        raise ValueError("nothing was entered")
    pieces, gaps, at, length = [], [], 0, 0
    for field in found:
        value = content[field.start : field.end]
        if field.file is not None or not is_secret(field.name, forms.text(kind, value), never):
            continue
        pieces.append(content[at : field.start])
        length += field.start - at
        gaps.append(length)
        at = field.end
    return b"".join((*pieces, content[at:])), tuple(gaps)


def filled(kept: Kept, typed: Sequence[str]) -> bytes:
    """The content with what was typed again in its gaps. Raises ValueError if there are more or fewer gaps."""
    if len(typed) != len(kept.gaps):
        raise ValueError("not all that is missing was typed")
    kind = kept.kind.encode("latin-1")
    pieces, at = [], 0
    for gap, value in zip(kept.gaps, typed, strict=True):
        pieces += [kept.content[at:gap], forms.encode(kind, value)]
        at = gap
    return b"".join((*pieces, kept.content[at:]))


def entries(kept: Kept) -> tuple[Entry, ...]:
    """The fields of a kept form, in order."""
    kind = kept.kind.encode("latin-1")
    return tuple(_entry(kept, kind, field) for field in forms.read(kind, kept.content))


def _entry(kept: Kept, kind: bytes, field: forms.Field) -> Entry:
    if field.file is not None:
        return Entry(field.name, file=field.file, size=field.end - field.start)
    if field.start in kept.gaps and field.start == field.end:
        return Entry(field.name, gap=True)
    value = forms.text(kind, kept.content[field.start : field.end])
    return Entry(field.name, value, of_the_page=guards_a_form(field.name))


def pack(kept: Kept) -> bytes:
    """As it is stored: a line of JSON, and the content."""
    head = {
        "subject": kept.subject,
        "origin": kept.origin,
        "target": kept.target,
        "kind": kept.kind,
        "page": kept.page,
        "at": kept.at,
        "gaps": kept.gaps,
        "sent_at": kept.sent_at,
    }
    return json.dumps(head).encode("ascii") + b"\n" + kept.content


def unpack(packed: bytes) -> Kept:
    """The other way round."""
    head, _, content = packed.partition(b"\n")
    said = json.loads(head)
    return Kept(**{**said, "gaps": tuple(said["gaps"])}, content=content)


# --- where it is found ------------------------------------------------------------------------------

_HANDLE = re.compile(r"[A-Za-z0-9_-]{43}\Z")


def handle(token: bytes) -> str:
    """Under which name what came with a session's token is kept: one for each session, known to whoever has the token.
    The store knows its SHA-256 only, from which this cannot be made."""
    digest = hashlib.blake2b(token, digest_size=32, person=b"demur.kept").digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def opened(handle_: str) -> tuple[bytes, bytes] | None:
    """Where in the store it lies, and the key that opens it; None for what is no handle."""
    if _HANDLE.match(handle_) is None:
        return None
    secret = base64.urlsafe_b64decode(handle_ + "=")
    return b"kept:" + hashlib.blake2b(secret, digest_size=32, person=b"demur.place").digest(), secret


def address(site: Site, handle_: str, page: str) -> str:
    """The page that offers it; `page` is where that leads when there is nothing to offer."""
    return f"{site.prefix}/kept?{urlencode({'of': handle_, 'next': page})}"


# --- sending it again -------------------------------------------------------------------------------

SENDING = b"demur-kept"
"""What the field is called by which the offer's form names what is to be sent; it is the first one."""
TYPED = b"demur-typed"
"""What the fields are called in which the gaps are filled, in their order."""
LONGEST_SENDING = 8 * 1024
"""Bytes of that form, with all that is typed into it."""


@dataclass(frozen=True, slots=True)
class Sending:
    """The word of a person: send that. `seal` tells what was shown from what is kept in its place since."""

    handle: str
    seal: str
    typed: tuple[str, ...] = ()


def may_be_sending(site: Site, request: Request) -> bool:
    """Whether a request may be the form of the offer's page. It goes where the kept form went, as `text/plain`, which
    no other page has a use for; so that the answer is the site's own, at its own address."""
    if request.method != "POST":
        return False
    kinds, lengths = request.values(b"content-type"), request.values(b"content-length")
    if len(kinds) != 1 or len(lengths) != 1 or kinds[0].partition(b";")[0].strip().lower() != b"text/plain":
        return False
    if not lengths[0].isdigit() or int(lengths[0]) > LONGEST_SENDING or request.value(b"expect") is not None:
        return False
    return _is_sent_by_a_page(site, request)


def read_sending(content: bytes) -> Sending | None:
    """What the form of the offer says; None if it is another one. A line is a field (HTML, 4.10.21.7), and nothing that
    can be typed into this form has a line break."""
    lines = [line.partition(b"=") for line in content.split(b"\r\n") if line]
    if not lines or lines[0][0] != SENDING:
        return None
    named, _, seal = lines[0][2].decode("ascii", "replace").partition(".")
    return Sending(named, seal, tuple(value.decode("utf-8", "replace") for name, _, value in lines if name == TYPED))
