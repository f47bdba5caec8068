"""The sites of `examples/` with their one line of script, behind a real `demur serve`, in real browsers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.client.conftest import absent
from tests.client.engines import DIALOG, TWICE
from tests.site.houses import PHP, SAMPLE, needs_php, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.client.conftest import Engines
    from tests.client.engines import Tab, Window
    from tests.site.houses import House

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ENGINES = pytest.mark.parametrize("engine", TWICE)


@pytest.fixture(scope="module")
def php(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The PHP site behind a gateway."""
    with running(PHP, tmp_path_factory.mktemp("php")) as here:
        yield here


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The sample site behind a gateway."""
    with running(SAMPLE, tmp_path_factory.mktemp("sample")) as here:
        yield here


@dataclass
class Browsing:
    """Somebody at a site."""

    house: House
    window: Window
    tab: Tab

    def type(self, person: str, *, frame: str = "") -> None:
        """Fill in the sign-in form that is there."""
        self.tab.wait_for_element("input[name=password]", frame=frame)
        self.tab.fill("input[name=username]", person, frame=frame)
        self.tab.fill("input[name=password]", self.house.example.people[person], frame=frame)
        self.tab.click("form:has(input[name=password]) button:not([type=button])", frame=frame)

    def post_seen(self, path: str) -> int:
        """How often the site was sent a POST there since somebody last asked."""
        return self.house.upstream_saw().count(f"POST {path} ".encode())


@pytest.fixture
def browsing(request: pytest.FixtureRequest, engines: Engines) -> Iterator[Browsing]:
    """A window of the engine, at the site that the test names."""
    engine = request.getfixturevalue("engine")
    if missing := absent(engine):
        pytest.skip(f"not run: {missing} is missing")
    house = request.getfixturevalue(request.function.__name__.split("_")[1])
    window = engines[engine].window()
    yield Browsing(house, window, window.tab())
    window.close()


@pytest.mark.php
@needs_php
@ENGINES
def test_php_books_once(browsing: Browsing, engine: str) -> None:
    """A booking that is sent when the session was ended waits for the sign-in, and reaches PHP once."""
    here, tab = browsing, browsing.tab
    tab.goto(f"{here.house.origin}/members/#new")
    here.type("ben")
    tab.wait_for("() => document.documentElement.dataset.ready")
    note = f"six bushings for {engine}"
    tab.evaluate("() => { document.querySelector('select').value = 'lathe'; }")
    tab.fill("input[type=date]", "2026-12-09")
    tab.fill("textarea", note)
    here.house.upstream_saw()
    here.house.demur("sessions", "end", "--user", "ben")
    tab.click("#book button")
    here.type("ben", frame=DIALOG)
    tab.wait_for("(note) => document.querySelector('tbody').innerText.includes(note)", note)
    assert tab.text("#note") == "Booked."
    assert here.post_seen("/members/bookings.php") == 1
    tab.click("header form button")
    tab.wait_for("() => location.pathname === '/.demur/signed-out' && document.readyState === 'complete'")
    tab.back()
    tab.wait_for("() => location.pathname === '/members/'")
    tab.wait_until_unseen("#who")


@ENGINES
def test_sample_borrows_once(browsing: Browsing, engine: str) -> None:
    """A packet that is borrowed after the end of the session is borrowed once, and nothing is left to be seen after
    sign-out."""
    here, tab = browsing, browsing.tab
    tab.goto(f"{here.house.origin}/members/")
    here.type("bob")
    tab.wait_for("() => document.querySelector('#shelf li')")
    here.house.upstream_saw()
    here.house.demur("sessions", "end", "--user", "bob")
    seed = "carrot" if engine == "chromium" else "sunflower"
    button = f"[data-borrow={seed}]"
    tab.click(button if tab.has(button) else "[data-borrow]")
    here.type("bob", frame=DIALOG)
    tab.wait_for("() => [...document.querySelectorAll('#wire code')].some((c) => c.textContent.includes('borrow'))")
    assert here.post_seen("/api/borrow") == 1
    tab.click("form[action$='/sign-out'] button")
    tab.wait_for("() => location.pathname === '/.demur/signed-out' && document.readyState === 'complete'")
    tab.back()
    tab.wait_for("() => location.pathname === '/members/'")
    tab.wait_until_unseen("#shelf")
