"""Every hostile request, and every odd but honest one, through demur's own proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.hostile import cases
from tests.hostile.houses import own_proxy
from tests.hostile.runner import run_class
from tests.proxies.real import certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hostile.houses import Surface

pytestmark = pytest.mark.slow

OVER_TLS = ("target forms", "Host", "framing", "forged forwarding and identity", "session cookies", cases.HONEST)
"""The classes in which a scheme, another cookie's name or another way to read makes a difference."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surface]:
    """The built-in proxy, over http."""
    with own_proxy(tmp_path_factory.mktemp("hostile"), "demur") as surface:
        yield surface


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surface]:
    """The built-in proxy, over https."""
    folder = tmp_path_factory.mktemp("hostile-tls")
    with own_proxy(folder, "demur, TLS", certificate(folder)) as surface:
        yield surface


@pytest.mark.parametrize("kind", cases.KINDS)
def test_http(kind: str, plain: Surface, request: pytest.FixtureRequest) -> None:
    """Nothing hostile gets past, and nothing honest is refused."""
    run_class(kind, plain, request)


@pytest.mark.parametrize("kind", OVER_TLS)
def test_https(kind: str, tls: Surface, request: pytest.FixtureRequest) -> None:
    """The same over TLS."""
    run_class(kind, tls, request)
