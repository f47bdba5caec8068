"""The Hollow Lane Seed Library: a small site with no login code in it.

Plain ASGI. It learns who is there from `Remote-User`, `Remote-Name` and `Remote-Groups`, which demur sets and
which nobody else can set. It decides one thing by itself, that the last packet of a kind is lent by hand, and says so
with one response header, `Demur-Refuse`; demur makes the full refusal out of it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from jinja2 import Environment, FileSystemLoader
from stock import SEEDS, Lent, Library
from trying import TRIES, Endings, problem

from demur.core.model import Subject
from demur.core.reasons import REASONS, Reason

HERE = Path(__file__).parent
PAGES = Environment(loader=FileSystemLoader(HERE / "pages"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
PUBLIC = {path.relative_to(HERE / "public").as_posix(): path for path in (HERE / "public").rglob("*") if path.is_file()}
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

# The site's own policy: nothing from elsewhere, nothing in the line.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "form-action 'self'"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and who makes it: `person` is "" for nobody in particular."""

    method: str
    path: str
    body: bytes
    person: str
    name: str
    groups: frozenset[str]
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    body: bytes
    kind: str = "text/html; charset=utf-8"
    status: int = 200
    fields: Mapping[str, str] = field(default_factory=dict)


def page(asked: Asked, template: str, status: int = 200, **values: object) -> Answer:
    """An HTML page of the site."""
    text = PAGES.get_template(template).render(asked=asked, **values)
    return Answer(text.encode(), status=status, fields={"content-security-policy": POLICY})


def data(value: object, status: int = 200, **fields: str) -> Answer:
    """A JSON answer of the API."""
    named = {name.replace("_", "-"): text for name, text in fields.items()}
    return Answer(json.dumps(value, ensure_ascii=False).encode(), "application/json", status, named)


def missing(asked: Asked) -> Answer:
    """The site's own page about pages that are not there."""
    return page(asked, "missing.html", 404)


# --- public ---------------------------------------------------------------------------------------


def home(asked: Asked, library: Library) -> Answer:
    """The front page."""
    return page(asked, "home.html", seeds=list(SEEDS.values())[:4])


def visit(asked: Asked, library: Library) -> Answer:
    """Where the library is, and when."""
    return page(asked, "visit.html")


def catalogue(asked: Asked, library: Library) -> Answer:
    """All kinds, or one of them."""
    slug = asked.path.removeprefix("/catalogue").strip("/")
    if not slug:
        return page(asked, "catalogue.html", seeds=SEEDS.values(), packets=library.packets)
    seed = SEEDS.get(slug)
    return page(asked, "packet.html", seed=seed, packets=library.packets[slug]) if seed else missing(asked)


def public(asked: Asked, library: Library) -> Answer:
    """A file as it is."""
    path = PUBLIC.get(asked.path.removeprefix("/public/"))
    if path is None:
        return missing(asked)
    return Answer(path.read_bytes(), KINDS.get(path.suffix, "text/plain"), fields={"cache-control": "max-age=60"})


# --- members --------------------------------------------------------------------------------------


def members(asked: Asked, library: Library) -> Answer:
    """The members' table; its script fills it from the API."""
    return page(asked, "members.html", seeds=SEEDS.values()) if asked.path == "/members/" else missing(asked)


def _shelf(asked: Asked, library: Library) -> dict[str, object]:
    kept = [{"slug": seed.slug, "name": seed.name, "sow": seed.sow} for seed in library.shelf(asked.person)]
    return {"person": asked.person, "shelf": kept, "counter": library.packets}


def shelf(asked: Asked, library: Library) -> Answer:
    """`GET /api/shelf`: what I have, and what is on the counter."""
    return data(_shelf(asked, library))


def _wanted(asked: Asked) -> str:
    try:
        wanted = json.loads(asked.body)["seed"]
    except (ValueError, TypeError, KeyError):
        return ""
    return wanted if isinstance(wanted, str) else ""


def borrow(asked: Asked, library: Library) -> Answer:
    """`POST /api/borrow`: take a packet home."""
    lent = library.borrow(asked.person, _wanted(asked))
    match lent:
        case Lent.YES:
            return data(_shelf(asked, library))
        case Lent.LAST_ONE:
            # The one refusal that is the site's own business. One header says it, in any language.
            why = "This is the last packet in the world. The keeper of the vault has been asked and will ring you."
            return data({}, 403, demur_refuse=f'access-pending; detail="{why}"')
        case Lent.UNKNOWN:
            return data({"error": lent.value}, 404)
        case _:
            return data({"error": lent.value}, 409)


def give_back(asked: Asked, library: Library) -> Answer:
    """`POST /api/return`: bring a packet back."""
    if not library.give_back(asked.person, _wanted(asked)):
        return data({"error": "you do not have that"}, 409)
    return data(_shelf(asked, library))


# --- administration, and the vault ----------------------------------------------------------------


def ledger(asked: Asked, library: Library) -> Answer:
    """Who has what."""
    if asked.path != "/admin/":
        return missing(asked)
    borrowed = sorted((person, library.shelf(person)) for person in library.shelves)
    return page(asked, "admin.html", seeds=SEEDS.values(), packets=library.packets, borrowed=borrowed)


def restock(asked: Asked, library: Library) -> Answer:
    """`POST /admin/restock`: count a kind anew."""
    form = parse_qs(asked.body.decode("utf-8", "replace"))
    count = form.get("packets", [""])[0]
    if not count.isascii() or not count.isdigit() or not library.restock(form.get("seed", [""])[0], int(count[:6])):
        return Answer(b"There is no such kind of seed, or no such number.\n", "text/plain; charset=utf-8", 400)
    return Answer(b"", status=303, fields={"location": "/admin/"})


def vault(asked: Asked, library: Library) -> Answer:
    """What exists once."""
    return page(asked, "vault.html", seed=SEEDS["moonflower"]) if asked.path == "/vault/" else missing(asked)


# --- every reason, live (see trying.py) -------------------------------------------------------------

_ENDINGS = Endings.of_this_machine()


def tries(asked: Asked, library: Library) -> Answer:
    """The page with a button for each reason."""
    if asked.path != "/try/":
        return missing(asked)
    return page(asked, "try.html", tries=TRIES, count=library.calls[asked.person], ready=_ENDINGS is not None)


def call(asked: Asked, library: Library) -> Answer:
    """`POST /try/api/call`, and `/fresh`: counts that it was executed."""
    library.calls[asked.person] += 1
    return data({"count": library.calls[asked.person]})


def said(asked: Asked, library: Library) -> Answer:
    """`POST /try/api/said/<reason>`: refused by the site, with one header."""
    return data({}, 403, demur_refuse=asked.path.rpartition("/")[2])


def fault(asked: Asked, library: Library) -> Answer:
    """`POST /try/api/fault`: a refusal that demur does not understand is a fault of the site."""
    return data({}, 403, demur_refuse="because")


def shown(asked: Asked, library: Library) -> Answer:
    """`POST /try/shown/<reason>`: what demur would say, said by the site."""
    slug = asked.path.rpartition("/")[2]
    if slug not in {each.reason for each in TRIES if each.shown}:
        return missing(asked)
    return Answer(problem(Reason(slug)), "application/problem+json", REASONS[Reason(slug)].status)


async def prepare(asked: Asked) -> Answer:
    """`POST /try/api/end/<how>` and `/token/<kind>`: what makes the next call fail."""
    what, _, how = asked.path.removeprefix("/try/api/").partition("/")
    if _ENDINGS is None or not asked.subject:
        return data({"error": "start this site with make serve"}, 409)
    if what == "end" and how in {"idle", "expired", "ended", "revoked", "replaced"}:
        await _ENDINGS.end(asked.subject, how)
        return data({"ended": how})
    if what == "token" and how in {"expired", "revoked", "scope"}:
        person = Subject(asked.subject, asked.person, asked.groups, version=0)
        return data({"token": await _ENDINGS.token(person, how)})
    return missing(asked)


Handler = Callable[[Asked, Library], Answer]

# The method, the path or, with a star, what it begins with.
ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/", home),
    ("GET", "/visit", visit),
    ("GET", "/catalogue/*", catalogue),
    ("GET", "/public/*", public),
    ("GET", "/members/*", members),
    ("GET", "/api/shelf", shelf),
    ("POST", "/api/borrow", borrow),
    ("POST", "/api/return", give_back),
    ("GET", "/admin/*", ledger),
    ("POST", "/admin/restock", restock),
    ("GET", "/vault/*", vault),
    ("GET", "/try/*", tries),
    ("POST", "/try/api/call", call),
    ("POST", "/try/api/fresh", call),
    ("POST", "/try/api/fault", fault),
    ("POST", "/try/api/said/*", said),
    ("POST", "/try/shown/*", shown),
)


def answer(asked: Asked, library: Library) -> Answer:
    """What the site answers."""
    method = "GET" if asked.method == "HEAD" else asked.method
    for wanted, pattern, handler in ROUTES:
        prefix = pattern.removesuffix("*")
        fits = asked.path == pattern or (pattern != prefix and f"{asked.path.rstrip('/')}/".startswith(prefix))
        if method == wanted and fits:
            return handler(asked, library)
    return missing(asked)


# --- ASGI -----------------------------------------------------------------------------------------

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_LIBRARY = Library()


async def _asked(scope: dict[str, Any], receive: Receive) -> Asked:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")[:65536]
        more = message.get("more_body", False) and len(body) < 65536
    said = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    person = said.get("remote-user", "")
    name = unquote(said.get("remote-name", "")) or person
    groups = frozenset(part.strip() for part in said.get("remote-groups", "").split(",")) - {""}
    return Asked(scope["method"], scope["path"], body, person, name, groups, said.get("remote-subject", ""))


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """The site as an ASGI app."""
    if scope["type"] != "http":
        return
    asked = await _asked(scope, receive)
    prepares = asked.method == "POST" and asked.path.startswith(("/try/api/end/", "/try/api/token/"))
    given = await prepare(asked) if prepares else answer(asked, _LIBRARY)
    fields = {"content-type": given.kind, "content-length": str(len(given.body)), **given.fields}
    headers = [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": given.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else given.body})
