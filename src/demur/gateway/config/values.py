"""What a single value of the configuration may be, and what becomes of it.

Each type takes the plain TOML value and gives what the program uses, or says what is wrong and what to write.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticKnownError

from demur import accounts, stores
from demur.core import asserted, rules, sessions
from demur.core.model import ConfigError
from demur.gateway.config.addresses import Address, Origin, network, upstream_url
from demur.gateway.config.faults import nearest, wrong

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

ANY_UNIX = "unix"
"""In `trusted_proxies`: whoever connects over a unix socket."""


def _absolute(path: str, info: ValidationInfo) -> Path:
    context = info.context or {}
    return Path(context["file"]).parent / Path(path).expanduser()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    return value


def _file(value: object, info: ValidationInfo) -> Path:
    return _absolute(_text(value), info)


def _address(value: object, info: ValidationInfo) -> Address:
    return value if isinstance(value, Address) else Address.parse(_text(value), lambda path: _absolute(path, info))


def _seconds(value: object) -> int:
    try:
        return rules.duration(value)
    except ConfigError as error:
        raise wrong(error.message, error.fix) from None


def _network(value: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network | str:
    return ANY_UNIX if value == ANY_UNIX else network(_text(value))


# "sqlite:///accounts.db" is how SQLAlchemy writes it, which people have in their fingers
_SQLITE = re.compile(r"sqlite:(///)?(?P<path>(?!//)[^?#\0]*[^?#\0/])")
_POSTGRES = re.compile(r"postgres(ql)?://")


def _database(value: object, info: ValidationInfo) -> str:
    text = _text(value)
    if (match := _SQLITE.fullmatch(text)) and match["path"] != ":memory:":
        return f"sqlite:{_absolute(match['path'], info)}"
    if _POSTGRES.match(text):
        return _opened(accounts.open, text)
    # whatever it is, a password in it is nobody's business
    shown = f"…@{text.rpartition('@')[2]}" if "@" in text else text
    fix = 'Write "sqlite:" and a file, such as "sqlite:demur.db", or "postgresql://…".'
    raise wrong(f'"{shown}" does not name a database.', fix)


def _store(value: object, info: ValidationInfo) -> str:
    if value == "memory:":
        return "memory:"
    if isinstance(value, str) and stores.shared(value):
        return _opened(stores.open, value)
    return _database(value, info)


def _opened(opened: Callable[[str], object], url: str) -> str:
    """The URL, if it can be used; nothing is connected to yet."""
    try:
        opened(url)
    except ConfigError as error:
        raise wrong(error.message, error.fix) from None
    return url


def _hashing(value: object) -> str:
    from demur.authenticators.password import PRESETS  # noqa: PLC0415 - argon2 is loaded only where it is asked for

    if (text := _text(value)) not in PRESETS:
        raise wrong(f'there is no preset "{text}".', nearest(text, PRESETS))
    return text


def _limits(value: object) -> str:
    if (text := _text(value)) not in sessions.LIMITS:
        raise wrong(f'there is no preset "{text}".', nearest(text, sessions.LIMITS))
    return text


def _name(value: object) -> str:
    text = _text(value)
    if not text.strip() or not text.isprintable() or len(text) > 80:
        raise wrong("this is not a name to show.", "Write 1 to 80 visible characters, or leave it out.")
    return text.strip()


def _origin(value: object) -> Origin:
    return Origin.parse_pattern(_text(value))


def _one_origin(value: object) -> Origin:
    if "*" in (text := _text(value)):
        raise wrong(f'"{text}" stands for many origins.', 'Name the one where people sign in: "https://login.…".')
    return Origin.parse(text)


def _domain(value: object) -> str:
    text = _text(value)
    domain = text.lower()
    if domain.startswith(("*.", ".")):
        raise wrong(f'"{text}" is a pattern, not a domain.', f'Write "{domain.lstrip("*.")}": all below it is meant.')
    if not _DOMAIN.fullmatch(domain):
        raise wrong(f'"{text}" is not a domain.', 'Write the domain that your hosts have in common: "example.com".')
    # Of a cookie for a public suffix browsers take no notice (rfc6265bis, 5.7).
    if "." not in domain or _REGISTRY.fullmatch(domain):
        raise wrong(
            f'"{text}" belongs to many people: browsers keep no cookie for all of it.',
            f'Write a domain of your own, such as "example.{domain}".',
        )
    return domain


_DOMAIN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)*(?!\d+\Z)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
# Below these a registry sells names; all of them are in the Public Suffix List, which browsers go by.
_REGISTRY = re.compile(r"(ac|co|com|edu|gov|net|org)\.[a-z]{2}")


def _cors_origin(value: object) -> str:
    # "If credentials mode is "include", then `Access-Control-Allow-Origin` cannot be `*`" (Fetch, 3.2.5)
    if (text := _text(value)) == "*":
        raise wrong('"*" would let every site read what is meant for one person.', 'List them: ["https://…"].')
    if "*" in text:
        raise wrong(f'"{text}" is a pattern.', "List the origins one by one: each may read what is meant for a person.")
    return str(Origin.parse(text))


def _upstream(value: object) -> str:
    return upstream_url(_text(value))


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _token(value: object) -> str:
    # methods and field names are tokens (RFC 9110, 5.6.2)
    if not _TOKEN.fullmatch(text := _text(value)):
        raise wrong(f'"{text}" is not the name of a method or field.', 'Write one name an entry: ["GET", "POST"].')
    return text


_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def _prefix(value: object) -> str:
    text = _text(value)
    if not _PREFIX.fullmatch(text) or {".", ".."} & set(text.split("/")):
        raise wrong(f'"{text}" is not a plain path.', 'Write it with a slash before and none behind: "/.demur".')
    return text


def _help(value: object) -> str:
    text = _text(value)
    if not re.fullmatch(r"(https?:/)?/[!-~]+", text) or text.startswith("//") or set('<>"') & set(text):
        raise wrong(f'"{text}" is not an address.', 'Write a URL or a path of the site, such as "/help/access".')
    return text


def _field_word(value: object) -> str:
    # It is looked for in names without their marks, in which a word of marks would be everywhere.
    text = _text(value)
    if not any(each.isalnum() for each in text):
        raise wrong(f'"{text}" is no word.', 'Write a part of the names of fields, such as "diagnosis".')
    return text


_ISSUER = re.compile(r"https://[^\s/?#@\\]+(/[!-~]*)?")


def _issuer(value: object) -> str:
    # "a URL that uses the "https" scheme and has no query or fragment components" (RFC 8414, 2)
    text = _text(value)
    if not _ISSUER.fullmatch(text) or not text.isascii() or set('?#<>"') & set(text):
        raise wrong(f'"{text}" is not the URL of an issuer.', 'Write it as the server does, "https://issuer.example".')
    return text


def _audience(value: object) -> str:
    text = _text(value)
    if not re.fullmatch(r"[!-~]{1,255}", text):
        raise wrong(
            f'"{text}" is no name for whom something is meant.', 'Write a URL or a word: "https://api.example".'
        )
    return text


def _life(value: object) -> int:
    seconds = _seconds(value)
    if not asserted.SHORTEST <= seconds <= asserted.LONGEST:
        bounds = f"{asserted.SHORTEST} to {asserted.LONGEST} seconds"
        raise wrong(f"{seconds} s is not from {bounds}.", f'Write for example "60s"; an assertion lasts for {bounds}.')
    return seconds


Many: TypeAlias = Annotated[tuple[T, ...], Field(strict=False)]
Seconds: TypeAlias = Annotated[int, BeforeValidator(_seconds)]
File: TypeAlias = Annotated[Path, BeforeValidator(_file)]
Listen: TypeAlias = Annotated[Address, BeforeValidator(_address)]
Trusted: TypeAlias = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network | Literal["unix"], BeforeValidator(_network)
]
Database: TypeAlias = Annotated[str, BeforeValidator(_database)]
StoreUrl: TypeAlias = Annotated[str, BeforeValidator(_store)]
Hashing: TypeAlias = Annotated[str, BeforeValidator(_hashing)]
Preset: TypeAlias = Annotated[str, BeforeValidator(_limits)]
SiteName: TypeAlias = Annotated[str, BeforeValidator(_name)]
SiteOrigin: TypeAlias = Annotated[Origin, BeforeValidator(_origin)]
OneOrigin: TypeAlias = Annotated[Origin, BeforeValidator(_one_origin)]
Domain: TypeAlias = Annotated[str, BeforeValidator(_domain)]
CorsOrigin: TypeAlias = Annotated[str, BeforeValidator(_cors_origin)]
Upstream: TypeAlias = Annotated[str, BeforeValidator(_upstream)]
Issuer: TypeAlias = Annotated[str, BeforeValidator(_issuer)]
Token: TypeAlias = Annotated[str, BeforeValidator(_token)]
FieldWord: TypeAlias = Annotated[str, BeforeValidator(_field_word)]
Audience: TypeAlias = Annotated[str, BeforeValidator(_audience)]
Life: TypeAlias = Annotated[int, BeforeValidator(_life)]
Prefix: TypeAlias = Annotated[str, BeforeValidator(_prefix)]
Help: TypeAlias = Annotated[str, BeforeValidator(_help)]
"""The types of values. Paths become absolute; durations become seconds; origins and networks become objects."""
