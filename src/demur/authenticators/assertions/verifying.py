"""Reading assertions, in an app or a further service: with the published keys, and without asking about anybody.

- Nothing in an assertion says how it is to be verified: one algorithm, one type, one issuer, one audience (RFC 8725).
- The keys are fetched when they are first needed, and again when they are old or an unknown one is named; but however
  many assertions with made-up keys arrive, no more than once in ten seconds.
- If they cannot be fetched, those that are there go on for a day. Without any it is `StoreUnavailable`: our own
  failure, and nobody's reason to sign in.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from demur.authenticators.assertions.jose import REGISTRY
from demur.core import asserted
from demur.core.asserted import Asserted, BadAssertion
from demur.core.model import ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WELL_KNOWN: Final = "/.well-known/jwks.json"
_AGAIN: Final = 10.0
_STALE: Final = 86400.0
_MOST: Final = 1 << 20
_TIMEOUT: Final = 5.0


class Verifier:
    """Says who somebody is, by an assertion.

    `issuer` is the origin of the site that asserts ("https://app.example.com"), and `audience` whom it has to be meant
    for, the same unless the site says otherwise. `keys` are the published ones, or the URL at which they are; without
    it they are looked for at the issuer. `leeway` is by how many seconds the clocks may differ. May be used from any
    thread.
    """

    def __init__(
        self,
        issuer: str,
        audience: str | None = None,
        *,
        keys: str | Mapping[str, Any] | None = None,
        leeway: int = 5,
        clock: Callable[[], float] = time.time,
        fetch: Callable[[str], bytes] | None = None,
    ) -> None:
        self._issuer = issuer.rstrip("/")
        self._audience = self._issuer if audience is None else audience
        self._leeway = leeway
        self._clock = clock
        self._fetch = fetch or _fetched
        self._lock = threading.Lock()
        self._url, self._keys = "", dict[str, OKPKey]()
        self._fault = ""
        self._loaded_at = self._tried_at = float("-inf")
        if keys is None or isinstance(keys, str):
            self._url = f"{self._issuer}{WELL_KNOWN}" if keys is None else keys
            if not self._url.startswith(("https://", "http://")):
                message = f"{self._url!r} is no URL at which keys could be."
                raise ConfigError(
                    message, place="Verifier", fix='Give keys="https://app.example.com/.well-known/jwks.json".'
                )
        else:
            self._keys = _read_keys(keys)

    def verify(self, assertion: str | bytes | None) -> Asserted:
        """What an assertion says, the value of `Remote-Assertion`. Raises `BadAssertion`, and `StoreUnavailable` where
        there are no keys. May have to fetch them."""
        value, kid = _opened(assertion)
        return self._verified(value, self._key(kid))

    async def averify(self, assertion: str | bytes | None) -> Asserted:
        """The same in an event loop, which does not wait for keys to be fetched."""
        value, kid = _opened(assertion)
        key = None if self._is_due(self._clock()) else self._keys.get(kid)
        if key is None:
            key = await asyncio.to_thread(self._key, kid)
        return self._verified(value, key)

    def _verified(self, value: bytes, key: OKPKey) -> Asserted:
        try:
            payload = jws.deserialize_compact(value, key, registry=REGISTRY).payload
            said = json.loads(payload)
        except (JoseError, ValueError) as error:
            raise BadAssertion("signature", "The signature of the assertion is not of that key.") from error
        if not isinstance(said, dict):
            raise BadAssertion("malformed", "The assertion holds no claims.")
        now = int(self._clock())
        return asserted.read(said, issuer=self._issuer, audience=self._audience, now=now, leeway=self._leeway)

    # --- keys -----------------------------------------------------------------------------------------

    def _key(self, kid: str) -> OKPKey:
        """The key of that name. Raises `BadAssertion`, and `StoreUnavailable` if nobody knows."""
        if self._url:
            with self._lock:  # of many that wait, one fetches
                now = self._clock()
                if self._is_due(now) or (kid not in self._keys and now - self._tried_at >= _AGAIN):
                    self._refresh(now)
        found = self._keys.get(kid)
        if found is None and self._fault:
            raise StoreUnavailable(self._fault)
        if found is None:
            raise BadAssertion("key", "The assertion is signed with a key that is not published.")
        return found

    def _is_due(self, now: float) -> bool:
        """Whether it is time to fetch the keys again. A clock that was set back says so, too."""
        return (
            bool(self._url)
            and not 0 <= now - self._loaded_at < asserted.KEYS_KEPT_FOR
            and not 0 <= now - self._tried_at < _AGAIN
        )

    def _refresh(self, now: float) -> None:
        self._tried_at = now
        try:
            self._keys = _read_keys(json.loads(self._fetch(self._url)))
        except (OSError, ValueError) as error:
            self._fault = f"the keys at {self._url} cannot be fetched: {error}"
            if now - self._loaded_at >= _STALE:
                self._keys = {}
        else:
            self._loaded_at, self._fault = now, ""


def _opened(assertion: str | bytes | None) -> tuple[bytes, str]:
    """The assertion as bytes, and the name of its key; nothing is believed yet. Raises `BadAssertion`."""
    if not assertion:
        raise BadAssertion("missing", "There is no assertion.")
    try:
        value = assertion.encode("ascii") if isinstance(assertion, str) else assertion
        header = jws.extract_compact(value, registry=REGISTRY).headers() if len(value) <= asserted.LONGEST_VALUE else {}
    except (JoseError, ValueError) as error:
        raise BadAssertion("malformed", "That is no assertion.") from error
    if header.get("alg") != asserted.ALGORITHM or header.get("typ") != asserted.TYPE or "crit" in header:
        raise BadAssertion(
            "type", f"That is no assertion of demur's, {asserted.TYPE} signed with {asserted.ALGORITHM}."
        )
    return value, str(header.get("kid"))


def _read_keys(document: Any) -> dict[str, OKPKey]:  # noqa: ANN401 - whatever was there
    """The keys of a set that are for this, by name. Raises ValueError if it is none."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError("that is no set of keys")  # noqa: TRY004 - wrong is what was read
    ours = [key for key in keys if isinstance(key, dict) and key.get("crv") == "Ed25519" and "d" not in key]
    try:
        return {str(key["kid"]): OKPKey.import_key(key) for key in ours if "kid" in key}
    except (JoseError, TypeError) as error:
        raise ValueError(str(error)) from error


class _Here(urllib.request.HTTPRedirectHandler):
    """Keys are where somebody said, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - urllib's own signature
        """Follow nothing."""


_OPENER = urllib.request.build_opener(_Here)


def _fetched(url: str) -> bytes:
    """What is at an address. Raises OSError."""
    asked = urllib.request.Request(url, headers={"Accept": "application/jwk-set+json, application/json"})  # noqa: S310 - see Verifier
    with _OPENER.open(asked, timeout=_TIMEOUT) as answer:
        body: bytes = answer.read(_MOST + 1)
    if len(body) > _MOST:
        raise ValueError("that is too long for a set of keys")
    return body
