"""What no answer shows by itself: when the content is read, what the view gets, and what of its answer leaves."""

from __future__ import annotations

import pytest
from tests.adapters.contract.adapters import ADAPTERS
from tests.adapters.contract.cases import AFTER_A_RULE, AFTERWARDS, FORM, Case
from tests.adapters.contract.differing import judge
from tests.adapters.contract.views import COUNTER

# Every one of these is read as `/member` by some program.
SPELLINGS = (
    "/%6dember",
    "/%6Dember",
    "/%256dember",
    "//member",
    "///member",
    "/./member",
    "/open/../member",
    "/open/%2e%2e/member",
    "/open/..%2fmember",
    "/open%2f..%2fmember",
    "/open/..;/member",
    "/open;/../member",
    "/open\\..\\member",
    "/member/",
    "/member//",
    "/member/.",
    "/member;v=1",
    "/member%3bv=1",
    "/member%2f",
    "/member%20",
    "/member%00",
    "/member.json",
    "/Member",
    "/MEMBER",
    "/member?x=/open",
    "/member%3fx",
    "/member#open",
    "/member%23open",
    "https://app.example.com/member",
)

OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override", "X_HTTP_Method_Override")

pytestmark = pytest.mark.parametrize("name", ADAPTERS)


@pytest.mark.parametrize("world", ["sessions", "login"])
@pytest.mark.parametrize("target", SPELLINGS)
def test_no_spelling_of_a_path_opens_its_view(name, target, world, stands):
    """However a path is written: the view behind it does not run for nobody."""
    stand = stands[name, world]
    for method in ("GET", "POST", "OPTIONS"):
        before = dict(COUNTER.ran)
        answer = stand.ask(Case("spelled", target), method)
        ran = {path for path, times in COUNTER.ran.items() if times != before.get(path, 0)}
        assert not ran - {"/open"}
        # Some frameworks answer OPTIONS by themselves, and a redirect leads to a path that is judged as well.
        assert answer.status >= 300 or ran == {"/open"} or method == "OPTIONS"


@pytest.mark.parametrize("field", OVERRIDES)
def test_no_field_makes_another_method_of_it(name, field, stands):
    """A field that asks for another method changes nothing."""
    before = COUNTER.ran.get("/posted", 0)
    answer = stands[name, "sessions"].ask(Case("overridden", "/posted", fields=((field, "POST"),)), "GET")
    assert COUNTER.ran.get("/posted", 0) == before
    assert answer.status in {401, 405}


@pytest.mark.parametrize("world", ["sessions", "login"])
@pytest.mark.parametrize(
    ("path", "who"), [("/posted", ""), ("/posted", "expired"), ("/json", ""), ("/ruled/staff", "")]
)
def test_what_is_refused_is_refused_before_its_content_is_read(name, path, who, world, stands):
    """The answer begins before anybody reads what was sent."""
    happened: list[str] = []
    case = Case("refused early", path, who=who, method="POST", body="x=1", fields=FORM)
    answer = stands[name, world].ask(case, "POST", seen=happened.append)
    assert answer.status in {401, 405}
    read_first = "read" in happened[: happened.index("start")]
    ruled = path.startswith("/ruled/") and world == "sessions"
    judge(name, AFTER_A_RULE if ruled else AFTERWARDS, ["the content was read first"] if read_first else [])


def test_a_stream_is_not_held_back(name, stands):
    """Each part of an answer leaves when it is there."""
    happened: list[str] = []
    COUNTER.watch = lambda: happened.append("made")
    try:
        answer = stands[name, "sessions"].ask(Case("streamed", "/stream", who="bo"), "GET", seen=happened.append)
    finally:
        COUNTER.watch = None
    assert answer.body == b"one by one"
    said = [each for each in happened if each in {"made", "part"}]
    assert said.index("part") < len(said) - 1 - said[::-1].index("made")


@pytest.mark.parametrize("world", ["sessions", "login"])
def test_what_leaves_is_for_its_person(name, world, stands):
    """The app can set no cookie of ours and promise nothing for us, and no shared cache keeps what a person got."""
    answer = stands[name, world].ask(Case("dressed", "/sets", who="bo"), "GET")
    assert answer.status == 200
    assert world == "login" or "set-cookie" not in dict(answer.fields)
    assert "demur-processed" not in dict(answer.fields)
    control = {part.strip() for part in dict(answer.fields)["cache-control"].split(",")}
    assert control == {"private", "max-age=60"}
    own = stands[name, world].ask(Case("its own", "/sets-its-own", who="bo"), "GET")
    assert dict(own.fields)["set-cookie"] == "theirs=2; Path=/"


@pytest.mark.parametrize("asked", ["GET", "POST"])
def test_a_preflight_reaches_no_view(name, asked, stands):
    """Where the site has no policy for other origins, the framework may answer, and no view."""
    fields = (("origin", "https://partner.example.org"), ("access-control-request-method", asked))
    stand = stands[name, "plain"]
    before = dict(COUNTER.ran)
    for path in ("/member", "/open", "/unmarked", "/nothing/here"):
        answer = stand.ask(Case("preflight", path, who="bo", fields=fields), "OPTIONS")
        assert "access-control-allow-origin" not in dict(answer.fields)
        assert answer.status in {200, 204, 400, 404, 405}
    assert COUNTER.ran == before


@pytest.mark.parametrize(
    ("path", "times"), [("/open", 0), ("/member", 1), ("/report", 1), ("/maybe", 1), ("/ruled/staff", 1)]
)
def test_the_app_is_asked_once_who_it_is(name, path, times, stands):
    """A bridge may cost a look into a database: it is asked once, and not at all for an open page."""
    stand = stands[name, "login"]
    before = COUNTER.asked
    stand.ask(Case("counted", path, who="bo"), "GET")
    assert COUNTER.asked - before == times
