"""Where a PostgreSQL is, as libpq reads it, and what to say when it is not.

- Several hosts are tried in turn, the one that answered last first: after a failover that is the new primary.
- A name is looked up without holding up the event loop. If that fails, the address that it had before is tried.
- Nothing that is said of an address contains a password.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from demur.core.model import ConfigError
from demur.stores.postgres.line import Lost, open_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demur.stores.postgres.line import Line

_TRYING = 2.0
"""Seconds for one try to connect, to all hosts together. Nobody waits for all of it."""

_DEFAULTS = {
    "application_name": "demur",
    "client_encoding": "UTF8",
    "gssencmode": "disable",
    "target_session_attrs": "read-write",  # what is read from a standby may have ended long ago
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "5000",
}

# What libpq says (in English, which is what servers speak unless told otherwise), and what helps.
_FIXES = (
    (
        "no password supplied",
        'a password is asked for. Put it into ~/.pgpass or a file that "passfile=" names, or into PGPASSWORD',
    ),
    (
        "password authentication failed",
        "The role or its password is wrong: look at the URL, at ~/.pgpass, and at PGPASSWORD",
    ),
    ("no pg_hba.conf entry", "The server does not let this role in from here: add a line to its pg_hba.conf"),
    (r'database ".*" does not exist', "Make it: createdb --owner ROLE DATABASE"),
    (r'role ".*" does not exist', "Make it: createuser --pwprompt ROLE"),
    ("permission denied for database", "Let the role in: GRANT CONNECT ON DATABASE … TO …"),
    (
        "too many (clients|connections)|remaining connection slots",
        "Raise max_connections of the server, or run fewer processes: each takes up to five",
    ),
    ("[Cc]onnection refused|No such file or directory", "Is PostgreSQL running there? See the host and the port"),
    ("read-only|hot standby", "It is a standby. Name the primary, or all servers: postgresql://one,two/DATABASE"),
    ("certificate", "See sslrootcert= and the certificate of the server"),
    ("does not support SSL", "Turn on ssl in postgresql.conf"),
)


@dataclass(frozen=True, slots=True)
class _Host:
    name: str
    port: str
    hostaddr: str = ""

    @property
    def by_name(self) -> bool:
        """Whether somebody has to be asked for its address."""
        if self.hostaddr or not self.name or self.name[0] in "/@":
            return False
        try:
            ipaddress.ip_address(self.name)
        except ValueError:
            return True
        return False


class Address:
    """One database, on any of some hosts. Raises `ConfigError` for what libpq does not understand."""

    def __init__(self, url: str) -> None:
        self._words = _parsed(url)
        self._hosts = [] if "service" in self._words else _hosts(self._words)
        self._known: dict[tuple[str, str], list[str]] = {}

    def __str__(self) -> str:
        """For a log: hosts and database."""
        hosts = ",".join(_shown(host) for host in self._hosts) or f"service {self._words.get('service', '')}"
        return f"PostgreSQL at {hosts}, database {self._words.get('dbname', '(that of the role)')}"

    async def connect(self) -> Line:
        """A connection to the first host that lets us in. Raises `Lost`."""
        if not self._hosts:
            return await self._to({}, _TRYING, in_thread=True)
        failed: list[str] = []
        for host in list(self._hosts):
            try:
                line = await self._host(host, _TRYING / len(self._hosts))
            except Lost as error:
                failed.append(f"{_shown(host)}: {error.message}" if len(self._hosts) > 1 else error.message)
            else:
                self._hosts.remove(host)
                self._hosts.insert(0, host)
                return line
        raise Lost("; ".join(failed), before=True)

    async def _host(self, host: _Host, within: float) -> Line:
        failed = Lost("has no address", before=True)
        until = asyncio.get_running_loop().time() + within
        addresses = await self._addresses(host, within) if host.by_name else [host.hostaddr]
        for address in addresses[:3]:
            left = until - asyncio.get_running_loop().time()
            words = {"host": host.name, "port": host.port, "hostaddr": address}
            try:
                return await self._to({key: word for key, word in words.items() if word}, max(left, 0.1))
            except Lost as error:
                failed = error
        raise failed

    async def _addresses(self, host: _Host, within: float) -> list[str]:
        key = host.name, host.port
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(within / 2):
                found = await loop.getaddrinfo(host.name, host.port or "5432", type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError) as error:
            if key in self._known:
                return self._known[key]
            why = getattr(error, "strerror", None) or "the name server does not answer"
            raise Lost(f'no address for "{host.name}": {why}', before=True) from error
        self._known[key] = list(dict.fromkeys(str(address[0]) for *_, address in found))
        return self._known[key]

    async def _to(self, words: dict[str, str], within: float, *, in_thread: bool = False) -> Line:
        conninfo = make_conninfo("", **{**self._words, **words})
        try:
            async with asyncio.timeout(within):
                return await open_line(conninfo.encode(), in_thread=in_thread)
        except TimeoutError as error:
            raise Lost(f"no answer within {within:.1f} s", before=True) from error


def advised(message: str) -> str:
    """What libpq said, and what helps."""
    message = re.sub(r"^(connection to server .*? failed: |consuming input failed: |FATAL: +)+", "", message)
    for pattern, fix in _FIXES:
        if re.search(pattern, message):
            return f"{message}. {fix}"
    return message


def _parsed(url: str) -> dict[str, str]:
    try:
        options = pq.Conninfo.parse(url.encode())
    except (psycopg.OperationalError, UnicodeError) as error:
        raise ConfigError(
            f"This is not an address that PostgreSQL understands{_reason(str(error), url)}.",
            fix='Write "postgresql://ROLE@HOST:5432/DATABASE"; percent-encode what is special in names (@ is %40).',
        ) from None
    words = {option.keyword.decode(): option.val.decode() for option in options if option.val is not None}
    words.pop("connect_timeout", None)
    return {**_DEFAULTS, **words}


def _reason(said: str, url: str) -> str:
    """Why, unless that may repeat a part of a password."""
    return "" if "@" in url or "password" in url else f": {said.strip()}"


def _hosts(words: dict[str, str]) -> list[_Host]:
    defaults = {option.keyword.decode(): (option.val or b"").decode() for option in pq.Conninfo.get_defaults()}
    names = (words.get("host") or defaults.get("host") or "").split(",")
    addresses = (words.get("hostaddr") or defaults.get("hostaddr") or "").split(",")
    ports = (words.get("port") or defaults.get("port") or "5432").split(",")
    for key in ("host", "hostaddr", "port"):
        words.pop(key, None)
    count = max(len(names), len(addresses))
    return [
        _Host(*each)
        for each in zip(_filled(names, count), _filled(ports, count), _filled(addresses, count), strict=True)
    ]


def _filled(given: list[str], count: int) -> Iterator[str]:
    """One for each; a single one is for all."""
    for number in range(count):
        yield given[number] if number < len(given) else given[-1]


def _shown(host: _Host) -> str:
    return f"{host.name or host.hostaddr or 'this machine'}:{host.port}"
