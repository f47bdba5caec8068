"""Decisions to write down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from demur.core.model import Request
from demur.core.ports import Decided

if TYPE_CHECKING:
    from collections.abc import Callable


def _decided(**changes: Any) -> Decided:
    method, target = changes.pop("method", "GET"), changes.pop("target", b"/members/?token=secret")
    values: dict[str, Any] = {
        "at": 1_700_000_000.5,
        "reference": "0192d3f4-7a1b-7c3d-8e9f-000000000001",
        "origin": "https://app.example.com",
        "request": Request(method, target, "https", "app.example.com", "192.0.2.1", ((b"cookie", b"a=secret"),)),
        "outcome": "allow",
        "status": None,
        "reason": None,
        "rule": "/members/**",
        "subject": None,
        "seconds": 0.00012,
    }
    return Decided(**(values | changes))


@pytest.fixture
def decided() -> Callable[..., Decided]:
    """Makes a decision, with the changes that matter to a test."""
    return _decided
