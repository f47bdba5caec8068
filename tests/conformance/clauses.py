"""One row a clause: what a standard asks of whoever refuses, in its own words, and how it is seen in the answers."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conformance.checks import (
    BY_REASON,
    DEAD,
    HEADS,
    Answers,
    Check,
    both,
    challenged,
    challenges,
    cookie_lifetime,
    deleted_alike,
    error_characters,
    explained,
    has,
    hasnt,
    host_cookie,
    kept,
    lists,
    metadata,
    named,
    names_metadata,
    never_bare,
    never_prompts,
    new_id,
    no_error_where_nothing_was_sent,
    no_interim,
    not_reached,
    ok,
    once_each,
    one_a_line,
    one_cookie,
    page,
    param,
    params,
    private,
    problem,
    quoted_realm,
    readable,
    reasoned,
    retry_after,
    same_as_get,
    status,
    step_up,
    typed,
    unreadable,
)
from tests.conformance.exchanges import EXCHANGES, PARTNER, WITHOUT_STORE

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Clause:
    """A requirement: its name, where it stands, its words, how they are read here, the exchanges that show it, and the
    check of each."""

    id: str
    where: str
    quote: str
    read: str
    shown_by: tuple[str, ...]
    check: Check


NAMES = tuple(each.name for each in (*EXCHANGES, *WITHOUT_STORE))
LOST = ("unavailable-script", "unavailable-page", "unavailable-page-head", "unavailable-token")
_NOT_THESE = {"anonymous-expecting", "listed-origin-forbidden", "listed-origin-allowed", "session-in-two-fields"}
_BEGIN = ("anonymous-", "session-", "step-up-", "sign-in-wrong", "listed-origin", "unlisted", "signed-out")
UNAUTHORIZED: tuple[str, ...] = (
    *(name for name in NAMES if name.startswith(_BEGIN) and name not in _NOT_THESE),
    *("bearer-unknown", "bearer-expired", "bearer-revoked", "bearer-fresh", "bearer-strong", "bearer-and-cookie"),
    *("basic-wrong", "foreign-scheme", "basic-not-accepted"),
)
FORBIDDEN: tuple[str, ...] = (
    "forbidden-page",
    "forbidden-page-head",
    "forbidden-script",
    "forbidden-conditional",
    "forbidden-somebody-else",
    "forbidden-range",
)
FORBIDDEN += ("cross-site", "bearer-scope", "bearer-scope-page", "listed-origin-forbidden")
REFUSED = (
    *UNAUTHORIZED,
    *FORBIDDEN,
    "bearer-malformed",
    "bearer-empty",
    "basic-malformed",
    "throttled",
    "somebody-else",
)
PROBLEMS = tuple(name for name in REFUSED if "head" not in name)
PAGES: tuple[str, ...] = (
    "anonymous-page-with-invalid-mode",
    *tuple(name for name in PROBLEMS if name.endswith("page")),
    "anonymous-page-without-metadata",
    "sign-in-wrong",
)
SCRIPTS = tuple(
    name for name in PROBLEMS if name not in PAGES and "conditional" not in name and name != "anonymous-match"
)

STEP_UPS = ("step-up-fresh", "step-up-fresh-page", "step-up-strong", "bearer-fresh", "bearer-strong")
BEARERS = ("bearer-unknown", "bearer-expired", "bearer-revoked", "bearer-malformed", "bearer-empty", "bearer-scope")
BROWSERS = tuple(
    each.name
    for each in EXCHANGES
    if any(name.startswith("Sec-Fetch") for name, _ in each.fields) and each.name in REFUSED
)


SHOWN: Mapping[str, tuple[tuple[str, ...], Check]] = {
    "401-challenge": (UNAUTHORIZED, challenged),
    "401-for-bad-credentials": (
        ("anonymous-script", *(f"session-{how}" for how in DEAD), "session-made-up", "bearer-unknown", "basic-wrong"),
        status(401),
    ),
    "403-for-good-credentials": (FORBIDDEN, status(403)),
    "not-applied": (REFUSED, not_reached),
    "head-as-get": (tuple(HEADS), same_as_get),
    "expect-100": (("anonymous-expecting",), no_interim),
    "challenge-parameters": (
        tuple(name for name in REFUSED if name != "throttled"),
        lambda seen, _: None if challenges(seen) is not None else "unreadable",
    ),
    "realm-quoted": (UNAUTHORIZED, quoted_realm),
    "challenge-lines": (UNAUTHORIZED, one_a_line),
    "challenge-once": (UNAUTHORIZED, once_each),
    "challenge-on-403": (("forbidden-page", "forbidden-script", "cross-site"), hasnt("www-authenticate")),
    "vary-form": (
        ("anonymous-page", "anonymous-script", "forbidden-page", "forbidden-script", "session-idle"),
        lists("vary", "Cookie", "Accept", "Sec-Fetch-Mode"),
    ),
    "no-preconditions": (
        (
            *("anonymous-conditional", "anonymous-conditional-by-date", "anonymous-match", "anonymous-somebody-else"),
            *("forbidden-conditional", "forbidden-somebody-else"),
        ),
        both(status(401, 403), hasnt("etag", "last-modified")),
    ),
    "no-range": (("anonymous-range", "forbidden-range"), both(status(401, 403), hasnt("content-range"))),
    "explained": (PROBLEMS, explained),
    "any-method": (
        ("anonymous-delete", "anonymous-options", "anonymous-other-method", "anonymous-post", "anonymous-script"),
        status(401),
    ),
    "before-content": (("anonymous-post-not-json",), status(401)),
    "405-allow": (("wrong-method",), both(status(405), has("allow", "GET, HEAD.*"))),
    "412-not-applied": (("somebody-else",), both(status(412), not_reached, hasnt("www-authenticate", "etag"))),
    "421-unknown-host": (("unknown-host",), both(status(421), not_reached)),
    "400-malformed": (("malformed",), both(status(400), not_reached)),
    "refusals-not-stored": (
        tuple(name for name in REFUSED if name != "anonymous-handshake"),
        has("cache-control", "no-store"),
    ),
    "allowed-is-private": (("allowed", "allowed-head", "session-in-two-fields", "listed-origin-allowed"), private),
    "problem-type": (SCRIPTS, has("content-type", "application/problem\\+json")),
    "problem-unasked": (
        ("anonymous-xml", "anonymous-image", "anonymous-anything"),
        both(status(401), has("content-type", "application/problem\\+json")),
    ),
    "problem-status": (
        PROBLEMS,
        lambda seen, _: None if problem(seen)["status"] == seen.answer.status else "another status",
    ),
    "problem-title": (PROBLEMS, typed),
    "problem-extensions": (PROBLEMS, named),
    "problem-in-html": (PAGES, page),
    "reason": (tuple(BY_REASON), reasoned),
    "503-retry-after": (LOST, both(status(503), retry_after, not_reached, has("cache-control", "no-store"))),
    "503-not-your-fault": (LOST, hasnt("www-authenticate", "set-cookie")),
    "503-nobody-else": (("unavailable-public",), ok),
    "503-nothing-sent": (("unavailable-anonymous",), challenged),
    "bearer-parameters": (
        ("anonymous-script", *BEARERS),
        both(never_bare, lambda seen, _: None if challenges(seen, "Bearer") else "no challenge for Bearer"),
    ),
    "bearer-on-every-refusal": (
        ("anonymous-script", *BEARERS),
        lambda seen, _: None if len(challenges(seen, "Bearer")) == 1 else f"{challenges(seen)}",
    ),
    "bearer-no-error": (
        ("anonymous-page", "anonymous-script", "anonymous-anything", "foreign-scheme", "basic-not-accepted"),
        no_error_where_nothing_was_sent,
    ),
    "bearer-invalid-request": (
        ("bearer-malformed", "bearer-empty"),
        both(status(400), param("Bearer", "error", "invalid_request")),
    ),
    "bearer-invalid-token": (
        ("bearer-unknown", "bearer-expired", "bearer-revoked", "bearer-and-cookie"),
        both(status(401), param("Bearer", "error", "invalid_token")),
    ),
    "bearer-insufficient-scope": (
        ("bearer-scope", "bearer-scope-page"),
        both(status(403), param("Bearer", "error", "insufficient_scope"), param("Bearer", "scope", "report:read")),
    ),
    "bearer-characters": ((*BEARERS, "bearer-fresh", "bearer-strong"), error_characters),
    "bearer-accepted": (("bearer-live",), ok),
    "step-up-401": (STEP_UPS, status(401)),
    "step-up-max-age": (("step-up-fresh", "step-up-fresh-page", "bearer-fresh"), step_up("max_age", "900")),
    "step-up-acr-values": (("step-up-strong", "bearer-strong"), step_up("acr_values", "mfa phr phrh")),
    "error-where-used": (
        ("bearer-unknown", "bearer-expired", "bearer-revoked", "bearer-fresh"),
        lambda seen, _: "the challenge for Cookie has an error" if "error" in params(seen, "Cookie") else None,
    ),
    "resource-metadata": (("resource-metadata",), metadata),
    "resource-metadata-named": (("anonymous-script", "bearer-unknown", "bearer-scope"), names_metadata),
    "429-retry-after": (("throttled",), both(status(429), retry_after, has("cache-control", "no-store"))),
    "basic-challenge": (
        ("basic-wrong",),
        both(
            status(401),
            param("Basic", "charset", "UTF-8"),
            lambda seen, _: None if params(seen, "Basic").get("realm") else "no realm",
        ),
    ),
    "basic-accepted": (("basic-live",), ok),
    "no-prompt": (BROWSERS, never_prompts),
    "cookie-host-prefix": (("sign-in", "sign-in-over-a-session"), host_cookie),
    "cookie-once": (("sign-in", "sign-in-over-a-session", "sign-out"), one_cookie),
    "cookie-lifetime": (("sign-in", "sign-in-over-a-session"), cookie_lifetime),
    "cookie-deletion": (("sign-out",), deleted_alike),
    "cookie-fields": (("session-in-two-fields",), ok),
    "cookie-new-id": (("sign-in", "sign-in-over-a-session"), new_id),
    "cors-readable": (("listed-origin", "listed-origin-forbidden"), readable),
    "cors-readable-allowed": (("listed-origin-allowed",), readable),
    "cors-not-reflected": (("unlisted-origin", "preflight-unlisted", "cross-site"), unreadable),
    "cors-vary": (
        ("unlisted-origin", "listed-origin", "anonymous-script", "forbidden-script"),
        lists("vary", "Origin"),
    ),
    "preflight-unauthenticated": (
        ("preflight-listed",),
        both(
            ok,
            not_reached,
            has("access-control-allow-origin", re.escape(PARTNER)),
            lists("access-control-allow-methods", "PUT"),
            lists("access-control-allow-headers", "content-type"),
        ),
    ),
    "preflight-status": (("preflight-listed", "preflight-unlisted"), ok),
    "metadata-navigation": (("anonymous-page", "forbidden-page", "session-idle-page"), page),
    "metadata-invalid": (("anonymous-page-with-invalid-mode",), page),
    "metadata-vary": (("anonymous-page", "anonymous-script", "forbidden-page"), lists("vary", "Sec-Fetch-Mode")),
    "metadata-cross-site": (("cross-site",), both(status(403), not_reached)),
    "form-kept": (("session-idle-form-page",), both(status(401), not_reached, kept)),
}
"""By which exchanges each clause is shown, and how."""


def _clauses() -> tuple[Clause, ...]:
    words = tomllib.loads((Path(__file__).parent / "clauses.toml").read_text())
    assert set(words) == set(SHOWN)
    return tuple(
        Clause(id_, said["where"], said.get("quote", ""), said.get("read", ""), *SHOWN[id_])
        for id_, said in words.items()
    )


CLAUSES = _clauses()


def judge(clause: Clause, answers: Answers) -> list[str]:
    """What is wrong with a surface's answers by a clause: one line for each exchange that fails it."""
    wrong = []
    for name in clause.shown_by:
        seen = answers[name]
        try:
            said = clause.check(seen, answers)
        except (AssertionError, ValueError, KeyError) as failed:
            said = f"{seen.answer.status}, {type(failed).__name__}: {failed}"
        if said:
            wrong.append(f"{name}: {said}")
    return wrong
