"""Forward-auth: what a proxy is told, and what a client gets through a real nginx."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.gateway.checking import everywhere

from demur.core import identity, page, rules
from demur.core.model import (
    Absent,
    Actor,
    Details,
    End,
    Ending,
    Form,
    Key,
    KeyRing,
    Live,
    Preflight,
    Refuse,
    Request,
    StoreUnavailable,
    Subject,
)
from demur.core.reasons import Reason
from demur.core.sessions import Limits
from demur.core.site import Cookie, Cors, Site
from demur.gateway import slip
from demur.gateway.check import Check
from demur.guard import Guard
from demur.signin.sessions import Issued, Sessions
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_800_000_000
ANN = Subject("0192d3f4-7a1b-7c3d-8e9f-000000000001", "ann", frozenset({"staff"}), display_name="Ann Önd")
RULES: list[dict[str, Any]] = [
    {"path": "/public/**", "allow": "anyone"},
    {"path": "/hello", "allow": "anyone", "identify": True},
    {"path": "/members/**", "allow": "signed-in"},
    {"path": "/api/**", "allow": "signed-in", "form": "api"},
    {"path": "/admin/**", "allow": {"groups": ["admins"]}},
    {"path": "/fresh/**", "allow": {"groups": ["staff"], "fresh": "15m"}},
]
NAMES = [name.decode() for name in identity.NAMES]
PERSON = NAMES[:5]


class Down(MemoryStore):
    """A store that cannot be asked."""

    async def load(self, ids: Any) -> Any:
        raise StoreUnavailable("disk full")

    async def check(self) -> None:
        raise StoreUnavailable("disk full")


@dataclass
class World:
    """A site, its guard, and the check in front of it, at a time that a test sets."""

    origin: str = "https://app.example.com"
    store: MemoryStore = field(default_factory=MemoryStore)
    cors: Cors = field(default_factory=Cors)
    cookie: Cookie = field(default_factory=Cookie)
    now: int = NOW
    keys: MemoryKeys = field(default_factory=MemoryKeys)

    def __post_init__(self) -> None:
        site = Site(self.origin, "Example", rules.load(RULES), cors=self.cors, cookie=self.cookie)
        guard = Guard(site, self.store, self.keys, clock=lambda: self.now)
        self.check = Check({self.origin: guard}, self.keys, self.store, page.DEFAULT)

    async def sign_in(self, subject: Subject = ANN) -> Issued:
        request = Request("POST", b"/.demur/sign-in", "https", "app.example.com", "", ())
        sessions = Sessions(self.store, self.keys, Limits(3600, 86400))
        return await sessions.begin(subject, request, "192.0.2.0", before=Absent(), persistent=False, now=self.now)

    def cookie_of(self, issued: Issued) -> str:
        return f"{self.cookie.name}={issued.token}"


@dataclass(frozen=True)
class Answer:
    """A response: the values of each field, and the body."""

    status: int
    fields: dict[str, list[str]]
    body: bytes

    def __getitem__(self, name: str) -> str:
        (value,) = self.fields[name]
        return value

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    @property
    def problem(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


async def ask(world: World, target: str, *sent: tuple[str, str], method: str = "GET") -> Answer:
    """Ask the check in every way there is; `sent` are the fields that the proxy sends."""
    answered = await everywhere(world.check, target, [("Host", "check"), *sent], method)
    found: dict[str, list[str]] = {}
    for name, value in answered.fields:
        if name != "date":
            found.setdefault(name, []).append(value)
    return Answer(answered.status, found, answered.body)


def about(uri: str = "/members/", method: str = "GET", **changes: str | None) -> list[tuple[str, str]]:
    """What a proxy says of a request; None leaves a field out."""
    values: dict[str, str | None] = {
        "X-Forwarded-Method": method,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "app.example.com",
        "X-Forwarded-Uri": uri,
        "X-Forwarded-For": "192.0.2.7",
    }
    values |= {name.replace("_", "-"): value for name, value in changes.items()}
    return [(name, value) for name, value in values.items() if value is not None]


# --- yes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/check", "/check?answer=fields"])
async def test_a_member(target: str) -> None:
    """A yes has no body and tells who it is, in all five fields, and when the session ends."""
    world = World()
    issued = await world.sign_in()
    answer = await ask(world, target, *about(), ("Cookie", world.cookie_of(issued)))
    assert (answer.status, answer.body, answer["content-length"]) == (200, b"", "0")
    assert [answer[name] for name in PERSON] == [ANN.id, "ann", "Ann%20%C3%96nd", "", "staff"]
    assert answer["server-timing"] == f'session;dur=3600;desc="86400", subject;desc="{ANN.id}"'
    assert answer["cache-control"] == "no-store"
    assert "set-cookie" not in answer


@pytest.mark.parametrize("uri", ["/public/x", "/hello"])
async def test_nobody_in_particular(uri: str) -> None:
    """Whoever need not sign in is nobody: every field is there and empty, so that a client's own is overwritten."""
    answer = await ask(World(), "/check", *about(uri), ("Remote-User", "root"), ("Remote-Groups", "admins"))
    assert answer.status == 200
    assert [answer[name] for name in NAMES] == [""] * len(NAMES)
    assert "server-timing" not in answer


# --- no, whole --------------------------------------------------------------------------------------


async def test_a_whole_refusal_as_problem() -> None:
    """By default the proxy gets the answer that the client is to get, the challenge and the body included."""
    answer = await ask(World(), "/check", *about("/members/x?y=1"), ("Accept", "application/json"))
    assert (answer.status, answer["content-type"]) == (401, "application/problem+json")
    assert answer.problem["reason"] == "sign-in-required"
    assert answer.problem["processed"] is False
    assert answer["www-authenticate"].startswith('Cookie realm="Example"')
    assert answer["demur-processed"] == "?0"
    assert "demur-refusal" not in answer


async def test_a_whole_refusal_as_page() -> None:
    """A navigation gets the form, which leads back to what was asked for, and not to the check."""
    answer = await ask(World(), "/check", *about("/members/x?y=1"), ("Sec-Fetch-Mode", "navigate"))
    assert (answer.status, answer["content-type"]) == (401, "text/html; charset=utf-8")
    assert b'value="/members/x?y=1"' in answer.body
    assert b"/check" not in answer.body


async def test_the_method_is_the_one_that_is_asked_about() -> None:
    """A proxy may always ask with GET; the decision is about the method in the field."""
    world = World()
    cookie = ("Cookie", world.cookie_of(await world.sign_in()))
    foreign = ("Origin", "https://evil.test")
    assert (await ask(world, "/check", *about(method="GET"), cookie, foreign)).status == 200
    assert (await ask(world, "/check", *about(method="POST"), cookie, foreign)).problem[
        "reason"
    ] == "cross-site-refused"


async def test_a_web_socket_handshake_is_known_without_upgrade() -> None:
    """Proxies keep `Upgrade` for themselves, and still no other site opens a WebSocket with the person's cookie."""
    world = World()
    sent = (("Cookie", world.cookie_of(await world.sign_in())), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="))
    theirs = await ask(world, "/check", *about(X_Forwarded_Proto="wss"), *sent, ("Origin", "https://evil.test"))
    assert theirs.problem["reason"] == "cross-site-refused"
    ours = await ask(world, "/check", *about(X_Forwarded_Proto="wss"), *sent, ("Origin", "https://app.example.com"))
    assert ours.status == 200


@pytest.mark.parametrize(
    ("changes", "reason", "status"),
    [
        ({"X_Forwarded_Host": "other.example.com"}, "host-unknown", 421),
        ({"X_Forwarded_Proto": "http"}, "host-unknown", 421),
        ({"uri": "/members/../admin/"}, "sign-in-required", 401),
        ({"uri": "/members%2Fx"}, "sign-in-required", 401),
        ({"uri": "/members/%zz"}, "request-malformed", 400),
        ({"uri": "https://app.example.com/public/"}, "request-malformed", 400),
        ({"uri": "/nowhere"}, "sign-in-required", 401),
    ],
)
async def test_other_refusals(changes: dict[str, str], reason: str, status: int) -> None:
    """What the guard refuses is refused, and so is a site that is not ours."""
    answer = await ask(World(), "/check", *about(**changes))
    assert (answer.status, answer.problem["reason"]) == (status, reason)


async def test_the_store_is_down() -> None:
    """Our own failure is 503 in both kinds of answer, and no reason to sign in."""
    world = World(store=Down())
    cookie = ("Cookie", world.cookie_of(await world.sign_in()))
    whole = await ask(world, "/check", *about(), cookie)
    assert (whole.status, whole.problem["reason"], whole["retry-after"]) == (503, "unavailable", "5")
    brief = await ask(world, "/check?answer=fields", *about(), cookie)
    assert brief.status == 403
    shown = await ask(world, "/refusal", *about(), cookie, ("Demur-Refusal", brief["demur-refusal"]))
    assert (shown.status, shown.problem["reason"]) == (503, "unavailable")
    assert "www-authenticate" not in shown
    assert "set-cookie" not in shown


async def test_a_fault_of_ours_is_no_yes(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong inside, nobody gets in."""

    class Broken(MemoryStore):
        async def load(self, ids: Any) -> Any:
            raise RuntimeError

    world = World(store=Broken())
    answer = await ask(world, "/check", *about(), ("Cookie", world.cookie_of(await world.sign_in())))
    assert (answer.status, answer.problem["reason"]) == (503, "unavailable")
    assert "could not decide" in caplog.text


OTHER = ("Demur-Subject", "0192d3f4-7a1b-7c3d-8e9f-0000000000ff")


@pytest.mark.parametrize("uri", ["/members/", "/hello"])
async def test_what_is_meant_for_somebody_else(uri: str) -> None:
    """The client's own field reaches the decision, and 412 comes back: whole, and through the two steps."""
    world = World()
    cookie = ("Cookie", world.cookie_of(await world.sign_in()))
    for way in ("/check", "/check?for=envoy", "/check?for=traefik"):
        assert (await ask(world, way, *about(uri), cookie, ("Demur-Subject", ANN.id))).status == 200
        whole = await ask(world, way, *about(uri, "POST"), cookie, OTHER)
        assert (whole.status, whole.problem["reason"], whole["demur-processed"]) == (412, "subject-changed", "?0")
        assert "remote-subject" not in whole
    brief = await ask(world, "/check?answer=fields", *about(uri, "POST"), cookie, OTHER)
    assert (brief.status, brief.body) == (403, b"")
    slipped = ("Demur-Refusal", brief["demur-refusal"])
    shown = await ask(world, "/refusal", *about(uri, "POST"), cookie, OTHER, slipped, method="POST")
    assert (shown.status, shown.problem["reason"], shown["demur-processed"]) == (412, "subject-changed", "?0")


@pytest.mark.parametrize("two", [False, True])
async def test_whose_session_it_was_is_told(two: bool) -> None:
    """Through the two steps as well."""
    world = World()
    issued = await world.sign_in()
    await Sessions(world.store, world.keys, Limits(3600, 86400)).end(Live(issued.session, ANN), NOW)
    cookie = ("Cookie", world.cookie_of(issued))
    answer = await ask(world, "/check?answer=fields" if two else "/check", *about(), cookie)
    if two:
        answer = await ask(world, "/refusal", *about(), cookie, ("Demur-Refusal", answer["demur-refusal"]))
    assert (answer.problem["reason"], answer.problem["subject"]) == ("session-ended", ANN.id)


# --- what the proxy has to send ---------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/check", "/check?answer=fields", "/refusal"])
@pytest.mark.parametrize("name", ["X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri"])
async def test_each_field_once(name: str, target: str) -> None:
    """Without one of its fields, or with two, a question cannot be understood, and is not guessed at."""
    sent = about("/public/")
    missing = await ask(World(), target, *[one for one in sent if one[0] != name])
    assert (missing.status, missing.body) == (
        400,
        f"The proxy has to send {name} once, and sent it 0 times.\n".encode(),
    )
    doubled = await ask(World(), target, *sent, *[one for one in sent if one[0] == name])
    assert (doubled.status, doubled.body) == (
        400,
        f"The proxy has to send {name} once, and sent it 2 times.\n".encode(),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "GET /"}, "X-Forwarded-Method is not a method"),
        ({"method": ""}, "X-Forwarded-Method is not a method"),
        ({"X_Forwarded_Proto": "ftp"}, "neither http nor https"),
        ({"X_Forwarded_Proto": "https, http"}, "more than one value"),
        ({"X_Forwarded_Host": ""}, "not a valid authority"),
        ({"X_Forwarded_Host": "app.example.com/x"}, "not a valid authority"),
        ({"X_Forwarded_Host": "app.example.com, evil.test"}, "more than one value"),
        ({"X_Forwarded_For": "nonsense"}, "not an address"),
    ],
)
async def test_fields_that_cannot_be_read(changes: dict[str, str], message: str) -> None:
    """A proxy that says nonsense is told so, with 400."""
    answer = await ask(World(), "/check", *about(**{"uri": "/public/", **changes}))
    assert answer.status == 400
    assert message in answer.body.decode()


async def test_the_address_may_be_missing() -> None:
    """Nothing is decided by the address, so a proxy that does not know it may ask all the same."""
    assert (await ask(World(), "/check", *about("/public/", X_Forwarded_For=None))).status == 200


async def test_forwarded_is_not_believed() -> None:
    """Proxies pass a client's own `Forwarded` along; here it says nothing."""
    answer = await ask(World(), "/check", *about("/public/"), ("Forwarded", "host=evil.test;proto=http;for=broken"))
    assert answer.status == 200


@pytest.mark.parametrize("target", ["/", "/check/", "/check?answer=page", "/metrics", "/Check"])
async def test_nothing_else_is_here(target: str) -> None:
    """Other addresses are 404, and never a yes."""
    assert (await ask(World(), target, *about("/public/"))).status == 404


# --- preflights -------------------------------------------------------------------------------------

PREFLIGHT = [("Origin", "https://other.example"), ("Access-Control-Request-Method", "PUT")]


async def test_a_preflight_through_the_two_steps() -> None:
    """nginx hands on what the second step says, so the preflight is answered from the site's table."""
    world = World(cors=Cors(frozenset({"https://other.example"}), methods=("GET", "PUT")))
    brief = await ask(world, "/check?answer=fields", *about("/api/x", "OPTIONS"), *PREFLIGHT)
    assert brief.status == 403
    slipped = ("Demur-Refusal", brief["demur-refusal"])
    answer = await ask(world, "/refusal", *about("/api/x", "OPTIONS"), *PREFLIGHT, slipped)
    assert (answer.status, answer["access-control-allow-methods"]) == (204, "GET, PUT")


async def test_a_preflight_is_not_let_in_by_its_answer() -> None:
    """Other proxies take any 2xx for a yes, so they never get one for a preflight that the site is not to see."""
    world = World(cors=Cors(frozenset({"https://other.example"})))
    answer = await ask(world, "/check", *about("/api/x", "OPTIONS"), *PREFLIGHT)
    assert (answer.status, answer.problem["reason"]) == (403, "cross-site-refused")


async def test_a_preflight_for_the_site() -> None:
    """With `cors = "upstream"` the site answers, and knows nobody."""
    world = World(cors=Cors(upstream=True))
    answer = await ask(world, "/check", *about("/api/x", "OPTIONS"), *PREFLIGHT)
    assert answer.status == 200
    assert [answer[name] for name in NAMES] == [""] * len(NAMES)


# --- proxies with ways of their own -------------------------------------------------------------------


@pytest.mark.parametrize("way", ["for=nginx", "for=envoy", "for=traefik"])
async def test_a_yes_without_empty_fields(way: str) -> None:
    """These proxies set an empty field where they get one, and their recipes take the client's own away before."""
    world = World()
    sent = (("Cookie", f"a=1; {world.cookie_of(await world.sign_in())}"), ("Cookie", "b=2"), ("Authorization", "X y"))
    answer = await ask(world, f"/check?{way}", *about(), *sent)
    assert answer.status == 200
    assert [name for name in NAMES if name in answer] == [name for name in PERSON if name != "remote-email"]
    assert (answer["cookie"], answer["authorization"]) == ("a=1; b=2", "X y")
    nobody = await ask(world, f"/check?{way}", *about("/public/x"), ("Cookie", "demur-dev=1"))
    assert not {*NAMES, "cookie", "authorization"} & set(nobody.fields)


async def test_envoy_is_told_what_to_take_away() -> None:
    """It can be: whatever has no value must not reach the site in the client's words."""
    world = World()
    everything = [*NAMES, "cookie", "authorization"]
    nobody = await ask(world, "/check?for=envoy", *about("/public/x"))
    assert nobody["x-envoy-auth-headers-to-remove"].split(",") == everything
    cookie = ("Cookie", f"a=1; {world.cookie_of(await world.sign_in(replace(ANN, email='a@b.example')))}")
    somebody = await ask(world, "/check?for=envoy", *about(), cookie)
    assert somebody["x-envoy-auth-headers-to-remove"] == ",".join((*NAMES[5:], "authorization"))
    everybody = await ask(world, "/check?for=envoy", *about(), cookie, ("Authorization", "X y"))
    assert everybody.fields.get("x-envoy-auth-headers-to-remove", [""]) == [",".join(NAMES[5:])]


@pytest.mark.parametrize(("way", "status"), [("for=envoy", 204), ("for=traefik", 403)])
async def test_whose_yes_is_any_2xx(way: str, status: int) -> None:
    """Envoy passes on whatever is not 200, so it can have the answer to a preflight."""
    world = World(cors=Cors(frozenset({"https://other.example"})))
    answer = await ask(world, f"/check?{way}", *about("/api/x", "OPTIONS"), *PREFLIGHT)
    assert answer.status == status


@pytest.mark.parametrize("cookie", ["__Host-demur", "__Secure-demur", "demur-dev"])
@pytest.mark.parametrize("way", ["", "answer=fields", "for=nginx", "for=envoy", "for=traefik"])
async def test_no_cookie_of_ours_is_for_the_site(way: str, cookie: str) -> None:
    """Under none of the names that it may have."""
    answer = await ask(World(), f"/check?{way}", *about("/public/x"), ("Cookie", f"a=1; {cookie}=2;b=3"))
    assert answer["cookie"] == "a=1;b=3"


# --- the slip ---------------------------------------------------------------------------------------


async def test_the_answer_in_fields() -> None:
    """For nginx a no is a status that it understands and a slip, without a body and without a challenge."""
    answer = await ask(World(), "/check?answer=fields", *about())
    assert (answer.status, answer.body, answer["content-length"]) == (401, b"", "0")
    assert set(answer.fields) == {"cache-control", "content-length", "demur-refusal"}


async def test_the_second_step_decides_nothing() -> None:
    """What was decided is shown, though meanwhile it would be decided otherwise."""
    world = World()
    issued = await world.sign_in()
    cookie = ("Cookie", world.cookie_of(issued))
    brief = await ask(world, "/check?answer=fields", *about("/admin/"), cookie)
    await world.store.apply([End(issued.session.id, Ending.REVOKED, Actor.ADMINISTRATOR, world.now)])
    world.now += 10
    shown = await ask(
        world,
        "/refusal",
        *about("/admin/"),
        cookie,
        ("Demur-Refusal", brief["demur-refusal"]),
        ("Sec-Fetch-Mode", "navigate"),
    )
    assert shown.status == 403
    assert "Ann Önd" in shown.body.decode()
    assert shown["demur-processed"] == "?0"


async def test_the_slip_of_an_unknown_host() -> None:
    """Somebody at a host that is not ours is told so through nginx as well."""
    sent = about(X_Forwarded_Host="127.0.0.1:8443")
    brief = await ask(World(), "/check?answer=fields", *sent)
    world = World()
    brief = await ask(world, "/check?answer=fields", *sent)
    shown = await ask(world, "/refusal", *sent, ("Demur-Refusal", brief["demur-refusal"]))
    assert (brief.status, shown.status, shown.problem["reason"]) == (403, 421, "host-unknown")


def forged(value: str) -> str:
    head, _, tag = value.rpartition(".")
    return f"{head}.{'0' if tag[0] != '0' else '1'}{tag[1:]}"


@pytest.mark.parametrize(
    ("uri", "later", "change"),
    [
        ("/members/", 11, str),
        ("/members/", -1, str),
        ("/members/other", 0, str),
        ("/members/", 0, forged),
        ("/members/", 0, lambda value: "9" + value),
        ("/members/", 0, lambda value: value.rpartition(".")[0]),
        ("/members/", 0, lambda value: f"1.e30.1800000010.x.{'a' * 32}"),
        ("/members/", 0, lambda value: "[" * 5000),
        ("/members/", 0, lambda value: ""),
    ],
    ids=["old", "from the future", "another address", "forged", "another key", "no tag", "made up", "noise", "empty"],
)
async def test_a_slip_that_does_not_hold(
    uri: str, later: int, change: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    """A slip that we did not write for this request, just now, is answered with 503 and logged."""
    world = World()
    brief = await ask(world, "/check?answer=fields", *about())
    world.now += later
    shown = await ask(world, "/refusal", *about(uri), ("Demur-Refusal", change(brief["demur-refusal"])))
    assert (shown.status, shown.problem["reason"]) == (503, "unavailable")
    assert "www-authenticate" not in shown
    assert "cannot render a refusal" in caplog.text


async def test_no_slip_or_two() -> None:
    """One slip, no more and no less."""
    world = World()
    brief = await ask(world, "/check?answer=fields", *about())
    slipped = ("Demur-Refusal", brief["demur-refusal"])
    assert (await ask(world, "/refusal", *about())).status == 503
    assert (await ask(world, "/refusal", *about(), slipped, slipped)).status == 503
    assert (await ask(world, "/refusal", *about(), slipped)).status == 401


@pytest.mark.parametrize(
    "written",
    [
        slip.Slip(Refuse(Reason.SIGN_IN_REQUIRED), "r"),
        slip.Slip(Preflight(forward=False), "r"),
        slip.Slip(
            Refuse(
                Reason.STEP_UP_REQUIRED,
                Details(max_age=0, acr_values=("mfa", "phr"), ended_at=5, retry_after=3, holder="h"),
            ),
            "r",
            Form.API,
        ),
        slip.Slip(Refuse(Reason.NOT_PERMITTED, Details(detail="nür\n", missing=("group",))), "r", Form.PAGE),
    ],
)
def test_a_slip_says_all(written: slip.Slip) -> None:
    """What is written on a slip is read from it again, with any key of the ring, in a field's few hundred bytes."""
    old, new = Key(7, b"o" * 32), Key(8, b"n" * 32)
    request = Request("GET", b"/", "https", "a", "", ())
    value = slip.write(written, request, old, NOW)
    assert slip.read(value, request, KeyRing((new, old)), NOW) == written
    assert len(value) < 500
    assert re.fullmatch(rb"[0-9A-Za-z._-]+", value)
    with pytest.raises(ValueError, match="key of ours"):
        slip.read(value, request, KeyRing((new,)), NOW)


def test_a_slip_holds_no_more_of_a_person_than_is_shown() -> None:
    """Groups and address stay where they are."""
    request, key = Request("GET", b"/", "https", "a", "", ()), Key(1, b"k" * 32)
    person = replace(ANN, email="ann@example.com")
    value = slip.write(slip.Slip(Refuse(Reason.NOT_PERMITTED, Details(subject=person)), "r"), request, key, NOW)
    read = slip.read(value, request, KeyRing((key,)), NOW).decision
    assert isinstance(read, Refuse)
    assert read.details.subject == Subject(ANN.id, "ann", display_name="Ann Önd")


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "POST"},
        {"target": b"/x"},
        {"scheme": "http"},
        {"host": "b"},
        {"fields": ((b"cookie", b"a=c"),)},
        {"fields": ()},
    ],
)
def test_a_slip_is_for_one_request(changes: dict[str, Any]) -> None:
    """Another method, address, site or cookie is another request."""
    key = Key(1, b"k" * 32)
    request = Request("GET", b"/", "https", "a", "", ((b"cookie", b"a=b"), (b"accept", b"x")))
    value = slip.write(slip.Slip(Refuse(Reason.NOT_PERMITTED), "r"), request, key, NOW)
    assert slip.read(value, replace(request, peer="x"), KeyRing((key,)), NOW).reference == "r"
    with pytest.raises(ValueError, match="another request"):
        slip.read(value, replace(request, **changes), KeyRing((key,)), NOW)


def test_the_last_part_of_a_reference_is_not_signed() -> None:
    """It tells refusals of one second apart; all the rest is signed."""
    request, key = Request("GET", b"/", "https", "a", "", ()), Key(1, b"k" * 32)
    written = slip.Slip(Refuse(Reason.SIGN_IN_REQUIRED), "0192d3f4-7a1b-4c3d-8e9f-000000000001")
    value = slip.write(written, request, key, NOW)
    other = slip.read(value.replace(b"000000000001", b"000000000002"), request, KeyRing((key,)), NOW)
    assert other == replace(written, reference="0192d3f4-7a1b-4c3d-8e9f-000000000002")
    with pytest.raises(ValueError, match="another request"):
        slip.read(value.replace(b"8e9f", b"8e9e"), request, KeyRing((key,)), NOW)


async def test_without_a_key_nothing_is_signed(caplog: pytest.LogCaptureFixture) -> None:
    """A key ring that cannot be read is our failure: 403 without a slip, which the second step makes 503."""

    class Keyless(MemoryKeys):
        def ring(self) -> KeyRing:
            raise StoreUnavailable("no keys")

    world = World(keys=Keyless())
    brief = await ask(world, "/check?answer=fields", *about())
    assert brief.status in {401, 403}
    assert "demur-refusal" not in brief
    assert "no keys" in caplog.text
    assert (await ask(world, "/refusal", *about())).status == 503


# --- health -----------------------------------------------------------------------------------------


async def test_health_and_readiness() -> None:
    """Health asks nobody; readiness asks the store, and ends when the process is about to."""
    world, down = World(), World(store=Down())
    assert (await ask(world, "/health")).status == 200
    assert (await ask(down, "/health")).status == 200
    assert (await ask(world, "/ready")).status == 200
    answer = await ask(down, "/ready")
    assert (answer.status, answer.body) == (503, b"Not ready: disk full\n")
    world.check.drain()
    assert (await ask(world, "/ready")).status == 503
    assert (await ask(world, "/check", *about("/public/"))).status == 200
