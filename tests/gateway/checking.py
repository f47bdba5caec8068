"""A check listener without a port: one end of a pair of sockets is its, the other the proxy's."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demur.core.model import Request, Response
from demur.gateway.check.listening import Shared
from demur.gateway.check.protocol import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from demur.gateway.check import Check

Pairs = list[tuple[str, str]]

_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Answered:
    """An answer on the wire, and whether the connection stayed open."""

    status: int
    fields: Pairs
    body: bytes


def shared(check: Any) -> Shared:
    """What the connections to a check share, as on a unix socket."""
    return Shared(check, check.short, (), True, time.monotonic(), 1000)


@contextlib.asynccontextmanager
async def connected(
    check: Any, *, with_: Shared | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, Connection]]:
    """The proxy's end of a connection to a check."""
    ours, theirs = socket.socketpair()
    connection = Connection(with_ or shared(check))
    await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, theirs)
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        yield reader, writer, connection
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        connection.transport.abort()
        await asyncio.sleep(0)


async def read(reader: asyncio.StreamReader, method: str = "GET") -> Answered:
    """The next answer."""
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        fields = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        length = int(dict(fields).get("content-length", "0"))
        body = await reader.readexactly(length) if length and method != "HEAD" else b""
    return Answered(int(first.split(" ")[1]), fields, body)


def written(target: str, sent: Sequence[tuple[str, str]], method: str = "GET", body: bytes = b"") -> bytes:
    """A request as it is sent."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def request(target: str, sent: Sequence[tuple[str, str]], method: str = "GET") -> Request:
    """The same as the parser reads it."""
    lines = tuple((name.lower().encode(), value.strip(" \t").encode("latin-1")) for name, value in sent)
    return Request(method, target.encode(), "http", "", "", lines)


def plainly(response: Response) -> Answered:
    """A response as it has to be on the wire, but for the date."""
    fields = [(name.decode(), value.decode("latin-1")) for name, value in response.fields]
    return Answered(response.status, fields, response.body)


def bare(answer: Answered) -> tuple[int, Pairs, bytes]:
    """An answer without what is another each time: its date, its reference, and the signature of that."""
    fields = [(name, _without_reference(value)) for name, value in answer.fields if name not in {"date", "connection"}]
    return answer.status, fields, _UUID.sub(b"{uuid}", answer.body)


def _without_reference(value: str) -> str:
    parts = _UUID.sub(b"{uuid}", value.encode("latin-1")).decode("latin-1").split(".")
    return ".".join([*parts[:-1], "{tag}"]) if len(parts) == 5 and parts[3] == "{uuid}" else value


async def everywhere(
    check: Check, target: str, sent: Sequence[tuple[str, str]], method: str = "GET", times: int = 3
) -> Answered:
    """What is answered: plainly, and on the wire, three times on one connection: the second time it may go the short
    way, and the third time it is known to the byte. It is the same each time."""
    plain = plainly(await check.answer(request(target, sent, method)))
    answer = plain
    async with connected(check) as (reader, writer, _):
        for _ in range(times):
            writer.write(written(target, sent, method))
            answer = await read(reader, method)
            expected = bare(plain if method != "HEAD" else Answered(plain.status, plain.fields, b""))
            assert bare(answer) == expected
    return answer
