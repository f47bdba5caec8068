"""Every way to read a path."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from demur.core import fields, paths, rules
from demur.core.model import Access

TABLE = rules.load(
    [
        {"path": "/", "allow": "anyone"},
        {"path": "/public/**", "allow": "anyone"},
        {"path": "/café/**", "allow": "anyone"},
        {"path": "/page/{name}", "allow": "anyone"},
        {"path": "/members/**", "allow": "signed-in"},
        {"path": "/teams/{team}/**", "allow": "signed-in"},
        {"path": "/admin/**", "allow": {"groups": ["admins"]}},
        {"path": "/account", "allow": "signed-in"},
    ]
)
OPEN = rules.load(
    [
        {"path": "/**", "allow": "anyone"},
        {"path": "/admin/**", "allow": {"groups": ["admins"]}},
        {"path": "/account", "allow": "signed-in"},
        {"path": "/account.css", "allow": "anyone"},
        {"path": "/inbox/", "allow": "signed-in"},
        {"path": "/größe/**", "allow": "signed-in"},
        {"path": "/shop/{lang}/basket", "allow": "signed-in"},
        {"path": "/Public/**", "allow": "anyone"},
    ]
)


@pytest.mark.parametrize(
    ("path", "among"),
    [
        # decoded once, twice, three and four times
        (b"/a/%41", "/a/A"),
        (b"/a/%2541", "/a/A"),
        (b"/a/%252541", "/a/A"),
        (b"/a/%25252541", "/a/A"),
        # and not at all: whoever routes by the raw target takes the letters as they are
        (b"/a/%41", "/a/%41"),
        # what stays after decoding is no escape any more, and is no reason to refuse
        (b"/100%25", "/100%"),
        (b"/50%25off", "/50%off"),
        # a digit of an escape may itself be encoded
        (b"/a%25%32%66b", "/a/b"),
        # dot segments
        (b"/a/../b", "/b"),
        (b"/a/../b", "/a/../b"),
        (b"/a/./b", "/a/b"),
        (b"/a/..", "/"),
        (b"/a/b/..", "/a/"),
        (b"/a/b/.", "/a/b/"),
        (b"/../../a", "/a"),
        (b"/a/%2e%2e/b", "/b"),
        (b"/a/.%2E/b", "/b"),
        (b"/a/%252e%252e/b", "/b"),
        (b"/a/..%2fb", "/b"),
        (b"/a%2f..%2fb", "/b"),
        # an empty segment is one to go up from, unless slashes were merged before
        (b"/a//../b", "/a/b"),
        (b"/a//../b", "/b"),
        # the URL Standard resolves encoded dots and decodes nothing: the slash stays within its segment
        (b"/a/b%2fc/%2e%2e/%2e%2e/d", "/d"),
        (b"/x/%2e%2e/%61", "/%61"),
        # decoded with slashes kept, and decoded again by the next program
        (b"/a/b%2fc/%2e%2e/%64", "/a/d"),
        (b"/a/b%5cc%20/%2e%2e/%64", "/a/d"),
        # parameters
        (b"/a;x=1/b;y", "/a/b"),
        (b"/a;x=1/b;y", "/a;x=1/b;y"),
        (b"/a/..;/b", "/b"),
        (b"/a/..;x/b", "/a/../b"),
        (b"/a%3bx/b", "/a/b"),
        (b"/a;/../b", "/b"),
        (b"/a/;/../b", "/b"),
        # backslashes
        (b"/a\\..\\b", "/b"),
        (b"/a%5c..%5cb", "/b"),
        (b"/a%255c..%255cb", "/b"),
        # slashes merged or not, and taken for the beginning of an authority
        (b"/a//b", "/a/b"),
        (b"/a//b", "/a//b"),
        (b"//a/b", "/b"),
        (b"/%2fa/b", "/b"),
        (b"/\\a/b", "/b"),
        # cut at what would begin a query or a fragment
        (b"/a%3fb", "/a"),
        (b"/a%23b", "/a"),
        (b"/a#b", "/a"),
        (b"/a%253f/../b", "/a"),
        (b"/a%3f/../b", "/b"),
        (b"/a/..%23/b", "/"),
        # in another order: a proxy resolves, and the application behind it decodes again
        (b"/a/b%252fc/../d", "/a/d"),
        (b"/a/b%252fc/../d", "/a/b/d"),
    ],
)
def test_a_reading_is_among_them(path: bytes, among: str) -> None:
    """Whatever a program could make of a path is among its readings."""
    assert among in (paths.readings(path) or ())


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (b"", "empty"),
        (b"*", "no leading slash"),
        (b"public", "no leading slash"),
        (b"http://h/public", "absolute-form is taken apart before"),
        (b"/public/\x00", "control characters"),
        (b"/public/\x7f", "control characters"),
        (b"/public/a b", "a space would end the request target"),
        (b"/public/%00", "an encoded NUL ends the path for whoever is written in C"),
        (b"/public/%2500", "and so at every depth"),
        (b"/public/%0d%0ax", "a line break, too"),
        (b"/public/%7F", "and DEL"),
        (b"/public/%", "an escape that is none"),
        (b"/public/%4", "an escape that is none"),
        (b"/public/%zz", "an escape that is none"),
        (b"/public/%u0061", "an escape of IIS alone"),
        (b"/public/\xff", "not UTF-8"),
        (b"/public/%ff", "not UTF-8"),
        (b"/public/%25ff", "not UTF-8 to whoever decodes twice"),
        (b"/public/%c0%ae%c0%ae/admin", "an overlong dot"),
        (b"/public/%ed%a0%80", "half of a surrogate pair"),
        (b"/public/\xc3%a9", "half raw, half encoded"),
        (b"/public/%2525252541", "a fifth layer of encoding"),
        (b"/public/" + b"a" * 8185, "too long"),
        (b"/public/" + b"%2f" * 2000, "more marks than anybody needs"),
        (b"/public/" + b"//;/..%2f%5c%3b%252f" * 6, "more readings than anybody needs"),
    ],
)
def test_no_path(path: bytes, why: str) -> None:
    """What nobody sends in good faith is not read at all."""
    assert paths.readings(path) is None, why
    assert paths.judge(TABLE, "GET", path) is None


@given(st.text(st.characters(exclude_characters="/?#%\\;", exclude_categories=["Cc", "Cs"])))
@example("~user")
@example("Größe 1.pdf")
def test_plain_text_has_one_reading_decoded(text: str) -> None:
    """What has no meaning for anybody is read as it is, encoded or not, whatever the depth."""
    path = b"/x/" + quote(text).encode() + b"/y"
    found = paths.readings(path)
    assert found is not None
    assert unquote(path.decode()) in found
    if fields.plain_target(path):
        assert found == (unquote(path.decode()),)


def named(table: rules.Rules, path: bytes, method: str = "GET") -> set[str] | None:
    """The names of the rules that a path falls under; "-" where no rule holds. None for 400."""
    found = paths.judge(table, method, path)
    return None if found is None else {match.rule.name if match.rule else "-" for match in found}


@pytest.mark.parametrize(
    ("path", "under"),
    [
        # one reading, one rule
        (b"/public/a", {"/public/**"}),
        (b"/nothing", {"-"}),
        # readings under one rule pass
        (b"/public/a%2Fb", {"/public/**"}),
        (b"/public/a;v=1//b", {"/public/**"}),
        (b"/public/x/../y", {"/public/**"}),
        (b"/caf%C3%A9/a%40b", {"/café/**"}),
        (b"/caf\xc3\xa9/a", {"/café/**"}),
        # readings under several have to be allowed by all of them
        (b"/public/../admin", {"/public/**", "/admin/**"}),
        (b"/public/..%2fadmin", {"/public/**", "/admin/**"}),
        (b"/public/..;/admin", {"/public/**", "/admin/**"}),
        (b"/public;/a", {"/public/**", "-"}),
        (b"//admin/", {"-", "/", "/admin/**"}),
        # a capture that is bound in one way, however it is written
        (b"/page/a%40b.example", {"/page/{name}"}),
        (b"/page/100%25", {"/page/{name}"}),
        (b"/page/%7Euser", {"/page/{name}"}),
        # and in two ways
        (b"/page/a%2540b", None),
        (b"/page/a;b", None),
        (b"/page/a%3fb", None),
        (b"/teams/a%2fb/x", None),
        (b"/teams/a/../b/x", None),
    ],
)
def test_every_reading_is_judged(path: bytes, under: set[str] | None) -> None:
    """A path falls under the rules of all its readings; where one rule would mean two things, it is refused."""
    assert named(TABLE, path) == under


@pytest.mark.parametrize(
    ("path", "also"),
    [
        # letters of either case: Express, Windows, macOS
        (b"/Admin/x", "/admin/**"),
        (b"/ADMIN", "/admin/**"),
        (b"/x/..%2fAdmin", "/admin/**"),
        (b"/shop/en/Basket", "/shop/{lang}/basket"),
        (b"/GR%C3%96SSE/1", "/größe/**"),
        # other forms of a letter, and some that nobody sees: macOS, code pages of Windows
        (b"/%EF%BD%81dmin/", "/admin/**"),
        (b"/gro%CC%88%C3%9Fe/1", "/größe/**"),
        (b"/ad%E2%80%8Bmin/", "/admin/**"),
        (b"/%C2%ADadmin", "/admin/**"),
        # a dotless i is an I in capitals: Java's equalsIgnoreCase
        (b"/adm%C4%B1n", "/admin/**"),
        (b"/ADM%C4%B0N", "/admin/**"),
        # dots and spaces at the end, and streams: Windows
        (b"/admin./x", "/admin/**"),
        (b"/admin%20", "/admin/**"),
        (b"/admin.%20./x", "/admin/**"),
        (b"/admin::$DATA", "/admin/**"),
        (b"/admin:$i30:$INDEX_ALLOCATION/x", "/admin/**"),
        # a slash at the end, or none: Express
        (b"/account/", "/account"),
        (b"/inbox", "/inbox/"),
        # a suffix: Rails' (.:format), older Spring
        (b"/admin.json", "/admin/**"),
        (b"/account.xml", "/account"),
        (b"/Account.xml/", "/account"),
        # what stands behind a script: PHP's front controllers
        (b"/index.php/admin/x", "/admin/**"),
        (b"/INDEX.PHP/account/", "/account"),
        (b"/index.php./account", "/account"),
    ],
)
def test_another_name_for_what_a_rule_names(path: bytes, also: str) -> None:
    """Where some program takes a name for that of a rule, the rule holds as well."""
    assert named(OPEN, path) == {"/**", also}


@pytest.mark.parametrize(
    ("path", "only"),
    [
        (b"/Public/x", "/Public/**"),
        (b"/public/x", "/Public/**"),  # opened by nothing but /**, and not closed by its likeness
        (b"/administrator", "/**"),
        (b"/admin.d/x", "/**"),  # a suffix is at the end of a path
        (b"/.admin", "/**"),
        (b"/index.php", "/**"),
        (b"/x.php/y", "/**"),
        (b"/account.css", "/account.css"),  # a rule calls it by this name
        (b"/account/x", "/**"),
        (b"/shop/en/", "/**"),
    ],
)
def test_likeness_closes_nothing_else(path: bytes, only: str) -> None:
    """A name that stands for no rule's changes nothing."""
    assert only in (named(OPEN, path) or ())
    assert all(match.requirement.access is Access.OPEN for match in paths.judge(OPEN, "GET", path) or ())


def test_likeness_counts_only_for_rules_that_name_something() -> None:
    """A wiki whose pages are /index.php/Main_Page is not closed because nothing opens /Main_Page."""
    wiki = rules.load([{"path": "/index.php/**", "allow": "anyone"}, {"path": "/**", "allow": "signed-in"}])
    assert named(wiki, b"/index.php/Main_Page") == {"/index.php/**"}


def test_rules_that_differ_in_case_alone_all_count() -> None:
    """Where a table itself tells cases apart, a path that could mean either has to be allowed by both."""
    table = rules.load([{"path": "/API/**", "allow": "anyone"}, {"path": "/api/**", "allow": "signed-in"}])
    assert named(table, b"/API/x") == named(table, b"/api/x") == {"/API/**", "/api/**"}
    assert named(table, b"/Api/x") == {"-", "/API/**", "/api/**"}


def test_the_first_match_is_of_the_path_as_it_is_written() -> None:
    """Whoever has to name one rule names the one that the person meant."""
    found = paths.judge(TABLE, "GET", b"/public/..%2fadmin")
    assert found is not None
    assert found[0].requirement.rule == "/public/**"


def test_methods_and_hosts_count_for_every_reading() -> None:
    """A reading, and another name, fall under the rules of the request's own method and host."""
    table = rules.load(
        [
            {"path": "/**", "allow": "anyone"},
            {"path": "/admin/**", "allow": "signed-in", "methods": ["POST"]},
            {"path": "/desk/**", "allow": "signed-in", "host": "*.example.com"},
        ]
    )
    assert named(table, b"/x/..%2fadmin") == {"/**"}
    assert named(table, b"/x/..%2fadmin", "POST") == {"/**", "POST /admin/**"}
    assert named(table, b"/Admin", "POST") == {"/**", "POST /admin/**"}
    assert named(table, b"/Admin", "GET") == {"/**"}
    assert [match.requirement.rule for match in paths.judge(table, "GET", b"/Desk", "a.example.com:8443") or ()] == [
        "/**",
        "/desk/**",
    ]


def test_a_capture_is_bound_as_it_is_meant() -> None:
    """What a capture binds is decoded, also where the path needs a second look."""
    found = paths.judge(TABLE, "GET", b"/page/a%40b")
    assert found is not None
    assert found[0].captures == (("name", "a@b"),)
