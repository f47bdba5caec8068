"""The least that can answer on the event loop that demur runs on: nothing is read, and always the same is said.

It takes its turns on the core as demur does while it is asked a lot.

    benchmarks/forward_floor.py PATH
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Final, cast

import uvloop

ANSWER: Final = b"HTTP/1.1 204 No Content\r\n\r\n"


class Floor(asyncio.Protocol):
    """Whatever comes is one whole question."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        self._write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self._write(ANSWER)


async def _serve(path: str) -> None:
    await asyncio.get_running_loop().create_unix_server(Floor, path)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(sys.argv[1]))
