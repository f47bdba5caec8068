"""Encoded password hashes."""

from __future__ import annotations

import base64
import hashlib

import bcrypt
import pytest
from argon2 import Parameters, PasswordHasher
from argon2.low_level import Type

from demur.authenticators.encoded import (
    Argon2,
    Bcrypt,
    Kind,
    Pbkdf2,
    argon2_kind,
    canonical,
    dummy,
    dummy_argon2,
    kind,
    recognise,
    spend,
)

# Made by PHP 8.2, password_hash(…, PASSWORD_BCRYPT).
PHP = "$2y$10$BgHG1QA0g/xkzMBiAOzWQeXF1pDXPHV643KcVo9D4q9exPWBtCSRC"
PHP_80_TIMES_A = "$2y$10$1JzGm0r36B1ZuQIrLykCXeb51O.VlYwCqEcmFRaEMJ/bEui/Tc7J."
# Made by Apache's htpasswd -B.
HTPASSWD = "$2y$05$/hJScySZTVkIy.xeO3rXLe8BjziJxhz9XN8f53lXuArrZDjDvKv5y"
# Of this salt, so that every process collects tests of the same names.
ARGON2_I = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1, type=Type.I).hash(
    "geheim-und-lang", salt=b"s" * 16
)


def django(digest: str, iterations: int) -> str:
    """A hash of "geheim-und-lang" as Django writes it."""
    made = hashlib.pbkdf2_hmac(digest, b"geheim-und-lang", b"pfeffer", iterations)
    return f"pbkdf2_{digest}${iterations}$pfeffer${base64.b64encode(made).decode()}"


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        (PHP, b"geheim-und-lang", b"geheim-und-lan"),
        (HTPASSWD, b"geheim-und-lang", b"Geheim-und-lang"),
        (PHP.replace("$2y$", "$2a$"), b"geheim-und-lang", b""),
        (PHP.replace("$2y$", "$2b$"), b"geheim-und-lang", b"geheim-und-lang\0"),
        # bcrypt reads 72 bytes, and PHP cuts there
        (PHP_80_TIMES_A, b"a" * 80, b"a" * 71),
        (PHP_80_TIMES_A, b"a" * 72, b"a" * 71 + b"b"),
        (ARGON2_I, b"geheim-und-lang", b"geheim-und-lang "),
        (django("sha256", 1000), b"geheim-und-lang", b"geheim"),
        (django("sha1", 1000), b"geheim-und-lang", b"geheim"),
    ],
)
def test_checks_what_others_made(text: str, right: bytes, wrong: bytes) -> None:
    """A hash from elsewhere says yes to its password and no to another one."""
    encoded = recognise(text)
    assert encoded.check(right)
    assert not encoded.check(wrong)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$apr1$18YawQl9$vJLs3HjXpmShAyl58BcTP1", "Apache's MD5 hash"),
        ("{SHA}kGByAB793z4R5tK1eC9Hd/4Dhzk=", "unsalted SHA-1"),
        ("qxVihTzTrOqJE", "DES crypt"),
        ("$5$2ObG0d0wlE1bhBw/$zebPqYCXpx.nwmN7PH5g0KnSPVYl8H2.P4eFeXnvR/9", "SHA-256 crypt"),
        ("$6$salt$hash", "SHA-512 crypt"),
        ("$1$salt$hash", "MD5 crypt"),
        ("bcrypt_sha256$$2b$12$abc", "Django's bcrypt over SHA-256"),
        ("!", "locked"),
        ("", "no password hash"),
        ("hunter2", "no hash that is known"),
        ("$2y$10$short", "damaged"),
        (PHP[:-1], "damaged"),
        (PHP + "x", "damaged"),
        ("$2y$31$BgHG1QA0g/xkzMBiAOzWQeXF1pDXPHV643KcVo9D4q9exPWBtCSRC", "from 4 to 16"),
        # the last character of a salt has only two bits
        ("$2y$10$BgHG1QA0g/xkzMBiAOzWQfXF1pDXPHV643KcVo9D4q9exPWBtCSRC", "damaged"),
        ("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ", "damaged"),
        ("$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo", "too much memory"),
        ("$argon2id$v=19$m=64,t=999,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo", "too much memory or time"),
        ("pbkdf2_sha256$1000$salt$!!!", "damaged"),
        ("pbkdf2_sha256$1000$salt$YWJj", "damaged"),
        (django("sha256", 1000).replace("$1000$", "$99999999$"), "up to 10000000"),
        (django("sha256", 1000).replace("$1000$", "$0$"), "up to 10000000"),
    ],
)
def test_says_why_a_hash_is_refused(text: str, expected: str) -> None:
    """Whatever cannot be checked, or not in time, is refused by name; the text itself is never repeated."""
    with pytest.raises(ValueError, match=r"\S") as refused:
        recognise(text)
    assert expected in str(refused.value)
    assert len(text) < 6 or text not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"  {PHP}\n", PHP),
        (f"argon2{ARGON2_I}", ARGON2_I),
        (f"bcrypt${PHP}", PHP),
        (PHP, PHP),
    ],
)
def test_keeps_the_hash_without_its_wrapping(text: str, kept: str) -> None:
    """Blanks around, and Django's name in front of another family's hash, do not belong to it."""
    assert canonical(text) == kept


def test_kinds_tell_what_costs_the_same() -> None:
    """Two hashes are of one kind if checking them takes the same time."""
    assert kind(recognise(PHP)) == Kind("bcrypt", 1024)
    assert kind(recognise(django("sha1", 1000))) == Kind("pbkdf2_sha1", 1000)
    low = Parameters(type=Type.ID, version=19, salt_len=16, hash_len=32, time_cost=1, memory_cost=64, parallelism=1)
    other_salt = Parameters(
        type=Type.ID, version=19, salt_len=8, hash_len=32, time_cost=1, memory_cost=64, parallelism=1
    )
    assert argon2_kind(low) == argon2_kind(other_salt)
    assert argon2_kind(low) != kind(recognise(ARGON2_I))


@pytest.mark.parametrize("text", [PHP, ARGON2_I, django("sha256", 1000)])
def test_a_dummy_costs_the_same_and_tells_nothing(text: str) -> None:
    """A dummy is of the same kind, and of the hash that it was made after it keeps neither salt nor digest."""
    encoded = recognise(text)
    made = dummy(encoded, b"0123456789abcdef")
    assert kind(made) == kind(encoded)
    assert text.rpartition("$")[2] not in repr(made)


def test_a_dummy_of_argon2_can_be_checked() -> None:
    """The dummy is a well-formed hash, which nobody's password fits."""
    parameters = Parameters(
        type=Type.ID, version=19, salt_len=16, hash_len=32, time_cost=1, memory_cost=64, parallelism=1
    )
    made = dummy_argon2(parameters, b"0123456789abcdef")
    assert recognise(made.text) == made
    assert not made.check(b"")


@pytest.mark.parametrize(
    "costly",
    [Bcrypt("", 6), Pbkdf2("sha256", 2000, "", b""), Argon2(ARGON2_I, recognise(ARGON2_I).parameters)],  # type: ignore[union-attr]
)
@pytest.mark.parametrize("done", [0, 16, 64, 2000])
def test_spending_time_has_no_result(costly: Argon2 | Bcrypt | Pbkdf2, done: int) -> None:
    """Work is done for its time alone, whatever part of it is done already."""
    assert spend(costly, done) is None  # type: ignore[func-returns-value]


def test_bcrypt_itself_still_refuses_long_passwords() -> None:
    """We cut at 72 bytes because the library does not; should it begin to, our line can go."""
    with pytest.raises(ValueError, match="72"):
        bcrypt.checkpw(b"a" * 73, PHP.encode())
