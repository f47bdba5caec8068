"""The encoded password hashes that can be checked here, and what each costs.

- argon2, any type and parameters: the PHC string that argon2-cffi, PHP and others make
- bcrypt, `$2y$` as PHP's `password_hash` makes it, `$2b$`, `$2a$`
- Django's PBKDF2: `pbkdf2_sha256$…` and `pbkdf2_sha1$…`

Everything else is refused by `recognise`, which says what it is and what to do. Nothing is guessed: a text
that has no known beginning is no hash. Costs are bounded, so that one line of an imported file cannot keep
a processor busy for a day.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import bcrypt
from argon2 import Parameters, extract_parameters
from argon2.exceptions import InvalidHashError

from demur.authenticators.argon2id import derive

if TYPE_CHECKING:
    from collections.abc import Callable

BCRYPT_COSTS = range(4, 17)
ARGON2_MEMORY = 4 * 1024 * 1024  # KiB; twice RFC 9106's first recommended option
ARGON2_PASSES = 64
ARGON2_LANES = 64
PBKDF2_ITERATIONS = 10_000_000

_ARGON2 = re.compile(
    r"\$argon2(?:id|i|d)\$(?:v=(?:16|19)\$)?m=\d{1,8},t=\d{1,3},p=\d{1,3}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{6,}"
)
# 22 characters hold 132 bits and the salt has 128: the last one can only be one of four.
_BCRYPT = re.compile(r"\$2[yba]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_PBKDF2 = re.compile(r"pbkdf2_(sha256|sha1)\$(\d{1,9})\$([^$]+)\$([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True)
class Argon2:
    """An argon2 hash and the parameters that it was made with."""

    text: str
    parameters: Parameters

    def check(self, password: bytes) -> bool:
        """Whether this is the password. Raises argon2's `VerificationError` if it cannot be checked, and
        `MemoryError` if there is not enough."""
        salt, digest = map(_bytes, self.text.rsplit("$", 2)[1:])
        return hmac.compare_digest(derive(self.parameters, password, salt), digest)


@dataclass(frozen=True, slots=True)
class Bcrypt:
    """A bcrypt hash. The work is 2 to the power of `cost`."""

    text: str
    cost: int

    def check(self, password: bytes) -> bool:
        """Whether this is the password, or as much of it as bcrypt reads.

        bcrypt reads 72 bytes. PHP's `password_hash` cuts there without a word, so a longer password is right if
        its first 72 bytes are, as it was on the site that the hash comes from.
        """
        return bcrypt.checkpw(password[:72], self.text.encode())


@dataclass(frozen=True, slots=True)
class Pbkdf2:
    """A Django PBKDF2 hash. The work is the number of iterations."""

    digest: str
    iterations: int
    salt: str
    want: bytes

    def check(self, password: bytes) -> bool:
        """Whether this is the password."""
        made = hashlib.pbkdf2_hmac(self.digest, password, self.salt.encode(), self.iterations)
        return hmac.compare_digest(made, self.want)


Encoded: TypeAlias = Argon2 | Bcrypt | Pbkdf2


@dataclass(frozen=True, slots=True)
class Kind:
    """What decides the time that checking a hash takes: a family, and how much of its work.

    `work` counts what the family repeats: bcrypt's rounds, PBKDF2's iterations; for argon2 each set of
    parameters is a family of its own, with a work of 1.
    """

    family: str
    work: int


def kind(encoded: Encoded) -> Kind:
    """The kind of a hash."""
    match encoded:
        case Bcrypt(cost=cost):
            return Kind("bcrypt", 2**cost)
        case Pbkdf2(digest=digest, iterations=iterations):
            return Kind(f"pbkdf2_{digest}", iterations)
        case Argon2(parameters=parameters):
            return argon2_kind(parameters)


def argon2_kind(parameters: Parameters) -> Kind:
    """The kind of an argon2 hash that is made with these parameters."""
    return Kind(
        f"argon2{parameters.type.name.lower()} v={parameters.version} m={parameters.memory_cost} "
        f"t={parameters.time_cost} p={parameters.parallelism}",
        1,
    )


def recognise(text: str) -> Encoded:
    """Read an encoded hash. Raises `ValueError` with one sentence that says what it is and why it is refused."""
    for beginning, reader in _READERS:
        if text.startswith(beginning):
            return reader(text)
    raise ValueError(_foreign(text))


def canonical(text: str) -> str:
    """The form in which a hash is kept: without surrounding blanks and Django's prefixes around a hash of
    another family (`argon2$argon2id$…`, `bcrypt$$2b$…`). Raises `ValueError` as `recognise` does."""
    text = text.strip()
    if text.startswith("argon2$argon2"):
        text = text.removeprefix("argon2")
    elif text.startswith("bcrypt$$2"):
        text = text.removeprefix("bcrypt$")
    recognise(text)
    return text


def dummy_argon2(parameters: Parameters, random: bytes) -> Argon2:
    """A hash that no password is known for, without the work of making one; checking it costs what checking a
    real one does. `random` is unguessable, at least 16 bytes."""
    salt = hashlib.shake_256(b"salt" + random).digest(parameters.salt_len)
    digest = hashlib.shake_256(random).digest(parameters.hash_len)
    text = (
        f"$argon2{parameters.type.name.lower()}$v={parameters.version}"
        f"$m={parameters.memory_cost},t={parameters.time_cost},p={parameters.parallelism}"
        f"${_unpadded(salt)}${_unpadded(digest)}"
    )
    return Argon2(text, parameters)


def dummy(like: Encoded, random: bytes) -> Encoded:
    """A hash of the same cost as another one, which nobody's password fits and which tells nothing of it."""
    match like:
        case Argon2(parameters=parameters):
            return dummy_argon2(parameters, random)
        case Bcrypt(cost=cost):
            return Bcrypt("", cost)
        case Pbkdf2(digest=digest, iterations=iterations):
            return Pbkdf2(digest, iterations, "", b"")


def spend(costly: Encoded, done: int) -> None:
    """Work as long as a check of `costly` takes, less `done` of its work, and come to no result."""
    match costly:
        case Argon2() if not done:
            costly.check(b"")
        case Bcrypt(cost=cost):
            # 2^n is 2^m + 2^m + 2^(m+1) + … + 2^(n-1): what is left after 2^m is done, in powers of two.
            for part in range(done.bit_length() - 1, cost) if done else (cost,):
                bcrypt.hashpw(b"", b"$2b$%02d$" % part + b"." * 22)
        case Pbkdf2(digest=digest, iterations=iterations) if iterations > done:
            hashlib.pbkdf2_hmac(digest, b"", b"", iterations - done)


def _unpadded(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _bytes(unpadded: str) -> bytes:
    return base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)


def _read_argon2(text: str) -> Encoded:
    if not _ARGON2.fullmatch(text):
        raise ValueError("this argon2 hash is damaged or cut short.")
    try:
        parameters = extract_parameters(text)
    except InvalidHashError:
        raise ValueError("this argon2 hash is damaged or cut short.") from None
    if (
        not 8 <= parameters.memory_cost <= ARGON2_MEMORY
        or not 1 <= parameters.time_cost <= ARGON2_PASSES
        or not 1 <= parameters.parallelism <= ARGON2_LANES
    ):
        raise ValueError("this argon2 hash would take too much memory or time to check.")
    return Argon2(text, parameters)


def _read_bcrypt(text: str) -> Encoded:
    found = _BCRYPT.fullmatch(text)
    if not found:
        raise ValueError("this bcrypt hash is damaged or cut short (60 characters are expected).")
    cost = int(found[1])
    if cost not in BCRYPT_COSTS:
        raise ValueError(f"bcrypt costs from {BCRYPT_COSTS[0]} to {BCRYPT_COSTS[-1]} are accepted, this is {cost}.")
    return Bcrypt(text, cost)


def _read_pbkdf2(text: str) -> Encoded:
    found = _PBKDF2.fullmatch(text)
    if not found:
        raise ValueError("this PBKDF2 hash is damaged or cut short.")
    digest, iterations, salt, encoded = found[1], int(found[2]), found[3], found[4]
    try:
        want = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError("this PBKDF2 hash is damaged or cut short.") from None
    if len(want) != hashlib.new(digest, usedforsecurity=False).digest_size:
        raise ValueError("this PBKDF2 hash is damaged or cut short.")
    if not 1 <= iterations <= PBKDF2_ITERATIONS:
        raise ValueError(f"up to {PBKDF2_ITERATIONS} PBKDF2 iterations are accepted, this has {iterations}.")
    return Pbkdf2(digest, iterations, salt, want)


_READERS: tuple[tuple[str, Callable[[str], Encoded]], ...] = (
    ("$argon2", _read_argon2),
    ("$2y$", _read_bcrypt),
    ("$2b$", _read_bcrypt),
    ("$2a$", _read_bcrypt),
    ("pbkdf2_sha256$", _read_pbkdf2),
    ("pbkdf2_sha1$", _read_pbkdf2),
)

_INSTEAD = "Leave this person out, and set a new password with `demur user add`."
_KNOWN_BUT_REFUSED: tuple[tuple[str, str], ...] = (
    ("$apr1$", "Apache's MD5 hash ($apr1$) is far too quick to guess"),
    ("{SHA}", "an unsalted SHA-1 hash ({SHA}) is no protection"),
    ("{SSHA}", "a SHA-1 hash ({SSHA}) is far too quick to guess"),
    ("{PLAIN}", "this is a password in the clear"),
    ("$1$", "an MD5 crypt hash ($1$) is far too quick to guess"),
    ("$5$", "a SHA-256 crypt hash ($5$) cannot be checked here"),
    ("$6$", "a SHA-512 crypt hash ($6$) cannot be checked here"),
    ("$y$", "a yescrypt hash ($y$) cannot be checked here"),
    ("$7$", "an scrypt hash ($7$) cannot be checked here"),
    ("$2x$", "a bcrypt hash with the sign bug of 2011 ($2x$) is ambiguous"),
    ("$P$", "a phpass hash ($P$) is far too quick to guess"),
    ("$H$", "a phpass hash ($H$) is far too quick to guess"),
    ("bcrypt_sha256$", "Django's bcrypt over SHA-256 cannot be checked here"),
    ("scrypt$", "Django's scrypt hash cannot be checked here"),
    ("md5$", "an MD5 hash is far too quick to guess"),
    ("sha1$", "a SHA-1 hash is far too quick to guess"),
    ("!", "the mark in front says that this password is locked"),
    ("*", "the mark in front says that this password is locked"),
)


def _foreign(text: str) -> str:
    if not text:
        return f"there is no password hash. {_INSTEAD}"
    for beginning, what in _KNOWN_BUT_REFUSED:
        if text.startswith(beginning):
            return f"{what}. {_INSTEAD}"
    if re.fullmatch(r"[./A-Za-z0-9]{13}", text):
        return f"this looks like a DES crypt hash, which is far too quick to guess. {_INSTEAD}"
    # The text itself may be somebody's password: it is never repeated.
    return (
        "this is no hash that is known here, perhaps a password in the clear; "
        f"argon2, bcrypt and Django's PBKDF2 are. {_INSTEAD}"
    )
