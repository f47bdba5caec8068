"""What the pages have in common: answers that nobody keeps, and templates inside the one document shell.

Jinja2 is imported when the first such page is shown, so that a surface without extras goes without it.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

from demur.core import fields, markup, page, words
from demur.core.model import Refuse, Response
from demur.core.respond import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment

    from demur.core.model import Details, Fields
    from demur.core.reasons import Reason
    from demur.pages.visit import Visit

_GUARDED = (
    (b"cache-control", b"no-store"),
    (b"vary", b"Cookie, Accept, Sec-Fetch-Mode"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)
_NOTHING_IN_IT = b"default-src 'none'; frame-ancestors 'none'"


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415
    from markupsafe import Markup  # noqa: PLC0415

    made = Environment(
        loader=PackageLoader("demur.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters["duration"] = words.duration
    made.filters["ago"] = ago
    made.filters["time"] = lambda at: Markup(page.time(at))  # noqa: S704 - escaped where it is made
    return made


def ago(seconds: int) -> str:
    """How long ago something was, in words: "a moment ago", "3 minutes ago", "2 days ago"."""
    if seconds < 120:
        return "a moment ago"
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        number = seconds // length
        if number:
            return f"{number} {unit}{'' if number == 1 else 's'} ago"
    raise AssertionError  # pragma: no cover - there are minutes in two minutes


def wants_page(visit: Visit) -> bool:
    """Whether a person looks at the answer; a program gets JSON."""
    return fields.is_navigation(visit.request)[0]


def after_own_post(visit: Visit) -> bool:
    """Whether a query that says what was done may be believed: a link from elsewhere, in a mail for example, would
    tell somebody of a new password that nobody has set."""
    return fields.from_own_page(visit.request, visit.site.origin_of(visit.request))


def show(
    visit: Visit,
    template: str,
    *,
    title: str,
    status: int = 200,
    more: Fields = (),
    policy: str = markup.POLICY,
    **context: object,
) -> Response:
    """A page out of `templates/`, for the person of this visit. `more` are further fields."""
    site = visit.site
    known = {"site": site, "prefix": site.prefix, "now": visit.now, "live": visit.live, "title": title}
    templates = _templates()
    main = templates.get_template(template).render(known | context)
    nav = templates.get_template("nav.html").render(known, here=template)
    body = markup.shell(title, main, site=site.name, layout="split" if "split" in context else "wide", nav=nav)
    return html(body, policy.encode("ascii"), status=status, more=more)


def html(body: bytes, policy: bytes, *, status: int = 200, more: Fields = (), lang: str = words.ENGLISH) -> Response:
    """A page that works under `policy`."""
    kind = b"text/html; charset=utf-8"
    return _answer(status, kind, body, ((b"content-security-policy", policy), *more), lang)


def tell(value: Mapping[str, object], *, status: int = 200, more: Fields = ()) -> Response:
    """The same for programs: a JSON object."""
    kind = b"application/problem+json" if status >= 400 else b"application/json"
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return _answer(status, kind, body, ((b"content-security-policy", _NOTHING_IN_IT), *more))


def _answer(status: int, kind: bytes, body: bytes, more: Fields, lang: str = words.ENGLISH) -> Response:
    about = ((b"content-type", kind), (b"content-language", lang.encode("ascii")))
    return Response(status, (*about, *_GUARDED, *more, (b"content-length", str(len(body)).encode())), body)


def see_other(location: str, *, more: Fields = ()) -> Response:
    """After something was done: on to a page that can be loaded again without doing it twice (RFC 9110, 15.4.4)."""
    where = (b"location", location.encode("ascii"))
    return Response(303, (where, (b"cache-control", b"no-store"), *more, (b"content-length", b"0")))


def refused(visit: Visit, reason: Reason, details: Details) -> Response:
    """A refusal out of one of these pages, in the words of every other refusal."""
    return visit.refuse(Refusal(visit.site, visit.request, Refuse(reason, details), visit.reference, before=False))
