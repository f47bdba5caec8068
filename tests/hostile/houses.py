"""A gateway to send hostile requests to: its site is the recorder, and its people are of every kind that asks."""

from __future__ import annotations

import contextlib
import re
import ssl
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tests.hostile import judge, sender
from tests.hostile.cases import CLOSED, fill
from tests.hostile.judge import ADMIN, OPEN, PERSON, Asker, Sight
from tests.hostile.recorder import Recorder, digest
from tests.ports import free_port
from tests.proxies.real import behind
from tests.site.houses import DEMUR, Process, run
from tests.site.settlers import settle

from demur import accounts, stores
from demur.core import identity, sessions
from demur.core.model import Actor, End, Ending, Key, Refuse, Request, Session
from demur.core.reasons import Reason
from demur.gateway import slip
from demur.stores.keys import FileKeys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from tests.hostile.cases import Case
    from tests.hostile.recorder import Record
    from tests.hostile.sender import Heard

    from demur.core.model import Subject
    from demur.core.ports import Store

PASSWORD: Final = "seven hostile herons"
PEOPLE: Final = {"mia": ("members",), "ada": ("admins",)}
_IS: Final = {"member": "mia", "admin": "ada", "idle": "mia", "revoked": "mia"}
_MAY: Final = {"member": PERSON, "admin": ADMIN}
_PROBE: Final = "GET /public/probe-{number} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
_LAST: Final = "GET /public/last HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
_SMUGGLED: Final = "GET /admin/smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n"


def configuration(port: int, scheme: str, sites: tuple[str, str], more: str = "") -> str:
    """Two sites on one port: one with islands that are restricted, and one that is open."""
    return f"""version = 1

[gateway]
listen = "127.0.0.1:{port}"
workers = 1
{more}
[accounts]
hashing = "OWASP_19_MIB"
database = "sqlite:accounts.db"

[sessions]
store = "sqlite:sessions.db"
idle = "1h"
absolute = "24h"

[[site]]
origin = "{scheme}://localhost:{port}"
upstream = "{sites[0]}"
{judge.RULES}
[[site]]
origin = "{scheme}://open.localhost:{port}"
upstream = "{sites[1]}"

[[site.rule]]
path = "/**"
allow = "anyone"
"""


@dataclass(frozen=True, slots=True)
class People:
    """Who asks: a session's token for each kind, and who they are."""

    tokens: Mapping[str, str]
    api: Mapping[str, str]
    subjects: Mapping[str, Subject]
    key: Key

    def asker(self, who: str) -> Asker:
        """What the site may be told of somebody."""
        if who not in _MAY:
            return Asker(may=OPEN)
        return Asker(dict(identity.identity_fields(self.subjects[_IS[who]])), _MAY[who])


async def _subjects(folder: Path) -> dict[str, Subject]:
    people = accounts.open(f"sqlite:{folder / 'accounts.db'}")
    try:
        found = {name: await people.by_name(name) for name in PEOPLE}
        return {name: account.subject for name, account in found.items() if account is not None}
    finally:
        await people.aclose()


async def _issue(store: Store, ring_key: Key, subject: Subject, who: str) -> str:
    token = sessions.mint(who.encode().ljust(32, b"."), ring_key)
    now = int(time.time())
    usual = Session(sessions.identify(token), subject.id, now - 60, now - 60, now - 60, now + 86400 - 60, 3600)
    if who == "idle":
        usual = replace(usual, issued_at=now - 9000, authenticated_at=now - 9000, last_seen=now - 7200)
    await store.issue(usual, subject)
    if who == "revoked":
        await store.apply([End(usual.id, Ending.REVOKED, Actor.ADMINISTRATOR, now - 5)])
    return token


async def _issue_api(store: Store, key: Key, subject: Subject, who: str) -> str:
    """A token for programs: one that is good for everything that its person may, or one that was revoked."""
    token = sessions.mint_api_token(who.encode().ljust(32, b"!"), key)
    now = int(time.time())
    kept = Session(sessions.identify(token), subject.id, now - 60, now - 60, now - 60, now + 3600, 0, kind="token")
    await store.issue(kept, subject)
    if who == "api_revoked":
        await store.apply([End(kept.id, Ending.REVOKED, Actor.ADMINISTRATOR, now - 5)])
    return token


def _settled(folder: Path) -> None:
    """Put everybody into the state in that folder, which nobody has open yet."""
    settle(folder, dict.fromkeys(PEOPLE, PASSWORD), PEOPLE)


def people(folder: Path) -> People:
    """Let everybody ask, whom `_settled` has put there."""
    subjects = run(_subjects(folder))
    key = FileKeys(folder / "keys").ring().current

    async def issue() -> tuple[dict[str, str], dict[str, str]]:
        store = stores.open(f"sqlite:{folder / 'sessions.db'}")
        try:
            api = {who: await _issue_api(store, key, subjects["mia"], who) for who in ("api_token", "api_revoked")}
            return {who: await _issue(store, key, subjects[name], who) for who, name in _IS.items()}, api
        finally:
            await store.aclose()

    issued, api = run(issue())
    tokens = {**issued, "unknown": sessions.mint(b"nobody".ljust(32, b"."), key)}
    return People(tokens, api, subjects, key)


# --- what stands before the site ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Surface:
    """A way to the sites: where it listens, what it calls itself, and who knows what arrived behind it."""

    name: str
    port: int
    people: People
    site: Recorder
    open_site: Recorder
    context: ssl.SSLContext | None = None
    strict: bool = True
    """Whether all answers are demur's own; other programs refuse in ways of theirs, which are safe too."""

    @property
    def scheme(self) -> str:
        """Of the origins."""
        return "https" if self.context else "http"

    @property
    def host(self) -> str:
        """Of the site with restricted pages."""
        return f"localhost:{self.port}"

    def known(self) -> dict[str, str]:
        """What stands for the names in a request."""
        smuggled = fill(_SMUGGLED, {"host": self.host})
        name = "__Host-demur" if self.context else "demur-dev"
        tokens = self.people.tokens
        return {
            "host": self.host,
            "other": f"open.{self.host}",
            "port": str(self.port),
            "origin": f"{self.scheme}://{self.host}",
            "name": name,
            **tokens,
            **self.people.api,
            **{f"as_{who}": f"Cookie: {name}={token}" for who, token in tokens.items()},
            "slip": self._slip(int(time.time())),
            "old_slip": self._slip(int(time.time()) - 3600),
            "smuggled": smuggled,
            "smuggled_length": str(len(smuggled)),
            "smuggled_hex": f"{len(smuggled):x}",
        }

    def _slip(self, now: int) -> str:
        """A slip that demur could have written, for a page that everybody may see."""
        about = Request("GET", b"/public/page", self.scheme, self.host, "127.0.0.1", ())
        said = slip.Slip(Refuse(Reason.SIGN_IN_REQUIRED), "0" * 8)
        return slip.write(said, about, self.people.key, now).decode("ascii")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: breaches, answers of 5xx that nobody expected, and what else is not as it should be."""

    breaches: tuple[str, ...]
    errors: tuple[int, ...]
    wrong: tuple[str, ...]
    refused: bool = False
    """Whether it was not allowed, whatever the reason, and known or not."""


SAFE: Final = frozenset({CLOSED, 400, 401, 403, 404, 405, 411, 413, 414, 415, 417, 421, 422, 426, 431, 501, 505})
"""How a program refuses what it cannot read, or will not."""


def try_case(case: Case, surface: Surface, also: Collection[int] = ()) -> Outcome:
    """Send a case, and then ask for a page as somebody else. `also` are statuses that are right here."""
    known = surface.known()
    last = fill(_LAST, known).encode() if case.end == "next" else b""
    surface.site.take()
    surface.open_site.take()
    heard = sender.send(("127.0.0.1", surface.port), case.bytes(known) + last, case.methods, context=surface.context)
    seen, seen_open = surface.site.take(), surface.open_site.take()
    probe = sender.send(
        ("127.0.0.1", surface.port), fill(_PROBE, {**known, "number": case.id}).encode(), context=surface.context
    )
    late = (*surface.site.take(), *surface.open_site.take())

    secrets = tuple(
        value.encode()
        for name, value in known.items()
        if name in {*surface.people.tokens, *surface.people.api, "slip", "old_slip"}
    )
    asker = surface.people.asker(case.who)
    sight = Sight(asker, known["origin"], secrets, seen, heard.answers, strict=surface.strict)
    found = judge.breaches(sight)
    found += judge.breaches(replace(sight, records=seen_open, answers=(), restricted=False))
    found += judge.breaches(replace(sight, asker=Asker(), records=late, answers=probe.answers))
    if judge.answered(probe.answers) != [digest(f"/public/probe-{case.id}".encode())]:
        found.append(f"the next client was answered {[answer.status for answer in probe.answers]}")
    statuses = tuple(answer.status for answer in heard.answers)
    right = {*case.status, *also, *_right_elsewhere(case, surface)}
    errors = tuple(status for status in statuses if status >= 500 and status not in right)
    refused = (statuses or (CLOSED,))[0] not in case.status
    return Outcome(tuple(found), errors, tuple(_wrong(case, surface, heard, seen + seen_open, right)), refused)


def _right_elsewhere(case: Case, surface: Surface) -> Collection[int]:
    """How other programs may answer as well. What they mend (a length beside a coding, a bare LF) they may pass on."""
    if surface.strict or case.honest:
        return ()
    return {*SAFE, 200} if case.kind == "framing" else SAFE


def _wrong(
    case: Case, surface: Surface, heard: Heard, seen: tuple[Record, ...], right: Collection[int]
) -> Iterator[str]:
    statuses = [answer.status for answer in heard.answers] or [CLOSED]
    if heard.hung and case.end == "next":
        yield "neither answered nor closed"
    if heard.rest and not case.foreign and 101 not in [answer.status for answer in heard.interim]:
        yield f"{heard.rest[:60]!r} came back, which is no answer"
    if statuses[0] not in right:
        yield f"was answered {statuses[0]}, and {sorted(right)} are right"
    if not surface.strict and not case.honest:
        return
    for status, allowed in zip(statuses[1:], case.then, strict=False):
        if status not in allowed:
            yield f"was answered {status} later on, and {allowed} are right"
    reached = [record for record in seen if record.target != b"/public/last"]
    if case.reached is not None and bool(reached) is not case.reached:
        yield "reached the site" if reached else "did not reach the site"


# --- demur's own proxy ----------------------------------------------------------------------------


@contextlib.contextmanager
def own_proxy(folder: Path, name: str, tls: Path | None = None) -> Iterator[Surface]:
    """`demur serve` with its built-in proxy, for as long as the block lasts. `tls` has a certificate and its key."""
    with contextlib.ExitStack() as stack:
        site, open_site = stack.enter_context(Recorder()), stack.enter_context(Recorder())
        port = free_port()
        more = f'tls = {{ certificate = "{tls / "cert.pem"}", key = "{tls / "key.pem"}" }}\n' if tls else ""
        text = configuration(port, "https" if tls else "http", (site.url, open_site.url), more)
        (folder / "demur.toml").write_text(text)
        _settled(folder)
        everybody = people(folder)
        gateway = Process((*DEMUR, "serve", "--config", "demur.toml"), folder, folder / "gateway.log")
        stack.callback(gateway.stop)
        gateway.start(("127.0.0.1", port))
        context = ssl.create_default_context(cafile=str(tls / "cert.pem")) if tls else None
        yield Surface(name, port, everybody, site, open_site, context)


# --- a real proxy ---------------------------------------------------------------------------------

_OPEN: Final = """
[[site]]
origin = "http://open.localhost:{port}"
upstream = "{url}"

[[site.rule]]
path = "/**"
allow = "anyone"
"""


@contextlib.contextmanager
def real_proxy(folder: Path, name: str) -> Iterator[Surface]:
    """A real proxy with its recipe, and demur beside it, for as long as the block lasts."""
    with contextlib.ExitStack() as stack:
        site, open_site = stack.enter_context(Recorder()), stack.enter_context(Recorder())

        def ours(text: str) -> str:
            port = re.search(r'origin = "http://localhost:([0-9]+)"', text)
            assert port is not None
            text = re.sub(r'(?m)^upstream = ".*?"', f'upstream = "{site.url}"', text)
            return text + _OPEN.format(port=port[1], url=open_site.url)

        _settled(folder)
        stand = stack.enter_context(behind(name, folder, rules=judge.RULES, site="", changes=ours, people=False))
        yield Surface(name, stand.port, people(folder), site, open_site, strict=False)
