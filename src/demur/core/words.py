"""The words of the sign-in page in each language, and lengths of time in them.

- A language is one file in `templates/words`; all of them have the same keys.
- A language that has no file is English. A tag is read as far as its first part: `de-AT` is German, `zh-CN` Chinese.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENGLISH = "en"


def _english(number: int) -> str:
    return "one" if number == 1 else "other"


def _arabic(number: int) -> str:
    if number in {1, 2}:
        return ("one", "two")[number - 1]
    rest = number % 100
    return "few" if 3 <= rest <= 10 else "many" if rest > 10 else "other"


LANGUAGES: Mapping[str, Callable[[int], str]] = {
    ENGLISH: _english,
    "de": _english,
    "fr": lambda number: "one" if number < 2 else "other",
    "es": _english,
    "zh": lambda _: "other",
    "ar": _arabic,
}
"""Each language with its rule for plurals (CLDR, plural rules; whole numbers only)."""


def language(tag: str) -> str:
    """The language of ours for a tag (BCP 47); English for any other."""
    first = tag.partition("-")[0].lower()
    return first if first in LANGUAGES else ENGLISH


@cache
def of(lang: str) -> Mapping[str, str]:
    """Every text of a language; what stands in a table has its name in front: `title.session-idle`."""
    return dict(_flat(tomllib.loads(files("demur.core").joinpath(f"templates/words/{lang}.toml").read_text("utf-8"))))


def _flat(table: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    texts: list[tuple[str, str]] = []
    for key, value in table.items():
        texts += _flat(value, f"{above}{key}.") if isinstance(value, dict) else [(above + key, value)]
    return texts


def duration(seconds: int, lang: str = ENGLISH) -> str:
    """A length of time in words, never shorter than it is: "45 seconds", "1 hour 30 minutes", "3 days"."""
    seconds = max(seconds, 1)
    if seconds < 120 and seconds % 60:
        return _count(seconds, "second", lang)
    minutes = -(-seconds // 60)
    if minutes < 60:
        return _count(minutes, "minute", lang)
    if minutes < 48 * 60:
        hours, rest = divmod(minutes, 60)
        whole = _count(hours, "hour", lang)
        return whole + of(lang)["time.join"] + _count(rest, "minute", lang) if rest else whole
    return _count(-(-minutes // (24 * 60)), "day", lang)


def _count(number: int, unit: str, lang: str) -> str:
    return of(lang)[f"time.{unit}.{LANGUAGES[lang](number)}"].replace("{n}", str(number))
