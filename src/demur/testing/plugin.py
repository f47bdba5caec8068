"""The fixture for pytest: there when demur is installed, or by `pytest_plugins = ["demur.testing.plugin"]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def demur_signed_in() -> Iterator[Callable[..., Any]]:
    """`demur.testing.signed_in`, for this test only: afterwards nobody is anybody any more."""
    from demur import testing  # noqa: PLC0415 - most runs of pytest never ask for it

    yield testing.signed_in
    testing.forget()
