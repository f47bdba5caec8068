"""Making assertions, and the keys that they can be verified with.

- The keys come out of the ring that all nodes share: for each key and each site one of its own, so that what one site
  was told is nothing at another. Whoever has one of them has neither the ring's nor another site's.
- A new key is published before it signs, for as long as anybody may keep the set without asking again; an old one for
  as long as it is in the ring, which is days longer than what it signed.
- To sign takes as long as all the rest of a check. So an assertion is said again until half of its life is over, as
  long as it says the same.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.jwk import OKPKey

from demur.authenticators.assertions.jose import REGISTRY
from demur.core import asserted
from demur.core.model import StoreUnavailable

if TYPE_CHECKING:
    from demur.core.model import Key, KeyRing, Session, Subject
    from demur.core.ports import Keys

AHEAD: Final = 2 * asserted.KEYS_KEPT_FOR
"""Seconds for which a key is published before it signs: as long as the set is kept, and as long again for the folder to
reach the other nodes."""
_MOST: Final = 4096
"""Assertions that are remembered, and as many again that were."""


@dataclass(frozen=True, slots=True)
class _Made:
    """An assertion, what it was made of and when, and the second until which it is said again."""

    subject: Subject
    session: Session | None
    origin: str
    value: bytes
    at: int
    until: int


@dataclass(frozen=True, slots=True)
class _Signers:
    """The keys of a site out of a ring, newest first, with the second from which each signs, and the document that
    publishes them."""

    ring: KeyRing
    keys: tuple[tuple[int, OKPKey], ...]
    published: bytes


class Assertions:
    """The assertions of one site: see `core.ports.Asserter`. `site` is its origin, or the pattern of its origins;
    `audience` is the site's own origin unless somebody says otherwise; `lasts` are seconds."""

    def __init__(self, keys: Keys, site: str, *, audience: str | None = None, lasts: int = asserted.LASTS) -> None:
        self._keys = keys
        self._site = site
        self._audience = audience
        self._lasts = lasts
        self._signers: _Signers | None = None
        self._young: dict[tuple[bytes, str], _Made] = {}
        self._old: dict[tuple[bytes, str], _Made] = {}

    def of(self, subject: Subject, session: Session | None, origin: str, now: int) -> bytes:
        """See `Asserter.of`."""
        name = (b"" if session is None else session.id, subject.id)
        made = self._young.get(name) or self._old.get(name)
        if (
            made is None
            or not made.at <= now < made.until
            or made.origin != origin
            or not _same(made, subject, session)
        ):
            value = self._sign(subject, session, origin, now)
            made = _Made(subject, session, origin, value, now, now + self._lasts // 2)
            self._remember(name, made)
        return made.value

    def published(self) -> bytes:
        """See `Asserter.published`."""
        return self._held().published

    def _sign(self, subject: Subject, session: Session | None, origin: str, now: int) -> bytes:
        keys = self._held().keys
        # The oldest one signs if there is none that everybody can know; that may be the only one.
        key = next((key for since, key in keys if since <= now), keys[-1][1])
        header = {"alg": asserted.ALGORITHM, "kid": key.kid, "typ": asserted.TYPE}
        audience = origin if self._audience is None else self._audience
        said = asserted.claims(subject, session, issuer=origin, audience=audience, now=now, lasts=self._lasts)
        payload = json.dumps(said, separators=(",", ":")).encode("ascii")
        return jws.serialize_compact(header, payload, key, registry=REGISTRY).encode("ascii")

    def _remember(self, name: tuple[bytes, str], made: _Made) -> None:
        if len(self._young) >= _MOST:
            self._old, self._young = self._young, {}
        self._young[name] = made

    def _held(self) -> _Signers:
        held = self._signers
        try:
            ring = self._keys.ring()
        except StoreUnavailable:
            if held is None:
                raise
            return held  # what is known goes on for as long as this process does
        if held is None or (held.ring is not ring and held.ring != ring):
            keys = tuple((key.at + AHEAD if key.at else 0, _derive(key, self._site)) for key in ring.keys)
            document = {"keys": [_public(key) for _, key in keys]}
            self._signers = held = _Signers(ring, keys, json.dumps(document, separators=(",", ":")).encode("ascii"))
        return held


def _same(made: _Made, subject: Subject, session: Session | None) -> bool:
    """Whether an assertion about somebody would say the same again. That they were seen once more is not said."""
    before = made.session
    if made.subject is not subject and made.subject != subject:
        return False
    if before is session:
        return True
    return (
        before is not None
        and session is not None
        and (before.acr, before.authenticated_at, before.scopes, before.kind)
        == (session.acr, session.authenticated_at, session.scopes, session.kind)
    )


def _derive(key: Key, site: str) -> OKPKey:
    """The key of a site: keyed BLAKE2b tells nobody who has its output anything about the key (RFC 7693, 2.9)."""
    seed = hashlib.blake2b(site.encode(), key=key.secret, digest_size=32, person=b"demur.asserts").digest()
    made = OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(seed))
    made.ensure_kid()  # its thumbprint (RFC 7638), so that no two keys share one
    return made


def _public(key: OKPKey) -> dict[str, Any]:
    return {**key.as_dict(private=False), "alg": asserted.ALGORITHM, "use": "sig"}
