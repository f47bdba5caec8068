"""Proxies that run: one of each for all the tests of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.proxies.real import PROXIES, UNTESTED, Stand, behind, certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module", params=PROXIES)
def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Each proxy in turn, with its recipe, before the same site."""
    if request.param in UNTESTED:
        pytest.skip(UNTESTED[request.param])
    with behind(request.param, tmp_path_factory.mktemp(request.param)) as here:
        yield here


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for localhost, and its key."""
    return certificate(tmp_path_factory.mktemp("tls"))
