"""`Authorization` and `WWW-Authenticate` (RFC 9110, 11)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from demur.core.fields.abnf import OWS, QUOTED, TOKEN, TOKEN68, unquote

Params: TypeAlias = tuple[tuple[str, str], ...]

_NAME = re.compile(TOKEN)
_SPACES = re.compile(rb" +")
_GAP = re.compile(rb"[ \t,]*")
# What ends an element of a list, without consuming it.
_STOP = rb"(?=" + OWS + rb"(?:,|\Z))"
_STOPS = re.compile(_STOP)
_TOKEN68 = re.compile(rb"(" + TOKEN68 + rb")" + _STOP)
_PARAM = re.compile(rb"(" + TOKEN + rb")" + OWS + rb"=" + OWS + rb"(" + TOKEN + rb"|" + QUOTED + rb")" + _STOP)

# "Values for the "error" and "error_description" attributes ... MUST NOT include characters outside the set
# %x20-21 / %x23-5B / %x5D-7E" (RFC 6750, 3); "scope" and "error_uri" are narrower still, and never need more.
_PLAIN_ONLY = frozenset({"error", "error_description", "error_uri", "scope"})
_TO_PLAIN = str.maketrans({'"': "'", "\\": "/"})
_ESCAPED = str.maketrans({'"': '\\"', "\\": "\\\\"})
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an `Authorization` field carries: a scheme in lower case, and a token68 or parameters (names in
    lower case)."""

    scheme: str
    token68: str | None = None
    params: Params = ()


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a `WWW-Authenticate` field. Parameters keep their order; a parsed one has their names
    in lower case."""

    scheme: str
    params: Params = ()
    token68: str | None = None

    def encode(self) -> bytes:
        """The challenge as the value of a field line of its own.

        What cannot be said in a quoted-string (controls, and everything beyond ASCII, which readers decode
        differently) becomes `?`. Raises ValueError for a challenge that no text could make valid.
        """
        if not _NAME.fullmatch(self.scheme.encode("utf-8", "replace")):
            raise ValueError(f"{self.scheme!r} is not an authentication scheme")
        if self.token68 is not None:
            return self._encode_token68(self.token68)
        if not self.params and self.scheme.lower() == "bearer":
            # "This scheme MUST be followed by one or more auth-param values" (RFC 6750, 3)
            raise ValueError("a Bearer challenge needs at least one parameter")
        names = [name.lower() for name, _ in self.params]
        if len(set(names)) < len(names):
            # "each parameter name MUST only occur once per challenge" (RFC 9110, 11.2)
            raise ValueError(f"a parameter is given twice: {', '.join(names)}")
        # Everything is quoted: "for historical reasons, a sender MUST only generate the quoted-string syntax"
        # for realm (RFC 9110, 11.5), and whoever can read that can read it anywhere.
        params = ", ".join(f'{_checked(name)}="{_quotable(name, value)}"' for name, value in self.params)
        return f"{self.scheme} {params}".rstrip().encode("ascii")

    def _encode_token68(self, token68: str) -> bytes:
        if self.params or not re.fullmatch(TOKEN68, token68.encode("utf-8", "replace")):
            raise ValueError("a challenge has either a valid token68 or parameters")
        return f"{self.scheme} {token68}".encode("ascii")


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name.encode("utf-8", "replace")):
        raise ValueError(f"{name!r} is not a name for a parameter")
    return name


def _quotable(name: str, value: str) -> str:
    value = _UNPRINTABLE.sub("?", value)
    return value.translate(_TO_PLAIN if name.lower() in _PLAIN_ONLY else _ESCAPED)


def credentials(value: bytes) -> Credentials | None:
    """Read an `Authorization` field; None if it is malformed."""
    try:
        challenge, end = _challenge(value.strip(b" \t"), 0)
    except ValueError:
        return None
    # Credentials have the grammar of one challenge (RFC 9110, 11.4), and a field carries no second ones.
    if value.strip(b" \t")[end:].strip(b" \t,"):
        return None
    return Credentials(challenge.scheme.lower(), challenge.token68, challenge.params)


def parse_challenges(value: bytes) -> list[Challenge]:
    """Every challenge of one `WWW-Authenticate` field line.

    A comma separates challenges as well as parameters: what follows one is a parameter if there is a `=`
    behind its name, and a new scheme otherwise. Raises ValueError with the position of the first fault.
    """
    challenges = []
    at = _skip(value, 0)
    while at < len(value):
        challenge, at = _challenge(value, at)
        if not _STOPS.match(value, at):
            raise ValueError(f"a comma or the end is expected at position {at}")
        challenges.append(challenge)
        at = _skip(value, at)
    return challenges


def _challenge(value: bytes, at: int) -> tuple[Challenge, int]:
    """The challenge at `at`, and where it ends."""
    scheme = _NAME.match(value, at)
    if scheme is None:
        raise ValueError(f"an authentication scheme is expected at position {at}")
    name = scheme[0].decode("ascii")
    spaces = _SPACES.match(value, scheme.end())
    if spaces is None:
        return Challenge(name), scheme.end()
    # `a=b` is never a token68, and a lone word behind a space can be nothing else.
    token68 = _TOKEN68.match(value, spaces.end())
    if token68 is not None:
        return Challenge(name, (), token68[1].decode("ascii")), token68.end()
    params, end = _params(value, spaces.end())
    return Challenge(name, params), end


def _params(value: bytes, start: int) -> tuple[Params, int]:
    """The parameters from `start` on, and the end of the last one: what follows is another challenge."""
    params: dict[str, str] = {}
    end = start
    while found := _PARAM.match(value, _skip(value, end)):
        name = found[1].decode("ascii").lower()
        if name in params:
            # "each parameter name MUST only occur once per challenge" (RFC 9110, 11.2)
            raise ValueError(f"parameter {name} is given twice, again at position {found.start()}")
        params[name] = unquote(found[2])
        end = found.end()
    return tuple(params.items()), end


def _skip(value: bytes, at: int) -> int:
    """Past whitespace and empty elements of a list (RFC 9110, 5.6.1.2)."""
    gap = _GAP.match(value, at)
    return gap.end() if gap else at
