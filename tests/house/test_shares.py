"""How the tests are shared out to processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.shares import LONG, share

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("file", LONG)
def test_what_takes_long_is_there(file: str) -> None:
    """A file that has another name now would begin last."""
    assert (TESTS / file).is_file()


@pytest.mark.parametrize(
    ("nodeid", "belongs"),
    [
        ("tests/a/test_b.py::test_c", "tests/a/test_b.py"),
        ("tests/a/test_b.py::test_c[nginx-x]", "tests/a/test_b.py nginx"),
        ("tests/a/test_b.py::test_c[x-caddy]", "tests/a/test_b.py caddy"),
        ("tests/a/test_b.py::test_c[nginx is slow]", "tests/a/test_b.py"),
        ("tests/a/test_b.py::test_c[a[b]-envoy]", "tests/a/test_b.py envoy"),
    ],
)
def test_a_share_is_a_file_or_a_proxy_in_it(nodeid: str, belongs: str) -> None:
    """What is started for one test is there for the next."""
    assert share(nodeid) == belongs
