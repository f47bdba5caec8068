"""The short way and the long one cannot be told apart: not by the app, not by the client, not by the log."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.support import NOW, make_site

import demur
from demur.adapters.asgi import Demur, Surface
from demur.core import page, rules
from demur.core.model import Actor, End, Ending, Refused, Session, Subject
from demur.core.reasons import Reason
from demur.core.sessions import identify, mint
from demur.core.site import Cors
from demur.guard import Guard
from demur.pages.router import Pages
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from demur.core.ports import Decided

BO = Subject("0192-bo", "bo", frozenset(("staff",)), display_name="Bo")
SITE = make_site()
KEYS = MemoryKeys()
TOKEN = mint(b"r" * 32, KEYS.ring().current).encode()
OTHER = mint(b"s" * 32, KEYS.ring().current).encode()
VIEWS = make_site(
    rules=rules.load(
        [
            {"path": "/**", "allow": "marked"},
            {"path": "/public/**", "allow": "anyone"},
            {"path": "/ruled/**", "allow": "signed-in"},
        ],
        views=True,
    )
)
MARKS = {
    "/members/": (demur.require(),),
    "/staff/": (demur.require(groups=["staff"]),),
    "/admin/": (demur.require(groups=["admins"], fresh=900), demur.require()),
    "/public/": (demur.public,),
    "/who": (demur.identified,),
    "/ruled/staff/": (demur.require(groups=["staff"]),),
    "/ruled/admin/": (demur.require(groups=["admins"], fresh=900), demur.require()),
    "/ruled/public/": (demur.public,),
    "/ruled/who/": (demur.identified,),
}
PLAIN = ((b"content-type", b"text/plain"), (b"content-length", b"5"))


class Side:
    """One site with its app, that notes all that it does."""

    def __init__(self, *, short: bool, site: Any = None, views: bool = False) -> None:
        self.store = MemoryStore()
        self.now = float(NOW)
        self.noted: list[Any] = []
        self.views = views
        guard = Guard(site or (VIEWS if views else SITE), self.store, KEYS, observer=self, clock=lambda: self.now)
        surface = Surface(guard, Pages(guard, page.DEFAULT, {}), page.DEFAULT, translates=True)
        self.demur = Demur(self.app, surface, hooked=views)
        self.demur._short._works = short
        self.taken = 0
        enter = self.demur._short.enter

        def counted(scope: Any) -> Any:
            passed = enter(scope)
            self.taken += passed is not None
            return passed

        self.demur._short.enter = counted  # type: ignore[method-assign]
        self.status, self.answer, self.fault = 200, PLAIN, ""

    def decided(self, decided: Decided) -> None:
        names = ("at", "origin", "request", "outcome", "status", "reason", "rule", "subject", "error", "method", "path")
        assert decided.reference
        assert decided.seconds >= 0
        self.noted.append({name: getattr(decided, name) for name in names})

    def signed_in(self, method: str, outcome: str) -> None:
        raise AssertionError

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        passed = scope["demur"]
        if self.views and not await self.judged(scope, passed, receive, send):
            return
        seen = {name: getattr(passed, name) for name in ("allow", "subject", "session", "request", "left", "site")}
        checked = replace(passed.checked, reference="")
        assert passed.reference == passed.checked.reference
        self.seen.append((seen, checked, {k: v for k, v in scope.items() if k != "demur"}, await receive()))
        assert {k: v for k, v in passed.native.items() if k != "demur"} == self.seen[-1][2]
        if self.fault == "before":
            raise Refused(Reason.NOT_PERMITTED, "no")
        if self.fault == "fault":
            raise ZeroDivisionError
        if self.fault == "ask":
            passed.require(groups=("nobody",))
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.answer)})
        if self.fault == "after":
            raise ZeroDivisionError
        await send({"type": "http.response.body", "body": b"he", "more_body": True})
        await send({"type": "http.response.body", "body": b"llo"})

    async def judged(self, scope: Any, passed: Any, receive: Any, send: Any) -> bool:
        """What a framework's hook does."""
        before = {name: getattr(passed, name) for name in ("allow", "subject", "request", "left", "refused")}
        self.seen.append((before, replace(passed.checked, reference="")))
        marks = next((marks for path, marks in MARKS.items() if scope["path"].startswith(path)), ())
        if self.fault == "fault" or await passed.surface.ajudge(passed, marks, native=scope):
            return True  # with a fault nobody judges, as if the path had no view
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return False

    async def sign_in(self, **other: Any) -> None:
        for token in (TOKEN, OTHER):
            session = Session(identify(token), BO.id, NOW, NOW, NOW, NOW + 86400, idle=3600)
            await self.store.issue(replace(session, **other), BO)

    async def ask(self, target: str, lines: list[Any], method: str = "GET", **more: Any) -> Any:
        """All that can be seen of one request."""
        path, _, query = target.partition("?")
        self.seen: list[Any] = []
        self.noted.clear()
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append({k: [tuple(v) for v in value] if k == "headers" else value for k, value in message.items()})

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "scheme": "https",
            "headers": list(lines),
            "client": ("203.0.113.9", 4),
            **more,
        }
        raised = ""
        try:
            await self.demur(scope, receive, send)
        except ZeroDivisionError:
            raised = "fault"
        return _unnamed(sent), self.seen, list(self.noted), raised


def _unnamed(sent: list[Any]) -> list[Any]:
    """Refusals without the reference, and what is made of it."""
    if not any(message.get("status", 200) >= 400 for message in sent):
        return sent
    return [
        {k: v for k, v in message.items() if k not in {"body", "headers"}}
        | {"headers": [line for line in message.get("headers", ()) if line[0] != b"content-length"]}
        for message in sent
    ]


HOST = (b"host", b"app.example.com")
COOKIES = [
    b"__Host-demur=" + TOKEN,
    b"a=b; __Host-demur=" + TOKEN,
    b"a=b;__Host-demur=" + TOKEN,
    b"__Host-demur=" + TOKEN + b"; a=b",
    b"__Host-demur=" + TOKEN + b";a=b",
    b"__Host-demur=" + TOKEN + b" ; a=b",
    b"a=b; __Host-demur=" + TOKEN + b"; c=d",
    b"a=b;  __Host-demur=" + TOKEN + b";  c=d ",
    b"x__Host-demur=" + TOKEN,
    b"a=__Host-demur=" + TOKEN,
    b"a=b; __Host-demur=" + TOKEN + b"; __Host-demur=" + OTHER,
    b"__Host-demur=" + TOKEN + b"; demur-dev=" + OTHER,
    b"__Host-demur=" + TOKEN + b"; __Secure-demur=x",
    b"__Host-demur=" + TOKEN[:-1] + b"A",
    b"__Host-demur=" + TOKEN[:-1],
    b"__Host-demur=" + TOKEN + b"A",
    b'__Host-demur="' + TOKEN + b'"',
    b"__Host-demur=",
    b"a=b",
    b"",
]
OTHERS = [
    (b"accept", b"*/*"),
    (b"x-new", b"1"),
    (b"origin", b"https://elsewhere.example"),
    (b"sec-fetch-site", b"cross-site"),
    (b"sec-fetch-mode", b"navigate"),
    (b"upgrade", b"websocket"),
    (b"authorization", b"Bearer x"),
    (b"authorization", b"Negotiate x"),
    (b"demur-subject", b"0192-bo"),
    (b"demur-subject", b"somebody-else"),
    (b"demur-background", b"?1"),
    (b"sec-purpose", b"prefetch"),
    (b"remote-user", b"root"),
    (b"remote_user", b"root"),
    (b"x-http-method-override", b"DELETE"),
    (b"host", b"elsewhere.example"),
    (b"cookie", b"__Host-demur=" + OTHER),
    (b"cookie", b"b=c"),
    (b"expect", b"100-continue"),
    (b"content-length", b"0"),
]
ANSWERS: list[tuple[tuple[bytes, bytes], ...]] = [
    PLAIN,
    (),
    ((b"cache-control", b"public, max-age=60"), *PLAIN),
    ((b"cache-control", b"no-store"),),
    ((b"cache-control", b"public"), (b"cache-control", b"s-maxage=9")),
    ((b"Content-Type", b"text/html"), (b"X-Thing", b"1")),
    ((b"set-cookie", b"a=b"), *PLAIN),
    ((b"set-cookie", b"__Host-demur=stolen"),),
    ((b"surrogate-control", b"max-age=5"), (b"cdn-cache-control", b"max-age=5")),
    ((b"demur-processed", b"?0"),),
    ((b"demur-refuse", b'not-permitted; detail="no"'),),
    ((b"server-timing", b"db;dur=5"), (b"vary", b"Accept")),
    ((b"location", b"/login"),),
    ((b"access-control-allow-origin", b"*"),),
]
TARGETS = [
    "/members/",
    "/members/x?a=b",
    "/members/x?a=#b",
    "/public/x",
    "/staff/",
    "/admin/",
    "/who",
    "/ruled/",
    "/ruled/staff/",
    "/ruled/admin/",
    "/ruled/public/",
    "/ruled/who/",
    "/members//x",
]

asked = st.fixed_dictionaries(
    {
        "target": st.sampled_from(TARGETS),
        "method": st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "OPTIONS"]),
        "cookie": st.one_of(st.just(COOKIES[0]), st.sampled_from(COOKIES), st.none()),
        "others": st.lists(st.sampled_from(OTHERS), max_size=2),
        "answer": st.one_of(st.just(PLAIN), st.sampled_from(ANSWERS)),
        "status": st.sampled_from([200, 200, 200, 204, 206, 302, 304, 401, 403, 404, 500]),
        "fault": st.sampled_from(["", "", "", "", "before", "after", "fault", "ask"]),
        "later": st.sampled_from([0, 0, 1, 100, 361, 900, 3600]),
        "change": st.sampled_from(["", "", "", "", "end", "person"]),
    }
)


async def both(long: Side, short: Side, each: dict[str, Any], version: int) -> None:
    """Ask both the same."""
    cookie = each["cookie"]
    lines = [HOST, *each["others"][:1], *([(b"cookie", cookie)] if cookie is not None else []), *each["others"][1:]]
    said = []
    for side in (long, short):
        side.now += each["later"]
        side.status, side.answer, side.fault = each["status"], each["answer"], each["fault"]
        if each["change"] == "end":
            await side.store.apply([End(identify(TOKEN), Ending.ENDED, Actor.SELF, int(side.now))])
        elif each["change"] == "person":
            groups = frozenset(("admins", "staff")) if version % 2 else frozenset[str]()
            await side.store.publish(replace(BO, version=version, groups=groups))
        said.append(await side.ask(each["target"], lines, each["method"]))
    assert said[0] == said[1]


@pytest.mark.parametrize("cookie", [b"", b"a=b", b"a=b; ", b"; a=b"])
async def test_what_is_left_of_a_cookie_that_is_not_ours_is_the_same(cookie: bytes) -> None:
    """Each time, also of one that says nothing."""
    long, short = Side(short=False, views=False), Side(short=True, views=False)
    each: dict[str, Any] = {"target": "/public/x", "method": "GET", "cookie": cookie, "others": [], "answer": PLAIN}
    for _ in range(3):
        await both(long, short, {**each, "status": 200, "fault": "", "later": 0, "change": ""}, 2)
    assert short.taken
    for side in (long, short):
        await side.demur.guard.aclose()


@pytest.mark.parametrize("views", [False, True])
def test_nobody_can_tell_them_apart(views: bool) -> None:
    """Any requests, any answers, any changes in between."""
    taken = 0

    @settings(max_examples=settings().max_examples * 3 // 2, deadline=None)
    @given(st.lists(asked, min_size=4, max_size=14))
    def same(requests: list[dict[str, Any]]) -> None:
        nonlocal taken

        async def run() -> int:
            long, short = Side(short=False, views=views), Side(short=True, views=views)
            for side in (long, short):
                await side.sign_in()
            for version, each in enumerate(requests, 2):
                await both(long, short, each, version)
                if not each["change"]:
                    await both(long, short, {**each, "later": 0}, version)
            assert long.taken == 0
            for side in (long, short):
                await side.demur.guard.aclose()
            return short.taken

        taken += asyncio.run(run())

    same()
    assert taken > 20


ORDINARY = {
    "target": "/members/",
    "method": "GET",
    "others": [],
    "answer": PLAIN,
    "status": 200,
    "fault": "",
    "later": 0,
    "change": "",
}


@pytest.mark.parametrize("cookie", COOKIES, ids=map(str, range(len(COOKIES))))
async def test_every_cookie_is_read_the_same(cookie: bytes) -> None:
    """Wherever ours stands among others."""
    long, short = Side(short=False), Side(short=True)
    for side in (long, short):
        await side.sign_in()
    await both(long, short, {**ORDINARY, "cookie": COOKIES[0]}, 2)
    for _ in range(3):
        await both(long, short, {**ORDINARY, "cookie": cookie}, 2)
    assert short.taken <= 3


@pytest.mark.parametrize("answer", ANSWERS)
async def test_every_answer_leaves_the_same(answer: Any) -> None:
    """Whatever fields it has, and whether it came by the short way or by the long."""
    long, short = Side(short=False), Side(short=True)
    for side in (long, short):
        await side.sign_in()
    for _ in range(4):
        await both(long, short, {**ORDINARY, "cookie": COOKIES[0], "answer": answer}, 2)
    assert short.taken == 3


@pytest.mark.parametrize("other", OTHERS)
async def test_what_matters_goes_the_long_way(other: Any) -> None:
    """However often it comes."""
    long, short = Side(short=False), Side(short=True)
    for side in (long, short):
        await side.sign_in()
    harmless = other[0] in {b"accept", b"x-new", b"sec-fetch-site", b"sec-fetch-mode", b"expect", b"content-length"}
    harmless |= other[0] == b"x-http-method-override"  # no rule of this site has methods
    for _ in range(4):
        await both(long, short, {**ORDINARY, "cookie": COOKIES[0], "others": [other]}, 2)
    assert short.taken == (3 if harmless else 0)


async def test_cross_origin_answers_are_the_same() -> None:
    """A site that lets others read its answers says so on each."""
    site = make_site(cors=Cors(origins=frozenset(("https://friend.example",))))
    long, short = Side(short=False, site=site), Side(short=True, site=site)
    for side in (long, short):
        await side.sign_in()
    for _ in range(3):
        await both(long, short, {**ORDINARY, "cookie": COOKIES[0]}, 2)
        friend = [(b"origin", b"https://friend.example")]
        await both(long, short, {**ORDINARY, "cookie": COOKIES[0], "others": friend}, 2)
    assert short.taken == 2


async def test_a_view_goes_the_short_way() -> None:
    """From the second time on, for as long as it may: by other marks, for somebody else and after a change it is judged
    anew."""
    short = Side(short=True, views=True)
    await short.sign_in()
    recalled = []
    recall = short.demur._short.recall

    def counted(passed: Any, key: Any, found: Any) -> bool:
        recalled.append(recall(passed, key, found))
        return recalled[-1]

    short.demur._short.recall = counted  # type: ignore[method-assign]
    mine, other = [HOST, (b"cookie", COOKIES[0])], [HOST, (b"cookie", b"__Host-demur=" + OTHER)]
    for lines, kept in ((mine, []), (mine, [False]), (mine, [True]), (other, [False]), (other, [True])):
        recalled.clear()
        sent, *_ = await short.ask("/staff/", lines)
        assert (sent[0]["status"], recalled) == (200, kept)
    await short.store.publish(replace(BO, version=9, groups=frozenset[str]()))
    for _ in range(2):
        recalled.clear()
        sent, *_ = await short.ask("/staff/", mine)
        assert (sent[0]["status"], recalled) == (403, [False])
    await short.store.apply([End(identify(TOKEN), Ending.ENDED, Actor.SELF, NOW)])
    sent, *_ = await short.ask("/members/", mine)
    assert sent[0]["status"] == 401
    await short.demur.guard.aclose()


@pytest.mark.parametrize("target", ["/ruled/staff/", "/ruled/admin/", "/ruled/public/", "/ruled/who/"])
async def test_a_view_that_asks_for_more_than_its_rule_goes_the_short_way(target: str) -> None:
    """From the second time on, for everybody who may; who may no more is judged anew, and so is whoever signed in too
    long ago for it."""
    short, judged = Side(short=True, views=True), []
    await short.store.publish(replace(BO, version=2, groups=frozenset(("staff", "admins"))))
    await short.sign_in()
    await short.store.publish(replace(BO, version=3, groups=frozenset(("staff", "admins"))))
    judge = short.demur.guard.ajudge

    async def counted(*given: Any, **more: Any) -> Any:
        judged.append(given)
        return await judge(*given, **more)

    short.demur.guard.ajudge = counted  # type: ignore[method-assign]
    mine, other = [HOST, (b"cookie", COOKIES[0])], [HOST, (b"cookie", b"__Host-demur=" + OTHER)]
    # The long way notes the rule, and then the view.
    for lines, long in ((mine, 1), (mine, 1), (mine, 0), (other, 1), (other, 1), (other, 0)):
        judged.clear()
        sent, seen, noted, _ = await short.ask(target, lines)
        assert (sent[0]["status"], len(noted), seen[-1][0]["subject"].id) == (200, 2, BO.id)
        assert len(judged) <= long
    assert not judged
    closed = {"/ruled/staff/": 403, "/ruled/admin/": 403, "/ruled/public/": 200, "/ruled/who/": 200}[target]
    short.now += 899
    assert (await short.ask(target, mine))[0][0]["status"] == 200
    short.now += 2
    assert (await short.ask(target, mine))[0][0]["status"] == (401 if target == "/ruled/admin/" else 200)
    await short.store.publish(replace(BO, version=9, groups=frozenset[str]()))
    for _ in range(3):
        assert (await short.ask(target, mine))[0][0]["status"] == closed
    await short.store.apply([End(identify(TOKEN), Ending.ENDED, Actor.SELF, NOW)])
    for _ in range(2):
        assert (await short.ask(target, mine))[0][0]["status"] == 401
    await short.demur.guard.aclose()


async def test_an_app_that_is_asked_who_holds_a_permission_is_asked_each_time() -> None:
    """Beside a rule, too: it may say something else the next time."""
    may, asked = [True], []

    def permits(subject: Subject, permission: str, captures: Any) -> bool:
        asked.append(permission)
        return may[0]

    short = Side(short=True, views=True, site=replace(VIEWS, permits=permits))
    await short.sign_in()
    marks = (demur.require("report:read"),)

    async def judged(scope: Any, passed: Any, receive: Any, send: Any) -> bool:
        let: bool = await passed.surface.ajudge(passed, marks, native=scope)
        return let

    short.judged = judged  # type: ignore[method-assign]
    lines = [HOST, (b"cookie", COOKIES[0])]
    for _ in range(4):
        asked.clear()
        assert (await short.ask("/ruled/x", lines))[0][0]["status"] == 200
        assert asked
    may[0] = False
    _, _, noted, _ = await short.ask("/ruled/x", lines)
    assert noted[-1]["reason"] is Reason.NOT_PERMITTED
    await short.demur.guard.aclose()


async def test_a_view_without_a_mark_goes_the_short_way_by_its_rule() -> None:
    """There is nothing left to judge, so nothing is made for that."""
    short, given = Side(short=True, views=True), []
    await short.sign_in()

    async def judged(scope: Any, passed: Any, receive: Any, send: Any) -> bool:
        let: bool = await passed.surface.ajudge(passed, (), native=scope)
        given.append(passed.given)
        return let

    short.judged = judged  # type: ignore[method-assign]
    for _ in range(2):
        sent, *_ = await short.ask("/ruled/", [HOST, (b"cookie", COOKIES[0])])
        assert sent[0]["status"] == 200
    assert given == [False, True]
    await short.demur.guard.aclose()


async def test_a_path_without_a_view_opens_no_view_without_a_mark() -> None:
    """Where there was no view, nobody was refused; a view that is there later, and that nobody marked, is closed."""
    short, closed = Side(short=True, views=True), [False, False, False, True]
    await short.sign_in()

    async def judged(scope: Any, passed: Any, receive: Any, send: Any) -> bool:
        let = await passed.surface.ajudge(passed, (), native=scope, closed=closed.pop(0))
        told.append(let)
        return True

    told: list[bool] = []
    short.judged = judged  # type: ignore[method-assign]
    for _ in range(4):
        await short.ask("/members/", [HOST, (b"cookie", COOKIES[0])])
    assert told == [True, True, True, False]
    await short.demur.guard.aclose()


async def test_what_is_remembered_is_bounded() -> None:
    """Paths, names and kinds that somebody makes up."""
    side = Side(short=True)
    await side.sign_in()
    for number in range(1500):
        side.answer = ((b"x-%d" % number, b"1"), (b"content-type", b"text/%d" % number))
        await side.ask(f"/members/{number}", [HOST, (b"cookie", COOKIES[0]), (b"x-%d" % number, b"1")])
    way = side.demur._short
    assert max(len(way._ways), len(way._harmless), len(way._untouched), len(way._kinds)) <= 1024


@pytest.mark.parametrize("views", [False, True])
@pytest.mark.parametrize("accept", [b"text/html", b"application/json"])
async def test_who_is_nobody_is_told_the_same_again(accept: bytes, views: bool) -> None:
    """The very same request without credentials is answered the same, body and all, but for its reference, which is
    another one each time; anything else in it is judged anew. So it is where a rule refuses, and at a view."""
    side, told, fields = Side(short=True, views=views), [], [HOST, (b"accept", accept)]
    side.seen = []
    checked = []
    judging = "ajudge" if views else "acheck"
    judge = getattr(side.demur.guard, judging)

    async def counted(*what: Any, **more: Any) -> Any:
        checked.append(what)
        return await judge(*what, **more)

    setattr(side.demur.guard, judging, counted)
    side.decided = lambda decided: told.append((decided.reference, decided.status, decided.reason, decided.subject))  # type: ignore[method-assign]
    answers = []

    async def send(message: Any) -> None:
        answers.append(message)

    for others in ([], [], [(b"x-a", b"1")], []):
        scope = {"type": "http", "method": "GET", "path": "/members/", "raw_path": b"/members/", "query_string": b""}
        await side.demur({**scope, "scheme": "https", "headers": [*fields, *others], "client": None}, None, send)  # type: ignore[arg-type]
    # The first two, and the one with another field; at a view one more, the first that is known as nobody's.
    assert len(checked) == 3 + views
    references = [reference.encode() for reference, *_ in told]
    assert len(set(references)) == 4
    assert {each[1:] for each in told} == {(401, Reason.SIGN_IN_REQUIRED, None)}
    bodies = [each["body"] for each in answers[1::2]]
    assert all(reference in body for reference, body in zip(references, bodies, strict=True))
    assert len({body.replace(reference, b"") for reference, body in zip(references, bodies, strict=True)}) == 1
    assert [each["headers"] for each in answers[::2]] == [answers[0]["headers"]] * 4
