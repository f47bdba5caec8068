"""One worker process: what it is given, and what it does from fork to exit."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeAlias

from demur.core.model import ConfigError
from demur.gateway.server.crowd import Share, room

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from demur.gateway.config.addresses import Address
    from demur.gateway.server.crowd import Network
    from demur.gateway.server.serve import Serves

Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
App: TypeAlias = Callable[[Event, Receive, Send], Awaitable[None]]

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
"""What the parent listens to."""

MOST_FILES: Final = 65536
"""How many files a worker asks for."""

FEW_FILES: Final = 4096
"""With fewer than these, clients that rest take the places of those that ask."""

READY: Final = b"ready\n"
"""What a worker says when it accepts connections; anything else is why it does not."""


class Tls(Protocol):
    """Where certificate and key are."""

    @property
    def certificate(self) -> Path: ...
    @property
    def key(self) -> Path: ...


class Listening(Protocol):
    """The table `[gateway]`, as far as it matters here."""

    @property
    def listen(self) -> Address: ...
    @property
    def check_listen(self) -> Address | None: ...
    @property
    def admin_listen(self) -> Address | None: ...
    @property
    def tls(self) -> Tls | None: ...
    @property
    def workers(self) -> int: ...
    @property
    def connections_per_address(self) -> int: ...
    @property
    def trusted_proxies(self) -> Sequence[Network | str]: ...
    @property
    def drain(self) -> int: ...


class Configured(Protocol):
    """A configuration."""

    @property
    def gateway(self) -> Listening: ...


class Check(Protocol):
    """What answers other proxies: it brings its own listener, and is told when the end begins."""

    def listener(self, sock: socket.socket) -> Serves: ...
    def drain(self) -> None: ...


class Built(Protocol):
    """What a worker serves: one ASGI app for each listener, work to be done by one worker, and an end."""

    @property
    def public(self) -> App: ...
    @property
    def check(self) -> Check: ...
    @property
    def admin(self) -> App: ...
    async def begin(self) -> None: ...
    async def keep_house(self) -> None: ...
    async def aclose(self) -> None: ...


def work(
    build: Callable[[], Built],
    sockets: Mapping[str, socket.socket],
    *,
    index: int,
    listening: Listening,
    tls: ssl.SSLContext | None,
    pipe: int,
    life: int,
) -> NoReturn:
    """Be a worker, and never return into what the parent was doing.

    `pipe` is where to say how the start went, `life` what becomes readable when the parent is gone. The first worker
    (`index` 0) keeps house.
    """
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for sign in SIGNALS:
            # Ctrl-C reaches every process of the terminal; the parent says what is to be done about it.
            signal.signal(sign, signal.SIG_DFL if sign in {signal.SIGTERM, signal.SIGCHLD} else signal.SIG_IGN)
        want_files()
        import uvloop  # noqa: PLC0415 - the parent has no use for it

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            clean = runner.run(_serve(build(), sockets, index, listening, tls, pipe, life))
        status = 0 if clean else 3
    except ConfigError as error:
        _tell(pipe, str(error).encode("utf-8", "replace"))
    except BaseException:  # noqa: BLE001 - nothing may get out of here
        _tell(pipe, traceback.format_exc().encode("utf-8", "replace"))
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def files_to_have() -> int:
    """As many files as a worker may have open, within reason."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)


def too_few_files() -> str | None:
    """What to tell whoever starts this, if a worker may have too few files open."""
    most = files_to_have()
    if most >= FEW_FILES:
        return None
    return (
        f"demur: a worker may have {most} files open, which is enough for {room(most)} connections.\n"
        f"    Allow {MOST_FILES}: LimitNOFILE= in a systemd unit, `ulimit -n` in a shell."
    )


def want_files() -> None:
    """Take as many files as this process may have, within reason. What it begins with is meant for programs that use
    `select` (getrlimit(2)), and one client could use that up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = files_to_have()
    if soft not in {resource.RLIM_INFINITY, most} and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _tell(pipe: int, text: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(pipe, text[:60000])


def _share(listening: Listening) -> Share:
    """How many connections one address may hold. Proxies that are trusted speak for many."""
    exempt = tuple(each for each in listening.trusted_proxies if not isinstance(each, str))
    return Share(listening.connections_per_address, exempt)


async def _serve(
    built: Built,
    sockets: Mapping[str, socket.socket],
    index: int,
    listening: Listening,
    tls: ssl.SSLContext | None,
    pipe: int,
    life: int,
) -> bool:
    from demur.gateway.server.serve import Listener, serve  # noqa: PLC0415 - the parent has no use for it

    # The others are for the operator's own programs.
    made: dict[str, Callable[[socket.socket], Serves]] = {
        "listen": lambda sock: Listener(sock, built.public, tls, _share(listening)),
        "check_listen": built.check.listener,
        "admin_listen": lambda sock: Listener(sock, built.admin),
    }
    listeners = [made[name](sock) for name, sock in sockets.items()]
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(life, stop.set)
    house: asyncio.Task[None] | None = None
    try:
        await built.begin()
        house = asyncio.create_task(built.keep_house()) if index == 0 else None
        # What there is by now stays until the end. To look through it for what nobody needs any more would hold up
        # whoever asks, for tens of milliseconds at a time.
        gc.collect()
        gc.freeze()
        return await serve(
            listeners, stop, ready=lambda: _tell(pipe, READY), drain=listening.drain, draining=built.check.drain
        )
    finally:
        loop.remove_reader(life)
        if house is not None:
            house.cancel()
            await asyncio.wait((house,))
        await built.aclose()
