"""What a new password has to be."""

from __future__ import annotations

import pytest

from demur.accounts import passwords


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "xkcdhorse",
        "\u00e4\u00f6\u00fc\u00df\u00e4\u00f6\u00fc\u00df",
        "\U0001f600\U0001f601\U0001f602\U0001f603\U0001f604\U0001f605\U0001f606\U0001f607",
        "with a\ttab",
        "three" + "x" * 1019,
        "mellon-und-freund",
        "20260131-x",
        "passwordless is the future",
    ],
)
def test_passwords_that_are_possible(password: str) -> None:
    """Length counts, and composition does not."""
    assert passwords.problem(password, "alice") is None


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("", "at least 8"),
        ("sevench", "at least 8"),
        ("a\u0308" * 7, "at least 8"),  # seven letters, however they are written
        ("xy" + "\u00e9" * 512, "at most 1024 bytes"),
        ("aliceinchains", "must not be the name"),
        ("AliceInChains", "must not be the name"),
        ("password", "among the first"),
        ("Password1!", "among the first"),
        ("P@ssw0rd", "among the first"),
        ("passpass", "among the first"),
        ("letmein1", "among the first"),
        ("Sommer2026!", "among the first"),
        ("12345678", "among the first"),
        ("87654321", "among the first"),
        ("qwertyui", "among the first"),
        ("1q2w3e4r", "among the first"),
        ("aaaaaaaaaaaaaaaa", "among the first"),
        ("abcabcabc", "among the first"),
        ("trustno1", "among the first"),
        ("geheim1234", "among the first"),
        ("\uff50assword", "among the first"),
    ],
)
def test_passwords_that_are_not(password: str, fault: str) -> None:
    """Too short, too long, the name itself, and what everybody tries first."""
    problem = passwords.problem(password, "aliceinchains")
    assert problem is not None
    assert fault in problem


@pytest.mark.parametrize(("password", "short"), [("fourteen chars", True), ("fifteen  chars!", False)])
def test_fifteen_are_advised(password: str, short: bool) -> None:
    """A password may be shorter than what is advised."""
    assert passwords.is_short(password) is short
    assert passwords.problem(password) is None
