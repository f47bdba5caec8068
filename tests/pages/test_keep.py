"""Staying signed in when the browser is closed, where a site lets people choose it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.support import SITE, make_request

from demur.core import page
from demur.core.model import Refuse
from demur.core.reasons import Reason
from demur.core.respond import Refusal, refuse


@pytest.mark.parametrize("offered", [True, False])
def test_the_form_offers_what_the_site_allows(offered: bool) -> None:
    """The box stands in the form only where ticking it would have an effect."""
    site = replace(SITE, keep_me_signed_in=offered)
    request = make_request(target="/members/", sec_fetch_mode="navigate")
    answer = refuse(Refusal(site, request, Refuse(Reason.SIGN_IN_REQUIRED), "x"), page.DEFAULT)
    assert (b'name="keep"' in answer.body) is offered
