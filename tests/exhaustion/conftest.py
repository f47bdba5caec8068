"""A gateway that runs while it is attacked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from benchmarks import exhaustion

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence

    from benchmarks.exhaustion import Gateway

T = TypeVar("T")


@dataclass(frozen=True)
class Running:
    """A gateway, and the loop in which it is asked."""

    gateway: Gateway
    runner: asyncio.Runner

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of some work."""
        return self.runner.run(work)

    def ask(self, target: str) -> Sequence[bytes]:
        """A request of somebody who is not signed in."""
        head = f"GET {target} HTTP/1.1\r\nHost: localhost:{self.gateway.port}\r\nConnection: close\r\n\r\n"
        return [head.encode()]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """A gateway before a site, for all the attacks of a module."""
    with asyncio.Runner() as runner:
        serving = exhaustion.serving()
        gateway = runner.run(serving.__aenter__())
        try:
            yield Running(gateway, runner)
        finally:
            runner.run(serving.__aexit__(None, None, None))
