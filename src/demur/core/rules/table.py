"""The table of rules as people write it, in TOML or in Python: read, checked, and compiled."""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from demur.core.model import Access, Conceal, ConfigError, Form, Requirement, Scheme, Terms
from demur.core.rules.conceal import beside, concealed
from demur.core.rules.tree import Rule, Rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(value: object, *, place: str = "") -> int:
    """Seconds out of `"90s"`, `"15m"`, `"1h"`, `"30d"` or a positive whole number of seconds. Raises ConfigError."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(value, str) and (match := re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", value)):
        return int(match[1]) * _UNITS[match[2]]
    raise ConfigError(
        f"{value!r} is not a duration.", place=place, fix='Write for example "90s", "15m", "1h" or "30d".'
    )


_KEYS = frozenset(
    (
        *("path", "methods", "host", "name", "allow", "identify", "conceal", "form", "keeps_alive"),
        *("accepts", "challenge", "origins"),
    )
)
_ALLOW_KEYS = frozenset(("groups", "all_groups", "permission", "fresh", "strength"))
_LATER = {"requestable": "Requests for access are not there yet."}
STRENGTHS = ("pwd", "mfa", "phr", "phrh")
"""How strong a sign-in can be, the weakest first: a password, two factors, and what cannot be phished, in software or
in hardware (`phr` and `phrh` are registered by OpenID EAP ACR Values, 2)."""
_ACR = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+")
_HOST = re.compile(r"(?:\*\.)?(?:[a-z0-9_-]+\.)*[a-z0-9_-]+|\[[0-9a-f:.]+\]")
_CAPTURE = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")


def load(
    tables: Sequence[Mapping[str, Any]],
    permissions: Mapping[str, Sequence[str]] | None = None,
    *,
    can_ask: bool = True,
    accepts: Iterable[Scheme] = (),
    views: bool = False,
    asked: bool = False,
) -> Rules:
    """Compile rule tables, from TOML or written in Python. `permissions` maps a permission to the groups that hold it;
    `can_ask` says whether the surface can ask the site for a page of its own, which `conceal` needs; `accepts` are the
    schemes of `Authorization` for rules that do not say so themselves. With `views` the surface knows the views of an
    app, so that a rule can leave it to the marks beside them; with `asked` the app's own function says who holds a
    permission.

    Raises ConfigError with `place` "rule N" and the fix.
    """
    usual = frozenset(accepts)
    known = None if asked else permissions or {}
    rules = [_rule(number, table, known, usual) for number, table in enumerate(tables, start=1)]
    if not views:
        _without_views(rules)
    plain = Rules(rules, usual, permissions)
    if not plain.conceals:
        return plain
    made = [concealed(rule, plain, can_ask=can_ask) for rule in rules]
    around = {name: rule.requirement.conceal for rule in made for name in beside(rule, plain)}
    return Rules([_beside(rule, around.get(rule.name)) for rule in made], usual, permissions)


def _without_views(rules: Sequence[Rule]) -> None:
    for rule in rules:
        if rule.requirement.access in {Access.MARKED, Access.APP}:
            raise ConfigError(
                f'allow = "{rule.requirement.access}" is for an app in whose process demur is.',
                place=f"rule {rule.number}",
                fix='Here write allow = "anyone", "signed-in", "nobody" or { groups = ["…"] }.',
            )


def _beside(rule: Rule, conceal: Conceal | None) -> Rule:
    return replace(rule, requirement=replace(rule.requirement, beside=conceal))


def _rule(
    number: int, table: Mapping[str, Any], permissions: Mapping[str, Sequence[str]] | None, usual: frozenset[Scheme]
) -> Rule:
    place = f"rule {number}"
    _known(table, _KEYS, place)
    path = table.get("path")
    if not isinstance(path, str):
        raise ConfigError("A rule needs a path.", place=place, fix='Write for example path = "/members/**".')
    methods = _methods(table.get("methods"), place)
    name = _text(table, "name", place) or f"{' '.join(sorted(methods)) + ' ' if methods else ''}{path}"
    host = _host(_text(table, "host", place) or "", place)
    access, terms, max_age, acr = _allow(table, permissions, place)
    accepts = _accepts(table, usual, place)
    requirement = Requirement(
        access,
        name,
        terms,
        max_age=max_age,
        acr=acr,
        conceal=Conceal(0) if _flag(table, "conceal", place) else None,
        form=_form(table.get("form"), place),
        keeps_alive=_flag(table, "keeps_alive", place, default=True),
        accepts=accepts,
        challenge_basic=_challenge_basic(table, accepts, place),
        origins=_origins(table, place),
    )
    return Rule(number, path, _segments(path, place), methods, host, requirement)


def _known(table: Mapping[str, Any], keys: frozenset[str], place: str) -> None:
    for key in table:
        if key in keys:
            continue
        if key in _LATER:
            raise ConfigError(f"{key!r} cannot be used in this version. {_LATER[key]}", place=place, fix="Remove it.")
        near = get_close_matches(key, keys, n=1)
        fix = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(sorted(keys))}."
        raise ConfigError(f"Unknown key {key!r}.", place=place, fix=fix)


def _text(table: Mapping[str, Any], key: str, place: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{key!r} is a text, not {value!r}.", place=place, fix="Put it in quotes.")
    return value


def _flag(table: Mapping[str, Any], key: str, place: str, *, default: bool = False) -> bool:
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{key!r} is true or false, not {value!r}.", place=place, fix="Write it without quotes.")
    return value


def _form(value: object, place: str) -> Form | None:
    if value is None:
        return None
    if value not in {"page", "api"}:
        raise ConfigError(f"{value!r} is not a form of refusal.", place=place, fix='Write "page" or "api".')
    return Form(str(value))


def _accepts(table: Mapping[str, Any], usual: frozenset[Scheme], place: str) -> frozenset[Scheme]:
    value = table.get("accepts")
    if value is None:
        return usual
    if isinstance(value, (list, tuple)) and all(each in ("bearer", "basic") for each in value):
        return frozenset(Scheme(each) for each in value)
    raise ConfigError(
        f'\'accepts\' is a list of "bearer" and "basic", not {value!r}.',
        place=place,
        fix='Write accepts = ["bearer"]; our own cookie is always accepted.',
    )


def _challenge_basic(table: Mapping[str, Any], accepts: frozenset[Scheme], place: str) -> bool:
    value = table.get("challenge")
    if value is None:
        return False
    if value != "basic":
        raise ConfigError(
            f"{value!r} cannot be asked for.", place=place, fix='Write challenge = "basic", or remove it.'
        )
    if Scheme.BASIC not in accepts:
        raise ConfigError(
            "The rule would ask for Basic and not accept it.", place=place, fix='Add accepts = ["basic"] to it.'
        )
    return True


def _origins(table: Mapping[str, Any], place: str) -> frozenset[str]:
    if "origins" not in table:
        return frozenset()
    found = _texts(table["origins"], "origins", place)
    for text in found:
        if not _ORIGIN.fullmatch(text):
            raise ConfigError(
                f"{text!r} is not an origin as browsers write it.",
                place=place,
                fix='Write scheme, host and port in lower case, without a slash at the end: "https://app.example.com".',
            )
    return frozenset(found)


def _host(text: str, place: str) -> str:
    """A host without its port, by which rules are found: with one, a rule that closes something would never hold."""
    host = text.lower()
    if host and not _HOST.fullmatch(host):
        raise ConfigError(
            f"'host' {text!r} is not the name of a host.",
            place=place,
            fix='Write it without scheme, port and a dot at the end: "app.example.com", or "*.example.com".',
        )
    return host


def _methods(value: object, place: str) -> frozenset[str] | None:
    if value is None:
        return None
    texts = _texts(value, "methods", place)
    for method in texts:
        if not _TOKEN.fullmatch(method) or method != method.upper():
            raise ConfigError(f"{method!r} is not a method.", place=place, fix='Methods are in capitals, as "GET".')
    return frozenset(texts)


def _texts(value: object, key: str, place: str) -> tuple[str, ...]:
    if isinstance(value, (list, tuple, set, frozenset)) and value and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ConfigError(f"{key!r} is a list of texts, not {value!r}.", place=place, fix=f'Write {key} = ["…"].')


def _segments(path: str, place: str) -> tuple[str, ...]:
    def wrong(what: str, fix: str) -> ConfigError:
        return ConfigError(f"The path {path!r} {what}", place=place, fix=fix)

    if not path.startswith("/"):
        raise wrong("does not begin with a slash.", f'Write "/{path}".')
    if "%" in path or "?" in path or "#" in path or "\\" in path:
        raise wrong(
            "has a character that stands for something else.", "Write the path as people read it, without query."
        )
    segments = tuple(path.split("/")[1:])
    for index, segment in enumerate(segments):
        if segment == "**" and index != len(segments) - 1:
            raise wrong('has "**" in the middle.', 'Let "**" be the last segment; "*" is one segment anywhere.')
        if segment in {".", ".."} or (segment == "" and index != len(segments) - 1):
            raise wrong("has an empty or a dot segment.", "Remove it.")
        if any(mark in segment for mark in "*{}") and segment not in {"*", "**"} and not _CAPTURE.fullmatch(segment):
            raise wrong(
                f"has {segment!r}, which is not a whole segment.", 'Write "*", "**" or "{name}" between slashes.'
            )
    return segments


def _allow(
    table: Mapping[str, Any], permissions: Mapping[str, Sequence[str]] | None, place: str
) -> tuple[Access, Terms, int | None, tuple[str, ...]]:
    allow = table.get("allow")
    identify = _flag(table, "identify", place)
    if identify and allow != "anyone":
        raise ConfigError(
            "'identify' goes with allow = \"anyone\".", place=place, fix="Remove it: others are identified anyway."
        )
    if allow == "anyone":
        return (Access.OPTIONAL if identify else Access.OPEN), Terms(), None, ()
    if allow == "signed-in":
        return Access.REQUIRED, Terms(), None, ()
    if allow == "nobody":
        return Access.REQUIRED, Terms(nobody=True), None, ()
    if allow in ("marked", "app"):
        return Access(str(allow)), Terms(), None, ()
    if not isinstance(allow, dict) or not allow:
        said = "A rule needs 'allow'." if allow is None else f"{allow!r} is not something to allow."
        fix = 'Write allow = "anyone", "signed-in", "nobody" or { groups = ["…"] }.'
        raise ConfigError(said, place=place, fix=fix)
    _known(allow, _ALLOW_KEYS, place)
    max_age = duration(allow["fresh"], place=place) if "fresh" in allow else None
    return Access.REQUIRED, _terms(allow, permissions, place), max_age, _strength(allow.get("strength"), place)


def _strength(value: object, place: str) -> tuple[str, ...]:
    """The authentication contexts that are strong enough, the weakest first (RFC 9470, 3: in order of preference)."""
    if value is None:
        return ()
    if isinstance(value, str):
        if value in STRENGTHS:
            return STRENGTHS[STRENGTHS.index(value) :]
        near = get_close_matches(value, STRENGTHS, n=1)
        known = ", ".join(f'"{each}"' for each in STRENGTHS)
        fix = f"Did you mean {near[0]!r}?" if near else f'Known are {known}; others stand in a list, strength = ["…"].'
        raise ConfigError(f"{value!r} is no strength of a sign-in.", place=place, fix=fix)
    found = _texts(value, "strength", place)
    for text in found:
        if not _ACR.fullmatch(text):
            raise ConfigError(
                f"{text!r} cannot stand in acr_values.",
                place=place,
                fix="Write it without spaces, quotes and backslashes.",
            )
    return found


def _terms(allow: Mapping[str, Any], permissions: Mapping[str, Sequence[str]] | None, place: str) -> Terms:
    permission = _text(allow, "permission", place)
    if permission is not None and permissions is not None and permission not in permissions:
        near = get_close_matches(permission, permissions, n=1)
        fix = f"Did you mean {near[0]!r}?" if near else f'Add "{permission}" = ["…"] to [permissions].'
        raise ConfigError(f"No group holds the permission {permission!r}.", place=place, fix=fix)
    return Terms(
        groups=frozenset(_texts(allow["groups"], "groups", place)) if "groups" in allow else frozenset(),
        all_groups=frozenset(_texts(allow["all_groups"], "all_groups", place))
        if "all_groups" in allow
        else frozenset(),
        permission=permission,
        permission_groups=frozenset((permissions or {}).get(permission or "", ())),
    )
