"""May this happen, and if not, why not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.support import NOW, SITE, TOKEN, make_live, make_request, make_site

from demur.core import decide, rules
from demur.core.model import (
    Absent,
    Access,
    Actor,
    Allow,
    Ended,
    Ending,
    Evidence,
    Malformed,
    Preflight,
    Refuse,
    Request,
    Scheme,
    Touch,
    Unknown,
)
from demur.core.reasons import Reason
from demur.core.site import Cors

SAME = {"sec_fetch_site": "same-origin"}
COOKIE = {"cookie": f"__Host-demur={TOKEN}"}


def judge(request: Request, evidence: Evidence) -> Allow | Refuse:
    """Plan and decide."""
    requirement = SITE.rules.match(request.method, request.path).requirement
    return decide.decide(SITE, request, requirement, evidence, NOW)


ENDED = Ended(Ending.ENDED, NOW - 100, Actor.SELF)


@pytest.mark.parametrize(
    ("target", "evidence", "reason"),
    [
        # nobody
        ("/members/", Absent(), Reason.SIGN_IN_REQUIRED),
        ("/staff/", Absent(), Reason.SIGN_IN_REQUIRED),
        ("/nowhere", Absent(), Reason.SIGN_IN_REQUIRED),
        ("/public/x", Absent(), None),
        ("/who", Absent(), None),
        # credentials that are none
        ("/members/", Malformed(), Reason.CREDENTIALS_INVALID),
        ("/members/", Unknown(), Reason.CREDENTIALS_INVALID),
        ("/public/x", Malformed(), None),
        ("/who", Unknown(), None),
        # sessions that were
        ("/members/", ENDED, Reason.SESSION_ENDED),
        ("/members/", replace(ENDED, how=Ending.REVOKED), Reason.SESSION_REVOKED),
        ("/members/", replace(ENDED, how=Ending.IDLE), Reason.SESSION_IDLE),
        ("/members/", replace(ENDED, how=Ending.EXPIRED), Reason.SESSION_EXPIRED),
        ("/members/", replace(ENDED, how=Ending.REPLACED, when=NOW - 1), Reason.SESSION_REPLACED),
        ("/members/", make_live(quiet=3600, age=4000), Reason.SESSION_IDLE),
        ("/members/", make_live(age=86400), Reason.SESSION_EXPIRED),
        # a dead session wins over permission
        ("/staff/", ENDED, Reason.SESSION_ENDED),
        ("/who", ENDED, None),
        # suspended is as good as revoked, whatever happened to the session itself
        ("/members/", make_live(suspended=True), Reason.SESSION_REVOKED),
        # signed in
        ("/members/", make_live(), None),
        ("/staff/", make_live(groups=["admins"]), None),
        ("/staff/", make_live(groups=["other"]), Reason.NOT_PERMITTED),
        ("/board/", make_live(groups=["staff"]), Reason.NOT_PERMITTED),
        ("/board/", make_live(groups=["staff", "board", "x"]), None),
        ("/reports/1", make_live(groups=["staff"]), Reason.NOT_PERMITTED),
        ("/reports/1", make_live(groups=["readers"]), None),
        ("/reports/1", make_live(grants=(("report:read", NOW + 1),)), None),
        ("/reports/1", make_live(grants=(("report:read", NOW),)), Reason.NOT_PERMITTED),
        ("/reports/1", make_live(grants=(("report:write", NOW + 1),)), Reason.NOT_PERMITTED),
        # what no rule opens is closed to everybody
        ("/nowhere", make_live(groups=["admins", "staff", "board"]), Reason.NOT_PERMITTED),
        # fresh
        ("/admin/", make_live(groups=["admins"], age=900), None),
        ("/admin/", make_live(groups=["admins"], age=901), Reason.STEP_UP_REQUIRED),
        ("/admin/", make_live(groups=["staff"], age=901), Reason.NOT_PERMITTED),  # nobody confirms for nothing
        # concealed beside pages for people who are signed in
        ("/inner/vault/x", Absent(), Reason.SIGN_IN_REQUIRED),
        ("/inner/vault/x", ENDED, Reason.SESSION_ENDED),
        ("/inner/vault/x", make_live(), Reason.NOT_FOUND),
        ("/inner/vault/x", make_live(groups=["admins"]), None),
        # concealed beside open pages
        ("/open/vault/x", Absent(), Reason.NOT_FOUND),
        ("/open/vault/x", Malformed(), Reason.NOT_FOUND),
        ("/open/vault/x", ENDED, Reason.NOT_FOUND),
        ("/open/vault/x", make_live(), Reason.NOT_FOUND),
        ("/open/vault/x", make_live(groups=["admins"]), None),
        ("/open/vault/x", make_live(groups=["admins"], age=901), Reason.STEP_UP_REQUIRED),
    ],
)
def test_the_decision(target: str, evidence: Evidence, reason: Reason | None) -> None:
    """For each kind of evidence and requirement there is one answer."""
    decision = judge(make_request(target=target), evidence)
    assert (decision.reason if isinstance(decision, Refuse) else None) is reason


def test_what_is_asked_in_place_of_a_concealed_page_is_open_to_them() -> None:
    """Anything but HEAD asks the site with GET, so GET has to be open beside the concealed page, too."""
    closed: dict[str, object] = {"path": "/*/export", "methods": ["GET"], "allow": {"groups": ["admins"]}}
    table: list[dict[str, object]] = [
        {"path": "/**", "allow": "anyone"},
        {"path": "/vault/**", "allow": {"groups": ["keepers"]}, "conceal": True},
    ]
    for all_, reason in ((table, Reason.NOT_FOUND), ([*table, closed], Reason.SIGN_IN_REQUIRED)):
        site = make_site(rules=rules.load(all_))
        plan = decide.plan(site, request := make_request("POST", "/vault/export"))
        assert isinstance(plan, decide.Plan)
        decision, _ = decide.strictest(site, request, plan, Absent(), NOW)
        assert isinstance(decision, Refuse)
        assert decision.reason is reason


def test_details_of_a_refusal() -> None:
    """A refusal carries what may be said: when it ended, who it is, which kind of thing is missing, how fresh."""
    ended = judge(make_request(target="/members/"), ENDED)
    assert isinstance(ended, Refuse)
    assert ended.details.ended_at == NOW - 100
    lacking = judge(make_request(target="/staff/"), make_live())
    assert isinstance(lacking, Refuse)
    assert lacking.details.subject is not None
    assert lacking.details.missing == ("group",)
    stale = judge(make_request(target="/admin/"), make_live(groups=["admins"], age=1200))
    assert isinstance(stale, Refuse)
    assert (stale.details.max_age, stale.details.acr_values) == (900, ())
    invalid = judge(make_request(target="/members/"), Unknown())
    assert isinstance(invalid, Refuse)
    assert invalid.details == type(invalid.details)()


def test_strength() -> None:
    """A rule that asks for strength is met by a sign-in of one of the kinds it names."""
    requirement = replace(SITE.rules.match("GET", b"/members/").requirement, acr=("phr", "phrh"))
    weak = decide.decide(SITE, make_request(target="/members/"), requirement, make_live(), NOW)
    assert isinstance(weak, Refuse)
    assert (weak.reason, weak.details.acr_values) == (Reason.STEP_UP_REQUIRED, ("phr", "phrh"))
    live = make_live()
    strong = replace(live, session=replace(live.session, acr="phr"))
    assert isinstance(decide.decide(SITE, make_request(target="/members/"), requirement, strong, NOW), Allow)


@pytest.mark.parametrize(
    ("evidence", "holder"),
    [
        (replace(ENDED, subject="0192-bo"), "0192-bo"),
        (replace(ENDED, how=Ending.REPLACED, when=NOW - 1, subject="0192-bo"), "0192-bo"),
        (ENDED, ""),  # a tombstone that does not know
        (make_live(quiet=3600, age=4000), "0192-bo"),
        (make_live(age=86400), "0192-bo"),
        # nothing is told of how and when somebody was suspended, and so no more than that the session is over
        (make_live(suspended=True), ""),
        (Unknown(), ""),
        (Malformed(), ""),
        (Absent(), ""),
    ],
)
def test_whose_session_it_was(evidence: Evidence, holder: str) -> None:
    """The holder of an id that once was valid is told whose it was, so that nobody's work is gone on with as another
    person; nobody else is told anything."""
    decision = judge(make_request(target="/members/"), evidence)
    assert isinstance(decision, Refuse)
    assert decision.details.holder == holder


def test_whose_token_it_was_is_not_told() -> None:
    """A token is held by programs, which have no use for it."""
    tombstone = replace(ENDED, how=Ending.REVOKED, subject="0192-bo")
    requirement = SITE.rules.match("GET", b"/members/").requirement
    decision = decide.decide(SITE, make_request(target="/members/"), requirement, tombstone, NOW, Scheme.BEARER)
    assert isinstance(decision, Refuse)
    assert (decision.reason, decision.details.holder) == (Reason.TOKEN_REVOKED, "")


BO = {"demur_subject": "0192-bo"}
ANNA = {"demur_subject": "0192-anna"}


@pytest.mark.parametrize(
    ("target", "evidence", "fields", "reason"),
    [
        ("/members/", make_live(), BO, None),
        ("/members/", make_live(), {"demur_subject": " 0192-bo\t"}, None),
        ("/members/", make_live(), ANNA, Reason.SUBJECT_CHANGED),
        ("/who", make_live(), BO, None),
        ("/who", make_live(), ANNA, Reason.SUBJECT_CHANGED),  # nobody is refused here, and nobody taken for another
        ("/public/x", make_live(), ANNA, None),  # whoever it is
        # what is malformed is nobody's name
        ("/members/", make_live(), {"demur_subject": ""}, Reason.SUBJECT_CHANGED),
        ("/members/", make_live(), {"demur_subject": "0192-BO"}, Reason.SUBJECT_CHANGED),
        ("/members/", make_live(), {"demur_subject": "0192-bo, 0192-bo"}, Reason.SUBJECT_CHANGED),
        # nobody is signed in, so nobody is somebody else
        ("/members/", Absent(), ANNA, Reason.SIGN_IN_REQUIRED),
        ("/members/", ENDED, ANNA, Reason.SESSION_ENDED),
        ("/members/", make_live(suspended=True), ANNA, Reason.SESSION_REVOKED),
        ("/members/", make_live(quiet=3600, age=4000), ANNA, Reason.SESSION_IDLE),
        ("/who", Absent(), ANNA, None),
        ("/who", ENDED, ANNA, None),
        # a precondition comes last
        ("/staff/", make_live(), ANNA, Reason.NOT_PERMITTED),
        ("/admin/", make_live(groups=["admins"], age=901), ANNA, Reason.STEP_UP_REQUIRED),
        ("/admin/", make_live(groups=["admins"]), ANNA, Reason.SUBJECT_CHANGED),
        ("/members/..%2fwho", make_live(), ANNA, Reason.SUBJECT_CHANGED),
        ("/members/..%2fstaff/", make_live(), ANNA, Reason.NOT_PERMITTED),
    ],
)
def test_whom_a_request_is_meant_for(target: str, evidence: Evidence, fields: dict[str, str], reason: Reason) -> None:
    """What a page made for one person asks is never answered as another."""
    request = make_request(target=target, **fields)
    plan = decide.plan(SITE, request)
    assert isinstance(plan, decide.Plan)
    decision, _ = decide.strictest(SITE, request, plan, evidence, NOW)
    assert (decision.reason if isinstance(decision, Refuse) else None) is reason


@pytest.mark.parametrize("other", ["0192-bo", "0192-anna"])
def test_said_twice_is_said_for_nobody(other: str) -> None:
    """Of two lines nobody knows which one counts."""
    lines = ((b"demur-subject", b"0192-bo"), (b"demur-subject", other.encode()))
    decision = judge(replace(make_request(target="/members/"), fields=lines), make_live())
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.SUBJECT_CHANGED


@pytest.mark.parametrize(("around", "allowed"), [("open", True), ("inner", False)])
@pytest.mark.parametrize("groups", [[], ["admins"]])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_whom_a_request_is_meant_for_reveals_nothing(
    around: str, allowed: bool, groups: list[str], method: str
) -> None:
    """To somebody who may not know of a concealed page it is as a page beside it that is not there, whoever it is said
    to be meant for. Who may come in is told."""

    def outcome(target: str) -> Reason | None:
        request = make_request(method, target, **ANNA, **SAME)
        plan = decide.plan(SITE, request)
        assert isinstance(plan, decide.Plan)
        decision, _ = decide.strictest(SITE, request, plan, make_live(groups=groups), NOW)
        if isinstance(decision, Refuse) and decision.reason is Reason.NOT_FOUND:
            # It is what the site says there, as it is asked for that person.
            assert decision.details.beside == Allow()
            return None
        return decision.reason if isinstance(decision, Refuse) else None

    concealed, missing = outcome(f"/{around}/vault/gold"), outcome(f"/{around}/nothing")
    assert missing is (None if allowed else Reason.SUBJECT_CHANGED)
    assert concealed is (Reason.SUBJECT_CHANGED if groups else missing)


@pytest.mark.parametrize(
    ("method", "fields", "refused"),
    [
        ("GET", {"sec_fetch_site": "cross-site"}, False),
        ("HEAD", {"sec_fetch_site": "cross-site"}, False),
        ("POST", SAME, False),
        ("POST", {"sec_fetch_site": "none"}, False),
        ("POST", {"sec_fetch_site": "same-site"}, True),
        ("POST", {"sec_fetch_site": "cross-site"}, True),
        ("POST", {"sec_fetch_site": "cross-site", "origin": "https://app.example.com"}, True),
        ("POST", {"origin": "https://app.example.com"}, False),
        ("POST", {"origin": "https://evil.example"}, True),
        ("POST", {"origin": "null"}, True),
        ("POST", {}, False),  # no browser
        ("POST", {"referer": "https://app.example.com/"}, True),  # a browser that hides where it comes from
        ("DELETE", {"sec_fetch_site": "cross-site"}, True),
        ("GET", {"upgrade": "websocket", "origin": "https://evil.example"}, True),
        ("GET", {"upgrade": "websocket", "origin": "https://app.example.com"}, False),
    ],
)
def test_cross_site(method: str, fields: dict[str, str], refused: bool) -> None:
    """What changes something, or opens a channel, has to come from the site itself."""
    decision = judge(make_request(method, "/members/", **fields), make_live())
    assert isinstance(decision, Refuse) is refused
    if refused:
        assert isinstance(decision, Refuse)
        assert decision.reason is Reason.CROSS_SITE_REFUSED
        # somebody who is not signed in is told that first, and an open page asks nobody
        first = judge(make_request(method, "/members/", **fields), Absent())
        assert isinstance(first, Refuse)
        assert first.reason is Reason.SIGN_IN_REQUIRED
        assert judge(make_request(method, "/who", **fields), make_live()) == Allow()


@pytest.mark.parametrize(
    ("target", "fields", "quiet", "touched"),
    [
        ("/members/", {}, 359, False),
        ("/members/", {}, 360, True),
        ("/members/", {"demur_background": "?1"}, 360, False),
        ("/members/", {"sec_purpose": "prefetch"}, 360, False),
        ("/members/", {"sec_purpose": "prefetch;prerender"}, 360, False),
        ("/members/", {"purpose": "prefetch"}, 360, False),
        ("/poll", {}, 360, False),
        ("/who", {}, 360, True),
    ],
)
def test_activity(target: str, fields: dict[str, str], quiet: int, touched: bool) -> None:
    """Being seen is noted once per tenth of the idle time, and not for what a page or a browser asks by itself."""
    live = make_live(quiet=quiet, age=4000)
    decision = judge(make_request(target=target, **fields), live)
    assert isinstance(decision, Allow)
    assert decision.changes == ((Touch(live.session.id, NOW),) if touched else ())
    assert decision.ends is not None
    assert decision.ends.idle == (NOW if touched else live.session.last_seen) + 3600


@pytest.mark.parametrize("fields", [{}, COOKIE, {"cookie": "__Host-demur=junk"}])
def test_a_public_path_looks_nothing_up(fields: dict[str, str]) -> None:
    """An open path asks neither for keys nor for a session."""
    plan = decide.plan(SITE, make_request(target="/public/x", **fields))
    assert isinstance(plan, decide.Plan)
    assert (plan.matches[0].requirement.access, plan.looks) == (Access.OPEN, False)


def test_preflight() -> None:
    """A preflight to a restricted path is nobody's request; anything less is an ordinary OPTIONS."""
    asked = {"origin": "https://x.example", "access_control_request_method": "PUT"}
    assert decide.plan(SITE, make_request("OPTIONS", "/members/", **asked)) == Preflight(forward=False)
    forwarding = make_site(cors=Cors(upstream=True))
    assert decide.plan(forwarding, make_request("OPTIONS", "/members/", **asked)) == Preflight(forward=True)
    for fields in ({}, {"origin": "https://x.example"}, {"access_control_request_method": "PUT"}):
        ordinary = decide.plan(SITE, make_request("OPTIONS", "/members/", **fields))
        assert isinstance(ordinary, decide.Plan)
    # an open path is the site's own, preflights too
    assert isinstance(decide.plan(SITE, make_request("OPTIONS", "/public/x", **asked)), decide.Plan)


@pytest.mark.parametrize(("method", "target"), [("post", "/public/x"), ("Get", "/members/"), ("pATCH", "/nowhere")])
def test_a_method_in_small_letters_is_refused(method: str, target: str) -> None:
    """Methods are case-sensitive (RFC 9110, 9.1), and some programs behind us put them into capitals all the same."""
    decision = decide.plan(SITE, make_request(method, target))
    assert isinstance(decision, Refuse)
    assert (decision.reason, decision.details.detail) == (
        Reason.REQUEST_MALFORMED,
        "The method has small letters, which some programs read as capitals.",
    )


@pytest.mark.parametrize("target", ["x", "*", "/public/%zz", "/public/\x01", "/public/%00", "/public/x?a#b", "/%ff"])
def test_what_is_no_target_is_refused(target: str) -> None:
    """What nobody sends in good faith is no request for anything."""
    decision = decide.plan(SITE, make_request(target=target))
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.REQUEST_MALFORMED


@pytest.mark.parametrize(
    ("target", "groups", "reason"),
    [
        # everything that any reading asks for has to be met
        ("/public/../staff/", [], Reason.NOT_PERMITTED),
        ("/public/../staff/", ["staff"], None),
        ("/public/%2e%2e/staff/", [], Reason.NOT_PERMITTED),
        ("/public/..;x/staff/", ["staff"], None),
        ("/public\\..\\staff/", [], Reason.NOT_PERMITTED),
        ("/members/..%2fstaff/", [], Reason.NOT_PERMITTED),
        # of several refusals the one that is hardest to mend
        ("/staff/..%2fadmin/", ["board"], Reason.NOT_PERMITTED),
        # one rule under every reading
        ("/members/a%2Fb", [], None),
        ("/members//x;v=1", [], None),
    ],
)
def test_all_readings_are_met(target: str, groups: list[str], reason: Reason | None) -> None:
    """Of a path with several readings the strictest decision counts."""
    request = make_request(target=target, **COOKIE)
    plan = decide.plan(SITE, request)
    assert isinstance(plan, decide.Plan)
    decision, _ = decide.strictest(SITE, request, plan, make_live(groups=groups), NOW)
    assert (decision.reason if isinstance(decision, Refuse) else None) is reason


def test_what_somebody_is_does_not_matter_where_all_readings_are_open() -> None:
    """A path with several readings, all of them open, looks nothing up either."""
    plan = decide.plan(SITE, make_request(target="/public//x;v=1"))
    assert isinstance(plan, decide.Plan)
    assert not plan.looks
    plan = decide.plan(SITE, make_request(target="/public/..%2fmembers/"))
    assert isinstance(plan, decide.Plan)
    assert plan.looks
