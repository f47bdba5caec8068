"""The words of the sign-in page: every language has all of them, and says lengths of time as it should."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from demur.core import words

ENGLISH = words.of("en")
EVERY = pytest.mark.parametrize("lang", list(words.LANGUAGES))
# What a language needs of each unit depends on its plurals; everything else is the same for all.
UNITS = ("second", "minute", "hour", "day")


def said(lang: str) -> dict[str, str]:
    return {key: text for key, text in words.of(lang).items() if not re.fullmatch(r"time\.\w+\.\w+", key)}


@EVERY
def test_every_language_has_every_text(lang: str) -> None:
    """No key is missing, none is left over, and none is empty but what joins two words."""
    assert list(said(lang)) == list(said("en"))
    assert [key for key, text in said(lang).items() if not text.strip() and key != "time.join"] == []


@EVERY
def test_every_text_has_its_slots(lang: str) -> None:
    """What is filled in in English is filled in everywhere, and nothing else."""
    slots = {key: re.findall(r"\{\w*\}", text) for key, text in said(lang).items()}
    assert slots == {key: re.findall(r"\{\w*\}", text) for key, text in said("en").items()}


@EVERY
def test_every_number_has_its_plural(lang: str) -> None:
    """Whatever the number, there is a form for it, and one that is not said in words has the number in it."""
    for unit in UNITS:
        for number in range(1, 200):
            form = words.LANGUAGES[lang](number)
            text = words.of(lang)[f"time.{unit}.{form}"]
            assert "{n}" in text or (lang, form) in {("ar", "one"), ("ar", "two")}


def test_every_file_is_a_language() -> None:
    """No translation lies about unused."""
    names = {file.name for file in files("demur.core").joinpath("templates/words").iterdir()}
    assert names == {f"{lang}.toml" for lang in words.LANGUAGES}


@pytest.mark.parametrize(
    ("tag", "lang"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("DE-at", "de"),
        ("zh-Hans-CN", "zh"),
        ("ar", "ar"),
        ("", "en"),
        ("nl", "en"),
        ("german", "en"),
        ("../de", "en"),
        ("de\0", "en"),
        ("de_AT", "en"),  # no tag at all
    ],
)
def test_a_language_is_one_of_ours(tag: str, lang: str) -> None:
    """A tag counts as far as its first part; what we do not speak is English."""
    assert words.language(tag) == lang


@pytest.mark.parametrize(
    ("lang", "seconds", "text"),
    [
        ("en", 5400, "1 hour 30 minutes"),
        ("de", 60, "1 Minute"),
        ("de", 5400, "1 Stunde und 30 Minuten"),
        ("de", 3 * 86400, "3 Tagen"),  # after "nach" and "in"
        ("fr", 5400, "1 heure et 30 minutes"),
        ("es", 7200, "2 horas"),
        ("zh", 1800, " 30 分钟"),
        ("zh", 5400, " 1 小时 30 分钟"),
        ("ar", 60, "دقيقة واحدة"),
        ("ar", 120, "دقيقتين"),
        ("ar", 300, "5 دقائق"),
        ("ar", 1800, "30 دقيقة"),
        ("ar", 3 * 3600, "3 ساعات"),
        ("ar", 5400, "ساعة واحدة و30 دقيقة"),
        ("ar", 30 * 86400, "30 يومًا"),
        ("ar", 100 * 86400, "100 يوم"),
    ],
)
def test_lengths_of_time(lang: str, seconds: int, text: str) -> None:
    """A length of time is said as the language does, one, two and many."""
    assert words.duration(seconds, lang) == text
