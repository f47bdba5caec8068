"""The page about moving sessions is followed, with a gateway that serves all the while."""

from __future__ import annotations

import json
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest
from tests.docs.console import Step, pattern, steps, type_in
from tests.docs.test_how_to import HOW_TO, Shop, shop

if TYPE_CHECKING:
    from tests.site.wire import Answer

__all__ = ["shop"]

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


def test_the_page(shop: Shop, postgres_url: str) -> None:
    """Who is signed in stays so on the new store, and who was signed out stays so."""
    page = (HOW_TO / "move-sessions.md").read_text().replace("postgresql://db.internal/demur", f"'{postgres_url}'")
    stays, goes = shop.sign_in(), shop.sign_in()
    copy, last = steps(page)
    follow(shop, copy)
    after = shop.sign_in()
    assert shop.ask("/.demur/sign-out", goes, "POST").status < 400
    follow(shop, last)

    for token in (stays, after):
        assert shop.ask("/who", token).status == 200  # the old store can be read
    refused = shop.ask("/.demur/sign-out", stays, "POST")
    assert refused.status == 503
    assert refused.value("Retry-After")

    config = shop.folder / "demur.toml"
    config.write_text(config.read_text() + f'\n[sessions]\nstore = "{postgres_url}"\n')
    assert shop.gateway.running is not None
    shop.gateway.running.send_signal(signal.SIGHUP)
    end = time.monotonic() + 20
    while (answer := signed_out(shop, stays)).status == 503 and time.monotonic() < end:
        time.sleep(0.05)  # until the new workers are there
    assert answer.status < 400
    assert shop.ask("/who", after).status == 200
    for token in (stays, goes):
        assert json.loads(shop.ask("/who", token).body)["reason"] == "session-ended"


def signed_out(shop: Shop, token: str) -> Answer:
    return shop.ask("/.demur/sign-out", token, "POST")


def follow(shop: Shop, step: Step) -> None:
    ((typed, seen),) = type_in([step], shop.folder)
    shown = re.sub(r'store = ".*?"', 'store = "…"', typed.output or "")
    assert pattern(shown).fullmatch(seen), seen
