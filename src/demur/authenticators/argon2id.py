"""Argon2 in memory that a thread keeps between one password and the next.

libargon2 asks the system for all of its memory for every password, and gives it back. With 64 MiB that is a quarter of
the work: 16,384 pages to be zeroed, one fault each, while no other thread of the process can change its own memory.
So whoever checks one password after the other keeps the memory, and says `let_go` when nobody is waiting any more.

- libargon2 wipes it after each password, as it does with memory of its own.
- All lanes are worked through by the calling thread: the same result for the same work, and no threads that are begun
  and ended four times in each pass.
"""

from __future__ import annotations

import mmap
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from argon2.exceptions import VerificationError
from argon2.low_level import core, error_to_str, ffi

if TYPE_CHECKING:
    from argon2 import Parameters

_KIB: Final = 1024
_OK: Final = 0  # argon2.h, enum Argon2_ErrorCodes
_NO_MEMORY: Final = -22
_LEAST: Final = 8
"""Blocks of each lane that there are at least (RFC 9106, 3.1)."""


class _Kept(threading.local):
    """What a thread keeps."""

    memory: mmap.mmap | None = None
    start: Any = None


_kept = _Kept()


def derive(parameters: Parameters, password: bytes, salt: bytes) -> bytes:
    """What argon2 makes of a password. Raises argon2's `VerificationError`, or `MemoryError` if there is not enough."""
    _keep(max(parameters.memory_cost, _LEAST * parameters.parallelism) * _KIB)
    made = ffi.new("uint8_t[]", parameters.hash_len)
    raw, salted = ffi.from_buffer("uint8_t[]", password), ffi.from_buffer("uint8_t[]", salt)
    context = ffi.new("argon2_context *")
    context.version = parameters.version
    context.out, context.outlen = made, parameters.hash_len
    context.pwd, context.pwdlen = raw, len(password)
    context.salt, context.saltlen = salted, len(salt)
    context.t_cost, context.m_cost = parameters.time_cost, parameters.memory_cost
    context.lanes, context.threads = parameters.parallelism, 1
    context.allocate_cbk, context.free_cbk = _lend, _take_back
    if (code := core(context, parameters.type.value)) != _OK:
        raise VerificationError(error_to_str(code))
    return bytes(ffi.buffer(made))


def let_go() -> None:
    """Give the calling thread's memory back to the system."""
    memory, start = _kept.memory, _kept.start
    _kept.memory = _kept.start = None
    if memory is not None:
        ffi.release(start)
        memory.close()  # as opposed to being forgotten, it lets other threads of Python go on meanwhile


def _keep(size: int) -> None:
    """Have so many bytes at least."""
    if _kept.memory is not None and len(_kept.memory) >= size:
        return
    let_go()
    try:
        memory = _mapped(size)
    except OSError as error:
        raise MemoryError(f"{size} bytes for a password") from error
    _kept.memory, _kept.start = memory, ffi.from_buffer("uint8_t[]", memory)


def _mapped(size: int) -> mmap.mmap:
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    # What a fork brings along is not written to by two processes.
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


# libargon2 calls these in the thread that called it.


@ffi.callback("int(uint8_t **, size_t)")  # type: ignore[untyped-decorator]
def _lend(place: list[Any], size: int) -> int:
    if _kept.memory is None or size > len(_kept.memory):
        return _NO_MEMORY
    place[0] = _kept.start
    return _OK


@ffi.callback("void(uint8_t *, size_t)")  # type: ignore[untyped-decorator]
def _take_back(start: object, size: int) -> None:
    """It stays."""
