"""What there is to say about demur's own addresses, for programs: each method at each, what is sent there, what may be
answered, and the members of both. The document is made from it and from the routes (`pages.openapi`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from demur.accounts import passwords
from demur.core.reasons import BASE, REASONS, Reason
from demur.core.words import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

Json: TypeAlias = "dict[str, object]"

# --- what there is to say about values ------------------------------------------------------------


def ref(name: str) -> Json:
    """A schema, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def text(description: str, **more: object) -> Json:
    """A string. `more` are further members of the schema."""
    return {"type": "string", "description": description, **more}


def _moment(description: str) -> Json:
    return text(description, format="date-time")


def _object(description: str, required: tuple[str, ...] | None = None, /, **members: Json) -> Json:
    """A JSON object. Without `required`, each of its members is always there."""
    names = list(members if required is None else required)
    return {"type": "object", "description": description, "properties": members, "required": names}


_SESSION_MEMBERS: Final[dict[str, Json]] = {
    "subject": text("The person's identifier; it never changes and is never given to somebody else."),
    "name": text("The name that the person signs in with."),
    "display_name": text("What the person is called; may be empty."),
    "idle_ends_at": {
        "type": ["string", "null"],
        "format": "date-time",
        "description": "When the session ends if nothing happens; null if there is no such limit.",
    },
    "expires_at": _moment("When the session ends in any case."),
    "idle_ends_in": {
        "type": ["integer", "null"],
        "minimum": 0,
        "description": "In how many seconds it ends if nothing happens; null if there is no such limit.",
    },
    "expires_in": {"type": "integer", "minimum": 0, "description": "In how many seconds it ends in any case."},
    "draft_key": {
        "type": ["string", "null"],
        "description": "A key, this person's own, to keep under it what they type: 32 bytes in base64url. "
        "null for pages of other origins.",
        "pattern": "^[A-Za-z0-9_-]{43}$",
    },
}

SCHEMAS: Final[Mapping[str, Json]] = {
    "Problem": _object(
        "A refusal, as a problem document (RFC 9457).",
        ("type", "title", "status", "detail", "instance", "reason"),
        type=text("Names the reason; the same on every site.", format="uri", pattern=f"^{BASE}"),
        title=text("The reason in a few words; constant for a type."),
        status={"type": "integer", "description": "The status of the answer."},
        detail=text("A sentence for the person."),
        instance=text("The reference under which this refusal stands in the log.", pattern="^urn:uuid:"),
        reason=text("The reason. Switch on this one.", enum=[reason.value for reason in REASONS]),
        processed={
            "const": False,
            "description": "Always false: nothing was done, and the request can safely be repeated.",
        },
        subject=text("Whose session it was that has ended."),
        sign_in=text("Where to sign in.", format="uri-reference"),
        ended_at=_moment("When the session ended."),
        max_age={"type": "integer", "description": "How old, in seconds, the sign-in may be."},
        acr_values={"type": "array", "items": {"type": "string"}, "description": "How strong it has to be."},
        missing={"type": "array", "items": {"type": "string"}, "description": "The kinds of what would open it."},
        kept=text("The page to send what came with this request, after signing in.", format="uri-reference"),
    ),
    "Invalid": _object(
        "A form that cannot be taken, as a problem document without a type of its own (RFC 9457, 4.2.1).",
        type={"const": "about:blank", "description": "Always `about:blank`."},
        title=text("What the status is called."),
        status={"type": "integer", "description": "The status of the answer."},
        errors={
            "type": "object",
            "description": "For each field, in a sentence for the person, what is wrong.",
            "additionalProperties": {"type": "string"},
            "minProperties": 1,
        },
    ),
    "Session": _object("A session, and whose it is.", **_SESSION_MEMBERS),
    "SignedIn": _object(
        "The new session, and where to go on.",
        (*_SESSION_MEMBERS, "next"),
        **_SESSION_MEMBERS,
        next=text('Where "next" leads, if that is allowed; "/" otherwise.', format="uri-reference"),
        kept=text("The page to send what was sent in vain before, if there is something.", format="uri-reference"),
    ),
    "Kept": _object(
        "What somebody entered when their session was over.",
        page=text("The page that the form was on.", format="uri-reference"),
        target=text("Where the form goes.", format="uri-reference"),
        kept_until=_moment("When it is forgotten."),
        sent_at={
            "type": ["string", "null"],
            "format": "date-time",
            "description": "When it was sent again; null if it was not.",
        },
        can_be_sent={"type": "boolean", "description": "False once it was sent."},
        fields={
            "type": "array",
            "description": "Its fields, in order.",
            "items": _object(
                "One field.",
                ("name",),
                name=text("What it is called."),
                value={
                    "type": ["string", "null"],
                    "description": "What was entered, shortened; null if that was secret, and was not kept.",
                },
                file=text("The name of a file, in place of a value."),
                size={"type": "integer", "description": "How many bytes the file has."},
            ),
        },
    ),
    "Discarded": _object(
        "What was done.", discarded={"type": "boolean", "description": "Whether there was something to discard."}
    ),
    "Sessions": _object(
        "Where the person is signed in: this session first, then whoever was seen last.",
        sessions={
            "type": "array",
            "description": "One for each.",
            "items": _object(
                "One session.",
                handle=text("What to call it, to end it."),
                current={"type": "boolean", "description": "Whether it is the one that asks."},
                device=text("The browser and the system, as far as they can be told."),
                network=text("The network from which it was begun."),
                signed_in_at=_moment("When it was begun."),
                last_seen=_moment("When the person was last seen with it, to a tenth of the idle limit."),
                expires_at=_moment("When it ends in any case."),
            ),
        },
    ),
    "Ended": _object(
        "What was done.", ended={"type": "integer", "minimum": 0, "description": "How many sessions were ended."}
    ),
    "Account": _object(
        "The person who is signed in.",
        id=text("The person's identifier."),
        name=text("The name that the person signs in with."),
        display_name=text("What the person is called; may be empty."),
        email=text("The address of the person; may be empty."),
        groups={"type": "array", "items": {"type": "string"}, "description": "The groups, in order."},
    ),
    "Changed": _object("What was done.", changed={"const": True, "description": "Always true."}),
    "OpenAPI": {"type": "object", "description": "This document.", "required": ["openapi", "info", "paths"]},
}

# --- what there is to say about addresses ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """One status: when it is given, and the schema of what a program gets. A `page` is for people (HTML)."""

    when: str
    schema: str = ""
    reasons: tuple[Reason, ...] = ()
    page: bool = False
    kinds: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """A form or a JSON object with these members. Of a `page` only the form is read: a program's body is not."""

    members: Mapping[str, Json]
    required: tuple[str, ...] = ()
    page: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One method at one address, what is sent there, and what may be answered."""

    id: str
    summary: str
    answers: Mapping[int, Answer]
    description: str = ""
    sent: Sent | None = None
    query: Mapping[str, Json] = field(default_factory=dict)


def refused(when: str, *reasons: Reason) -> Answer:
    """A refusal for one of these reasons."""
    return Answer(when, "Problem", reasons, page=True)


_MALFORMED: Final = refused("What was sent cannot be read.", Reason.REQUEST_MALFORMED)
_MALFORMED_PATH: Final = refused("The address could be read in two ways.", Reason.REQUEST_MALFORMED)
_TOO_OFTEN: Final = refused("That was tried too often.", Reason.TOO_MANY_ATTEMPTS)
_PAGE: Final = Answer("The page.", page=True)
_NEXT: Final = text("A path on this site to go on to; anything else counts as `/`.")

_EMBED: Final[Mapping[str, Json]] = {
    "embed": text("There, with any value or none: the page for a dialog."),
    "lang": text(f"Its language: {', '.join(LANGUAGES)}, or a longer tag of one of these; English for any other."),
    "username": text("With `embed`: a name to fill in."),
    "popup": text("With `embed`: the page is in a window of its own, and its script closes that when it is done."),
    "other": text("With `embed`: the whole form, although somebody is signed in."),
    "done": text("With `embed`: the word that it is done, for whoever is signed in. A sign-in leads there."),
}


def _on_to(where: str) -> Answer:
    return Answer(f"On to {where}.", fields=("Location",))


def _file(id_: str, summary: str, *more: str) -> Operation:
    """A file of the browser client."""
    kinds = ("text/javascript; charset=utf-8", *more)
    whole = Answer("The file, packed with gzip for whoever accepts that.", kinds=kinds, fields=("ETag",))
    same = Answer("It is still the same.", fields=("ETag",))
    answers = {200: whole, 304: same}
    if id_ != "client":
        answers |= {400: _MALFORMED_PATH, 404: refused("There is no such file.", Reason.NOT_FOUND)}
    return Operation(id_, summary, answers, "The same for everybody: nobody is looked up.")


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("", "get"): Operation("start", "Lead to the person's own page", {303: _on_to("`account`")}),
    ("sign-in", "get"): Operation(
        "signInForm",
        "The form to sign in",
        {200: _PAGE, 303: _on_to("the form of the site where this one's people sign in")},
        "With `embed` it is the page for a dialog, which this origin's own pages may frame.",
        query={"next": _NEXT, **_EMBED},
    ),
    ("sign-in", "post"): Operation(
        "signIn",
        "Sign in, or confirm the password",
        {
            200: Answer("Signed in.", "SignedIn", fields=("Set-Cookie",)),
            303: Answer("Signed in, for a browser that shows a page.", fields=("Location", "Set-Cookie")),
            400: _MALFORMED,
            401: refused("The name or the password is not right.", Reason.CREDENTIALS_INVALID, Reason.SESSION_REPLACED),
            429: _TOO_OFTEN,
        },
        "Whoever is signed in and gives no other name confirms the password: the session goes on under a new id.",
        Sent(
            {
                "username": text("The name."),
                "password": text("The password.", format="password"),
                "next": _NEXT,
                "keep": {
                    "type": ["boolean", "string"],
                    "description": "Whether to stay signed in when the browser is closed: true, or any text.",
                },
            },
        ),
        query={name: _EMBED[name] for name in ("embed", "lang")},
    ),
    ("sign-out", "get"): Operation(
        "signOutForm",
        "The button to sign out",
        {200: _PAGE, 303: _on_to("`signed-out`, for whoever is not signed in")},
        "A GET signs nobody out.",
    ),
    ("sign-out", "post"): Operation(
        "signOut",
        "Sign out",
        {
            204: Answer("Signed out, on the server too.", fields=("Set-Cookie",)),
            303: Answer("Signed out, for a browser that shows a page.", fields=("Location", "Set-Cookie")),
        },
        "Whoever is not signed in is answered alike.",
        Sent({"next": _NEXT}, page=True),
    ),
    ("signed-out", "get"): Operation("signedOut", "The page after signing out", {200: _PAGE}),
    ("cleared.css", "get"): Operation(
        "clearCaches",
        "An empty style sheet that empties the browser's caches of this site",
        {200: Answer("Nothing, with `Clear-Site-Data`.", kinds=("text/css; charset=utf-8",))},
    ),
    ("session", "get"): Operation(
        "session",
        "Who is signed in, and when that ends",
        {200: Answer("The session.", "Session")},
        "Asking is not activity.",
    ),
    ("session/extend", "post"): Operation(
        "extendSession",
        "Say that the person is here",
        {200: Answer("The session, with its idle time begun anew.", "Session")},
        "The end in any case stays where it is.",
    ),
    ("reasons/*", "get"): Operation(
        "reason",
        "The page about a reason",
        {
            200: _PAGE,
            400: _MALFORMED_PATH,
            404: refused("There is no such reason.", Reason.NOT_FOUND),
        },
    ),
    ("sessions", "get"): Operation(
        "sessions",
        "Where the person is signed in",
        {200: Answer("The sessions.", "Sessions", page=True)},
        query={"ended": text("What the page says was done.")},
    ),
    ("sessions", "post"): Operation(
        "endSessions",
        "End one session, or all others",
        {
            200: Answer("Done.", "Ended"),
            303: _on_to("the page again"),
            400: _MALFORMED,
        },
        sent=Sent({"end": text("The handle of a session, or `others`.", minLength=1)}, ("end",)),
    ),
    ("account", "get"): Operation(
        "account",
        "Who is signed in, in full",
        {200: Answer("The account.", "Account", page=True)},
        query={"changed": text("What the page says was done.")},
    ),
    ("account", "post"): Operation(
        "changePassword",
        "Change the password",
        {
            200: Answer("Changed, and every other session is over.", "Changed", fields=("Set-Cookie",)),
            303: Answer("Changed, for a browser that shows a page.", fields=("Location", "Set-Cookie")),
            400: _MALFORMED,
            403: Answer("The current password is not right.", "Invalid", page=True),
            422: Answer("The new password cannot be taken.", "Invalid", page=True),
            429: Answer("That was tried too often.", "Invalid", page=True),
        },
        sent=Sent(
            {
                "current": text("The password as it is.", format="password", minLength=1),
                "new": text(
                    "The password as it shall be; it may be refused for more than its length.",
                    format="password",
                    minLength=passwords.MIN_LENGTH,
                ),
            },
            ("current", "new"),
        ),
    ),
    ("kept", "get"): Operation(
        "kept",
        "What the person entered when their session was over",
        {
            200: Answer("It, with a button to send it.", "Kept", page=True),
            303: _on_to("`next`, where there is nothing for this person"),
            404: refused("There is nothing for this person.", Reason.NOT_FOUND),
        },
        query={"of": text("Which form."), "next": _NEXT},
    ),
    ("kept", "post"): Operation(
        "discardKept",
        "Discard it",
        {
            200: Answer("Done.", "Discarded"),
            303: _on_to("`next`"),
            400: _MALFORMED,
            404: refused("There is nothing for this person.", Reason.NOT_FOUND),
        },
        "It is sent by the page itself, to the site.",
        Sent({"of": text("Which form."), "seal": text("What was seen of it."), "next": _NEXT}),
    ),
    ("client.js", "get"): _file("client", "The browser client"),
    ("client/*", "get"): _file("clientPart", "What the client imports", "text/css; charset=utf-8"),
    ("client/lang/*", "get"): _file("clientLanguage", "What the client says, in another language"),
    ("client/hands/*", "get"): _file("clientHand", "The client for users of a framework"),
    ("openapi.json", "get"): Operation("openapi", "This document", {200: Answer("It.", "OpenAPI")}),
}
