"""Which rule holds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demur.core import rules
from demur.core.model import Access, ConfigError, Form, Terms
from demur.core.rules import tree

SIGNED_IN = {"allow": "signed-in"}


def named(*paths: str) -> rules.Rules:
    """Rules that are called as their paths are."""
    return rules.load([{"path": path, "name": path, **SIGNED_IN} for path in paths])


@pytest.mark.parametrize(
    ("table", "path", "winner"),
    [
        # what no rule opens is closed
        (["/a"], "/b", None),
        (["/a"], "/a/", None),
        (["/a"], "/a/b", None),
        (["/"], "/", "/"),
        (["/"], "/a", None),
        # `/x/**` also matches `/x` and `/x/`
        (["/x/**"], "/x", "/x/**"),
        (["/x/**"], "/x/", "/x/**"),
        (["/x/**"], "/x/y/z", "/x/**"),
        (["/x/**"], "/xy", None),
        (["/**"], "/", "/**"),
        (["/**"], "/anything/at/all", "/**"),
        # matching is by segment
        (["/ad*n"], "/ad*n", "error"),
        (["/public/**"], "/publicity", None),
        # literal before capture before star before double star, segment by segment
        (["/a/**", "/a/*", "/a/{id}", "/a/b"], "/a/b", "/a/b"),
        (["/a/**", "/a/*", "/a/{id}"], "/a/b", "/a/{id}"),
        (["/a/**", "/a/*"], "/a/b", "/a/*"),
        (["/a/**", "/a/*"], "/a/b/c", "/a/**"),
        # the first segment that differs decides, not the number of literals
        (["/a/{id}/x/y", "/a/b/**"], "/a/b/x/y", "/a/b/**"),
        (["/{id}/b/c", "/a/**"], "/a/b/c", "/a/**"),
        # a more specific branch that leads nowhere does not hide a rule that matches
        (["/a/b/c", "/a/{id}/d"], "/a/b/d", "/a/{id}/d"),
        (["/a/b/c", "/**"], "/a/b/d", "/**"),
        # one segment is one, and not none
        (["/a/*"], "/a/", None),
        (["/a/{id}"], "/a/", None),
        (["/a/*/c"], "/a//c", None),
        # people's spelling and the wire's
        (["/größe/**"], "/gr%C3%B6%C3%9Fe/1", "/größe/**"),
        (["/a b"], "/a%20b", "/a b"),
        # letters are compared as they are: what another program folds is for the readings
        (["/Admin/**"], "/admin/", None),
    ],
)
def test_the_most_specific_rule_wins(table: list[str], path: str, winner: str | None) -> None:
    """Of all rules that match, the most specific one holds; if none does, nobody may."""
    if winner == "error":
        with pytest.raises(ConfigError, match="whole segment"):
            named(*table)
        return
    for order in (table, table[::-1]):
        match = named(*order).match("GET", path.encode("ascii"))
        assert (match.rule.name if match.rule else None) == winner
        if winner is None:
            assert match.requirement.access is Access.REQUIRED
            assert match.requirement.terms.nobody


@pytest.mark.parametrize(
    ("method", "path", "winner"),
    [
        ("GET", "/a", "read"),
        ("HEAD", "/a", "read"),  # HEAD follows GET
        ("POST", "/a", "any"),
        ("POST", "/b/c", "whole"),  # a rule for other methods does not hide a less specific one
        ("GET", "/b/c", "only"),
    ],
)
def test_methods_come_last(method: str, path: str, winner: str) -> None:
    """A rule with methods stands before one without, on the same path."""
    table = rules.load(
        [
            {"path": "/a", "name": "any", **SIGNED_IN},
            {"path": "/a", "name": "read", "methods": ["GET"], **SIGNED_IN},
            {"path": "/b/c", "name": "only", "methods": ["GET"], **SIGNED_IN},
            {"path": "/b/**", "name": "whole", **SIGNED_IN},
        ]
    )
    match = table.match(method, path.encode())
    assert match.rule is not None
    assert match.rule.name == winner


@pytest.mark.parametrize(
    ("host", "winner"),
    [
        ("app.example.com", "exact"),
        ("app.example.com:8443", "exact"),
        ("[::1]", "none"),
        ("shop.example.com", "wild"),
        ("a.b.example.com", "wilder"),
        ("example.com", "none"),
        ("evilexample.com", "none"),
        ("", "none"),
    ],
)
def test_hosts_come_first(host: str, winner: str) -> None:
    """An exact host stands before a wildcard, the longer wildcard before the shorter, any of them before none."""
    table = rules.load(
        [
            {"path": "/very/specific/path", "name": "deep", **SIGNED_IN},
            {"path": "/**", "name": "none", **SIGNED_IN},
            {"path": "/**", "name": "wild", "host": "*.example.com", **SIGNED_IN},
            {"path": "/**", "name": "wilder", "host": "*.b.example.com", **SIGNED_IN},
            {"path": "/**", "name": "exact", "host": "app.example.com", **SIGNED_IN},
        ]
    )
    match = table.match("GET", b"/x", host)
    assert match.rule is not None
    assert match.rule.name == winner


def test_captures_are_bound() -> None:
    """A capture binds one decoded segment."""
    match = named("/teams/{team}/members/{who}/**").match("GET", b"/teams/r%C3%B6ne/members/7/x")
    assert match.captures == (("team", "röne"), ("who", "7"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"path": "/a"}, {"path": "/a"}),
        ({"path": "/a/{id}"}, {"path": "/a/{name}"}),
        ({"path": "/a/**"}, {"path": "/a/**"}),
        ({"path": "/a", "methods": ["GET", "POST"]}, {"path": "/a", "methods": ["POST"]}),
        ({"path": "/a", "methods": ["GET"]}, {"path": "/a", "methods": ["HEAD"]}),
        ({"path": "/a", "host": "x.example"}, {"path": "/a", "host": "X.example"}),
    ],
)
def test_equally_specific_rules_are_an_error(first: dict[str, object], second: dict[str, object]) -> None:
    """Two rules between which nothing decides are refused at load, and both are named."""
    with pytest.raises(ConfigError) as caught:
        rules.load([{**first, "name": "one", **SIGNED_IN}, {**second, "name": "other", **SIGNED_IN}])
    assert "one" in caught.value.message
    assert "other" in caught.value.message
    assert caught.value.place == "rule 2"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "A rule needs a path"),
        ({"path": "/a"}, "A rule needs 'allow'"),
        ({"path": 3, **SIGNED_IN}, "A rule needs a path"),
        ({"path": "a", **SIGNED_IN}, "does not begin with a slash"),
        ({"path": "/a/**/b", **SIGNED_IN}, '"**" in the middle'),
        ({"path": "/a//b", **SIGNED_IN}, "empty or a dot segment"),
        ({"path": "/a/../b", **SIGNED_IN}, "empty or a dot segment"),
        ({"path": "/a%20b", **SIGNED_IN}, "stands for something else"),
        ({"path": "/a?x=1", **SIGNED_IN}, "stands for something else"),
        ({"path": "/a/x*", **SIGNED_IN}, "not a whole segment"),
        ({"path": "/a/{1}", **SIGNED_IN}, "not a whole segment"),
        ({"path": "/a", "allow": "everyone"}, "not something to allow"),
        ({"path": "/a", "allow": {}}, "not something to allow"),
        ({"path": "/a", "allow": {"groups": []}}, "'groups' is a list of texts"),
        ({"path": "/a", "allow": {"groups": "staff"}}, "'groups' is a list of texts"),
        ({"path": "/a", "allow": {"group": ["staff"]}}, "Did you mean 'groups'?"),
        ({"path": "/a", "allow": {"fresh": "soon"}}, "not a duration"),
        ({"path": "/a", "allow": {"fresh": True}}, "not a duration"),
        ({"path": "/a", "allow": {"permission": "reports:read"}}, "Did you mean 'report:read'?"),
        ({"path": "/a", "alow": "anyone"}, "Did you mean 'allow'?"),
        ({"path": "/a", "user_agent": "curl", **SIGNED_IN}, "Unknown key 'user_agent'"),
        ({"path": "/a", "identify": True, **SIGNED_IN}, "goes with allow"),
        ({"path": "/a", "methods": ["get"], **SIGNED_IN}, "not a method"),
        ({"path": "/a", "methods": [], **SIGNED_IN}, "'methods' is a list of texts"),
        ({"path": "/a", "form": "html", **SIGNED_IN}, "not a form of refusal"),
        ({"path": "/a", "keeps_alive": "no", **SIGNED_IN}, "true or false"),
        ({"path": "/a", "name": 7, **SIGNED_IN}, "is a text"),
        ({"path": "/a", "requestable": True, **SIGNED_IN}, "cannot be used in this version"),
        ({"path": "/a", "allow": {"strength": "mfs"}}, "Did you mean 'mfa'"),
        ({"path": "/a", "allow": {"strength": "gold"}}, 'strength = ["…"]'),
        ({"path": "/a", "allow": {"strength": ["a b"]}}, "cannot stand in acr_values"),
        ({"path": "/a", "allow": "signed-in", "accepts": ["digest"]}, "'accepts' is a list"),
        ({"path": "/a", "allow": "signed-in", "accepts": "basic"}, "'accepts' is a list"),
        ({"path": "/a", "allow": "signed-in", "challenge": "basic"}, "would ask for Basic and not accept it"),
        ({"path": "/a", "allow": "signed-in", "challenge": "digest"}, "cannot be asked for"),
        ({"path": "/a", "allow": "signed-in", "origins": ["https://a.example/"]}, "is not an origin"),
        ({"path": "/a", "allow": "signed-in", "host": "a.example:8443"}, "is not the name of a host"),
        ({"path": "/a", "allow": "signed-in", "host": "https://a.example"}, "is not the name of a host"),
        ({"path": "/a", "allow": "signed-in", "host": "a.example."}, "is not the name of a host"),
        ({"path": "/a", "allow": "signed-in", "host": "*"}, "is not the name of a host"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused(table: dict[str, object], said: str) -> None:
    """A mistake names the rule, says what is wrong and what to do."""
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        rules.load([{"path": "/fine", "allow": "anyone"}, table], {"report:read": ["staff"]})
    assert caught.value.place == "rule 2"
    assert caught.value.fix


@pytest.mark.parametrize(
    ("allow", "access", "terms", "max_age"),
    [
        ("anyone", Access.OPEN, Terms(), None),
        ("signed-in", Access.REQUIRED, Terms(), None),
        ("nobody", Access.REQUIRED, Terms(nobody=True), None),
        ({"groups": ["a", "b"]}, Access.REQUIRED, Terms(groups=frozenset("ab")), None),
        ({"all_groups": ["a"], "fresh": "15m"}, Access.REQUIRED, Terms(all_groups=frozenset("a")), 900),
        (
            {"permission": "report:read"},
            Access.REQUIRED,
            Terms(permission="report:read", permission_groups=frozenset(("staff",))),
            None,
        ),
    ],
)
def test_what_a_rule_asks(allow: object, access: Access, terms: Terms, max_age: int | None) -> None:
    """Each way to allow becomes a requirement."""
    (rule,) = rules.load([{"path": "/a", "allow": allow}], {"report:read": ["staff"]}).all
    assert (rule.requirement.access, rule.requirement.terms, rule.requirement.max_age) == (access, terms, max_age)


def test_further_keys_of_a_rule() -> None:
    """`identify`, `form` and `keeps_alive` arrive in the requirement."""
    (rule,) = rules.load([{"path": "/a", "allow": "anyone", "identify": True, "form": "api", "keeps_alive": False}]).all
    requirement = rule.requirement
    assert requirement.access is Access.OPTIONAL
    assert requirement.form is Form.API
    assert not requirement.keeps_alive


@pytest.mark.parametrize(
    ("table", "can_ask", "said"),
    [
        ([{"path": "/v/**", "conceal": True, **SIGNED_IN}, {"path": "/**", **SIGNED_IN}], False, "needs a site"),
        ([{"path": "/v/**", "conceal": True, **SIGNED_IN}], True, "would be refused"),
        (
            [{"path": "/v/**", "conceal": True, **SIGNED_IN}, {"path": "/**", "allow": {"groups": ["x"]}}],
            True,
            "would be refused",
        ),
        (
            [{"path": "/v/**", "conceal": True, **SIGNED_IN}, {"path": "/**", "allow": {"fresh": "1m"}}],
            True,
            "would be refused",
        ),
        ([{"path": "/v/**", "conceal": True, **SIGNED_IN}, {"path": "/*", **SIGNED_IN}], True, "would be refused"),
        (
            [{"path": "/v/**", "conceal": True, "form": "api", **SIGNED_IN}, {"path": "/**", **SIGNED_IN}],
            True,
            "in other words",
        ),
        ([{"path": "/**", "conceal": True, **SIGNED_IN}], True, "nothing here to conceal"),
        ([{"path": "/v/**", "conceal": True, "allow": "anyone"}, {"path": "/**", **SIGNED_IN}], True, "nothing here"),
    ],
)
def test_conceal_where_it_would_show(table: list[dict[str, object]], can_ask: bool, said: str) -> None:
    """`conceal` is an error where the site cannot be asked, or where an unused page beside it would be refused."""
    with pytest.raises(ConfigError, match=said):
        rules.load(table, can_ask=can_ask)


@pytest.mark.parametrize(("around", "access"), [("anyone", Access.OPEN), ("signed-in", Access.REQUIRED)])
def test_conceal_knows_what_is_around(around: str, access: Access) -> None:
    """A concealed rule knows where an unused name would stand and what is asked for there, and the rule for what is
    there knows of the concealed one."""
    table = rules.load(
        [
            {"path": "/a/vault/{id}/**", "conceal": True, "allow": {"groups": ["x"]}},
            {"path": "/a/**", "allow": around},
        ]
    )
    conceal = table.match("GET", b"/a/vault/7").requirement.conceal
    assert conceal is not None
    assert (conceal.depth, conceal.around and conceal.around.access) == (1, access)
    assert table.match("GET", b"/a/nothing/7").requirement.beside == conceal
    assert rules.sibling(table, b"/a/vault/7/x%20y", conceal, "zzz") == b"/a/zzz/7/x%20y"
    # a site that answers in the format of the suffix does so in its place, too
    assert rules.sibling(table, b"/a/vault.json", conceal, "zzz") == b"/a/zzz.json"
    assert rules.sibling(table, b"/a/VAULT.tar.gz/7", conceal, "zzz") == b"/a/zzz.tar.gz/7"
    assert rules.sibling(table, b"/a/vaults.json", conceal, "zzz") == b"/a/zzz"
    # where it cannot be said which segment it is, the rule itself says
    for path in (b"/a//vault/7", b"/b/../a/vault/7", b"/vault", b"/b/vault/7", b"/a/\xff"):
        assert rules.sibling(table, path, conceal, "zzz") == b"/a/zzz"


def test_conceal_among_pages_that_differ() -> None:
    """Where it depends on what follows what is asked for beside a concealed page, no one rule is said to be around it,
    and every one of them knows of the concealed page."""
    table = rules.load(
        [
            {"path": "/v/**", "conceal": True, "allow": {"groups": ["x"]}},
            {"path": "/**", **SIGNED_IN},
            {"path": "/*", "allow": "anyone"},
            {"path": "/*/notes", "allow": {"groups": ["y"]}},
        ]
    )
    conceal = table.match("GET", b"/v/7").requirement.conceal
    assert conceal is not None
    assert conceal.around is None
    known = {rule.path for rule in table.all if rule.requirement.beside is not None}
    assert known == {"/**", "/*"}


@pytest.mark.parametrize(("value", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3600), ("30d", 2592000), (60, 60)])
def test_durations(value: object, seconds: int) -> None:
    """A duration is a number with a unit, or seconds."""
    assert rules.duration(value) == seconds


@pytest.mark.parametrize("value", ["", "1", "0m", "-1m", "1 h", "1w", "1.5h", 0, -1, None, 1.5, True])
def test_what_is_no_duration(value: object) -> None:
    """Anything else is an error that shows how to write one."""
    with pytest.raises(ConfigError, match="15m"):
        rules.duration(value)


SEGMENTS = st.sampled_from(["a", "b", "{x}", "*", "**"])


@given(
    patterns=st.lists(st.lists(SEGMENTS, min_size=1, max_size=4), min_size=1, max_size=6),
    path=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5),
)
def test_the_tree_agrees_with_an_obvious_model(patterns: list[list[str]], path: list[str]) -> None:
    """Whatever the rules, the compiled tree finds the one that comparing all of them finds."""
    unique = {tuple("{x}" if s == "{x}" else s for s in p) for p in patterns if "**" not in p[:-1]}
    table = named(*("/" + "/".join(pattern) for pattern in unique)) if unique else named("/none")
    found = table.match("GET", ("/" + "/".join(path)).encode()).rule
    assert (found.segments if found else None) == _slowly(unique, path)


def _slowly(patterns: set[tuple[str, ...]], path: list[str]) -> tuple[str, ...] | None:
    rank = {"{x}": 1, "*": 2, "**": 3}

    def fits(pattern: tuple[str, ...]) -> bool:
        if pattern[-1] == "**":
            head = pattern[:-1]
            return len(path) >= len(head) and all(p in (s, "{x}", "*") for p, s in zip(head, path, strict=False))
        return len(path) == len(pattern) and all(p in (s, "{x}", "*") for p, s in zip(pattern, path, strict=True))

    fitting = [pattern for pattern in patterns if fits(pattern)]
    return min(fitting, key=lambda pattern: [rank.get(segment, 0) for segment in pattern], default=None)


@pytest.mark.parametrize("rows", [10, 2000])
def test_the_cost_follows_the_path(rows: int) -> None:
    """A look-up visits as many nodes as the path has segments, however many rules there are."""
    table = rules.load([{"path": f"/area{n}/{{id}}/x/**", **SIGNED_IN} for n in range(rows)])
    visited = 0
    original = tree._Node.branches

    def counting(self: tree._Node, segment: str):
        nonlocal visited
        visited += 1
        return original(self, segment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree._Node, "branches", counting)
        assert table.match("GET", f"/area{rows - 1}/7/x/y".encode()).rule is not None
    assert visited <= 4
