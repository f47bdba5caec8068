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
        (b"/a/b%2fc/..%3b/d", "/a/d"),
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
        (b"/public/%2525252541", "a fifth layer of encoding"),
        (b"/public/" + b"a" * 8185, "too long"),
        (b"/public/" + b"%2f" * 2000, "more marks than anybody needs"),
        (b"/public//;a/..%2f%5c%3b%3f#%252f", "more readings than anybody needs"),
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
        (b"/%F0%9D%90%80dmin", "/admin/**"),
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
        (b"/shop/en/basket/x", "/**"),  # longer than any rule
        (b"/index.php/Shop/en/basket/x/", "/**"),
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


@pytest.mark.parametrize(
    ("path", "under"),
    [
        (b"/docs", {"/docs"}),  # opened by its name, although /docs/ is not
        (b"/%64ocs", {"/docs", "-"}),
        (b"/Docs", {"/docs", "-"}),
        (b"/docs/", {"/docs/**", "/docs"}),
        (b"/docs/x", {"/docs/**"}),
    ],
)
def test_a_page_may_be_open_before_what_is_below_it(path: bytes, under: set[str]) -> None:
    """A slash at the end leads to a rule that names this very page, not to the one for all that is below."""
    table = rules.load([{"path": "/docs", "allow": "anyone"}, {"path": "/docs/**", "allow": "signed-in"}])
    assert named(table, path) == under


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


HONEST = rules.load(
    [
        {"path": "/", "allow": "anyone"},
        {"path": "/public/**", "allow": "anyone"},
        {"path": "/Überblick/**", "allow": "anyone"},
        {"path": "/page/{name}", "allow": "anyone"},
        {"path": "/shop/{category}/items/**", "allow": "anyone"},
        {"path": "/v1/books", "allow": "anyone"},
        {"path": "/v1/books:search", "allow": "anyone"},
        {"path": "/index.php/**", "allow": "anyone"},
        {"path": "/API/**", "allow": "anyone"},
        {"path": "/books.json", "allow": "anyone"},
        {"path": "/books", "allow": "signed-in"},
        {"path": "/admin/**", "allow": {"groups": ["admins"]}},
    ]
)


@pytest.mark.parametrize(
    "path",
    [
        # sub-delimiters and others that RFC 3986, 3.3, has in a segment
        "/public/a+b",
        "/public/@user",
        "/public/a:b",
        "/public/~user",
        "/public/wow!",
        "/public/it's",
        "/public/f(x)",
        "/public/a,b",
        "/public/a&b=c",
        "/public/$1",
        "/public/a*b",
        "/public/a=b==",
        "/public/urn:isbn:0451450523",
        # the same, encoded by somebody careful
        "/public/a%2Bb",
        "/public/%40user",
        "/public/a%3Ab",
        "/public/%7Euser",
        "/public/wow%21",
        "/public/it%27s",
        "/public/f%28x%29",
        "/public/a%2Cb",
        "/public/a%26b%3Dc",
        "/public/%5B1%5D",
        "/public/%22quoted%22",
        # spaces and letters
        "/public/a%20b%20c.pdf",
        "/public/Gr%C3%B6%C3%9Fe.pdf",
        "/public/%E6%97%A5%E6%9C%AC%E8%AA%9E",
        "/public/%F0%9F%98%80",
        "/public/caf\N{LATIN SMALL LETTER E WITH ACUTE}",
        "/%C3%9Cberblick/a%40b",
        # a percent sign in a name
        "/public/100%25",
        "/public/100%25/x",
        "/public/50%25off",
        "/public/a%25zz",
        # ids with a slash, and addresses within addresses
        "/public/group%2Fproject",
        "/public/group%2Fproject/issues/1",
        "/public/https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc%23d",
        "/public/https://example.com/a",
        "/public/w_200,h_100/https%3A%2F%2Fexample.com%2Fpicture.png",
        "/public/C%23",
        "/public/why%3F",
        "/public/a%5Cb",
        # parameters, doubled slashes and dots under one rule
        "/public/a;v=1",
        "/public/a;v=1/b;w=2",
        "/public/x;jsessionid=1A2B",
        "/public//a",
        "/public/a//b//",
        "/public/a/../b",
        "/public/./a",
        "/public/a...b",
        "/public/...",
        "/public/.hidden",
        "/public/.well-known/x",
        "/public/a.",
        "/public/Inc.",
        # a capture that means one thing
        "/page/a%40b.example",
        "/page/%40user",
        "/page/100%25",
        "/page/a.b.c",
        "/page/Inc.",
        "/page/12:30",
        "/shop/tea%26coffee/items/1",
        "/shop/tea/items/a%2Fb",
        "/shop/tea/items/a//b;c",
        # upper case, suffixes, verbs and scripts that a rule names
        "/API/Users",
        "/API/v1.0/",
        "/books.json",
        "/v1/books:search",
        "/index.php/Main_Page",
        "/index.php/Talk:Main_Page",
        "/",
        "/public",
        "/public/",
        "/public/" + "x" * 8000,
        "/public/" + "%E6%97%A5" * 900,
        "/public/proxy/" + "https%3A%2F%2Fexample.com%2F" + "segment%2F" * 40 + "%3Fa%3Db",
    ],
)
def test_odd_but_honest_paths_stay_open(path: str) -> None:
    """What people really ask for, under one open rule, is open."""
    found = paths.judge(HONEST, "GET", path.encode())
    assert found is not None
    assert {match.requirement.access for match in found} == {Access.OPEN}, [match.requirement.rule for match in found]


@given(st.binary(max_size=60), st.sampled_from([TABLE, OPEN, HONEST]))
@example(b"/public/%", OPEN)
@example(b"/%c3%2f%a9", OPEN)
@example(b"/" + b"%25" * 2700, OPEN)
@example(b"/" + b"/;..%5c" * 1000, OPEN)
def test_no_bytes_are_too_much(octets: bytes, table: rules.Rules) -> None:
    """Whatever comes over the wire is judged or refused; the rule of the path as it is written comes first."""
    for path in (octets, b"/" + octets):
        found = paths.judge(table, "GET", path)
        assert (found is None) or len(found) > 0
        if fields.plain_path(path):
            assert found is not None
            assert found[0] == table.match("GET", path)


def test_what_is_remembered_is_little_and_the_same() -> None:
    """A plain path that comes again is judged as before, by method and host too; few are kept, and no long ones."""
    table = rules.load(
        [
            {"path": "/**", "allow": "anyone"},
            {"path": "/admin/**", "allow": {"groups": ["admins"]}, "methods": ["POST"]},
            {"path": "/admin/**", "allow": "signed-in", "host": "app.example.com"},
        ]
    )
    asked = [(method, b"/admin/x", host) for method in ("GET", "POST") for host in ("", "app.example.com")]
    first = [paths.judge(table, *each) for each in asked]
    assert [paths.judge(table, *each) for each in asked] == first
    assert len(set(first)) == 3
    for number in range(5000):
        paths.judge(table, "GET", b"/x/%d" % number)
    paths.judge(table, "GET", b"/" + b"a" * 5000)
    paths.judge(table, "GET", b"/x//y")
    assert len(table.judged) <= 1024
    assert max(len(path) for _, path, _ in table.judged) <= 256
    assert all(b"//" not in path for _, path, _ in table.judged)


def test_a_stream_of_no_file_is_a_name_like_any_other() -> None:
    """`::$DATA.php` has no name before its stream, so it is taken for a script, and what follows it for the path."""
    table = rules.load([{"path": "/", "allow": "anyone"}, {"path": "/admin", "allow": "signed-in"}])
    judged = paths.judge(table, "GET", b"/::$DATA.php/%61dmin")
    assert judged is not None
    assert {match.rule.path for match in judged if match.rule} == {"/admin"}
