"""The one table of reasons: every status of a refusal is written here and nowhere else.

A reason's slug is the problem's `reason` member, the end of its `type`, and, for cookie sessions, the
`error` of the challenge. Titles are constant for a type (RFC 9457, 3.1.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

BASE = "https://demur.readthedocs.io/reasons/"
"""The base of every problem type: constant, and the same on every site."""


class Reason(StrEnum):
    """Why a request was refused."""

    SIGN_IN_REQUIRED = "sign-in-required"
    SESSION_IDLE = "session-idle"
    SESSION_EXPIRED = "session-expired"
    SESSION_ENDED = "session-ended"
    SESSION_REVOKED = "session-revoked"
    SESSION_REPLACED = "session-replaced"
    CREDENTIALS_INVALID = "credentials-invalid"
    CREDENTIALS_MALFORMED = "credentials-malformed"
    TOKEN_EXPIRED = "token-expired"  # noqa: S105 - a slug
    TOKEN_REVOKED = "token-revoked"  # noqa: S105 - a slug
    STEP_UP_REQUIRED = "step-up-required"
    ENROLMENT_REQUIRED = "enrolment-required"
    NOT_PERMITTED = "not-permitted"
    SCOPE_INSUFFICIENT = "scope-insufficient"
    ACCESS_REQUESTABLE = "access-requestable"
    ACCESS_PENDING = "access-pending"
    GRANT_EXPIRED = "grant-expired"
    CONTEXT_REFUSED = "context-refused"
    CROSS_SITE_REFUSED = "cross-site-refused"
    SUBJECT_CHANGED = "subject-changed"
    ACCOUNT_SUSPENDED = "account-suspended"
    TOO_MANY_ATTEMPTS = "too-many-attempts"
    NOT_FOUND = "not-found"
    REQUEST_MALFORMED = "request-malformed"
    HOST_UNKNOWN = "host-unknown"
    UPSTREAM_UNREACHABLE = "upstream-unreachable"
    UPSTREAM_TIMEOUT = "upstream-timeout"
    UNAVAILABLE = "unavailable"


class Remedy(StrEnum):
    """What a client should do about it."""

    SIGN_IN = "sign-in"
    CONFIRM = "confirm"
    REPEAT = "repeat"
    FIX = "fix"
    GET_TOKEN = "get-token"  # noqa: S105 - a slug
    ENROL = "enrol"
    EXPLAIN = "explain"
    REQUEST_ACCESS = "request-access"
    WAIT = "wait"
    CHANGE_CONTEXT = "change-context"
    RELOAD = "reload"
    CONTACT = "contact"
    RETRY_LATER = "retry-later"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Row:
    """One reason: its status, its constant title, plain words for the person, and what to do next.

    `error` is the code for a challenge of an OAuth scheme (RFC 6750, 3.1; RFC 9470, 3).
    """

    status: int
    title: str
    detail: str
    remedy: Remedy
    error: str | None = None


REASONS: dict[Reason, Row] = {
    Reason.SIGN_IN_REQUIRED: Row(
        401, "Sign in to continue", "This page is for people who are signed in.", Remedy.SIGN_IN
    ),
    Reason.SESSION_IDLE: Row(
        401,
        "You were away for a while",
        "Your session ended because nothing happened for some time.",
        Remedy.SIGN_IN,
        "invalid_token",
    ),
    Reason.SESSION_EXPIRED: Row(
        401,
        "Your session has expired",
        "A session lasts a limited time, and this one has reached its end.",
        Remedy.SIGN_IN,
        "invalid_token",
    ),
    Reason.SESSION_ENDED: Row(
        401,
        "You have signed out",
        "This session was signed out, here or somewhere else.",
        Remedy.SIGN_IN,
        "invalid_token",
    ),
    Reason.SESSION_REVOKED: Row(
        401,
        "Your session was ended",
        "An administrator or a security measure, such as a new password, ended this session.",
        Remedy.SIGN_IN,
        "invalid_token",
    ),
    Reason.SESSION_REPLACED: Row(
        401,
        "Your session has a new id",
        "You confirmed who you are a moment ago. Repeat the request.",
        Remedy.REPEAT,
        "invalid_token",
    ),
    Reason.CREDENTIALS_INVALID: Row(
        401,
        "These credentials are not valid",
        "What was sent to identify you is not valid here.",
        Remedy.SIGN_IN,
        "invalid_token",
    ),
    Reason.CREDENTIALS_MALFORMED: Row(
        400,
        "These credentials cannot be read",
        "The Authorization field is not well-formed.",
        Remedy.FIX,
        "invalid_request",
    ),
    Reason.TOKEN_EXPIRED: Row(
        401, "This token has expired", "Get a new token and try again.", Remedy.GET_TOKEN, "invalid_token"
    ),
    Reason.TOKEN_REVOKED: Row(
        401, "This token was revoked", "Get a new token and try again.", Remedy.GET_TOKEN, "invalid_token"
    ),
    Reason.STEP_UP_REQUIRED: Row(
        401,
        "Confirm that it is you",
        "This part of the site asks for a recent or a stronger sign-in.",
        Remedy.CONFIRM,
        "insufficient_user_authentication",
    ),
    Reason.ENROLMENT_REQUIRED: Row(
        403, "Set up a second factor", "This part of the site is for accounts with a second factor.", Remedy.ENROL
    ),
    Reason.NOT_PERMITTED: Row(
        403, "You may not open this", "Your account does not have access to this.", Remedy.EXPLAIN
    ),
    Reason.SCOPE_INSUFFICIENT: Row(
        403,
        "This token may not do that",
        "The token does not have the scope that is needed.",
        Remedy.GET_TOKEN,
        "insufficient_scope",
    ),
    Reason.ACCESS_REQUESTABLE: Row(
        403, "You can ask for access", "Your account does not have access to this yet.", Remedy.REQUEST_ACCESS
    ),
    Reason.ACCESS_PENDING: Row(
        403, "Your request is waiting", "Access was asked for and nobody has decided yet.", Remedy.WAIT
    ),
    Reason.GRANT_EXPIRED: Row(
        403, "Your access has ended", "You had access for a limited time, and it is over.", Remedy.REQUEST_ACCESS
    ),
    Reason.CONTEXT_REFUSED: Row(
        403,
        "Not from here, or not now",
        "This cannot be opened from this place or at this time.",
        Remedy.CHANGE_CONTEXT,
    ),
    Reason.CROSS_SITE_REFUSED: Row(
        403,
        "This came from another site",
        "A request that changes something has to come from this site itself.",
        Remedy.RELOAD,
    ),
    Reason.SUBJECT_CHANGED: Row(
        412,
        "You are signed in as somebody else",
        "The request was made for another person than the one who is signed in.",
        Remedy.RELOAD,
    ),
    Reason.ACCOUNT_SUSPENDED: Row(403, "This account is suspended", "Ask whoever runs this site.", Remedy.CONTACT),
    Reason.TOO_MANY_ATTEMPTS: Row(429, "Too many attempts", "Wait a little before you try again.", Remedy.WAIT),
    Reason.NOT_FOUND: Row(404, "Not found", "There is nothing here.", Remedy.NONE),
    Reason.REQUEST_MALFORMED: Row(400, "This request cannot be read", "The request is not well-formed.", Remedy.FIX),
    Reason.HOST_UNKNOWN: Row(421, "No site of this name is here", "Check the address.", Remedy.FIX),
    Reason.UPSTREAM_UNREACHABLE: Row(
        502, "The site does not answer", "The server behind this address cannot be reached.", Remedy.RETRY_LATER
    ),
    Reason.UPSTREAM_TIMEOUT: Row(
        504, "The site takes too long", "The server behind this address did not answer in time.", Remedy.RETRY_LATER
    ),
    Reason.UNAVAILABLE: Row(
        503,
        "Please try again in a moment",
        "We cannot check your access right now. You are still signed in.",
        Remedy.RETRY_LATER,
    ),
}

WHAT_TO_DO: dict[Remedy, str] = {
    Remedy.SIGN_IN: "sign in, then repeat the request",
    Remedy.CONFIRM: "confirm the password, then repeat the request",
    Remedy.REPEAT: "repeat the request once, with the new cookie",
    Remedy.FIX: "fix the request",
    Remedy.GET_TOKEN: "get another token",
    Remedy.ENROL: "enrol a second factor",
    Remedy.EXPLAIN: "explain it, and do not repeat",
    Remedy.REQUEST_ACCESS: "ask for access",
    Remedy.WAIT: "wait",
    Remedy.CHANGE_CONTEXT: "try from another place, or at another time",
    Remedy.RELOAD: "reload the page, then repeat once",
    Remedy.CONTACT: "contact whoever runs the site",
    Remedy.RETRY_LATER: "repeat later",
    Remedy.NONE: "nothing",
}
"""Each remedy in words, for pages and documentation."""
