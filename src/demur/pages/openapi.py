"""demur's own addresses as an OpenAPI document, `<prefix>/openapi.json`.

- It is made from the table of routes that answers: an address or a method without a description here is an error when
  the site is put together, and a description without its route is never shown.
- What the router itself answers is not written down anywhere again: whether a session is needed, and with which
  refusals, follows from the route.
- Pages for people are in it with their type and no more; what is for programs has its members.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from demur.accounts import passwords
from demur.core.model import Access
from demur.core.reasons import BASE, REASONS, Reason
from demur.pages import client, look
from demur.pages.router import CLIENT, Route

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from demur.core.model import Response
    from demur.core.site import Site
    from demur.pages.visit import Visit

Json: TypeAlias = "dict[str, object]"

VERSION: Final = "1"
"""The version of this interface; it has its own, because a site's address does not name demur's."""

_NO_SESSION: Final = (
    Reason.SIGN_IN_REQUIRED,
    Reason.SESSION_IDLE,
    Reason.SESSION_EXPIRED,
    Reason.SESSION_ENDED,
    Reason.SESSION_REVOKED,
    Reason.SESSION_REPLACED,
    Reason.CREDENTIALS_INVALID,
)
_WAITS: Final = frozenset((429, 503))

# --- what there is to say about values ------------------------------------------------------------


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _text(description: str, **more: object) -> Json:
    return {"type": "string", "description": description, **more}


def _moment(description: str) -> Json:
    return _text(description, format="date-time")


def _object(description: str, required: tuple[str, ...] | None = None, /, **members: Json) -> Json:
    """A JSON object. Without `required`, each of its members is always there."""
    names = list(members if required is None else required)
    return {"type": "object", "description": description, "properties": members, "required": names}


_SESSION_MEMBERS: Final[dict[str, Json]] = {
    "subject": _text("The person's identifier; it never changes and is never given to somebody else."),
    "name": _text("The name that the person signs in with."),
    "idle_ends_at": {
        "type": ["string", "null"],
        "format": "date-time",
        "description": "When the session ends if nothing happens; null if there is no such limit.",
    },
    "expires_at": _moment("When the session ends in any case."),
}

SCHEMAS: Final[Mapping[str, Json]] = {
    "Problem": _object(
        "A refusal, as a problem document (RFC 9457).",
        ("type", "title", "status", "detail", "instance", "reason"),
        type=_text("Names the reason; the same on every site.", format="uri", pattern=f"^{BASE}"),
        title=_text("The reason in a few words; constant for a type."),
        status={"type": "integer", "description": "The status of the answer."},
        detail=_text("A sentence for the person."),
        instance=_text("The reference under which this refusal stands in the log.", pattern="^urn:uuid:"),
        reason=_text("The reason. Switch on this one.", enum=[reason.value for reason in REASONS]),
        processed={
            "const": False,
            "description": "Always false: nothing was done, and the request can safely be repeated.",
        },
        sign_in=_text("Where to sign in.", format="uri-reference"),
        ended_at=_moment("When the session ended."),
        max_age={"type": "integer", "description": "How old, in seconds, the sign-in may be."},
        acr_values={"type": "array", "items": {"type": "string"}, "description": "How strong it has to be."},
        missing={"type": "array", "items": {"type": "string"}, "description": "The kinds of what would open it."},
    ),
    "Invalid": _object(
        "A form that cannot be taken, as a problem document without a type of its own (RFC 9457, 4.2.1).",
        type={"const": "about:blank", "description": "Always `about:blank`."},
        title=_text("What the status is called."),
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
        **_SESSION_MEMBERS,
        next=_text('Where "next" leads, if that is allowed; "/" otherwise.', format="uri-reference"),
    ),
    "Sessions": _object(
        "Where the person is signed in: this session first, then whoever was seen last.",
        sessions={
            "type": "array",
            "description": "One for each.",
            "items": _object(
                "One session.",
                handle=_text("What to call it, to end it."),
                current={"type": "boolean", "description": "Whether it is the one that asks."},
                device=_text("The browser and the system, as far as they can be told."),
                network=_text("The network from which it was begun."),
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
        id=_text("The person's identifier."),
        name=_text("The name that the person signs in with."),
        display_name=_text("What the person is called; may be empty."),
        email=_text("The address of the person; may be empty."),
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


def _refused(when: str, *reasons: Reason) -> Answer:
    return Answer(when, "Problem", reasons, page=True)


_MALFORMED: Final = _refused("What was sent cannot be read.", Reason.REQUEST_MALFORMED)
_TOO_OFTEN: Final = _refused("That was tried too often.", Reason.TOO_MANY_ATTEMPTS)
_PAGE: Final = Answer("The page.", page=True)
_NEXT: Final = _text("A path on this site to go on to; anything else counts as `/`.")


def _on_to(where: str) -> Answer:
    return Answer(f"On to {where}.", fields=("Location",))


def _file(id_: str, summary: str, *more: str) -> Operation:
    """A file of the browser client."""
    kinds = ("text/javascript; charset=utf-8", *more)
    whole = Answer("The file, packed with gzip for whoever accepts that.", kinds=kinds, fields=("ETag",))
    same = Answer("It is still the same.", fields=("ETag",))
    return Operation(id_, summary, {200: whole, 304: same}, "The same for everybody: nobody is looked up.")


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("", "get"): Operation("start", "Lead to the person's own page", {303: _on_to("`account`")}),
    ("sign-in", "get"): Operation(
        "signInForm",
        "The form to sign in",
        {200: _PAGE, 303: _on_to("the form of the site where this one's people sign in")},
        query={"next": _NEXT},
    ),
    ("sign-in", "post"): Operation(
        "signIn",
        "Sign in, or confirm the password",
        {
            200: Answer("Signed in.", "SignedIn", fields=("Set-Cookie",)),
            303: Answer("Signed in, for a browser that shows a page.", fields=("Location", "Set-Cookie")),
            400: _MALFORMED,
            401: _refused(
                "The name or the password is not right.", Reason.CREDENTIALS_INVALID, Reason.SESSION_REPLACED
            ),
            429: _TOO_OFTEN,
        },
        "Whoever is signed in and gives no other name confirms the password: the session goes on under a new id.",
        Sent(
            {
                "username": _text("The name."),
                "password": _text("The password.", format="password"),
                "next": _NEXT,
                "keep": {
                    "type": ["boolean", "string"],
                    "description": "Whether to stay signed in when the browser is closed: true, or any text.",
                },
            },
        ),
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
            400: _refused("The address could be read in two ways.", Reason.REQUEST_MALFORMED),
            404: _refused("There is no such reason.", Reason.NOT_FOUND),
        },
    ),
    ("sessions", "get"): Operation(
        "sessions",
        "Where the person is signed in",
        {200: Answer("The sessions.", "Sessions", page=True)},
        query={"ended": _text("What the page says was done.")},
    ),
    ("sessions", "post"): Operation(
        "endSessions",
        "End one session, or all others",
        {
            200: Answer("Done.", "Ended"),
            303: _on_to("the page again"),
            400: _MALFORMED,
        },
        sent=Sent({"end": _text("The handle of a session, or `others`.", minLength=1)}, ("end",)),
    ),
    ("account", "get"): Operation(
        "account",
        "Who is signed in, in full",
        {200: Answer("The account.", "Account", page=True)},
        query={"changed": _text("What the page says was done.")},
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
                "current": _text("The password as it is.", format="password", minLength=1),
                "new": _text(
                    "The password as it shall be; it may be refused for more than its length.",
                    format="password",
                    minLength=passwords.MIN_LENGTH,
                ),
            },
            ("current", "new"),
        ),
    ),
    ("client.js", "get"): _file("client", "The browser client"),
    ("client/*", "get"): _file("clientPart", "What the client imports", "text/css; charset=utf-8"),
    ("client/lang/*", "get"): _file("clientLanguage", "What the client says, in another language"),
    ("client/hands/*", "get"): _file("clientHand", "The client for users of a framework"),
    ("openapi.json", "get"): Operation("openapi", "This document", {200: Answer("It.", "OpenAPI")}),
}

# --- the document ---------------------------------------------------------------------------------


def described(routes: Mapping[str, Route]) -> Mapping[str, Route]:
    """The routes, those of the browser client, and one that shows the document about all of them. Raises KeyError for
    an address or a method that nobody has described."""

    async def get(visit: Visit) -> Response:
        return look.tell(document(whole, visit.site))

    whole = {**routes, **CLIENT, "openapi.json": Route(get)}
    _paths(whole)
    return whole


def document(routes: Mapping[str, Route], site: Site) -> Json:
    """The document for a site: its cookie has a name, and its pages a prefix."""
    session: Json = {
        "type": "apiKey",
        "in": "cookie",
        "name": site.cookie.name,
        "description": "The session cookie, which `sign-in` sets. A script does not see it; a browser sends it.",
    }
    return {
        "openapi": "3.1.1",
        "info": {
            "title": f"{site.name}: signing in and out",
            "version": VERSION,
            "description": "demur's own addresses on this site. A navigation gets pages; everything else gets "
            "JSON and problem documents. HEAD answers as GET does.",
        },
        "servers": [{"url": site.prefix}],
        "paths": _paths(routes),
        "components": {"schemas": dict(SCHEMAS), "securitySchemes": {"session": session}},
    }


def _paths(routes: Mapping[str, Route]) -> Json:
    return {
        "/" + name.replace("*", "{slug}"): {method: _operation(name, route, method) for method in _methods(route)}
        for name, route in routes.items()
    }


def _methods(route: Route) -> Iterator[str]:
    yield from ("get",) if route.get is not None else ()
    yield from ("post",) if route.post is not None else ()


def _operation(name: str, route: Route, method: str) -> Json:
    said = OPERATIONS[name, method]
    answers = {status: [answer] for status, answer in said.answers.items()}
    for status, answer in _by_the_router(route, method):
        answers.setdefault(status, []).append(answer)
    made: Json = {
        "operationId": said.id,
        "summary": said.summary,
        "security": [{"session": []}] if route.access is Access.REQUIRED else [],
        "responses": {str(status): _response(status, answers[status]) for status in sorted(answers)},
    }
    if said.description:
        made["description"] = said.description
    if parameters := [*_in_path(name), *_in_query(said)]:
        made["parameters"] = parameters
    if said.sent is not None:
        made["requestBody"] = _body(said.sent)
    return made


def _by_the_router(route: Route, method: str) -> Iterator[tuple[int, Answer]]:
    """What is answered before any handler runs, and in place of one that cannot do its work."""
    if route.access is Access.REQUIRED:
        yield 401, _refused("Nobody is signed in, or no longer.", *_NO_SESSION)
    if method == "post":
        yield 400, _refused("The body is longer than 64 kB, or broke off.", Reason.REQUEST_MALFORMED)
        yield 403, _refused("The request came from another site.", Reason.CROSS_SITE_REFUSED)
    if route.access is not Access.OPEN:
        yield 503, _refused("demur cannot do its work; the session is kept.", Reason.UNAVAILABLE)


def _in_path(name: str) -> Iterator[Json]:
    if not name.endswith("*"):
        return
    what, values = "The reason.", [reason.value for reason in REASONS]
    if name in client.ADDRESSES:
        what, values = "The file.", client.names(name)
    schema = {"type": "string", "enum": values} if values else {"type": "string"}
    yield {"name": "slug", "in": "path", "required": True, "description": what, "schema": schema}


def _in_query(said: Operation) -> Iterator[Json]:
    for name, schema in said.query.items():
        yield {"name": name, "in": "query", "schema": schema}


def _body(sent: Sent) -> Json:
    """A form, or a JSON object. Further members are ignored, but have to be of a kind that a form could send."""
    whole: Json = {"type": "object", "properties": dict(sent.members)}
    if sent.required:
        whole["required"] = list(sent.required)
    kinds = {"application/x-www-form-urlencoded": ["string"], "application/json": ["string", "boolean"]}
    if sent.page:
        content: Json = {"application/x-www-form-urlencoded": {"schema": whole}}
    else:
        content = {kind: {"schema": {**whole, "additionalProperties": {"type": of}}} for kind, of in kinds.items()}
    return {"required": bool(sent.required), "content": content}


def _response(status: int, answers: list[Answer]) -> Json:
    """What is said of one status, which may be given for more than one cause."""
    made: Json = {"description": " Or: ".join(dict.fromkeys(answer.when for answer in answers))}
    content: Json = {}
    schemas = [_schema(status, answer) for answer in answers if answer.schema]
    if schemas:
        kind = "application/problem+json" if status >= HTTPStatus.BAD_REQUEST else "application/json"
        unlike = [schema for index, schema in enumerate(schemas) if schema not in schemas[:index]]
        content[kind] = {"schema": unlike[0] if len(unlike) == 1 else {"anyOf": unlike}}
    content |= {kind: {} for answer in answers for kind in answer.kinds}
    if any(answer.page for answer in answers):
        content["text/html; charset=utf-8"] = {}
    if content:
        made["content"] = content
    if headers := dict(_headers(status, answers)):
        made["headers"] = headers
    return made


def _schema(status: int, answer: Answer) -> Json:
    if not answer.reasons:
        return _ref(answer.schema)
    given = {"status": {"const": status}, "reason": {"enum": [reason.value for reason in answer.reasons]}}
    return {"allOf": [_ref(answer.schema), {"properties": given}]}


_FIELDS: Final[Mapping[str, Json]] = {
    "ETag": _text("Names these very bytes (RFC 9110, 8.8.3)."),
    "Location": _text("Where to go on.", format="uri-reference"),
    "Set-Cookie": _text("The session cookie, new or taken away."),
    "WWW-Authenticate": _text("The challenge for the session cookie (RFC 9110, 11.6.1).", pattern='Cookie realm="'),
    "Retry-After": {"type": "integer", "minimum": 0, "description": "Seconds to wait."},
}


def _headers(status: int, answers: list[Answer]) -> Iterator[tuple[str, Json]]:
    names = [name for answer in answers for name in answer.fields]
    names += ["WWW-Authenticate"] if status == HTTPStatus.UNAUTHORIZED else []
    names += ["Retry-After"] if status in _WAITS else []
    for name in dict.fromkeys(names):
        yield name, {"required": True, "schema": _FIELDS[name]}
