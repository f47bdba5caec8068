"""A decision in the words of HTTP: status, challenge, problem or page, and the fields that go with a yes.

- "The server generating a 401 response MUST send a WWW-Authenticate header field" (RFC 9110, 15.5.2): each does.
- The body is a problem document (RFC 9457), or a page with the same document embedded (its appendix C).
- Nothing that is answered here may be stored (`no-store`): 404 is heuristically cacheable, and a shared cache does not
  know that a cookie was read (RFC 9111, 3.5, protects `Authorization` only).
- `processed: false` is said only where the decision came before anything was passed on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from demur.core import embedded, fields, rules
from demur.core.model import Allow, AskSite, Form, Presented, Response, Scheme
from demur.core.ports import View
from demur.core.reasons import BASE, REASONS, Reason, Remedy

if TYPE_CHECKING:
    from demur.core.embedded import Embedded
    from demur.core.model import Conceal, Fields, Refuse, Request
    from demur.core.ports import Renderer
    from demur.core.site import Cors, Site

_SIGNED_IN_AGAIN = frozenset((Remedy.SIGN_IN, Remedy.CONFIRM, Remedy.REPEAT))
_ASK_THE_PERSON = {Remedy.SIGN_IN: "sign-in", Remedy.CONFIRM: "confirm"}
_NOT_ABOUT_US = frozenset((Reason.HOST_UNKNOWN, Reason.REQUEST_MALFORMED))
_EXPOSED = b"WWW-Authenticate, Retry-After, Link, Demur-Processed"
_LOOPBACK = re.compile(r"http://(localhost|[^/:]+\.localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?\Z")
_ORIGIN = re.compile(r"https?://[a-z0-9_.\-\[\]:]+(?=/|\Z)")
_NOTHING_IN_IT = b"default-src 'none'; frame-ancestors 'none'"
# What some caches obey in place of Cache-Control: "targeted" fields (RFC 9213, 2.1), Varnish's and nginx's.
_TARGETED = b"-cache-control"
_FOR_ONE_CACHE = frozenset((b"surrogate-control", b"x-accel-expires"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal with all that its words depend on.

    `reference` is the UUID that names it in the log. `before` says that nothing had been passed on when it was
    decided. `form` is what the rule fixes. `username`, `message` and `next` belong to a sign-in that failed: what was
    typed, what was wrong, and where it would have led. `origins` are the addresses to offer to somebody at a host that
    we do not serve. `idle` is the inactivity limit in seconds, for the page to state. `presented` says how the request
    identified itself, and which challenges it is to be answered with. `kept` says that what was sent is kept, and
    that `next` leads to where it can be sent.
    """

    site: Site
    request: Request
    refuse: Refuse
    reference: str
    before: bool = True
    form: Form | None = None
    username: str = ""
    message: str = ""
    next: str | None = None
    origins: tuple[str, ...] = ()
    idle: int = 0
    presented: Presented = Presented()  # noqa: RUF009 - frozen
    kept: bool = False


def refuse(refusal: Refusal, renderer: Renderer) -> Response:
    """The whole answer to a refused request, the body included (a surface leaves it out for HEAD)."""
    site, request, said = refusal.site, refusal.request, refusal.refuse
    row = REASONS[said.reason]
    problem = problem_text(refusal)
    navigation, _ = fields.is_navigation(request)
    form = refusal.form or (Form.PAGE if navigation else Form.API)
    lang = b"en"
    if form is Form.PAGE:
        view = _view(refusal, problem)
        framed = view.framed or view.embedded is not None
        kind, policy = b"text/html; charset=utf-8", page_policy(renderer, framed=framed, site=site)
        lang = view.embedded.lang.encode("ascii") if view.embedded else lang
        body = renderer.render(view)
    else:
        kind, policy, body = b"application/problem+json", _NOTHING_IN_IT, f"{problem}\n".encode()
    lines = [
        (b"content-type", kind),
        (b"content-language", lang),
        (b"cache-control", b"no-store"),
        (b"vary", _vary(refusal)),
    ]
    lines += [(b"www-authenticate", challenge) for challenge in _challenges(refusal)]
    if said.details.retry_after is not None:
        lines.append((b"retry-after", fields.retry_after(said.details.retry_after)))
    if said.reason is not Reason.HOST_UNKNOWN:
        lines.append((b"link", f'<{site.help_url or _help(site, said.reason)}>; rel="help"'.encode("ascii")))
    if refusal.before:
        lines.append((b"demur-processed", b"?0"))
    lines += [
        (b"content-security-policy", policy),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", referrer_policy(site)),
        *readable(site.cors, request),
        (b"content-length", str(len(body)).encode("ascii")),
    ]
    return Response(row.status, tuple(lines), body)


def page_policy(renderer: Renderer, *, framed: bool = False, site: Site | None = None) -> bytes:
    """The Content-Security-Policy of a page. The short text for a frame may stand in one of the site's own, and a form
    may lead to the origins that share the site's sign-in: browsers look at where its answer redirects, too (CSP3,
    6.4.1)."""
    policy = renderer.policy.replace("frame-ancestors 'none'", "frame-ancestors 'self'") if framed else renderer.policy
    if site is not None and site.relatives:
        policy = policy.replace("form-action 'self'", " ".join(("form-action 'self'", *site.relatives)))
    return policy.encode("ascii")


def referrer_policy(site: Site) -> bytes:
    """`Referrer-Policy` of a page with a form. "same-origin" would make the `Origin` of a form that goes to another
    origin "null" (Fetch, 3.2, append a request `Origin` header), and nobody could tell who sent it."""
    return b"strict-origin-when-cross-origin" if site.relatives else b"same-origin"


def _help(site: Site, reason: Reason) -> str:
    if site.own_login:
        return BASE + reason  # an app with a login of its own has no pages of ours
    return f"{site.prefix}/reasons/{reason}"


def _vary(refusal: Refusal) -> bytes:
    """What the answer depends on (RFC 9110, 12.5.5)."""
    names = [] if refusal.refuse.reason in _NOT_ABOUT_US else [b"Cookie"]
    names += [b"Demur-Subject"] if refusal.refuse.reason is Reason.SUBJECT_CHANGED else []
    names += refusal.presented.vary
    if refusal.form is None:
        names += [b"Accept", b"Sec-Fetch-Mode"]
    if refusal.form is not Form.API:
        names.append(b"Sec-Fetch-Dest")
    if refusal.site.cors.origins and b"Origin" not in names:
        names.append(b"Origin")
    return b", ".join(names)


def _challenges(refusal: Refusal) -> list[bytes]:
    """Each challenge, for a field line of its own: some readers see only the first of a line (RFC 9110, 11.6.1).

    With a 401 all that would be accepted. "If the protected resource request does not include authentication
    credentials or does not contain an access token that enables access to the protected resource, the resource server
    MUST include the HTTP WWW-Authenticate response header field" (RFC 6750, 3): so with a token's 400 and 403 too.
    A 403 for what its person lacks names no error, for no other token would mend it.
    """
    reason, presented = refusal.refuse.reason, refusal.presented
    if REASONS[reason].status == 401:
        return [_CHALLENGES[scheme](refusal) for scheme in presented.challenges]
    if presented.scheme is Scheme.BEARER and (REASONS[reason].status == 403 or reason is Reason.CREDENTIALS_MALFORMED):
        return [_bearer(refusal)]
    return []


def _cookie(refusal: Refusal) -> bytes:
    """The challenge of cookie sessions: an unregistered scheme, at which no browser puts up a prompt."""
    site, reason = refusal.site, refusal.refuse.reason
    told = (("realm", site.name), ("form-action", site.sign_in_url()), ("cookie-name", site.cookie.name))
    params = [(name, value) for name, value in told if value]
    if refusal.presented.scheme is Scheme.COOKIE and reason is not Reason.SIGN_IN_REQUIRED:
        # the registered word where there is one (RFC 9470, 3)
        error = REASONS[reason].error if reason is Reason.STEP_UP_REQUIRED else reason.value
        params += [("error", error or reason.value), *_step(refusal)]
    return fields.Challenge("Cookie", tuple(params)).encode()


def _bearer(refusal: Refusal) -> bytes:
    """The challenge of API tokens. "If the request lacks any authentication information [...], the resource server
    SHOULD NOT include an error code or other error information" (RFC 6750, 3.1), and only what was used has failed."""
    site, row, details = refusal.site, REASONS[refusal.refuse.reason], refusal.refuse.details
    params = [("realm", site.name)]
    if site.authorization_servers:
        where = f"{site.origin_of(refusal.request)}/.well-known/oauth-protected-resource"
        params.append(("resource_metadata", where))  # RFC 9728, 5.1
    if refusal.presented.scheme is Scheme.BEARER and row.error:
        params += [("error", row.error), ("error_description", row.title)]
        if details.scope:
            params.append(("scope", details.scope))
        params += _step(refusal)
    return fields.Challenge("Bearer", tuple(params)).encode()


def _basic(refusal: Refusal) -> bytes:
    """The challenge of RFC 7617; the only charset that there is (2.1)."""
    return fields.Challenge("Basic", (("realm", refusal.site.name), ("charset", "UTF-8"))).encode()


def _step(refusal: Refusal) -> list[tuple[str, str]]:
    """What a stronger or fresher sign-in would have to be (RFC 9470, 3)."""
    details = refusal.refuse.details
    strong = [("acr_values", " ".join(details.acr_values))] if details.acr_values else []
    return strong + ([("max_age", str(details.max_age))] if details.max_age is not None else [])


_CHALLENGES = {Scheme.COOKIE: _cookie, Scheme.BEARER: _bearer, Scheme.BASIC: _basic}


def problem_text(refusal: Refusal) -> str:
    """The problem document (RFC 9457) in one line."""
    return json.dumps(_problem(refusal), ensure_ascii=False, separators=(",", ":"))


def _problem(refusal: Refusal) -> dict[str, object]:
    said, details = refusal.refuse, refusal.refuse.details
    row = REASONS[said.reason]
    problem: dict[str, object] = {
        "type": BASE + said.reason,
        "title": row.title,
        "status": row.status,
        "detail": _detail(refusal),
        "instance": f"urn:uuid:{refusal.reference}",
        "reason": said.reason.value,
    }
    if refusal.before:
        problem["processed"] = False
    if row.remedy in _SIGNED_IN_AGAIN and (url := refusal.site.sign_in_url()):
        problem["sign_in"] = url
    if details.acr_values:
        problem["acr_values"] = list(details.acr_values)
    if details.max_age is not None:
        problem["max_age"] = details.max_age
    if details.scope:
        problem["scope"] = details.scope
    if details.ended_at is not None:
        problem["ended_at"] = moment(details.ended_at)
    if details.holder:
        problem["subject"] = details.holder
    if details.missing:
        problem["missing"] = list(details.missing)
    if refusal.kept:
        problem["kept"] = refusal.next
    return problem


def _detail(refusal: Refusal) -> str:
    """The sentence for people."""
    said = refusal.refuse
    if said.details.detail:
        return said.details.detail
    at_home = bool(refusal.origins) and all(_LOOPBACK.match(origin) for origin in refusal.origins)
    if said.reason is Reason.HOST_UNKNOWN and at_home:
        return (
            f"This site is served as {' and '.join(refusal.origins)}, which leads there on the machine itself. "
            "For other machines, whoever runs it has to name an origin in its configuration that they can reach."
        )
    return REASONS[said.reason].detail


def moment(at: int) -> str:
    """A second since the epoch as RFC 3339 writes it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _view(refusal: Refusal, problem: str) -> View:
    view = _page(refusal, problem)
    asked = embedded.asked(refusal.site, refusal.request)
    return view if asked is None else inside(view, refusal.site, refusal.request, asked)


def inside(view: View, site: Site, request: Request, asked: Embedded) -> View:
    """A view as it is shown inside a dialog: there is always a form, or the way to where one is."""
    asked = replace(asked, done=False)
    view = replace(
        view,
        embedded=asked,
        framed=False,
        form="confirm" if view.person and not asked.other else "sign-in",
        action=asked.address(site.prefix),
        username=view.username or asked.username,
        next=view.next if _ORIGIN.match(view.next) else "",
    )
    if not site.sign_in_origin:
        return view
    # No page of another origin can stand in a frame here, nor tell the tabs of this one. It leads back to one that can.
    back = site.origin_of(request) + replace(asked, popup=True, done=True).address(site.prefix)
    there = replace(asked, popup=True).address(site.sign_in_origin + site.prefix)
    return replace(view, form=embedded.ELSEWHERE, action=f"{there}&next={quote(back, safe='')}")


def _page(refusal: Refusal, problem: str) -> View:
    site, said, details = refusal.site, refusal.refuse, refusal.refuse.details
    row = REASONS[said.reason]
    person = details.subject
    form = _ASK_THE_PERSON.get(row.remedy)
    if form == "sign-in" and person is not None:
        form = "confirm"  # the password of somebody who is signed in was wrong
    # What a password is strong enough for, such as a rule that wants a person and no token, has its form.
    stronger = () if rules.STRENGTHS[0] in details.acr_values else details.acr_values
    if stronger:
        form = None
    framed = fields.in_frame(refusal.request)
    next_ = goes_on_to(refusal)
    login = site.login_url(next_) if site.login and form else ""
    if site.own_login:
        form = None  # no page of ours can sign people in there
    if form and site.sign_in_origin and not framed and next_.startswith("/"):
        next_ = site.origin_of(refusal.request) + next_  # the form leads to another origin, and back from there
    return View(
        reason=said.reason,
        status=row.status,
        site=site.name,
        title=row.title,
        detail=_detail(refusal),
        reference=refusal.reference,
        form=form,
        action=site.sign_in_url(),
        next=next_,
        username=person.name if person and form == "confirm" else refusal.username,
        message=refusal.message,
        person=(person.display_name or person.name) if person else "",
        missing=details.missing,
        acr_values=stronger,
        max_age=details.max_age,
        retry_after=details.retry_after,
        ended_at=details.ended_at,
        problem=problem,
        framed=framed,
        prefix=site.prefix,
        switch=f"{site.prefix}/sign-out" if person and not site.own_login else "",
        home=_home(refusal.next) if not form else "/",
        help_url=site.help_url or "",
        idle=refusal.idle,
        keep=site.keep_me_signed_in,
        origins=tuple(each for each in refusal.origins if "*" not in each),  # a pattern is no address
        kept=refusal.kept,
        login=login,
    )


def _home(next_: str | None) -> str:
    """The start page, or the page of a relative that a form led from. What was asked for is no such page: somebody may
    have made it up, as `//evil.example/?://`."""
    return "/" if next_ is None or next_.startswith("/") else next_


def goes_on_to(refusal: Refusal) -> str:
    """Where a sign-in leads afterwards: to the page that was asked for, and from anything else than a page to where it
    was asked from, if that is on this site."""
    if refusal.next is not None:
        return refusal.next
    if refusal.request.method in {"GET", "HEAD"}:
        return refusal.request.target.decode("ascii", "replace")
    return came_from(refusal.site, refusal.request) or "/"


def came_from(site: Site, request: Request) -> str:
    """The page of this site from which a request was sent; "" if it does not say."""
    referer = (request.value(b"referer") or b"").decode("ascii", "replace")
    parts = urlsplit(referer) if referer.startswith(site.origin_of(request) + "/") else None
    return local(f"{parts.path}?{parts.query}" if parts.query else parts.path) if parts else ""


def local(next_: str) -> str:
    """`next` if it is a path on this site, "/" otherwise. Browsers read a backslash as a slash and drop tabs and line
    breaks (WHATWG URL, 4.4), so nothing outside the plain characters of a URL passes."""
    plain = next_.isascii() and next_.isprintable() and not any(mark in next_ for mark in ' "<>\\^`{|}')
    return next_ if plain and next_.startswith("/") and not next_.startswith("//") else "/"


def onward(site: Site, request: Request, next_: str) -> str:
    """Where `next` leads from one of our own pages: a path on this site, or the whole address of a page of an origin
    that shares its sign-in; "/" if it is neither."""
    match = _ORIGIN.match(next_)
    if match is None:
        return local(next_)
    path = next_[match.end() :] or "/"
    if local(path) != path:
        return "/"
    if match[0] == site.origin_of(request):
        return path
    return match[0] + path if site.is_related(match[0]) else "/"


def plain(status: int, body: bytes, *more: tuple[bytes, bytes], kind: bytes = b"text/plain; charset=utf-8") -> Response:
    """A short answer for operators and programs. `more` are further fields."""
    lines = (
        (b"content-type", kind),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *more,
        (b"content-length", str(len(body)).encode("ascii")),
    )
    return Response(status, lines, body)


# --- other origins --------------------------------------------------------------------------------


def readable(cors: Cors, request: Request) -> Fields:
    """The fields that let a script of another origin read an answer, if the site lists that origin; no other origin is
    ever named."""
    origin = request.value(b"origin")
    if not cors.origins or origin is None or origin.decode("latin-1") not in cors.origins:
        return ()
    who = ((b"access-control-allow-origin", origin),)
    credentials = ((b"access-control-allow-credentials", b"true"),) if cors.credentials else ()
    return (*who, *credentials, (b"access-control-expose-headers", _EXPOSED))


def preflight(site: Site, request: Request) -> Response:
    """The answer to a CORS preflight: 204, with leave for the origins that the site lists and with none for others
    (Fetch, 3.2.2: an answer without leave is a no, and any other status would be one too)."""
    cors = site.cors
    lines: list[tuple[bytes, bytes]] = [
        (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
    ]
    allowed = readable(cors, request)[:-1]
    if allowed:
        lines += allowed
        lines.append((b"access-control-allow-methods", ", ".join(cors.methods).encode("ascii")))
        if cors.headers:
            lines.append((b"access-control-allow-headers", ", ".join(cors.headers).encode("ascii")))
        lines.append((b"access-control-max-age", str(cors.max_age).encode("ascii")))
    return Response(204, tuple(lines))


def cross_origin(answer: Fields, cors: Cors, request: Request) -> Fields:
    """The site's own fields, with leave to read the answer for an origin that the site lists, unless the site has
    something to say about that itself."""
    if not cors.origins or any(name == b"access-control-allow-origin" for name, _ in answer):
        return answer
    varies = any(
        name == b"vary" and b"origin" in value.lower().replace(b" ", b"").split(b",") for name, value in answer
    )
    return (*answer, *(() if varies else ((b"vary", b"Origin"),)), *readable(cors, request))


# --- a yes ----------------------------------------------------------------------------------------


def ask_site(table: rules.Rules, request: Request, conceal: Conceal, allowed: Allow, random: str) -> AskSite:
    """For a concealed refusal: what to ask the site. `random` is letters that no page is called."""
    path, mark, query = request.target.partition(b"?")
    return AskSite(rules.sibling(table, path, conceal, random) + mark + query, allowed)


def dress(answer: Fields, allowed: Allow, now: int) -> Fields:
    """The site's own fields, with those that belong to an answer which needed a person.

    No shared cache may keep it, and it says whom it was made for and when the session ends.
    """
    kept = [(name, value) for name, value in answer if name != b"demur-processed"]
    if allowed.subject is None:
        return tuple(kept)
    kept = [(name, value) for name, value in kept if name not in _FOR_ONE_CACHE and not name.endswith(_TARGETED)]
    control = b", ".join(value for name, value in kept if name == b"cache-control")
    kept = [(name, value) for name, value in kept if name != b"cache-control"]
    kept.append((b"cache-control", private(control)))
    if allowed.ends is not None:
        kept.append((b"server-timing", fields.session_timing(allowed.ends, allowed.subject.id, now)))
    return tuple(kept)


def private(control: bytes) -> bytes:
    """Cache-Control without what would let a shared cache keep the answer (RFC 9111, 5.2.2.9 and 5.2.2.10)."""
    directives = [each.strip() for each in control.split(b",") if each.strip()]
    names = {each.partition(b"=")[0].lower() for each in directives}
    if b'"' in control:
        # Quoted are names of fields, and the directive is about those only: "private" would let the rest be kept.
        return b"no-store" if b"no-store" in names else b"private, no-cache"
    if not names:
        return b"private, no-cache"
    kept = [each for each in directives if each.partition(b"=")[0].lower() not in {b"public", b"s-maxage"}]
    if not names & {b"private", b"no-store"}:
        kept.insert(0, b"private")
    return b", ".join(kept)
