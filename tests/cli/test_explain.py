"""`demur explain`: what a request would be answered, and why."""

import json

import pytest
from tests.site.settlers import settle

RULES = """
[[rule]]
path = "/**"
allow = "signed-in"

[[rule]]
path = "/public/**"
allow = "anyone"

[[rule]]
name = "reading reports"
path = "/reports/{id}"
methods = ["GET"]
allow = { permission = "report:read" }

[[rule]]
path = "/admin/**"
allow = { groups = ["admins"], fresh = "15m" }

[[rule]]
path = "/vault/**"
allow = { groups = ["keepers"] }
conceal = true

[permissions]
"report:read" = ["staff"]
"""
ADMINS = "one of the groups admins"
READING = "the permission report:read"
SITES = """
[[site]]
origin = "http://localhost:8000"
upstream = "http://127.0.0.1:9000"
""" + RULES.replace("[[rule]]", "[[site.rule]]").replace("[permissions]", "[site.permissions]")


@pytest.fixture
def rules(folder) -> str:
    """The name of a file of rules."""
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    return "rules.toml"


@pytest.fixture
def people(run, write, folder) -> None:
    """A site with ann, who is staff, and dan, who was and is disabled."""
    write(SITES)
    settle(folder, dict.fromkeys(("ann", "dan"), "correct horse battery"), {"ann": ("staff",), "dan": ("staff",)})
    assert run("user", "disable", "dan").exit_code == 0


@pytest.mark.parametrize(
    ("args", "outcome", "status", "reason", "rule", "missing"),
    [
        (["GET", "/public/a"], "allow", None, None, "/public/**", []),
        (["GET", "/"], "refuse", 401, "sign-in-required", "/**", ["to be signed in"]),
        (["GET", "/", "-g", "x"], "allow", None, None, "/**", []),
        (["get", "/reports/7", "-g", "staff"], "allow", None, None, "reading reports", []),
        (["GET", "/reports/7", "-g", "x"], "refuse", 403, "not-permitted", "reading reports", [READING]),
        (["HEAD", "/reports/7", "-g", "x"], "refuse", 403, "not-permitted", "reading reports", [READING]),
        (["PUT", "/reports/7", "-g", "x"], "allow", None, None, "/**", []),
        (["GET", "/admin", "-g", "x"], "refuse", 403, "not-permitted", "/admin/**", ["one of the groups admins"]),
        (["GET", "/admin/", "-g", "admins"], "allow", None, None, "/admin/**", []),
        (["GET", "/vault/x", "-g", "x"], "conceal", 404, "not-found", "/vault/**", ["one of the groups keepers"]),
        (["GET", "/a/../admin"], "refuse", 401, "sign-in-required", "/**", ["to be signed in"]),
        (["GET", "/a/../admin", "-g", "x"], "refuse", 403, "not-permitted", "/admin/**", [ADMINS]),
        (["GET", "/a/../admin", "-g", "admins"], "allow", None, None, "/**", []),
        (["GET", "/public/%2e%2e/admin", "-g", "x"], "refuse", 403, "not-permitted", "/admin/**", [ADMINS]),
        (["GET", "/public/%zz"], "refuse", 400, "request-malformed", None, []),
        (["GET", "https://else.example/public/x?y=/admin#z"], "allow", None, None, "/public/**", []),
    ],
)  # fmt: skip
def test_what_would_be_answered(run, rules, args, outcome, status, reason, rule, missing):
    """Outcome, status, reason, rule and what is missing are those of a real request."""
    result = run("explain", *args, "--rule-file", rules, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["outcome"], told["status"], told["reason"], told["rule"], told["missing"]) == (
        outcome,
        status,
        reason,
        rule,
        missing,
    )


def test_the_whole_story_for_people(run, rules):
    """In plain text: the answer, the rule with its line, what is asked and held and missing, and who else was asked."""
    result = run("explain", "GET", "/reports/7", "--group", "guests", "--rule-file", rules)
    assert result.stdout == (
        "GET https://localhost/reports/7\n"
        "  answer:     403 not-permitted\n"
        "  rule:       reading reports   rule 3, rules.toml:10\n"
        "  captures:   id = 7\n"
        "  asks:       to be signed in\n"
        "              the permission report:read, which the groups staff hold\n"
        "  holds:      signed in as somebody\n"
        "              in the groups guests\n"
        "  missing:    the permission report:read\n"
        "  considered: /**   rule 1: is less specific: '**' comes after 'reports'\n"
    )


def test_a_url_is_read_as_a_browser_sends_it(run, rules):
    """What people type in words arrives encoded, and is shown as it is read."""
    told = run("explain", "GET", "/public/Übersicht am Abend", "--rule-file", rules).stdout
    assert "GET https://localhost/public/%C3%9Cbersicht%20am%20Abend\n" in told
    assert "  read as:    /public/Übersicht am Abend\n" in told


@pytest.mark.parametrize(
    ("name", "outcome", "reason", "held"),
    [
        (["--as", "ann"], "allow", None, "in the groups staff"),
        (["--as", "ANN"], "allow", None, "in the groups staff"),
        (["--as", "dan"], "refuse", "session-revoked", "in the groups staff"),
        ([], "refuse", "sign-in-required", "nobody is signed in"),
    ],
)
def test_it_asks_who_a_person_is(run, people, name, outcome, reason, held):
    """With `--as` the groups of that person count, and whoever is disabled gets in nowhere."""
    told = json.loads(run("explain", "GET", "http://localhost:8000/reports/1", *name, "--json").stdout)
    assert (told["outcome"], told["reason"]) == (outcome, reason)
    assert held in told["holds"]
    assert told["where"] == "demur.toml:15"


def test_own_pages_have_no_rule(run, write):
    """Of demur's own pages it says just that."""
    write(SITES)
    assert "demur's own page" in run("explain", "GET", "/.demur/sign-in").stdout
    assert json.loads(run("explain", "GET", "/.demur/sign-in", "--json").stdout)["own_page"] is True
    assert json.loads(run("explain", "GET", "/.demurrage", "--json").stdout)["own_page"] is False


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["GET", "http://127.0.0.1:8000/"], "421 host-unknown.\n    There is http://localhost:8000."),
        (["GET", "localhost:8000/"], "A path alone begins with a slash."),
        (["GET", "/", "--as", "eve"], 'There is nobody called "eve".'),
        (["GET", "/", "--as", "ann", "--group", "x"], "--as looks a person up, and --group does without."),
        (["GET", "/", "--as", "ann", "--rule-file", "r.toml"], "--as looks a person up, and --rule-file does without."),
        (["GET", "/", "--rule-file", "r.toml"], "r.toml: error: there is no such file."),
        (["GET", "/", "--rule-file", "demur.toml"], "demur.toml:3: error: a file of rules has no sites."),
        (["GET"], "Missing argument 'URL'"),
    ],
)
def test_what_cannot_be_asked(run, write, args, said):
    """A question that has no answer gets one message and status 2."""
    write(SITES)
    result = run("explain", *args)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_of_several_sites_one_has_to_be_named(run, write):
    """A path alone is not enough where there are two sites, and each has its own rules."""
    text = SITES + '[[site]]\norigin = "http://b.localhost:8000"\nupstream = "http://127.0.0.1:9001"\n'
    write(text)
    assert "may be on any of 2 sites" in run("explain", "GET", "/").stderr
    told = json.loads(run("explain", "GET", "http://b.localhost:8000/", "--json").stdout)
    assert (told["site"], told["rule"], told["where"]) == ("http://b.localhost:8000", None, None)


def test_mistakes_in_a_file_of_rules_have_their_lines(run, folder):
    """A file of rules is read as strictly as a configuration."""
    text = 'colour = 1\n\n[[rule]]\npath = "x"\nallow = "anyone"\n\n[[rule]]\npath = "/y"\n\n[permissions]\na = ["b"]\n'
    (folder / "rules.toml").write_text(text, encoding="utf-8")
    result = run("explain", "GET", "/", "--rule-file", "rules.toml")
    assert result.exit_code == 2
    assert [line.partition(" error: ")[0] for line in result.stderr.splitlines()[::2]] == [
        "rules.toml:1:",
        "rules.toml:4:",
        "rules.toml:7:",
    ]


def test_a_star_stands_for_one_host(run, folder):
    """A whole URL says which host is meant; a path alone could be on any."""
    sites = SITES.replace("http://localhost:8000", "https://*.team.example.com")
    red = '[[site.rule]]\nhost = "red.team.example.com"\npath = "/plans/**"\nallow = "anyone"\n'
    (folder / "demur.toml").write_text(
        "version = 1\n" + sites.replace("[site.permissions]", f"{red}\n[site.permissions]")
    )
    found = json.loads(run("explain", "GET", "https://red.team.example.com/plans/1", "--json").stdout)
    assert (found["site"], found["outcome"]) == ("https://*.team.example.com", "allow")
    found = json.loads(run("explain", "GET", "https://blue.team.example.com/plans/1", "--json").stdout)
    assert found["outcome"] == "refuse"
    assert (
        "https://blue.team.example.com/plans/1" in run("explain", "GET", "https://blue.team.example.com/plans/1").stdout
    )
    assert run("explain", "GET", "https://a.b.team.example.com/").exit_code == 2
    told = run("explain", "GET", "/plans/1")
    assert told.exit_code == 2
    assert "any host of https://*.team.example.com" in told.stderr
