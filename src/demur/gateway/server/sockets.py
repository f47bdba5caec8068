"""Listening sockets, and what to do if there can be none."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from demur.core.model import ConfigError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from demur.gateway.config.addresses import Address


def url(sock: socket.socket, *, tls: bool) -> str:
    """What to type to get there."""
    where = sock.getsockname()
    if isinstance(where, str):
        return f"unix:{where}"
    host = f"[{where[0]}]" if ":" in where[0] else where[0]
    return f"{'https' if tls else 'http'}://{host}:{where[1]}"


def close(sock: socket.socket) -> None:
    """Listen no more, and leave nothing behind."""
    where = sock.getsockname()
    sock.close()
    if isinstance(where, str):
        Path(where).unlink(missing_ok=True)


class LastOnes:
    """What is between a connection that the kernel has accepted and a server that accepts nothing more: whoever closes
    a listening socket breaks off all that wait there, though their requests may have been sent. So the socket stays
    open in a second place until nobody waits any more."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock.dup()
        self._socket.setblocking(False)  # noqa: FBT003 - its only parameter

    def taken(self) -> Iterator[socket.socket]:
        """All who wait; then nobody can come any more."""
        with self._socket:
            while True:
                try:
                    connection, _ = self._socket.accept()
                except OSError:  # nobody waits, or this one has gone
                    return
                connection.setblocking(False)  # noqa: FBT003 - as above
                yield connection


def has_news(transport: asyncio.BaseTransport) -> bool:
    """Whether something has arrived on a connection that nobody has read yet. To close it then would break that off."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return False
    with socket.socket(fileno=os.dup(sock.fileno())) as same:
        try:
            return bool(same.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False


def bind(address: Address, place: str) -> socket.socket:
    """A socket that is bound and takes connections in. Raises ConfigError naming the address and what to do."""
    try:
        return _bind_unix(address.path) if address.path is not None else _bind_tcp(address)
    except OSError as error:
        raise ConfigError(f"cannot listen on {address}: {_why(error)}", place=place, fix=_fix(error, address)) from None


def _bind_tcp(address: Address) -> socket.socket:
    family, kind, proto, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.host != "::"))
        sock.bind(where)
        return _listening(sock)
    except OSError:
        sock.close()
        raise


def _bind_unix(path: Path) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Nobody may connect between bind and chmod.
    mask = os.umask(0o177)
    try:
        sock.bind(str(path))
        path.chmod(0o660)
        return _listening(sock)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(mask)


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on any more; anything else that is there stays."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "there is a file of that name which is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "another program listens there")


def _listening(sock: socket.socket) -> socket.socket:
    sock.listen(2048)
    sock.setblocking(False)  # noqa: FBT003 - its only parameter
    return sock


def _why(error: OSError) -> str:
    return f"{error.strerror or error}.".replace("..", ".")


def _fix(error: OSError, address: Address) -> str:
    if isinstance(error, socket.gaierror):
        return "Give an address of this machine."
    if isinstance(error, PermissionError) and address.path is None:
        return "Choose a port from 1024, or allow this one (for example AmbientCapabilities=CAP_NET_BIND_SERVICE)."
    if address.path is not None:
        return f"Choose another path, or look at what is in {address.path.parent}."
    if error.errno == errno.EADDRNOTAVAIL:
        return 'Give an address of this machine, or "0.0.0.0" for all of them.'
    return "Stop the other program, or choose another port."
