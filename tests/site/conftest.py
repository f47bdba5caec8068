"""Running sites: made once for each process of pytest, with ports and folders of their own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.site.houses import PHP, SAMPLE, House, needs_php, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLES = [
    pytest.param(SAMPLE, id="sample"),
    pytest.param(PHP, id="php", marks=[pytest.mark.php, needs_php]),
]


@pytest.fixture(scope="session", params=EXAMPLES)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Each of the example sites in turn, running behind a gateway."""
    with running(request.param, tmp_path_factory.mktemp(request.param.name)) as here:
        yield here


@pytest.fixture(scope="session")
def php(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The PHP site behind a gateway."""
    with running(PHP, tmp_path_factory.mktemp("php-alone")) as here:
        yield here


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The sample site behind a gateway."""
    with running(SAMPLE, tmp_path_factory.mktemp("sample-alone")) as here:
        yield here


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for localhost, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    files = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    command = ["openssl", "req", "-x509", *kind, "-subj", "/CN=localhost", "-addext", names, *files]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def secure_php(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[House]:
    """The PHP site behind a gateway that speaks TLS."""
    with running(PHP, tmp_path_factory.mktemp("php-tls"), tls=certificate) as here:
        yield here
