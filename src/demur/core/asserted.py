"""What an assertion says: who asks, told by a gateway to an app, so that the app need not ask back.

It is a JWT (RFC 7519) that lasts for a minute. Here are its claims, there and back; signing and verifying is for
`demur.authenticators.assertions`.

- Its type is its own (RFC 8725, 3.11), so that no other token of the same keys passes for one, nor one for another.
- `sid` names the sign-in as long as it has one session id, and is no use as a credential. A token has none.
- There is no `jti`: it is said again with every request of half a minute, so that there is nothing to be used once.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from demur.core.model import Live, Session, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TYPE: Final = "demur-assertion+jwt"
ALGORITHM: Final = "EdDSA"
LASTS: Final = 60
"""Seconds for which an assertion holds, if nobody says anything else."""
LONGEST_VALUE: Final = 16384
"""Characters of an assertion that are looked at: more than any server takes as a field."""
KEYS_KEPT_FOR: Final = 300
"""Seconds for which whoever has read the published keys may keep them."""
SHORTEST, LONGEST = 10, 300
"""The bounds of that. Nobody who holds one is asked about again, so a sign-out is not heard of before its end."""


class BadAssertion(Exception):  # noqa: N818 - what it is
    """An assertion that says nothing. `reason` is one word for a program, the text a sentence for whoever runs it."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Asserted:
    """What an assertion says about whoever asks. `session` names their sign-in ("" for a token, or for a name and a
    password), `authenticated_at` is the second at which they last showed who they are (0: not known), `scopes` what the
    token that they came with is good for (None: whatever they may)."""

    id: str
    name: str
    display_name: str
    email: str
    groups: frozenset[str]
    session: str
    acr: str
    authenticated_at: int
    scopes: tuple[str, ...] | None
    issuer: str
    audience: tuple[str, ...]
    issued_at: int
    expires_at: int

    def person(self) -> Live:
        """The same for a `bridge` of demur's adapters."""
        key = hashlib.sha256(b"demur asserted\n" + f"{self.issuer}\n{self.id}\n{self.session}".encode()).digest()
        since = self.authenticated_at
        session = Session(
            key, self.id, since, since, since, self.expires_at, 0, acr=self.acr, kind="app", scopes=self.scopes
        )
        subject = Subject(self.id, self.name, self.groups, display_name=self.display_name, email=self.email)
        return Live(session, subject)


def sid(session: Session) -> str:
    """A name for a sign-in that tells nobody its token or the id under which a store keeps it. Nobody finds 256 random
    bits by trying, so it takes no key, and stays the same when keys change."""
    digest = hashlib.blake2b(session.id, digest_size=16, person=b"demur.sid").digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def claims(
    subject: Subject, session: Session | None, *, issuer: str, audience: str, now: int, lasts: int
) -> dict[str, Any]:
    """The claims about somebody; what has no value is left out. The names are those of RFC 7519, of OpenID Connect
    (Core 1.0, 2 and 5.1) and of RFC 9068 (2.2.1 and 2.2.3)."""
    said: dict[str, Any] = {
        "iss": issuer,
        "sub": subject.id,
        "aud": audience,
        "iat": now,
        "exp": now + lasts,
        "preferred_username": subject.name,
        "name": subject.display_name,
        "email": subject.email,
        "groups": sorted(subject.groups),
    }
    if session is not None:
        said["acr"] = session.acr
        said["auth_time"] = session.authenticated_at
        if session.kind == "session":
            said["sid"] = sid(session)
    said = {name: value for name, value in said.items() if value}
    if session is not None and session.scopes is not None:
        said["scope"] = " ".join(session.scopes)  # none at all is not the same as all
    return said


def read(said: Mapping[str, Any], *, issuer: str, audience: str, now: int, leeway: int) -> Asserted:
    """What claims say, if they are for this audience and hold now. Raises `BadAssertion`."""
    text, number = _reader(said, str), _reader(said, int)
    if text("iss", "") != issuer:
        raise BadAssertion("issuer", f"The assertion is of {text('iss', '')!r}, not of {issuer!r}.")
    meant = said.get("aud", ())
    audiences = (meant,) if isinstance(meant, str) else tuple(map(str, meant)) if isinstance(meant, list) else ()
    if audience not in audiences:
        raise BadAssertion("audience", f"The assertion is for {', '.join(audiences)}, not for {audience}.")
    since, until = number("iat", None), number("exp", None)
    if until + leeway <= now:
        raise BadAssertion("expired", f"The assertion has been over for {now - until} s.")
    if since - leeway > now:
        raise BadAssertion("early", f"The assertion is from {since - now} s ahead: the clocks differ.")
    if until - since > LONGEST:
        raise BadAssertion("malformed", f"The assertion lasts for {until - since} s, which none of demur's does.")
    groups = said.get("groups", [])
    if not isinstance(groups, list) or not all(isinstance(each, str) for each in groups):
        raise BadAssertion("malformed", "The groups of the assertion are no list of texts.")
    scope = text("scope", "") if "scope" in said else None
    return Asserted(
        id=text("sub", None),
        name=text("preferred_username", ""),
        display_name=text("name", ""),
        email=text("email", ""),
        groups=frozenset(groups),
        session=text("sid", ""),
        acr=text("acr", ""),
        authenticated_at=number("auth_time", 0),
        scopes=None if scope is None else tuple(scope.split()),
        issuer=issuer,
        audience=audiences,
        issued_at=since,
        expires_at=until,
    )


def _reader(said: Mapping[str, Any], kind: type[Any]) -> Callable[[str, Any], Any]:
    """How to read a claim of a kind; without a default it has to be there."""

    def read_one(name: str, default: Any) -> Any:  # noqa: ANN401 - a text or a number
        value = said.get(name, default)
        if type(value) is not kind or (default is None and value == ""):
            raise BadAssertion("malformed", f"The claim {name!r} of the assertion is not what it should be.")
        return value

    return read_one
