"""The password hasher."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import subprocess
import sys
import textwrap
import time
import unicodedata
from typing import TYPE_CHECKING

import bcrypt
import pytest
from argon2 import Parameters, PasswordHasher
from argon2.low_level import Type
from hypothesis import given
from hypothesis import strategies as st

from demur.authenticators.encoded import kind, recognise
from demur.authenticators.password import MAX_BYTES, PRESETS, Argon2Hasher, parameters_of, prepare
from demur.core.model import ConfigError, StoreUnavailable
from demur.core.ports import Verified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demur.core import ports

QUICK = Parameters(type=Type.ID, version=19, salt_len=16, hash_len=32, time_cost=1, memory_cost=64, parallelism=1)
QUICKER = Parameters(type=Type.ID, version=19, salt_len=16, hash_len=32, time_cost=1, memory_cost=32, parallelism=1)

COMPOSED = "pa\u00dfw\u00f6rter"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


@pytest.fixture
def hasher() -> Iterator[Argon2Hasher]:
    """A hasher that takes no time."""
    made = Argon2Hasher(QUICK)
    yield made
    made.close()


def django(password: bytes, iterations: int = 1000) -> str:
    """A hash as Django writes it."""
    made = hashlib.pbkdf2_hmac("sha256", password, b"salz", iterations)
    return f"pbkdf2_sha256${iterations}$salz${base64.b64encode(made).decode()}"


def crypt(password: bytes, cost: int = 4) -> str:
    """A hash as PHP writes it."""
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode().replace("$2b$", "$2y$")


def older(password: bytes) -> str:
    """A hash under an earlier preset."""
    return PasswordHasher.from_parameters(QUICKER).hash(password)


async def test_its_own_hash_is_right_and_stays(hasher: Argon2Hasher) -> None:
    """A hash under the preset says yes to its password, no to another one, and needs no replacement."""
    encoded = await hasher.hash("correct horse")
    assert await hasher.verify("correct horse", encoded) == Verified(right=True)
    assert await hasher.verify("correct horse ", encoded) == Verified(right=False)


async def test_nothing_is_never_right(hasher: Argon2Hasher) -> None:
    """Without a hash no password is right, not even none."""
    assert await hasher.verify("", None) == Verified(right=False)
    assert await hasher.verify("correct horse", None) == Verified(right=False)


@pytest.mark.parametrize("make", [crypt, django, older])
async def test_foreign_and_outdated_hashes_are_replaced(hasher: Argon2Hasher, make: object) -> None:
    """A right password whose hash is not of the preset comes with one that is; a wrong one comes with nothing."""
    assert callable(make)
    encoded = make(b"correct horse")
    verified = await hasher.verify("correct horse", encoded)
    assert verified.right
    assert verified.upgrade is not None
    assert await hasher.verify("correct horse", verified.upgrade) == Verified(right=True)
    assert await hasher.verify("wrong horse", encoded) == Verified(right=False)


@pytest.mark.parametrize(
    ("made_from", "typed"),
    [
        (COMPOSED, COMPOSED),
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED, COMPOSED),
        ("a\u00a0blank between", "a blank between"),
        ("with\ta tab", "with\ta tab"),
        ("lone \ud800 surrogate", "lone \ud800 surrogate"),
    ],
)
async def test_a_password_is_the_same_on_every_keyboard(hasher: Argon2Hasher, made_from: str, typed: str) -> None:
    """Spellings that look alike are one password (RFC 8265); what the profile refuses still equals itself."""
    assert (await hasher.verify(typed, await hasher.hash(made_from))).right


@pytest.mark.parametrize("make", [crypt, django, older])
@pytest.mark.parametrize("text", [COMPOSED, DECOMPOSED])
async def test_foreign_hashes_are_of_what_was_typed(hasher: Argon2Hasher, make: object, text: str) -> None:
    """Another program hashed the bytes that it was sent, composed or not; afterwards both spellings are right."""
    assert callable(make)
    verified = await hasher.verify(text, make(text.encode()))
    assert verified.right
    for spelling in (COMPOSED, DECOMPOSED):
        assert await hasher.verify(spelling, verified.upgrade) == Verified(right=True)


async def test_an_own_hash_of_an_earlier_preset_is_of_the_prepared_form(hasher: Argon2Hasher) -> None:
    """When the preset rises, a password that is typed decomposed is still right."""
    before = Argon2Hasher(QUICKER)
    encoded = await before.hash(DECOMPOSED)
    before.close()
    assert (await hasher.verify(DECOMPOSED, encoded)).right


async def test_too_long_is_wrong(hasher: Argon2Hasher) -> None:
    """A password above the bound is wrong without more ado, and cannot be set."""
    longest = "a" * MAX_BYTES
    assert (await hasher.verify(longest, await hasher.hash(longest))).right
    too_long = longest + "a"
    encoded = PasswordHasher.from_parameters(QUICK).hash(too_long)
    assert not (await hasher.verify(too_long, encoded)).right
    assert not (await hasher.verify(too_long, crypt(b"a" * 72))).right
    with pytest.raises(ValueError, match="1024 bytes"):
        await hasher.hash("\u00e9" * 513)


@pytest.mark.parametrize("encoded", ["", "plain", "$apr1$a$b", "$2y$10$cut", "$argon2id$v=19$m=1$"])
async def test_an_unreadable_hash_is_our_failure(hasher: Argon2Hasher, encoded: str) -> None:
    """A stored hash that cannot be read is no wrong password."""
    with pytest.raises(StoreUnavailable, match="stored password hash"):
        await hasher.verify("correct horse", encoded)


async def processor_time(hasher: ports.PasswordHasher, encoded: str | None) -> float:
    """The least time in three tries that a wrong password takes, in seconds of the processor."""
    times = []
    for _ in range(3):
        before = time.process_time()
        assert not (await hasher.verify("wrong horse", encoded)).right
        times.append(time.process_time() - before)
    return min(times)


async def test_failures_cost_the_same_whatever_is_there(hasher: Argon2Hasher) -> None:
    """While there are costly hashes from elsewhere, unknown names and all others take as long to refuse."""
    own = await hasher.hash("correct horse")
    hasher.expect([crypt(b"", 9), django(b"", 100_000), "unreadable"])
    cases = (None, own, crypt(b"correct horse", 9), crypt(b"correct horse", 5), django(b"correct horse", 20_000))
    times = [await processor_time(hasher, encoded) for encoded in cases]
    assert min(times) > 0.01  # of which argon2 has next to nothing here
    # Unequal work would show as a factor of ten and more; how equal the times are, `make bench` measures.
    assert max(times) < 3 * min(times)


async def test_it_learns_from_what_it_sees(hasher: Argon2Hasher) -> None:
    """After the first costly hash an unknown name costs as much, without anybody having said so."""
    before = await processor_time(hasher, None)
    await hasher.verify("wrong horse", crypt(b"correct horse", 9))
    assert await processor_time(hasher, None) > before + 0.01


async def test_more_than_fits_is_refused_at_once() -> None:
    """What finds the line full is told so, and what was in line is done."""
    hasher = Argon2Hasher(QUICK, concurrency=1, waiting=2)
    results = await asyncio.gather(*(hasher.verify("x", crypt(b"x", 8)) for _ in range(6)), return_exceptions=True)
    assert [type(result) for result in results] == [Verified] * 3 + [StoreUnavailable] * 3
    assert (await hasher.verify("x", crypt(b"x"))).right
    hasher.close()


async def test_who_leaves_the_line_makes_room() -> None:
    """A request that is given up while it waits does not hold its place."""
    hasher = Argon2Hasher(QUICK, concurrency=1, waiting=1)
    first = asyncio.ensure_future(hasher.verify("x", crypt(b"x", 8)))
    second = asyncio.ensure_future(hasher.verify("x", None))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert not (await hasher.verify("x", None)).right
    assert (await first).right
    hasher.close()


def test_two_event_loops_one_after_the_other(hasher: Argon2Hasher) -> None:
    """A hasher belongs to no event loop."""
    encoded = asyncio.run(hasher.hash("correct horse"))
    assert asyncio.run(hasher.verify("correct horse", encoded)).right


def test_it_survives_a_fork() -> None:
    """A process that was forked after the first use opens threads of its own, and those give way on Linux."""
    script = """
        import asyncio, os, threading, warnings
        from argon2 import Parameters
        from argon2.low_level import Type
        from demur.authenticators.password import Argon2Hasher
        warnings.simplefilter("ignore", DeprecationWarning)
        quick = Parameters(Type.ID, 19, 16, 32, 1, 64, 1)
        hasher = Argon2Hasher(quick, concurrency=1)
        encoded = asyncio.run(hasher.hash("x"))
        child = os.fork()
        assert asyncio.run(hasher.verify("x", encoded)).right
        nice = {os.getpriority(os.PRIO_PROCESS, int(task)) for task in os.listdir("/proc/self/task")}
        assert max(10, os.getpriority(os.PRIO_PROCESS, 0)) in nice, nice
        if child:
            assert os.waitpid(child, 0)[1] == 0
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], timeout=60, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_argon2id_of_known_strength(name: str) -> None:
    """Every preset is argon2id with a salt of 128 bits and at least OWASP's minimum of memory times passes."""
    parameters = parameters_of(name)
    assert parameters.type is Type.ID
    assert parameters.salt_len >= 16
    assert parameters.hash_len >= 32
    assert parameters.memory_cost * parameters.time_cost >= 19 * 1024 * 2


async def test_the_default_is_a_preset() -> None:
    """Without a word it is RFC 9106's second recommended option."""
    hasher = Argon2Hasher()
    encoded = await hasher.hash("correct horse")
    hasher.close()
    assert kind(recognise(encoded)).family == "argon2id v=19 m=65536 t=3 p=4"


def test_an_unknown_preset_says_which_there_are() -> None:
    """A wrong name is an error of the configuration that leads to the right ones."""
    with pytest.raises(ConfigError, match=r"accounts\.hashing: .*RFC_9106_LOW_MEMORY"):
        Argon2Hasher("STRONG")


@given(st.text(max_size=40))
def test_preparing_twice_is_preparing_once(password: str) -> None:
    """What was prepared is not changed again, and there are always bytes."""
    once = prepare(password)
    assert prepare(once.decode("utf-8", "surrogatepass")) == once
