"""The PHP site: what it was before, and what it is behind demur with the login code gone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from tests.ports import free_port
from tests.site.houses import DEMUR, PHP, ROOT, House, Process, needs_php, running
from tests.site.wire import NAVIGATION, SCRIPT, Jar, exchange

from demur.core.model import Actor, End, Ending
from demur.core.sessions import identify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.site.wire import Answer

pytestmark = [pytest.mark.php, needs_php]

JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
DRAFT = {"machine": "kiln", "day": "2026-12-03", "note": "a surprise for somebody"}


class Browser:
    """One browser before the site, in which one person after the other sits down."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.jar = Jar()

    def ask(self, method: str, target: str, *fields: tuple[str, str], body: bytes = b"", page: bool = False) -> Answer:
        """A request with this browser's cookies."""
        sent = [*(NAVIGATION if page else SCRIPT), ("Origin", self.house.origin), *fields, *self.jar.field()]
        return self.jar.keep(self.house.ask(method, target, sent, body))

    def sign_in(self, person: str) -> None:
        """Somebody signs in, over whoever was there."""
        values = urlencode({"username": person, "password": PHP.people[person], "next": "/members/"})
        answer = self.ask("POST", "/.demur/sign-in", FORM, body=values.encode(), page=True)
        assert answer.status == 303, answer.text[:300]

    def sign_out(self) -> None:
        """Whoever is there leaves."""
        assert self.ask("POST", "/.demur/sign-out", page=True).status == 303

    def type_draft(self) -> None:
        """Type something that PHP keeps in its session."""
        answer = self.ask("POST", "/members/draft.php", JSON, body=json.dumps(DRAFT).encode())
        assert answer.status == 200
        assert "PHPSESSID" in self.jar.cookies

    def draft(self) -> object:
        """What PHP's session has."""
        answer = self.ask("GET", "/members/draft.php")
        assert answer.status == 200
        return json.loads(answer.body)["draft"]


@pytest.fixture
def browser(php: House) -> Browser:
    """A browser that has been nowhere yet."""
    return Browser(php)


# --- before ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The site as it was, on its own."""
    folder, port = tmp_path_factory.mktemp("before"), free_port()
    state = {"WORKSHOP_DATA": str(folder / "workshop.json")}
    command = ("php", "-S", f"127.0.0.1:{port}", "-t", "public")
    site = Process(command, ROOT / "examples/php/before", folder / "site.log", state)
    site.start(("127.0.0.1", port))
    yield "127.0.0.1", port
    site.stop()


def test_before_says_no_with_200(before):
    """The hand-written check answers 200 with an error in JSON, the same for nobody and for a session that is over."""
    for cookie in ([], [("Cookie", "PHPSESSID=overlongago")]):
        answer = exchange(before, "GET", "/members/bookings.php", [("Host", "localhost"), *cookie])
        assert (answer.status, json.loads(answer.body)) == (200, {"error": "not logged in"})


def test_before_shows_a_draft_to_the_next_person(before):
    """What the first person typed is there for the second one."""
    jar = Jar()

    def ask(method: str, target: str, kind: tuple[str, str], body: bytes) -> Answer:
        return jar.keep(exchange(before, method, target, [("Host", "localhost"), kind, *jar.field()], body))

    ask("POST", "/login.php", FORM, b"user=ben&password=plane+and+plank")
    ask("POST", "/members/draft.php", JSON, json.dumps(DRAFT).encode())
    ask("GET", "/logout.php", FORM, b"")
    ask("POST", "/login.php", FORM, b"user=dov&password=rivet+and+rope")
    assert json.loads(ask("GET", "/members/draft.php", JSON, b"").body) == {"draft": DRAFT}


# --- after ----------------------------------------------------------------------------------------


def test_no_login_code_is_left():
    """Behind demur nothing checks a session or a password, and no script answers 200 with an error."""
    scripts = list((ROOT / "examples/php/after").rglob("*.php"))
    assert len(scripts) >= 7
    for script in scripts:
        text = script.read_text()
        assert not re.search(r"password|check_login|\$_SESSION\['user'\]|'error'|log[io]n|session_regenerate", text), (
            script
        )


def test_the_people_came_along(php):
    """Everybody signs in with the old password; the bcrypt hash is replaced at that moment, and the password stays."""

    def kept(name: str) -> str:
        return str(json.loads(php.demur("user", "show", name, "--json"))["password"])

    assert kept("cleo") == "bcrypt"
    assert php.sign_in("cleo").status == 303
    assert "argon2id" in kept("cleo")
    assert php.sign_in("cleo").status == 303
    assert php.sign_in("cleo", "wrong").status == 401


def test_the_site_knows_who(php):
    """Name, display name beyond ASCII, and groups arrive."""
    for person, name, groups in (("dov", "Dov Årud", []), ("ada", "Ada Lindqvist", ["admins", "staff"])):
        token, _ = php.session(person)
        me = json.loads(php.script("/members/bookings.php", token).body)["me"]
        assert (me["user"], me["name"], sorted(me["groups"])) == (person, name, groups)


def test_a_draft_is_kept_for_oneself(browser):
    """PHP's own session works, over several requests and over signing in again."""
    browser.sign_in("ben")
    browser.type_draft()
    assert browser.draft() == DRAFT
    browser.sign_in("ben")
    assert browser.draft() == DRAFT


def test_signing_in_over_somebody(browser):
    """A second person who signs in where the first one still was never sees the first one's PHP session."""
    browser.sign_in("ben")
    browser.type_draft()
    browser.sign_in("dov")
    assert browser.draft() is None


def test_signing_out(browser):
    """Nor after the first one signed out."""
    browser.sign_in("ben")
    browser.type_draft()
    browser.sign_out()
    assert "PHPSESSID" not in browser.jar.cookies
    browser.sign_in("dov")
    assert browser.draft() is None


@pytest.mark.parametrize("how", [Ending.IDLE, Ending.EXPIRED, Ending.ENDED, Ending.REVOKED])
def test_after_the_session_ended_by_itself(browser, how):
    """Nor when the first one's session had ended in any other way, and the second one used the form in place."""
    browser.sign_in("ben")
    browser.type_draft()
    token = browser.jar.cookies[browser.house.cookie]
    browser.house.apply(End(identify(token), how, Actor.SYSTEM, int(time.time())))
    assert browser.ask("GET", "/members/draft.php").problem["reason"] == f"session-{how}"
    browser.sign_in("dov")
    assert browser.draft() is None


@pytest.mark.parametrize("how", [Ending.IDLE, Ending.REVOKED])
def test_the_same_person_comes_back(browser, how):
    """Whoever comes back after the session ended finds the own draft again."""
    browser.sign_in("ben")
    browser.type_draft()
    token = browser.jar.cookies[browser.house.cookie]
    browser.house.apply(End(identify(token), how, Actor.SYSTEM, int(time.time())))
    browser.sign_in("ben")
    assert browser.draft() == DRAFT


def test_over_tls_the_browser_is_told_to_forget(secure_php):
    """Over https signing out clears cookies and storage, and the cookie has the prefix that binds it to the host."""
    answer = secure_php.sign_in("ben")
    cookie = answer.cookies["__Host-demur"]
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    token = secure_php.token(answer)
    other = secure_php.sign_in("dov", token=token)
    assert '"storage"' in (other.value("clear-site-data") or "")
    out = secure_php.send("/.demur/sign-out", {}, secure_php.token(other))
    assert {'"cookies"', '"storage"'} <= {part.strip() for part in (out.value("clear-site-data") or "").split(",")}
    assert "Secure" in out.cookies["__Host-demur"]


def test_business_case_allowed(php):
    """Whoever has had the introduction books; only the answer of the site tells."""
    token, _ = php.session("ada")
    body = b'{"machine": "laser", "day": "2026-12-02", "note": "stencils"}'
    answer = php.ask("POST", "/members/bookings.php", [*SCRIPT, ("Origin", php.origin), JSON], body, token=token)
    assert answer.status == 200
    assert {"machine": "laser", "day": "2026-12-02", "note": "stencils", "by": "ada"} in json.loads(answer.body)[
        "bookings"
    ]


def test_the_export_is_what_before_exports():
    """`people.csv` is what the old site's export prints today."""
    folder = ROOT / "examples/php"
    printed = subprocess.run(["php", "before/export.php"], cwd=folder, capture_output=True, check=True).stdout
    assert printed == (folder / "people.csv").read_bytes()


# --- the README -----------------------------------------------------------------------------------

README = ROOT / "examples/php/README.md"
VARYING = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
    (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT", "DATE"),
    (r"\d{4}-\d\d-\d\dT[\d:]{8}Z", "DATE"),
]


def plain(text: str) -> str:
    """A printed answer without what differs each time."""
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return text.replace("\r", "").strip()


def test_the_readme_shows_what_happens(tmp_path):
    """Each command line of "What it answers", run in turn, prints what stands below it."""
    shown = README.read_text().partition("### What it answers")[2]
    steps = re.findall(r"^\$ (.*)\n((?:(?!\$ |```).*\n)*)", shown, re.MULTILINE)
    assert len(steps) >= 7
    with running(PHP, tmp_path) as house:
        path = f"{Path(DEMUR[0]).parent}:{os.environ['PATH']}"
        for command, expected in steps:
            command = command.replace("localhost:8000", house.host)
            done = subprocess.run(
                command, shell=True, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, check=True
            )
            assert plain(done.stdout.decode()) == plain(expected), command


# --- php-fpm behind nginx behind demur ------------------------------------------------------------

FPM = """
[global]
error_log = {folder}/fpm.log
daemonize = no
pid = {folder}/fpm.pid
[www]
user = root
group = root
listen = {folder}/fpm.sock
pm = static
pm.max_children = 2
env[WORKSHOP_DATA] = {folder}/data/workshop.json
"""
NGINX = """
user root;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{}}
http {{
  access_log off;
  types {{ text/html html; text/css css; text/javascript js; }}
  client_body_temp_path {folder}/body; fastcgi_temp_path {folder}/fastcgi; proxy_temp_path {folder}/proxy;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {root};
    index index.html;
    location ~ \\.php$ {{
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
      fastcgi_pass unix:{folder}/fpm.sock;
    }}
  }}
}}
"""


def _fpm() -> str | None:
    return next((found for version in range(5, 1, -1) if (found := shutil.which(f"php-fpm8.{version}"))), None)


@pytest.mark.nginx
@pytest.mark.slow
@pytest.mark.skipif(_fpm() is None or shutil.which("nginx") is None, reason="needs php-fpm and nginx")
def test_php_fpm_behind_nginx(tmp_path: Path) -> None:
    """The same with the PHP that sites really run on: refused, signed in, refused by the site."""

    def fpm_site(example: object, folder: Path, port: int) -> Process:
        (folder / "data").mkdir()
        (folder / "fpm.conf").write_text(FPM.format(folder=folder))
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, root=PHP.folder / "public"))
        script = f"{_fpm()} -R -F -y {folder}/fpm.conf & exec nginx -c {folder}/nginx.conf -p {folder}"
        return Process(("sh", "-c", script), folder, folder / "site.log")

    with running(PHP, tmp_path, site=fpm_site) as house:
        assert house.script("/members/bookings.php").problem["reason"] == "sign-in-required"
        token = house.signed_in("ben")
        deadline = time.monotonic() + 10
        while (answer := house.script("/members/bookings.php", token)).status == 502 and time.monotonic() < deadline:
            pass
        assert json.loads(answer.body)["me"]["user"] == "ben"
        body = PHP.refused[1]
        refused = house.ask("POST", PHP.refused[0], [*SCRIPT, ("Origin", house.origin), JSON], body, token=token)
        assert (refused.status, refused.problem["reason"]) == (403, "access-pending")
        assert house.page("/members/", token).status == 200
