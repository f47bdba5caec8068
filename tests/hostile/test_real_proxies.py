"""Every hostile request, and every odd but honest one, through each real proxy with its recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.hostile import cases
from tests.hostile.houses import real_proxy
from tests.hostile.runner import run_class
from tests.proxies.real import PROXIES, UNTESTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hostile.houses import Surface

pytestmark = [pytest.mark.slow, pytest.mark.proxies]


@pytest.fixture(scope="module", params=PROXIES)
def surface(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surface]:
    """Each proxy in turn."""
    if request.param in UNTESTED:
        pytest.skip(UNTESTED[request.param])
    with real_proxy(tmp_path_factory.mktemp(f"hostile-{request.param}"), request.param) as running:
        yield running


@pytest.mark.parametrize("kind", cases.KINDS)
def test_a_real_proxy(kind: str, surface: Surface, request: pytest.FixtureRequest) -> None:
    """Nothing hostile gets past, and nothing honest is refused."""
    run_class(kind, surface, request)
