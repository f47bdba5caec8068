"""Recipes for configurations of every kind, before the eyes of the programs that are to run them."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.ports import free_port
from tests.proxies.real import COMMANDS, UNTESTED, found
from tests.site.houses import DEMUR

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

pytestmark = [pytest.mark.proxies, pytest.mark.slow]

# A host as long as a label and a name may be, a star, an upstream with TLS, one at an IPv6 address, two hosts at one
# port, a prefix of its own, rules with methods, preflights left to the site, and tokens from elsewhere.
CONFIG = """\
version = 1

[gateway]
listen = "127.0.0.1:{pages}"
check_listen = "127.0.0.1:{check}"
trusted_proxies = ["127.0.0.1"]

[[site]]
origin = "https://{long}.example.com:{public}"
upstream = "https://localhost:9443"
cors = "upstream"
accepts = ["bearer"]
authorization_servers = ["https://login.example.com"]

[[site.rule]]
path = "/**"
allow = {{ groups = ["staff"] }}

[[site]]
origin = "https://*.apps.example.com:{public}"
upstream = "http://[::1]:9001"
prefix = "/_/d.e~m-ur"

[[site.rule]]
path = "/**"
methods = ["GET"]
allow = "signed-in"

[[site]]
origin = "http://localhost:{local}"
upstream = "http://127.0.0.1:9002"

[[site.rule]]
path = "/**"
allow = "anyone"

[[site]]
origin = "http://app.localhost:{local}"
upstream = "http://127.0.0.1:9002"

[[site.rule]]
path = "/**"
allow = "signed-in"
"""

CHECKS: Mapping[str, Callable[[tuple[str, ...]], tuple[str, ...]]] = {
    "nginx": lambda command: (*command, "-t"),
    "caddy": lambda command: (command[0], "validate", *command[2:]),
    "envoy": lambda command: (*command, "--mode", "validate"),
    "haproxy": lambda command: (*command, "-c"),
    "apache": lambda command: (*(word for word in command if word not in {"-D", "FOREGROUND"}), "-t"),
}
"""How each program is asked what it thinks of a configuration, given how it is started. Traefik cannot be asked."""


@pytest.mark.parametrize("name", CHECKS)
def test_many_sites(name: str, tmp_path: Path, tls: Path) -> None:
    """The program finds nothing wrong with the recipe, and has nothing to warn of."""
    if name in UNTESTED:
        pytest.skip(UNTESTED[name])
    ports = {key: free_port() for key in ("pages", "check", "public", "local")}
    (tmp_path / "demur.toml").write_text(CONFIG.format(long=f"{'l' * 63}.{'o' * 40}", **ports))
    written = ("recipe", name, "--config", "demur.toml", "--certificate", str(tls / "both.pem"), "--into", ".")
    subprocess.run([*DEMUR, *written], cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run(
        CHECKS[name](COMMANDS[name](tmp_path)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    # Caddy would like tabs; people who paste from a page would not.
    for line in (each for each in said.splitlines() if "caddy fmt" not in each):
        assert not any(word in line for word in ("[warn]", "[WARNING]", "[ALERT]", '"level":"warn"')), line


def test_a_program_that_is_missing_is_named() -> None:
    """Whoever runs the tests without one of the programs learns which, and where an exception belongs."""
    with pytest.raises(AssertionError, match=r"no-such-proxy is not here, and tests/proxies/untested.toml"):
        found("no-such-proxy")
