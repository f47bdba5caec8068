"""A name for a device that its owner recognises, out of a User-Agent.

For display only: whoever sends it can write into it what they like, and nothing is decided by it.
"""

from __future__ import annotations

UNKNOWN = "Unknown device"

# The first mark that is found counts, so whatever pretends to be something else as well stands above it
# (Edge and Opera say Chrome, and all of them say Safari).
_PROGRAMS = (
    (b"Edg", "Edge"),
    (b"OPR/", "Opera"),
    (b"Vivaldi/", "Vivaldi"),
    (b"SamsungBrowser/", "Samsung Internet"),
    (b"YaBrowser/", "Yandex Browser"),
    (b"DuckDuckGo/", "DuckDuckGo"),
    (b"FxiOS/", "Firefox"),
    (b"Firefox/", "Firefox"),
    (b"CriOS/", "Chrome"),
    (b"Chromium/", "Chromium"),
    (b"Chrome/", "Chrome"),
    (b"Epiphany/", "GNOME Web"),
    (b"Safari/", "Safari"),
    (b"Trident/", "Internet Explorer"),
    (b"curl/", "curl"),
    (b"Wget/", "Wget"),
    (b"HTTPie/", "HTTPie"),
    (b"PostmanRuntime/", "Postman"),
    (b"python-", "Python"),
    (b"Python/", "Python"),
    (b"Go-http-client/", "Go"),
    (b"okhttp/", "OkHttp"),
)
_SYSTEMS = (
    (b"iPhone", "iPhone"),
    (b"iPad", "iPad"),
    (b"Android", "Android"),
    (b"CrOS", "ChromeOS"),
    (b"Windows", "Windows"),
    (b"Macintosh", "macOS"),
    (b"Linux", "Linux"),
    (b"FreeBSD", "FreeBSD"),
    (b"OpenBSD", "OpenBSD"),
)
_LONGEST = 512


def device(user_agent: bytes) -> str:
    """Something like "Firefox on Linux"; `UNKNOWN` where nothing is recognised. Never a part of the input."""
    seen = user_agent[:_LONGEST]
    program = next((name for mark, name in _PROGRAMS if mark in seen), None)
    system = next((name for mark, name in _SYSTEMS if mark in seen), None)
    if program and system:
        return f"{program} on {system}"
    if system:
        return f"A program on {system}"
    return program or UNKNOWN
