"""Names of devices for the person's own list of sessions."""

from __future__ import annotations

import pytest

from demur.core.device import UNKNOWN, device

MOZILLA = b"Mozilla/5.0 "
WEBKIT = b" AppleWebKit/537.36 (KHTML, like Gecko) "


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (MOZILLA + b"(X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0", "Firefox on Linux"),
        (MOZILLA + b"(X11; Linux x86_64)" + WEBKIT + b"Chrome/156.0.0.0 Safari/537.36", "Chrome on Linux"),
        (MOZILLA + b"(X11; CrOS x86_64 14541.0.0)" + WEBKIT + b"Chrome/156.0.0.0 Safari/537.36", "Chrome on ChromeOS"),
        (
            MOZILLA + b"(Windows NT 10.0; Win64; x64)" + WEBKIT + b"Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0",
            "Edge on Windows",
        ),
        (
            MOZILLA + b"(Windows NT 10.0; Win64; x64)" + WEBKIT + b"Chrome/156.0.0.0 Safari/537.36 OPR/140.0.0.0",
            "Opera on Windows",
        ),
        (
            MOZILLA + b"(Macintosh; Intel Mac OS X 10_15_7)" + WEBKIT + b"Version/26.0 Safari/605.1.15",
            "Safari on macOS",
        ),
        (
            MOZILLA + b"(iPhone; CPU iPhone OS 18_6 like Mac OS X)" + WEBKIT + b"Version/26.0 Mobile Safari/604.1",
            "Safari on iPhone",
        ),
        (MOZILLA + b"(iPad; CPU OS 18_6 like Mac OS X)" + WEBKIT + b"CriOS/156.0 Safari/604.1", "Chrome on iPad"),
        (MOZILLA + b"(Linux; Android 10; K)" + WEBKIT + b"Chrome/156.0.0.0 Mobile Safari/537.36", "Chrome on Android"),
        (
            MOZILLA + b"(Linux; Android 10; K)" + WEBKIT + b"SamsungBrowser/29.0 Chrome/136.0 Mobile Safari/537.36",
            "Samsung Internet on Android",
        ),
        (b"curl/8.16.0", "curl"),
        (b"python-requests/2.32.5", "Python"),
        (MOZILLA + b"(X11; Linux x86_64) SomethingNew/1.0", "A program on Linux"),
        (b"", UNKNOWN),
        (b"\xff\xfe<script>", UNKNOWN),
        (b" " * 512 + b"Firefox/153.0", UNKNOWN),  # nothing beyond a bounded start is read
    ],
)
def test_device(agent: bytes, name: str) -> None:
    """A User-Agent becomes a name out of our own tables, and never a piece of itself."""
    assert device(agent) == name
