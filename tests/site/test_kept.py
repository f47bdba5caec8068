"""A form that is sent when the session is over, without a line of JavaScript: nothing that was typed is lost (WCAG 2.2,
2.2.5; its technique G181). With a running gateway, a PHP site behind it, and a browser that runs no scripts."""

from __future__ import annotations

import hashlib
import html
import json
import re
import shutil
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from tests.site.houses import PHP, House, Process, needs_php, running
from tests.site.wire import CROSS_SITE, NAVIGATION, SCRIPT

from demur.core.model import Actor, End, Ending
from demur.core.sessions import identify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page
    from tests.site.houses import Example
    from tests.site.wire import Answer

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.php, needs_php]

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update"]
SAID = "What you entered is kept for 15 minutes"
PAIRS = ("Content-Type", "application/x-www-form-urlencoded")
FORM = "/members/report.php?day=3"
SITE = """<?php
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $files = array_map(fn($each) => [$each['name'], hash_file('sha256', $each['tmp_name'])], $_FILES);
    $said = ['who' => $_SERVER['HTTP_REMOTE_USER'], 'post' => $_POST, 'files' => $files,
             'kind' => $_SERVER['CONTENT_TYPE'], 'referer' => $_SERVER['HTTP_REFERER'] ?? ''];
    file_put_contents('LOG', json_encode($said) . "\\n", FILE_APPEND | LOCK_EX);
    echo '<!doctype html><title>Thanks</title><h1>Thank you</h1><form method="post"><button>More</button></form>';
    exit;
}
?><!doctype html><title>Report</title><h1>Report</h1>
<form method="post" enctype="<?= isset($_GET['file']) ? 'multipart/form-data' : '' ?>">
<input type="hidden" name="csrf_token" value="0123456789abcdef">
<label>What happened <textarea name="what"></textarea></label>
<label>Your password <input type="password" name="pass"></label>
<?php if (isset($_GET['file'])) echo '<label>Photo <input type="file" name="photo"></label>'; ?>
<button>Report it</button></form>
"""


def _site(example: Example, folder: Path, port: int) -> Process:
    public = folder / "public"
    (public / "members").mkdir(parents=True)
    (public / "members/report.php").write_text(SITE.replace("LOG", str(folder / "log.jsonl")))
    (folder / "log.jsonl").touch()
    return Process(("php", "-S", f"127.0.0.1:{port}", "-t", str(public)), folder, folder / "site.log")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway before a site with a plain form."""
    with running(PHP, tmp_path_factory.mktemp("kept"), site=_site) as here:
        yield here


class Reports:
    """What the site has been told, from now on."""

    def __init__(self, house: House) -> None:
        self._log = house.folder / "log.jsonl"
        self._before = len(self._log.read_text().splitlines())

    @property
    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()[self._before :]]


@pytest.fixture
def reports(house: House) -> Reports:
    """What the site is told in a test."""
    return Reports(house)


def over(house: House, token: str, how: Ending = Ending.ENDED) -> str:
    """That session has ended."""
    house.apply(End(identify(token), how, Actor.SELF, 1))
    return token


def post(house: House, body: bytes, token: str, kind: str = PAIRS[1], fields: Any = NAVIGATION) -> Answer:
    """The form, as a browser sends it."""
    about = [("Content-Type", kind), ("Referer", f"{house.origin}{FORM}")]
    origin = [] if any(name == "Origin" for name, _ in fields) else [("Origin", house.origin)]
    return house.ask("POST", FORM, [*fields, *origin, *about], body, token=token)


def next_of(answer: Answer) -> str:
    """Where the form of a page leads."""
    match = re.search(r'name="next" value="([^"]+)"', answer.text)
    assert match, answer.text[:600]
    return html.unescape(match[1])


def press(house: House, offer: Answer, token: str, *typed: str) -> Answer:
    """Press Send on the page of the offer."""
    word = re.search(r'name="demur-kept" value="([^"]+)"', offer.text)
    action = re.search(r'action="([^"]+)" enctype="text/plain"', offer.text)
    assert word, offer.text[:600]
    assert action
    body = "".join(
        f"{name}={value}\r\n" for name, value in (("demur-kept", word[1]), *(("demur-typed", t) for t in typed))
    )
    fields = [*NAVIGATION, ("Origin", house.origin), ("Content-Type", "text/plain")]
    target = html.unescape(action[1]).removeprefix(house.origin)
    return house.ask("POST", target, fields, body.encode(), token=token)


PARTS = "multipart/form-data; boundary=----b"
PHOTO = bytes(range(256)) * 40


def parts(**values: str) -> bytes:
    made = [
        f'------b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in values.items()
    ]
    photo = b'------b\r\nContent-Disposition: form-data; name="photo"; filename="a b.png"\r\n'
    photo += b"Content-Type: image/png\r\n\r\n"
    return "".join(made).encode() + photo + PHOTO + b"\r\n------b--\r\n"


@pytest.mark.parametrize("how", ["pairs", "parts"])
def test_a_person_comes_back_and_sends_it(house: House, reports: Reports, how: str) -> None:
    """Refused, kept, signed in, offered, sent once, with the file, as that person."""
    values = {"csrf_token": "0123456789abcdef", "what": "The kiln\r\nis broken & cold", "pass": "kiln and clay"}
    body, kind = (urlencode(values).encode(), PAIRS[1]) if how == "pairs" else (parts(**values), PARTS)
    refused = post(house, body, over(house, house.signed_in("cleo")), kind)
    assert (refused.status, refused.problem["processed"]) == (401, False)
    assert SAID in refused.text
    assert reports.all == []

    welcome = house.sign_in("cleo", next_=next_of(refused))
    fresh = house.token(welcome)
    offer = house.page(welcome.value("location") or "", fresh)
    assert offer.status == 200
    assert "The kiln\nis broken &amp; cold" in offer.text.replace("\r", "")
    assert "kiln and clay" not in offer.text
    assert (house.folder / "sessions.db").read_bytes().find(b"is broken") == -1

    done = press(house, offer, fresh, "kiln and clay")
    assert "Thank you" in done.text
    (told,) = reports.all
    assert (told["who"], told["post"], told["kind"]) == ("cleo", values, kind)
    assert told["referer"] == f"{house.origin}{FORM}"
    if how == "parts":
        assert told["files"] == {"photo": ["a b.png", hashlib.sha256(PHOTO).hexdigest()]}
    assert press(house, offer, fresh, "kiln and clay").status == 303
    assert len(reports.all) == 1


def test_a_sign_in_anywhere_leads_to_it(house: House, reports: Reports) -> None:
    """In another tab, with the cookie that the browser still has; a script is told where it is."""
    old = over(house, house.signed_in("ben"))
    post(house, b"what=hello", old)
    told = house.ask(
        "POST",
        "/.demur/sign-in",
        [*SCRIPT, ("Origin", house.origin), ("Content-Type", "application/json")],
        json.dumps({"username": "ben", "password": PHP.people["ben"], "next": "/members/"}).encode(),
        token=old,
    )
    said = json.loads(told.body)
    assert said["next"] == "/members/"
    assert said["kept"].startswith("/.demur/kept?of=")
    inside = house.ask(
        "POST",
        "/.demur/sign-in?embed",
        [*NAVIGATION, ("Origin", house.origin), PAIRS],
        urlencode({"username": "ben", "password": PHP.people["ben"]}).encode(),
        token=old,
    )
    assert "kept" not in (inside.value("location") or "")  # the dialog does not show it, and does not swallow it
    welcome = house.sign_in("ben", token=old, next_="/members/report.php")
    assert (welcome.value("location") or "").startswith("/.demur/kept?of=")
    assert "hello" in house.page(welcome.value("location") or "", house.token(welcome)).text
    assert reports.all == []


def test_a_wrong_password_loses_nothing(house: House) -> None:
    """It says so once more, and goes on to it."""
    refused = post(house, b"what=hello", over(house, house.signed_in("ben")))
    again = house.sign_in("ben", "wrong", next_=next_of(refused))
    assert again.status == 401
    assert SAID in again.text
    assert next_of(again) == next_of(refused)


def test_somebody_else_is_not_offered_it(house: House, reports: Reports) -> None:
    """Neither at the address nor by signing in with the cookie of whoever was there."""
    old = over(house, house.signed_in("cleo"))
    refused = post(house, b"what=for+no+one+else", old)
    welcome = house.sign_in("dov", token=old, next_=next_of(refused))
    seen = house.page(welcome.value("location") or "", house.token(welcome))
    assert (seen.status, seen.value("location"), seen.body) == (303, FORM, b"")
    assert house.sign_in("dov", token=old, next_="/members/").value("location") == "/members/"
    assert reports.all == []


@pytest.mark.parametrize(
    ("fields", "kind"),
    [(CROSS_SITE, PAIRS[1]), (SCRIPT, PAIRS[1]), (NAVIGATION, "application/json"), (NAVIGATION, "text/plain")],
)
def test_nothing_else_is_kept(house: House, fields: Any, kind: str) -> None:
    """Of another site, of a script, of anything but a form."""
    refused = post(house, b"what=hello", over(house, house.signed_in("ben")), kind, fields)
    assert refused.status == 401
    assert SAID not in refused.text


def test_a_client_that_waits_is_not_asked_for_it(house: House) -> None:
    """`Expect: 100-continue`: no 100, nothing kept, and the refusal comes at once."""
    old = over(house, house.signed_in("ben"))
    lines = [
        f"POST {FORM} HTTP/1.1",
        f"Host: {house.host}",
        *(f"{name}: {value}" for name, value in NAVIGATION),
        f"Origin: {house.origin}",
        f"Content-Type: {PAIRS[1]}",
        "Content-Length: 10",
        "Expect: 100-continue",
        f"Cookie: {house.cookie}={old}",
    ]
    with socket.create_connection(house.address, timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert SAID.encode() not in answer


def test_a_long_upload_reads_its_refusal(house: House) -> None:
    """Far beyond what is kept: the answer still arrives, as it always did."""
    refused = post(house, b"what=" + b"x" * 4_000_000, over(house, house.signed_in("ben")))
    assert refused.status == 401
    assert SAID not in refused.text


# --- in a browser that runs no scripts ---------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser without a profile."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt install chromium")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, house: House) -> Iterator[Page]:
    """A tab in which no script runs."""
    context = chromium.new_context(base_url=house.origin, java_script_enabled=False)
    yield context.new_page()
    context.close()


def sign_in(page: Page, person: str) -> None:
    page.get_by_label("Name", exact=True).fill(person)
    page.locator('input[type="password"]').fill(PHP.people[person])
    page.get_by_role("button", name="Sign in").click()


def end_session(house: House) -> None:
    """An administrator ends it, while somebody types. (With a command: the browser has the event loop.)"""
    house.demur("sessions", "end", "--user", "cleo")


TEXT = "The kiln went out at three.\nNobody was there; “cold” by four."


@pytest.mark.browser
@pytest.mark.parametrize("form", ["/members/report.php?day=3", "/members/report.php?file"])
def test_without_javascript(page: Page, house: House, reports: Reports, form: str, tmp_path: Path) -> None:
    """Type, be away, send, sign in, look, send: with a file too, and with Back and a reload afterwards."""
    page.goto(form)
    sign_in(page, "cleo")
    page.get_by_label("What happened").fill(TEXT)
    page.get_by_label("Your password").fill("hush")
    if "file" in form:
        (tmp_path / "kiln.png").write_bytes(PHOTO)
        page.get_by_label("Photo").set_input_files(tmp_path / "kiln.png")
    end_session(house)
    page.get_by_role("button", name="Report it").click()
    page.get_by_text(SAID).wait_for()
    assert reports.all == []

    sign_in(page, "cleo")
    page.get_by_role("heading", name="Send what you entered?").wait_for()
    assert page.url.startswith(f"{house.origin}/.demur/kept?")
    assert page.get_by_text("The kiln went out at three.").is_visible()
    if "file" in form:
        assert page.get_by_text("kiln.png").is_visible()
    page.get_by_label("pass", exact=True).fill("hush again")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("heading", name="Thank you").wait_for()
    assert page.url == f"{house.origin}{form}"  # the site's own answer, at its own address
    (told,) = reports.all
    assert told["post"] == {
        "csrf_token": "0123456789abcdef",
        "what": TEXT.replace("\n", "\r\n"),
        "pass": "hush again",
    }
    assert told["who"] == "cleo"
    if "file" in form:
        assert told["files"] == {"photo": ["kiln.png", hashlib.sha256(PHOTO).hexdigest()]}

    page.reload()
    page.get_by_role("heading", name="This was sent").wait_for()
    page.go_back()
    page.get_by_role("heading", name="This was sent").wait_for()
    assert len(reports.all) == 1
    page.get_by_role("link", name="Go on").click()
    page.get_by_role("heading", name="Report").wait_for()


@pytest.mark.browser
def test_discarding_without_javascript(page: Page, house: House, reports: Reports) -> None:
    """Back to the form, and nothing is sent."""
    page.goto(FORM)
    sign_in(page, "cleo")
    page.get_by_label("What happened").fill(TEXT)
    end_session(house)
    page.get_by_role("button", name="Report it").click()
    sign_in(page, "cleo")
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("heading", name="Report").wait_for()
    assert page.url == f"{house.origin}{FORM}"
    assert reports.all == []
