"""How the answers of a surface are looked at: a check says what is wrong with one of them, or None."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, TypeAlias

from tests.conformance.exchanges import ISSUER, PARTNER, Seen

from demur.core.fields import Challenge, parse_challenges
from demur.core.reasons import BASE, REASONS, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Answers: TypeAlias = "Mapping[str, Seen]"
Check: TypeAlias = "Callable[[Seen, Answers], str | None]"

DEAD = ("idle", "expired", "ended", "revoked")
HEADS = {"anonymous-page-head": "anonymous-page", "anonymous-script-head": "anonymous-script"}
HEADS |= {"unavailable-page-head": "unavailable-page"}
HEADS |= {"forbidden-page-head": "forbidden-page", "bearer-revoked-head": "bearer-revoked", "allowed-head": "allowed"}

BY_REASON = {
    **dict.fromkeys(("anonymous-page", "anonymous-script", "foreign-scheme", "basic-not-accepted"), "sign-in-required"),
    **{f"session-{how}": f"session-{how}" for how in (*DEAD, "replaced")},
    "session-made-up": "credentials-invalid",
    "session-twice": "credentials-invalid",
    "signed-out": "session-ended",
    "forbidden-page": "not-permitted",
    "forbidden-script": "not-permitted",
    "cross-site": "cross-site-refused",
    "somebody-else": "subject-changed",
    "step-up-fresh": "step-up-required",
    "step-up-strong": "step-up-required",
    "bearer-unknown": "credentials-invalid",
    "bearer-expired": "token-expired",
    "bearer-revoked": "token-revoked",
    "bearer-malformed": "credentials-malformed",
    "bearer-scope": "scope-insufficient",
    "throttled": "too-many-attempts",
}


# --- what checks are made of --------------------------------------------------------------------------


def challenges(seen: Seen, scheme: str = "") -> list[Challenge]:
    """The challenges of an answer, of one scheme or of all."""
    found = [each for value in seen.answer.values("www-authenticate") for each in parse_challenges(value.encode())]
    return [each for each in found if not scheme or each.scheme.lower() == scheme.lower()]


def params(seen: Seen, scheme: str) -> dict[str, str]:
    """The parameters of the one challenge of a scheme; none if there is not exactly one."""
    found = challenges(seen, scheme)
    return dict(found[0].params) if len(found) == 1 else {}


def status(*expected: int) -> Check:
    """The status is one of these."""

    def check(seen: Seen, _: Answers) -> str | None:
        return None if seen.answer.status in expected else f"status {seen.answer.status}"

    return check


def has(name: str, pattern: str) -> Check:
    """A field is there once, and its value is of this form."""

    def check(seen: Seen, _: Answers) -> str | None:
        values = seen.answer.values(name)
        fits = len(values) == 1 and re.fullmatch(pattern, values[0], re.DOTALL)
        return None if fits else f"{name}: {values}"

    return check


def hasnt(*names: str) -> Check:
    """None of these fields is there."""

    def check(seen: Seen, _: Answers) -> str | None:
        found = [name for name in names if seen.answer.values(name)]
        return f"has {', '.join(found)}" if found else None

    return check


def members(seen: Seen, name: str) -> set[str]:
    """The members of a list field, in lower case."""
    return {each.strip().lower() for value in seen.answer.values(name) for each in value.split(",") if each.strip()}


def lists(name: str, *wanted: str) -> Check:
    """A list field has these members."""

    def check(seen: Seen, _: Answers) -> str | None:
        lacking = {each.lower() for each in wanted} - members(seen, name)
        return f"{name} lacks {sorted(lacking)}" if lacking else None

    return check


def param(scheme: str, name: str, expected: str) -> Check:
    """The challenge of a scheme has this parameter with this value."""

    def check(seen: Seen, _: Answers) -> str | None:
        found = params(seen, scheme).get(name)
        return None if found == expected else f"{scheme}: {name}={found!r}"

    return check


def both(*checks: Check) -> Check:
    """All of these."""

    def check(seen: Seen, answers: Answers) -> str | None:
        return next((wrong for each in checks if (wrong := each(seen, answers))), None)

    return check


def problem(seen: Seen) -> dict[str, object]:
    """The problem document of an answer, on its own or in a page."""
    return seen.answer.problem


def not_reached(seen: Seen, _: Answers) -> str | None:
    """The site behind was not asked."""
    return f"the site was asked {seen.reached} times" if seen.reached else None


# --- single checks ------------------------------------------------------------------------------------


def challenged(seen: Seen, _: Answers) -> str | None:
    if seen.answer.status != 401:
        return f"status {seen.answer.status}"
    return None if challenges(seen) else "no challenge"


def same_as_get(seen: Seen, answers: Answers) -> str | None:
    get = answers[HEADS[seen.exchange.name]].answer
    if seen.answer.body:
        return "content was sent"
    if seen.answer.status != get.status:
        return f"{seen.answer.status}, and GET {get.status}"
    # one for each connection or occurrence, not for each representation
    own = {"date", "connection", "keep-alive", "content-length", "transfer-encoding", "server-timing", "etag"}
    lacking = {name for name, _ in get.fields} - {name for name, _ in seen.answer.fields} - own
    return f"HEAD lacks {sorted(lacking)}" if lacking else None


def explained(seen: Seen, _: Answers) -> str | None:
    said = problem(seen)
    return None if said.get("title") and said.get("detail") else f"{said}"


def no_interim(seen: Seen, _: Answers) -> str | None:
    if seen.answer.values("x-interim"):
        return "100 Continue was sent"
    return None if seen.answer.status == 401 else f"status {seen.answer.status}"


def once_each(seen: Seen, _: Answers) -> str | None:
    schemes = [each.scheme.lower() for each in challenges(seen)]
    twice = sorted({each for each in schemes if schemes.count(each) > 1})
    return f"challenged twice with {twice}" if twice else None


def one_a_line(seen: Seen, _: Answers) -> str | None:
    for value in seen.answer.values("www-authenticate"):
        if len(parse_challenges(value.encode())) != 1:
            return value
    return None


def quoted_realm(seen: Seen, _: Answers) -> str | None:
    for value in seen.answer.values("www-authenticate"):
        if not re.search(r'realm="', value):
            return value
    return None


def page(seen: Seen, _: Answers) -> str | None:
    kind = seen.answer.value("content-type") or ""
    if not kind.startswith("text/html"):
        return kind
    return None if '<script type="application/problem+json">' in seen.answer.text else "no problem in the page"


def typed(seen: Seen, _: Answers) -> str | None:
    said = problem(seen)
    if said.get("type") != BASE + str(said.get("reason")):
        return f"type {said.get('type')}"
    return None if said.get("title") == REASONS[Reason(str(said["reason"]))].title else f"title {said.get('title')}"


def named(seen: Seen, _: Answers) -> str | None:
    bad = [name for name in problem(seen) if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{2,}", name)]
    return f"members {bad}" if bad else None


def reasoned(seen: Seen, _: Answers) -> str | None:
    said = problem(seen).get("reason")
    return None if said == BY_REASON[seen.exchange.name] else f"reason {said}"


def no_error_where_nothing_was_sent(seen: Seen, _: Answers) -> str | None:
    for each in challenges(seen):
        found = {"error", "error_description", "error_uri"} & {name for name, _ in each.params}
        if found:
            return f"{each.scheme}: {sorted(found)}"
    return None


def error_characters(seen: Seen, _: Answers) -> str | None:
    for each in challenges(seen, "Bearer"):
        for name, value in each.params:
            if name.startswith("error") and not re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]*", value):
                return f"{name}={value!r}"
    return None


def never_bare(seen: Seen, _: Answers) -> str | None:
    return next((str(each) for each in challenges(seen, "Bearer") if not each.params), None)


def never_prompts(seen: Seen, _: Answers) -> str | None:
    found = [
        each.scheme for each in challenges(seen) if each.scheme.lower() in {"basic", "digest", "negotiate", "ntlm"}
    ]
    return f"{found}" if found else None


def readable(seen: Seen, answers: Answers) -> str | None:
    wrong = both(
        has("access-control-allow-origin", re.escape(PARTNER)),
        has("access-control-allow-credentials", "true"),
        lists("access-control-expose-headers", "WWW-Authenticate", "Retry-After", "Link"),
        lists("vary", "Origin"),
    )
    return wrong(seen, answers)


def unreadable(seen: Seen, _: Answers) -> str | None:
    found = [name for name, _ in seen.answer.fields if name.startswith("access-control-allow")]
    return f"{found}" if found else None


def host_cookie(seen: Seen, _: Answers) -> str | None:
    (line,) = seen.answer.values("set-cookie")
    attributes = {each.strip().lower() for each in line.split(";")[1:]}
    names = {each.partition("=")[0] for each in attributes}
    if "domain" in names or not {"path=/", "httponly", "samesite=lax"} <= attributes:
        return line
    # `__Host-` and Secure belong together; on loopback without TLS neither can be
    return None if line.startswith("__Host-") is ("secure" in names) else line


def one_cookie(seen: Seen, _: Answers) -> str | None:
    names = [value.partition("=")[0] for value in seen.answer.values("set-cookie")]
    return f"{names}" if len(names) != len(set(names)) else None


def cookie_lifetime(seen: Seen, _: Answers) -> str | None:
    found = re.search(r"max-age=(\d+)", seen.answer.values("set-cookie")[0], re.IGNORECASE)
    return f"Max-Age={found[1]}" if found and int(found[1]) > 34_560_000 else None


def deleted_alike(seen: Seen, answers: Answers) -> str | None:
    def attributes(line: str) -> tuple[str, set[str]]:
        name, *rest = (each.strip().lower() for each in line.split(";"))
        return name.partition("=")[0], {each for each in rest if not each.startswith(("max-age", "expires"))}

    set_, cleared = (answers[name].answer.values("set-cookie") for name in ("sign-in", "sign-out"))
    if not cleared:
        return "the cookie is not deleted"
    if not re.search(r"max-age=0|expires=Thu, 01 Jan 1970", cleared[0], re.IGNORECASE):
        return cleared[0]
    return None if attributes(set_[0]) == attributes(cleared[0]) else f"{set_[0]} but {cleared[0]}"


def new_id(seen: Seen, answers: Answers) -> str | None:
    return None if seen.answer.values("set-cookie") else "no new session id"


def private(seen: Seen, _: Answers) -> str | None:
    said = members(seen, "cache-control")
    if said & {"public"} or any(each.startswith("s-maxage") for each in said):
        return f"{said}"
    return None if said & {"private", "no-store"} else f"cache-control {said}"


def metadata(seen: Seen, _: Answers) -> str | None:
    if seen.answer.status != 200 or not (seen.answer.value("content-type") or "").startswith("application/json"):
        return f"{seen.answer.status} {seen.answer.value('content-type')}"
    said = json.loads(seen.answer.body)
    wrong = said.get("authorization_servers") != [ISSUER] or "header" not in said.get("bearer_methods_supported", [])
    return f"{said}" if wrong else None


def names_metadata(seen: Seen, answers: Answers) -> str | None:
    where = params(seen, "Bearer").get("resource_metadata", "")
    resource = json.loads(answers["resource-metadata"].answer.body).get("resource")
    return None if where == f"{resource}/.well-known/oauth-protected-resource" else f"{where!r} for {resource!r}"


def step_up(name: str, pattern: str) -> Check:
    def check(seen: Seen, _: Answers) -> str | None:
        scheme = "Bearer" if seen.exchange.token else "Cookie"
        said = params(seen, scheme)
        if said.get("error") != "insufficient_user_authentication":
            return f"{scheme}: {said}"
        return None if re.fullmatch(pattern, said.get(name, "")) else f"{name}={said.get(name)!r}"

    return check


def ok(seen: Seen, _: Answers) -> str | None:
    return None if 200 <= seen.answer.status < 300 else f"status {seen.answer.status}"


def retry_after(seen: Seen, _: Answers) -> str | None:
    return has("retry-after", r"[0-9]+")(seen, {})


def kept(seen: Seen, _: Answers) -> str | None:
    where = problem(seen).get("kept", "")
    return None if str(where).startswith("/.demur/kept?of=") else f"{where!r}"
