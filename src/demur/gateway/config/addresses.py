"""The three kinds of address in a configuration: where to listen, what browsers see, and what is behind.

Each is parsed strictly and once: what two programs could read in two ways is an error here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demur.gateway.config.faults import wrong

if TYPE_CHECKING:
    from collections.abc import Callable

# sun_path has 108 bytes on Linux and 104 elsewhere, the last of them NUL (unix(7))
_LONGEST_SOCKET = 103

_LISTEN = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>[0-9]{1,5})")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_AUTHORITY = re.compile(rf"(?P<host>\[[0-9a-f:.]+\]|{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>[0-9]{{1,5}}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a host and a port (0: any free one), or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: Path | None = None

    @classmethod
    def parse(cls, text: str, absolute: Callable[[str], Path] = Path) -> Address:
        """Read "host:port", "[address]:port" or "unix:path"."""
        if text.startswith("unix:"):
            return cls(path=_socket(text.removeprefix("unix:"), absolute))
        match = _LISTEN.fullmatch(text)
        if match is None:
            raise wrong(f'"{text}" is not an address to listen on.', _listen_fix(text))
        if (port := int(match["port"])) > 65535:
            raise wrong(f"there is no port {port}.", "Choose one from 1024 to 65535.")
        if match["six"] and not _is_ip(match["six"]):
            raise wrong(f'"{match["six"]}" is not an IPv6 address.', 'Write it in full brackets: "[::1]:8000".')
        return cls(match["six"] or match["host"].lower(), port)

    @property
    def is_public(self) -> bool:
        """Whether other machines may reach it."""
        return self.path is None and not is_loopback(self.host)

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Origin:
    """What browsers see, serialized as they do it (RFC 6454, 6.1): lower case, no port that is the scheme's own."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Read an origin; a single slash at its end is let pass."""
        scheme, separator, rest = text.partition("://")
        if not separator or scheme.lower() not in _DEFAULT_PORTS:
            raise wrong(f'"{text}" is not an origin.', f'Write scheme and host: "https://{_host_of(text)}".')
        authority = rest.removesuffix("/").lower()
        if cut := _before_path(rest):
            raise wrong(
                f'an origin has no path, and "{text}" has one.',
                f'Write "{scheme}://{cut}", and put the path into the rules.',
            )
        return cls(scheme.lower(), *_authority(text, scheme.lower(), authority))

    @classmethod
    def parse_pattern(cls, text: str) -> Origin:
        """Read an origin whose host may begin with `*.`, for any one label."""
        scheme, wildcard, rest = text.partition("://*.")
        if "*" in rest or (not wildcard and "*" in text):
            raise wrong(f'"{text}" has its star in the wrong place.', 'It is the whole first label: "https://*.…".')
        if not wildcard:
            return cls.parse(text)
        origin = cls.parse(f"{scheme}://{rest}")
        if origin.host.startswith("[") or _is_ip(origin.host) or ("." not in origin.host and not origin.is_loopback):
            raise wrong(f'"{text}" is too wide.', 'Write a domain behind the star: "https://*.example.com".')
        return cls(origin.scheme, f"*.{origin.host}", origin.port)

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for any one label in the place of a star."""
        return self.host.startswith("*.")

    @property
    def is_loopback(self) -> bool:
        """Whether browsers treat it as trustworthy without TLS, because it never leaves the machine."""
        return is_loopback(self.host.strip("[]"))

    @property
    def is_open_http(self) -> bool:
        """Whether what is sent there can be read on the way."""
        return self.scheme == "http" and not self.is_loopback

    @property
    def with_tls(self) -> Origin:
        """The same host, on the same port unless it is http's own, with TLS."""
        return Origin("https", self.host, 443 if self.port == _DEFAULT_PORTS["http"] else self.port)

    @property
    def authority(self) -> str:
        """Host, and the port unless it is the scheme's own, as in the field `Host`."""
        return self.host if self.port == _DEFAULT_PORTS[self.scheme] else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def is_loopback(host: str) -> bool:
    """localhost, *.localhost (RFC 6761, 6.3), 127.0.0.0/8 and ::1."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return _is_ip(host) and ipaddress.ip_address(host).is_loopback


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Read an IP address or a network in CIDR notation."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise wrong(
            f'"{text}" is not an IP address or network.',
            'Write addresses, not names: ["127.0.0.1", "10.0.0.0/8"], or "unix" for a proxy on a unix socket.',
        ) from None
    raise wrong(f'"{text}" has bits behind its prefix.', f'Did you mean "{meant}"?')


def upstream_url(text: str) -> str:
    """Read what is behind: "http://host:port", without a path because targets are passed on as they are."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in _DEFAULT_PORTS:
        raise wrong(f'"{text}" is not the address of a site.', f'Write "http://{_host_of(text)}".')
    authority = rest.removesuffix("/").lower()
    if cut := _before_path(rest):
        raise wrong(
            f'an upstream has no path, and "{text}" has one: the path that was asked for is passed on unchanged.',
            f'Write "{scheme}://{cut}".',
        )
    host, port = _authority(text, scheme.lower(), authority)
    return f"{scheme.lower()}://{host}:{port}"


def _before_path(rest: str) -> str:
    """What stands before a path or query; "" if there is neither. A single slash at the end is none."""
    cut = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return "" if rest in {cut, f"{cut}/"} else cut


def is_at(listen: Address, url: str) -> bool:
    """Whether a URL (as `upstream_url` gives it) leads to what listens there."""
    origin = Origin.parse(url)
    if listen.path is not None or origin.port != listen.port:
        return False
    host = origin.host.strip("[]")
    everywhere = listen.host in {"0.0.0.0", "::"}
    return host == listen.host or (is_loopback(host) and (everywhere or is_loopback(listen.host)))


def _authority(text: str, scheme: str, authority: str) -> tuple[str, int]:
    if "@" in authority:
        raise wrong(
            f'"{text}" names a person before its host.', f'Write "{scheme}://{authority.rsplit("@", maxsplit=1)[-1]}".'
        )
    if not authority.isascii():
        raise wrong(f'"{text}" is not ASCII.', f'Write the host as browsers send it: "{_punycode(authority)}".')
    match = _AUTHORITY.fullmatch(authority)
    if match is None or (match["host"].startswith("[") and not _is_ip(match["host"].strip("[]"))):
        raise wrong(
            f'"{text}" has no valid host.', f'Write "{scheme}://app.example.com" or "{scheme}://10.0.0.1:8000".'
        )
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS[scheme]
    if not 0 < port < 65536:
        raise wrong(f"there is no port {port}.", "Choose one from 1 to 65535.")
    host = match["host"]
    return (f"[{ipaddress.ip_address(host[1:-1])}]" if host.startswith("[") else host), port


def _punycode(authority: str) -> str:
    try:
        return authority.encode("idna").decode("ascii")
    except UnicodeError:
        return "xn--…"


def _socket(text: str, absolute: Callable[[str], Path]) -> Path:
    if not text:
        raise wrong('"unix:" names no socket.', 'Add its path, such as "unix:check.sock".')
    path = absolute(text)
    if len(str(path).encode()) > _LONGEST_SOCKET:
        raise wrong(
            f"the path of a unix socket has at most {_LONGEST_SOCKET} bytes, and {path} has more.",
            'Choose a shorter one, such as "unix:/run/demur/check.sock".',
        )
    return path


def _listen_fix(text: str) -> str:
    if re.fullmatch(r":?[0-9]{1,5}", text):
        return f'Write "127.0.0.1:{text.lstrip(":")}", or "0.0.0.0:{text.lstrip(":")}" for other machines too.'
    if "://" in text:
        return "Write host and port only; what browsers see is the origin of a site."
    if re.fullmatch(r"[A-Za-z0-9.-]+", text):
        return f'Add a port: "{text}:8000".'
    return 'Write "127.0.0.1:8000", "[::1]:8000" or "unix:demur.sock".'


def _host_of(text: str) -> str:
    host = text.rpartition("://")[2].strip("/")
    return host if re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", host) else "app.example.com"


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
