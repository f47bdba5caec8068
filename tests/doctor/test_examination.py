"""What an examination takes: which paths, who asks, and what is left out where that cannot be had."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from tests.ports import free_port

from demur import stores
from demur.core import sessions
from demur.core.model import ConfigError, Ended, Live
from demur.core.site import Site
from demur.gateway.config import tables
from demur.gateway.config.addresses import Origin
from demur.gateway.doctor import examination, person
from demur.gateway.doctor.checks import CHECKS, Finding, Patient, Verdict
from demur.gateway.doctor.examination import Means, examinations
from demur.gateway.doctor.standin import StandIn

if TYPE_CHECKING:
    from pathlib import Path

    from demur.gateway.config.tables import Config

MEMBERS = '[[site.rule]]\npath = "/members/**"\nallow = "signed-in"\n'
PUBLIC = '[[site.rule]]\npath = "/public/**"\nallow = "anyone"\n'


def configured(
    folder: Path, rules: str, *, proxy: int = 8000, upstream: str = "http://127.0.0.1:9000", more: str = ""
) -> Config:
    """A configuration with one site, as it is read from a file."""
    file = folder / "demur.toml"
    gateway = '[gateway]\nlisten = "unix:demur.sock"\ncheck_listen = "unix:check.sock"\ntrusted_proxies = ["unix"]\n'
    site = f'[[site]]\norigin = "http://localhost:{proxy}"\nupstream = "{upstream}"\n'
    file.write_text(f"version = 1\n{gateway}{more}{site}{rules}")
    return tables.read(file)


def paths(config: Config) -> tuple[str, str]:
    """The restricted path and the open one that are chosen."""
    (site,) = config.sites()
    return examination._paths(site, examination._line(config.site[0].origin, Means()))


def rule(path: str, allow: str, more: str = "") -> str:
    """A rule in TOML."""
    return f'[[site.rule]]\npath = "{path}"\nallow = {allow}\n{more}\n'


SIGNED_IN, ANYONE, STAFF = '"signed-in"', '"anyone"', '{ groups = ["staff"] }'


@pytest.mark.parametrize(
    ("rules", "chosen"),
    [
        (MEMBERS, ("/members/demur-doctor", "")),
        (PUBLIC + MEMBERS, ("/members/demur-doctor", "/public/demur-doctor")),
        (rule("/**", SIGNED_IN), ("/demur-doctor", "")),
        (rule("/staff/**", STAFF), ("/staff/demur-doctor", "")),
        (rule("/user/{id}/edit", SIGNED_IN), ("/user/demur-doctor/edit", "")),
        # where a longer path stays under the rule, more can be seen
        (rule("/logout", SIGNED_IN) + MEMBERS, ("/members/demur-doctor", "")),
        (rule("/logout", SIGNED_IN), ("/logout", "")),
        # a page for everybody that knows who it is, is not open in this sense
        (rule("/hello/**", ANYONE, "identify = true") + MEMBERS, ("/members/demur-doctor", "")),
        # nobody may, not even the visitor
        (rule("/never/**", '"nobody"') + MEMBERS, ("/members/demur-doctor", "")),
        # only what GET asks for is asked for
        (rule("/post/**", SIGNED_IN, 'methods = ["POST"]') + MEMBERS, ("/members/demur-doctor", "")),
        # an inner rule is asked by its own path
        (rule("/**", ANYONE) + rule("/a/**", SIGNED_IN), ("/a/demur-doctor", "/demur-doctor")),
    ],
)
def test_a_path_of_each_kind_is_chosen(rules: str, chosen: tuple[str, str], tmp_path: Path) -> None:
    """One that asks for a sign-in, and one that anybody may open, if there is one."""
    assert paths(configured(tmp_path, rules)) == chosen


@pytest.mark.parametrize("rules", [PUBLIC, PUBLIC + rule("/a/**", '{ groups = ["staff"], strength = "mfa" }')])
def test_a_site_without_a_sign_in_cannot_be_examined(rules: str, tmp_path: Path) -> None:
    """The message says what to add."""
    config = configured(tmp_path, rules)
    with pytest.raises(ConfigError, match="no rule asks for a sign-in") as told:
        list(examinations(config, Means()))
    assert told.value.place == "http://localhost:8000"


def test_a_star_in_an_origin_is_a_made_up_host() -> None:
    """Any label does there."""
    line = examination._line(Origin.parse_pattern("https://*.example.com"), Means(connect=("127.0.0.1", 8443)))
    assert (line.host, line.authority) == ("demur-doctor.example.com", "demur-doctor.example.com")
    assert line.address == ("127.0.0.1", 8443)


def found(config: Config, means: Means) -> dict[str, Finding]:
    """The findings by name."""
    ((origin, findings),) = examinations(config, means)
    assert origin == str(config.site[0].origin)
    return {each.check: each for each in findings}


def test_nobody_answers(tmp_path: Path) -> None:
    """One finding that says where that was."""
    port = free_port()
    (only,) = found(configured(tmp_path, MEMBERS, proxy=port), Means()).values()
    assert only.verdict is Verdict.WRONG
    assert f":{port}: Connection refused" in only.said


def test_a_site_without_a_proxy_fails_nearly_everything(tmp_path: Path) -> None:
    """An app that answers everybody with 200, in the proxy's place."""
    with StandIn("127.0.0.1", 0) as app:
        config = configured(tmp_path, PUBLIC + MEMBERS, proxy=app.address[1])
        findings = found(config, Means(proxy="nginx"))
    assert set(findings) == set(CHECKS)
    wrong = {name for name, each in findings.items() if each.verdict is Verdict.WRONG}
    assert wrong >= {"status", "body", "challenge", "head", "handshake", "unavailable", "set-cookie", "forged-address"}
    assert all("`demur recipe nginx`" in findings[name].fix for name in wrong)


def test_sessions_in_memory_cannot_be_had_from_outside(tmp_path: Path) -> None:
    """What would take one is not seen, and the reason is told."""
    with StandIn("127.0.0.1", 0) as app:
        more = '[sessions]\nstore = "memory:"\n'
        findings = found(configured(tmp_path, MEMBERS, proxy=app.address[1], more=more), Means())
    for name in ("set-cookie", "session"):
        assert findings[name].verdict is Verdict.NOT_SEEN
        assert "in its memory" in findings[name].said


def test_an_app_elsewhere_is_not_looked_at(tmp_path: Path) -> None:
    """Where it listens cannot be known from here, and nobody can stand in for it."""
    with StandIn("127.0.0.1", 0) as app:
        config = configured(tmp_path, MEMBERS, proxy=app.address[1], upstream="http://192.0.2.1:9000")
        assert found(config, Means())["way-round"].verdict is Verdict.NOT_SEEN
        with pytest.raises(ConfigError, match="no app on this machine") as told:
            found(config, Means(stand_in=True))
    assert told.value.place == "--stand-in"


def test_an_app_that_runs_is_not_pushed_aside(tmp_path: Path) -> None:
    """Standing in takes that it is stopped."""
    with StandIn("127.0.0.1", 0) as app:
        config = configured(tmp_path, MEMBERS, upstream=f"http://127.0.0.1:{app.address[1]}")
        with pytest.raises(ConfigError, match=r"nobody can stand in for the app at .*: address already in use") as told:
            found(config, Means(stand_in=True))
    assert "Stop the app" in told.value.fix


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit(143)])
def test_the_visitors_end_with_the_examination(
    interruption: BaseException | type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends it; and by themselves within minutes, if even that fails."""
    config = configured(tmp_path, rule("/staff/**", STAFF))
    tokens = []

    def interrupted(patient: Patient) -> list[Finding]:
        tokens.extend([patient.token, patient.leaving])
        assert [ended(config, token) for token in tokens] == [None, None]
        raise interruption

    monkeypatch.setattr(examination, "examine", interrupted)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        list(examinations(config, Means()))
    assert [ended(config, token) for token in tokens] == ["ended", "ended"]


def ended(config: Config, token: str) -> str | None:
    """How a session ended; None while it is alive, for two minutes at most and with the groups that it takes."""

    async def look() -> str | None:
        store = stores.open(config.sessions.store)
        try:
            (evidence,) = await store.load([sessions.identify(token)])
        finally:
            await store.aclose()
        if isinstance(evidence, Ended):
            return str(evidence.how)
        assert isinstance(evidence, Live)
        assert evidence.subject.groups == {"staff"}
        assert evidence.session.expires_at <= time.time() + 121
        return None

    return asyncio.run(look())


def test_groups_are_those_of_this_site_only(tmp_path: Path) -> None:
    """Its visitor opens nothing elsewhere by them."""
    (site,) = configured(tmp_path, rule("/staff/**", STAFF) + MEMBERS).sites()
    assert isinstance(site, Site)
    assert person.groups(site) == {"staff"}
