"""Passwords: argon2id, with hashes from elsewhere checked as they are and replaced at the next sign-in.

How long a check takes must not tell whose password was tried (OWASP Authentication Cheat Sheet, "Authentication
and Error Messages"). So every check that fails does the same work, whatever was there to check:

- with no hash at all (an unknown name) a dummy is checked that was made with the preset's parameters;
- once a process knows that there are hashes of another kind, each failure also does what checking one of those
  would have cost, less what it has done already: with imported bcrypt hashes around, an unknown name, a
  wrong password for argon2 and a wrong password for bcrypt all cost one argon2 and one bcrypt;
- it knows from `expect`, which is best called at start, or at the latest from the first such hash that it sees.

The work is really done and not slept away, so that the times stay equal on a busy machine too. A failure costs
more while old hashes are around, and no more than that when the last one is gone and the process is new.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from argon2 import Parameters, PasswordHasher
from argon2.exceptions import HashingError, VerificationError
from argon2.low_level import Type
from argon2.profiles import RFC_9106_HIGH_MEMORY, RFC_9106_LOW_MEMORY
from precis_i18n import get_profile

from demur.authenticators.argon2id import let_go
from demur.authenticators.encoded import Encoded, argon2_kind, dummy, dummy_argon2, kind, recognise, spend
from demur.authenticators.pool import Pool
from demur.core.model import ConfigError, StoreUnavailable
from demur.core.ports import Verified

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_BYTES: Final = 1024
"""The longest password, in bytes of UTF-8. Longer ones are wrong, so that nobody makes us read megabytes."""


def _owasp(memory_mib: int, passes: int) -> Parameters:
    return Parameters(
        type=Type.ID,
        version=19,
        salt_len=16,
        hash_len=32,
        time_cost=passes,
        memory_cost=memory_mib * 1024,
        parallelism=1,
    )


PRESETS: Final[Mapping[str, Parameters]] = {
    # RFC 9106, 4: "the FIRST RECOMMENDED option", 2 GiB for each password that is being checked.
    "RFC_9106_HIGH_MEMORY": RFC_9106_HIGH_MEMORY,
    # RFC 9106, 4: "the SECOND RECOMMENDED option", "if much less memory is available": 64 MiB.
    "RFC_9106_LOW_MEMORY": RFC_9106_LOW_MEMORY,
    # OWASP Password Storage Cheat Sheet, "Argon2id": settings of equal strength, memory against passes.
    "OWASP_46_MIB": _owasp(46, 1),
    "OWASP_19_MIB": _owasp(19, 2),
}
"""Named sets of parameters; each name carries its source."""

DEFAULT_PRESET: Final = "RFC_9106_LOW_MEMORY"


def parameters_of(name: str) -> Parameters:
    """The parameters of that name. Raises `ConfigError` with the names that there are."""
    try:
        return PRESETS[name]
    except KeyError:
        raise ConfigError(
            f'there is no hashing preset "{name}".',
            place="accounts.hashing",
            fix=f"Choose one of {', '.join(PRESETS)}.",
        ) from None


_OPAQUE = get_profile("OpaqueString")


def prepare(password: str) -> bytes:
    """The bytes of a password that are hashed: NFC, every kind of space as U+0020 (RFC 8265, 4.2, OpaqueString).

    What that profile refuses (control characters, say) is taken as it was typed: somebody may long have such
    a password, and the same text must always give the same bytes.
    """
    try:
        text = str(_OPAQUE.enforce(password))
    except UnicodeError:
        text = password
    return _raw(text)


def _raw(text: str) -> bytes:
    # JSON can carry a lone surrogate. It is a wrong password then and not an error of ours.
    return text.encode("utf-8", "surrogatepass")


def _forms(password: str) -> tuple[bytes, ...]:
    """What to compare, the prepared form first.

    A password that reads differently once it is prepared is tried as it was typed, too, for every account and
    for none: other programs hashed what they were sent. One that is too long is cut to be still too long.
    """
    raw = _raw(password)
    if len(raw) > MAX_BYTES:
        return (raw[: MAX_BYTES + 1],)
    return tuple(dict.fromkeys((prepare(password), raw)))


class Argon2Hasher:
    """A `PasswordHasher`: argon2id under a preset, and whatever `encoded.recognise` knows.

    `preset` is a name out of `PRESETS`, or argon2's own `Parameters`. At most `concurrency` passwords are
    hashed at once, each with the preset's memory, and at most `waiting` more stand in line; the next one is
    `StoreUnavailable`. Nothing is opened before it is used; usable from several event loops and after a fork.
    """

    def __init__(self, preset: str | Parameters = DEFAULT_PRESET, *, concurrency: int = 2, waiting: int = 64) -> None:
        self._parameters = parameters_of(preset) if isinstance(preset, str) else preset
        self._argon2 = PasswordHasher.from_parameters(self._parameters)
        self._own = argon2_kind(self._parameters)
        self._dummy = dummy_argon2(self._parameters, os.urandom(32))
        self._foreign: Mapping[str, Encoded] = {}  # of each family a dummy of the costliest hash seen
        self._pool = Pool(concurrency, waiting, let_go)

    def expect(self, encoded: Iterable[str]) -> None:
        """Say which kinds of hashes there are: one whole hash of each kind is enough, of any person's.

        From then on every failure costs the same with regard to them. What is not recognised is passed over.
        """
        for text in encoded:
            try:
                self._learn(recognise(text))
            except ValueError:
                continue

    async def verify(self, password: str, encoded: str | None) -> Verified:
        """Check a password against a hash, or against nothing, at the same cost, when there is none.

        A right password whose hash is not of the preset comes with the hash to store instead. Raises
        `StoreUnavailable` if too many wait, if there is no memory, or if the hash cannot be read.
        """
        forms = _forms(password)
        return await self._pool.run(lambda: self._verify(forms, encoded))

    async def hash(self, password: str) -> str:
        """Make a hash under the preset. Raises `ValueError` if the password is longer than `MAX_BYTES`, and
        `StoreUnavailable` as `verify` does."""
        if len(_raw(password)) > MAX_BYTES:
            raise ValueError(f"A password has at most {MAX_BYTES} bytes.")
        prepared = prepare(password)
        return await self._pool.run(lambda: self._hash(prepared))

    def close(self) -> None:
        """Let the threads go; the next use opens them again."""
        self._pool.close()

    # --- in a thread of the pool --------------------------------------------------------------------------

    def _verify(self, forms: tuple[bytes, ...], encoded: str | None) -> Verified:
        found = self._dummy if encoded is None else _stored(encoded)
        own = kind(found) == self._own
        if not own:
            self._learn(found)
        for form in forms:
            # Without a hash, and where the password is too long, the answer is known; the work is done all the same.
            if _check(found, form) and encoded is not None and len(form) <= MAX_BYTES:
                current = own and form == forms[0]
                return Verified(right=True, upgrade=None if current else self._hash(forms[0]))
            self._even_out(found)
        return Verified(right=False)

    def _hash(self, prepared: bytes) -> str:
        try:
            return self._argon2.hash(prepared)
        except HashingError as error:
            raise StoreUnavailable(f"a password could not be hashed: {error}") from error

    def _even_out(self, done: Encoded) -> None:
        """Do what has not been done yet of the work that every failure costs."""
        was = kind(done)
        if was != self._own:
            _check(self._dummy, b"")
        for family, costliest in self._foreign.items():
            spend(costliest, was.work if was.family == family else 0)

    def _learn(self, found: Encoded) -> None:
        new = kind(found)
        known = self._foreign.get(new.family)
        if new != self._own and (known is None or kind(known).work < new.work):
            # A new mapping each time: other threads may be walking through the old one.
            self._foreign = {**self._foreign, new.family: dummy(found, os.urandom(64))}


def _stored(encoded: str) -> Encoded:
    try:
        return recognise(encoded)
    except ValueError as error:
        # It was accepted once and is not readable now: that is for us to mend, and no wrong password.
        raise StoreUnavailable(f"a stored password hash cannot be read: {error}") from error


def _check(encoded: Encoded, password: bytes) -> bool:
    try:
        return encoded.check(password)
    except (VerificationError, ValueError, MemoryError) as error:
        raise StoreUnavailable(f"a password could not be checked: {error}") from error
