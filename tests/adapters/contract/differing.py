"""What an adapter cannot do, and why: `exceptions.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Exempt:
    """These adapters differ in these cases, for this reason."""

    adapters: tuple[str, ...]
    cases: tuple[str, ...]
    reason: str


EXCEPTIONS = tuple(
    Exempt(tuple(each["adapters"]), tuple(each["cases"]), each["reason"])
    for each in tomllib.loads(Path(__file__).with_name("exceptions.toml").read_text()).get("exception", [])
)


def judge(adapter: str, case: str, wrong: list[str]) -> None:
    """Fail where an adapter differs and has no exception, and where it has one that it does not need."""
    excused = [each.reason for each in EXCEPTIONS if adapter in each.adapters and case in each.cases]
    if excused and not wrong:
        pytest.fail(f"{adapter} needs no exception from {case!r} any more")
    if wrong and not excused:
        pytest.fail("\n".join(each[:400] for each in wrong), pytrace=False)
