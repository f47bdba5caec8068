"""demur's own addresses as an OpenAPI document, `<prefix>/openapi.json`.

- It is made from the table of routes that answers: an address or a method without a description is an error when
  the site is put together, and a description without its route is never shown.
- What the router itself answers is not written down anywhere again: whether a session is needed, and with which
  refusals, follows from the route.
- Pages for people are in it with their type and no more; what is for programs has its members.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from demur.core.model import Access
from demur.core.reasons import REASONS, Reason
from demur.pages import client, look
from demur.pages.addresses import OPERATIONS, SCHEMAS, ref, refused, text
from demur.pages.router import CLIENT, Route

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from demur.core.model import Response
    from demur.core.site import Site
    from demur.pages.addresses import Answer, Json, Operation, Sent
    from demur.pages.visit import Visit

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
            "JSON and problem documents. HEAD answers as GET does. A request may say in `Demur-Subject` whom it is "
            "meant for, by the identifier.",
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
        yield 401, refused("Nobody is signed in, or no longer.", *_NO_SESSION)
    if route.access is not Access.OPEN:
        yield 412, refused("`Demur-Subject` names somebody else than who is signed in.", Reason.SUBJECT_CHANGED)
    if method == "post":
        yield 400, refused("The body is longer than 64 kB, or broke off.", Reason.REQUEST_MALFORMED)
        yield 403, refused("The request came from another site.", Reason.CROSS_SITE_REFUSED)
    if route.access is not Access.OPEN:
        yield 503, refused("demur cannot do its work; the session is kept.", Reason.UNAVAILABLE)


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
        return ref(answer.schema)
    given = {"status": {"const": status}, "reason": {"enum": [reason.value for reason in answer.reasons]}}
    return {"allOf": [ref(answer.schema), {"properties": given}]}


_FIELDS: Final[Mapping[str, Json]] = {
    "ETag": text("Names these very bytes (RFC 9110, 8.8.3)."),
    "Location": text("Where to go on.", format="uri-reference"),
    "Set-Cookie": text("The session cookie, new or taken away."),
    "WWW-Authenticate": text("The challenge for the session cookie (RFC 9110, 11.6.1).", pattern='Cookie realm="'),
    "Retry-After": {"type": "integer", "minimum": 0, "description": "Seconds to wait."},
}


def _headers(status: int, answers: list[Answer]) -> Iterator[tuple[str, Json]]:
    names = [name for answer in answers for name in answer.fields]
    names += ["WWW-Authenticate"] if status == HTTPStatus.UNAUTHORIZED else []
    names += ["Retry-After"] if status in _WAITS else []
    for name in dict.fromkeys(names):
        yield name, {"required": True, "schema": _FIELDS[name]}
