"""A wire between an app and its store that does what wires do: it is cut, it is slow, it swallows, it garbles.

A TCP proxy on a port of its own. Everything that can be done to it can be undone, and connections that lived through a
hole go on where they were, as TCP does: an answer may come when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import ssl

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Target: TypeAlias = "tuple[str, int] | str"
"""Where it leads: a host and a port, or the path of a unix socket."""

# What PostgreSQL's clients send before TLS begins (PostgreSQL, Frontend/Backend Protocol, SSLRequest).
_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_PIECE = 65536


@dataclass(eq=False)
class Wire:
    """Leads from `port` to `target`. With `tls` it speaks TLS to whoever comes, and plain to the target; `starttls` if
    they ask for it in PostgreSQL's way. `seed` makes the noise the same each time; `host` is where it listens."""

    target: Target
    tls: ssl.SSLContext | None = None
    starttls: bool = False
    seed: int = 1
    port: int = 0
    host: str = "127.0.0.1"
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _going: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _reserved: socket.socket | None = None

    def __post_init__(self) -> None:
        self._noise = random.Random(self.seed)
        self._through = asyncio.Event()
        self._through.set()
        self._delay = 0.0
        self._cut_after: int | None = None
        self._garbles = False

    async def start(self) -> Wire:
        """Listen, on the same port as before if there was one."""
        if self._reserved is None:
            self._reserve()
        listening, self._reserved = self._reserved, None
        assert listening is not None
        self._server = await asyncio.start_server(self._accept, sock=listening)
        return self

    async def aclose(self) -> None:
        """Let go of everything."""
        await self.refuse()
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    # --- what can be done to it -----------------------------------------------------------------------

    async def refuse(self) -> None:
        """Nobody listens any more, and every connection is reset."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self._reserve()
        await self.drop()

    async def drop(self) -> None:
        """Reset every connection; new ones are welcome."""
        for writer in list(self._open):
            _reset(writer)
        self._through.set()
        for task in list(self._going):
            task.cancel()
        await asyncio.gather(*self._going, return_exceptions=True)

    def swallow(self) -> None:
        """A black hole: connections are accepted and stay open, and nothing comes through in either direction."""
        self._through.clear()

    def slow(self, seconds: float) -> None:
        """Each piece of an answer comes that much later."""
        self._delay = seconds

    def cut(self, after: int) -> None:
        """Of each answer so many bytes come through; then the connection is reset."""
        self._cut_after = after

    def garble(self) -> None:
        """Answers are noise of the same length."""
        self._garbles = True

    async def mend(self) -> None:
        """All is as it was; what waited comes through."""
        self._delay, self._cut_after, self._garbles = 0.0, None, False
        self._through.set()
        if self._server is None:
            await self.start()

    # --- inside ---------------------------------------------------------------------------------------

    def _reserve(self) -> None:
        """Bound and not listening: the port is ours, and whoever connects is refused."""
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind((self.host, self.port))
        self.port = self._reserved.getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._going.add(task)
        self._open.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            first = await self._handshake(reader, writer)
            answers, onward = await self._onward()
            self._open.add(onward)
            onward.write(first)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, onward, answering=False))
                both.create_task(self._pump(answers, writer, answering=True))
        except* (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._going.discard(task)
            for each in (writer, onward):
                if each is not None:
                    self._open.discard(each)
                    each.transport.abort()

    async def _onward(self) -> Streams:
        if isinstance(self.target, str):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection(*self.target)

    async def _handshake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Begin TLS where it is spoken; what was read of the conversation itself."""
        if self.tls is None:
            return b""
        await self._through.wait()
        if self.starttls:
            asked = await reader.readexactly(8)
            if asked != _SSL_REQUEST:
                return asked
            writer.write(b"S")
        await writer.start_tls(self.tls)
        return b""

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answering: bool) -> None:
        loop, last = asyncio.get_running_loop(), 0.0
        while data := await reader.read(_PIECE):
            await self._through.wait()
            if answering and self._garbles:
                data = self._noise.randbytes(len(data))
            if answering and self._cut_after is not None:
                writer.write(data[: self._cut_after])
                await asyncio.sleep(0)
                raise ConnectionResetError
            if answering and (self._delay or last > loop.time()):
                last = max(last + 1e-6, loop.time() + self._delay)  # late, and in order
                loop.call_at(last, writer.write, data)
                continue
            writer.write(data)
            await writer.drain()
        await asyncio.sleep(max(0.0, last - loop.time()))
        with contextlib.suppress(OSError):
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, and without sending what is still to be sent."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0 and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
