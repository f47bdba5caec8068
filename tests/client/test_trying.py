"""The page of the documentation on which every reason can be tried, as `make serve` serves it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.ports import free_port
from tests.site.houses import wait_for

from demur.core.reasons import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.client.engines import Tab, Window

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SAMPLE = Path(__file__).parents[2] / "examples/sample"
HEALED = {"sign-in-required", "session-idle", "session-expired", "session-ended", "session-revoked"}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The sample site, started as `make serve` starts it."""
    folder, port = tmp_path_factory.mktemp("trying"), free_port()
    log = folder / "log"
    command = [sys.executable, str(SAMPLE / "serve.py"), "--port", str(port), "--state", str(folder / "state")]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as served:
        try:
            wait_for(("127.0.0.1", port), served, log, 60)
            yield f"http://localhost:{port}"
        finally:
            served.terminate()


def sign_in(tab: Tab) -> None:
    """Bob, in the dialog."""
    tab.wait_for_element("input[name=password]", frame="iframe")
    if not tab.evaluate("() => document.querySelector('[name=username]')?.value ?? 'known'", frame="iframe"):
        tab.fill("[name=username]", "bob", frame="iframe")
    tab.fill("[name=password]", "bob-borrows-beans", frame="iframe")
    tab.click("form [type=submit]", frame="iframe")


def test_every_reason_can_be_tried(origin: str, window: Window) -> None:
    """Each button meets its reason, and what a sign-in heals is healed and executed once."""
    tab = window.tab(f"{origin}/try/")
    slugs = tab.evaluate("() => [...document.querySelectorAll('[data-try]')].map(button => button.dataset.try)")
    assert slugs == [reason.value for reason in REASONS]
    tab.wait_for("async () => (await import('/.demur/client.js')).demur && fetch.name === 'call'")
    done = 0
    for slug in slugs:
        tab.click(f"[data-try='{slug}']")
        if slug in HEALED | {"credentials-invalid"}:
            sign_in(tab)
        tab.wait_for(f"() => document.querySelector('#{slug} [role=status]').textContent")
        assert f'"reason": "{slug}"' in tab.text(f"#{slug} pre") or slug == "step-up-required", slug
        said = tab.text(f"#{slug} [role=status]")
        if slug in HEALED:
            done += 1
            assert said == f"Refused, signed in, repeated: executed for you {done} times now.", slug
        elif slug == "credentials-invalid" or said.startswith("Allowed"):
            done += 1
        else:
            assert f"script was given {REASONS[slug].status}" in said, (slug, said)
