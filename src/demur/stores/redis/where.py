"""Where a Redis is, as its URL says: one server, a master that Sentinels know, or a Cluster."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from demur.core.model import ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

Way: TypeAlias = Literal["single", "sentinel", "cluster"]

OPTIONS = ("prefix", "password_file", "replicas", "db", "ca", "certificate", "key", "sentinel_password_file")
_PORT = {"single": 6379, "sentinel": 26379, "cluster": 6379}
_FORMS = (
    "Write redis://HOST:PORT/DB, rediss://… (TLS), redis:///PATH/TO/SOCKET, redis+sentinel://HOST,HOST/NAME or "
    "redis+cluster://HOST,HOST."
)


@dataclass(frozen=True, slots=True)
class TLS:
    """How a server's certificate is judged (by `ca`, else by what the system trusts), and ours."""

    ca: str = ""
    certificate: str = ""
    key: str = ""

    def context(self) -> ssl.SSLContext:
        """Made anew when a file changes. Raises StoreUnavailable."""
        stamps = tuple(_changed(path) for path in (self.ca, self.certificate, self.key))
        try:
            return _context(self, stamps)
        except (OSError, ssl.SSLError) as error:
            raise StoreUnavailable(f"the TLS files of the session store cannot be used: {error}") from None


def _changed(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns if path else 0
    except OSError:
        return -1


@lru_cache(maxsize=8)
def _context(tls: TLS, stamps: tuple[int, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca or None)
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key or None)
    return context


@dataclass(frozen=True, slots=True)
class Login:
    """As whom we come. A password in a file is read anew for each connection."""

    user: str = ""
    secret: str | None = field(default=None, repr=False)
    file: str = ""

    def password(self) -> str | None:
        """Raises StoreUnavailable."""
        if not self.file:
            return self.secret
        try:
            return Path(self.file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise StoreUnavailable(f"the password of the session store cannot be read: {error}") from None


@dataclass(frozen=True, slots=True)
class Place:
    """One server: at a socket, or at a port of a host."""

    host: str = ""
    port: int = 0
    path: str = ""
    database: int = 0
    login: Login = Login()
    tls: TLS | None = None
    name: str = "Redis"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.name} at {self.path or f'{host}:{self.port}'}"

    def at(self, host: str, port: int) -> Place:
        """The same, elsewhere."""
        return replace(self, host=host, port=port)


@dataclass(frozen=True, slots=True)
class Where:
    """All that a URL says. `places` are servers, Sentinels (`master` is the name that they know it by, and `server` how
    to talk to it), or some of a Cluster's. `replicas` have to confirm what must not be lost."""

    way: Way
    places: tuple[Place, ...]
    server: Place
    prefix: bytes = b"demur:"
    master: str = ""
    replicas: int = 0


def read(url: str) -> Where:
    """What a URL says. Raises ConfigError, without its password."""
    scheme, _, rest = url.partition("://")
    product, _, form = scheme.partition("+")
    way: Way = "sentinel" if form == "sentinel" else "cluster" if form == "cluster" else "single"
    name = "Valkey" if product.startswith("valkey") else "Redis"
    shown = f"{scheme}://{rest.rpartition('@')[2]}" if rest else url
    try:
        parts = urlsplit(f"//{rest}")
    except ValueError:
        _refuse(shown, "is not a URL", _FORMS)
    if not rest or parts.fragment:
        _refuse(shown, "does not say where the server is", _FORMS)
    options = _options(parts, shown)
    tls = _tls(options, shown, wanted=product in ("rediss", "valkeys"))
    login = _login(parts, options, shown)
    base = Place(login=login, tls=tls, name=name)
    if way == "single" and not parts.netloc.rpartition("@")[2] and not parts.path.strip("/").isdigit():
        if tls is not None or not parts.path.strip("/"):
            _refuse(shown, "does not say where the server is", _FORMS)
        places: tuple[Place, ...] = (replace(base, path=unquote(parts.path)),)
        words: list[str] = []
    else:
        places = tuple(_places(parts, base, way, shown))
        words = [unquote(word) for word in parts.path.split("/") if word]
    master = ""
    if way == "sentinel":
        if not words:
            _refuse(
                shown, "does not name the master", "Write redis+sentinel://HOST,HOST/NAME, as the Sentinels call it."
            )
        master = words.pop(0)
    database = _database(words, options, way, shown)
    server = replace(places[0], database=database)
    if way == "sentinel":
        secret = options.get("sentinel_password_file", "")
        places = tuple(replace(place, login=Login(file=secret), name=f"Sentinel of {name}") for place in places)
    else:
        places = tuple(replace(place, database=database) for place in places)
    prefix = options.get("prefix", "demur:")
    if not prefix or "{" in prefix or "}" in prefix:
        _refuse(shown, "has a prefix that cannot be used", 'Use text without braces, such as "prefix=demur:".')
    replicas = _number(options.get("replicas", "0"), "replicas", shown)
    return Where(way, places, server, prefix.encode(), master, replicas)


def _refuse(shown: str, what: str, fix: str) -> NoReturn:
    raise ConfigError(f'"{shown}" {what}.', fix=fix) from None


def _options(parts: SplitResult, shown: str) -> Mapping[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in OPTIONS:
            _refuse(shown, f'has the unknown option "{name}"', f"There are: {', '.join(OPTIONS)}.")
        if not value or name in options:
            _refuse(shown, f'has "{name}" without a value, or twice', f"Write ?{name}=… once.")
        options[name] = value
    return options


def _tls(options: Mapping[str, str], shown: str, *, wanted: bool) -> TLS | None:
    given = {name: options[name] for name in ("ca", "certificate", "key") if name in options}
    if given and not wanted:
        _refuse(shown, f'has "{next(iter(given))}" without TLS', "Write rediss:// for TLS.")
    if "key" in given and "certificate" not in given:
        _refuse(shown, 'has "key" without "certificate"', "Name both files, or leave both out.")
    return TLS(**given) if wanted else None


def _login(parts: SplitResult, options: Mapping[str, str], shown: str) -> Login:
    user, colon, secret = parts.netloc.rpartition("@")[0].partition(":")
    file = options.get("password_file", "")
    if file and colon:
        _refuse(shown, "has a password, and a file with one", "Leave one of them out.")
    if user and not colon and not file:
        _refuse(shown, "has a user without a password", "Add ?password_file=PATH, or write redis://USER:PASSWORD@….")
    return Login(unquote(user), unquote(secret) if colon else None, file)


def _places(parts: SplitResult, base: Place, way: Way, shown: str) -> list[Place]:
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if way == "single" and len(hosts) > 1:
        fix = "Write redis+sentinel:// or redis+cluster:// for several, or name one server."
        _refuse(shown, "names several servers", fix)
    places = []
    for host in hosts:
        try:
            one = urlsplit(f"//{host}")
            name, port = one.hostname, one.port
        except ValueError:
            name, port = None, None
        if port == 0 or (not name and way != "single"):
            name, port = None, 0
        if port == 0 or (not name and host not in ("", f":{port}")):
            _refuse(shown, f'has "{host}" in place of a host and a port', _FORMS)
        places.append(base.at(name or "localhost", port or _PORT[way]))
    return places


def _database(words: list[str], options: Mapping[str, str], way: Way, shown: str) -> int:
    given = [*words, *([options["db"]] if "db" in options else [])]
    if len(given) > 1:
        _refuse(shown, "names more than one database", _FORMS)
    database = _number(given[0], "the database", shown) if given else 0
    if database and way == "cluster":
        _refuse(
            shown, "names a database", "A Cluster has only one: leave the number out, and use ?prefix=… to share it."
        )
    return database


def _number(text: str, what: str, shown: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 4:
        _refuse(shown, f'has "{text}" for {what}', "Use a whole number.")
    return int(text)
