"""A worker that passes everything on: `python passing.py URL` prints the port at which it listens."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from types import SimpleNamespace
from typing import Any

import uvloop

from demur.core.model import Allow, Request
from demur.gateway.proxy.forward import Proxy
from demur.gateway.server.serve import Listener, serve


async def main() -> None:
    proxy = Proxy(sys.argv[1])

    async def allowing(scope: Any, receive: Any, send: Any) -> None:
        target = scope["extensions"]["demur.target"]["raw"]
        request = Request(scope["method"], target, scope["scheme"], "a", "127.0.0.1", tuple(scope["headers"]))
        scope["demur"] = SimpleNamespace(allow=Allow(), request=request)
        await proxy(scope, receive, send)

    stop, sock = asyncio.Event(), socket.create_server(("127.0.0.1", 0), backlog=1024)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    port = sock.getsockname()[1]
    await serve([Listener(sock, allowing)], stop, drain=1, ready=lambda: print(port, flush=True))
    await proxy.aclose()


if __name__ == "__main__":
    uvloop.run(main())
