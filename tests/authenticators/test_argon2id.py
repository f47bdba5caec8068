"""Argon2 in memory that is kept: what it makes is what libargon2 makes, and nothing of a password stays behind."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from argon2 import Parameters
from argon2.exceptions import VerificationError
from argon2.low_level import Type, hash_secret_raw

from demur.authenticators import argon2id
from demur.authenticators.argon2id import derive, let_go

LEAST = Parameters(type=Type.ID, version=19, salt_len=16, hash_len=32, time_cost=1, memory_cost=64, parallelism=1)
SALT = b"sixteen bytes of"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"type": Type.I},
        {"type": Type.D},
        {"version": 16},
        {"hash_len": 64},
        {"time_cost": 3, "parallelism": 4},
        {"memory_cost": 67, "parallelism": 2},  # is rounded down to whole segments
        {"memory_cost": 4096, "time_cost": 2, "parallelism": 3},
    ],
)
def test_it_makes_what_libargon2_makes(changes: dict[str, Any]) -> None:
    """For every type, version, number of passes and lanes; after another password and with fresh memory."""
    parameters = dataclasses.replace(LEAST, **changes)
    want = hash_secret_raw(
        b"walrus",
        SALT,
        parameters.time_cost,
        parameters.memory_cost,
        parameters.parallelism,
        parameters.hash_len,
        parameters.type,
        parameters.version,
    )
    let_go()
    assert derive(parameters, b"walrus", SALT) == want
    assert derive(parameters, b"", SALT) != want
    assert derive(parameters, b"walrus", SALT) == want
    let_go()


def test_the_memory_stays_and_is_wiped() -> None:
    """The next password finds the memory there, with nothing of the one before."""
    let_go()
    derive(LEAST, b"walrus", SALT)
    kept = argon2id._kept.memory
    assert kept is not None
    assert not any(kept[:])
    derive(LEAST, b"carpenter", SALT)
    assert argon2id._kept.memory is kept
    let_go()
    assert kept.closed


def test_more_memory_takes_the_place_of_less() -> None:
    """And what suffices for more suffices for less."""
    let_go()
    derive(LEAST, b"walrus", SALT)
    less = argon2id._kept.memory
    derive(dataclasses.replace(LEAST, memory_cost=256), b"walrus", SALT)
    more = argon2id._kept.memory
    assert less is not None
    assert less.closed
    derive(LEAST, b"walrus", SALT)
    assert argon2id._kept.memory is more
    let_go()


def test_what_cannot_be_done_is_an_error() -> None:
    """A salt that is too short, and memory that no machine has."""
    with pytest.raises(VerificationError, match="Salt is too short"):
        derive(LEAST, b"walrus", b"short")
    with pytest.raises(MemoryError):
        derive(dataclasses.replace(LEAST, memory_cost=2**52), b"walrus", SALT)
    let_go()
