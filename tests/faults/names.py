"""Names that only this process knows, and a name server that can stop answering.

asyncio asks `socket.getaddrinfo` in a thread. The C library gives up after some ten seconds when a name server does not
answer, and that thread is gone for as long.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

DOMAIN = ".faults.test"
_WAITS = 10.0

_silent: dict[str, threading.Event] = {}
_real = socket.getaddrinfo


def _look_up(host: Any, *rest: Any, **more: Any) -> Any:
    if not isinstance(host, str) or not host.endswith(DOMAIN):
        return _real(host, *rest, **more)
    answers_again = _silent.get(host)
    if answers_again is not None:
        answers_again.wait(_WAITS)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _real("127.0.0.1", *rest, **more)


@contextlib.contextmanager
def known() -> Iterator[None]:
    """Every name of the domain is this machine, for as long as the block lasts."""
    socket.getaddrinfo = _look_up
    try:
        yield
    finally:
        socket.getaddrinfo = _real


@contextlib.contextmanager
def gone(name: str) -> Iterator[None]:
    """Nobody answers when asked for that name."""
    _silent[name] = threading.Event()
    try:
        yield
    finally:
        _silent.pop(name).set()
