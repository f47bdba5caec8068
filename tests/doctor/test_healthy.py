"""A proxy with its recipe as it is printed has nothing wrong with it, and next to everything is seen."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from tests.proxies.real import PROXIES, UNTESTED, Stand, behind
from tests.site.houses import DEMUR

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.proxies, pytest.mark.slow]


def examined(stand: Stand, *more: str) -> tuple[int, dict[str, Any]]:
    """The status of `demur doctor` and its findings by name."""
    command = [*DEMUR, "doctor", "--config", str(stand.folder / "demur.toml"), "--json", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=stand.folder)
    assert done.returncode in {0, 1}, done.stderr
    (report,) = json.loads(done.stdout)
    return done.returncode, {each["check"]: each for each in report["findings"]}


@pytest.mark.parametrize("name", PROXIES)
def test_nothing_is_wrong(name: str, tmp_path: Path) -> None:
    """With somebody to stand in for the app, every check is made but one, and every one is right."""
    if name in UNTESTED:
        pytest.skip(UNTESTED[name])
    with behind(name, tmp_path, people=False) as stand:
        status, found = examined(stand)
        assert status == 0, found
        unseen = {check for check, each in found.items() if each["verdict"] == "not seen"}
        assert unseen == {"forged-identity", "our-cookie", "same-bytes", "app-cookies"}
        stand.upstream.close()
        status, found = examined(stand, "--stand-in")
        others = {check: each["said"] for check, each in found.items() if each["verdict"] != "right"}
        # who listens there is the doctor itself
        assert set(others) == {"way-round"}, others
        assert status == 0
