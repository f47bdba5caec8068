"""The boxes of the client in every language, and in the looks of a site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.client.boxes import ALICE, BOX, REFUSAL, ask, dialog, expiring, page_with, silent, snapshot
from tests.client.engines import DIALOG

from demur.core.reasons import REASONS

if TYPE_CHECKING:
    from tests.client.engines import Window
    from tests.client.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LANGUAGES = Path(__file__).parents[2] / "src/demur/pages/static/client/lang"


def table(file: Path) -> dict[str, str]:
    """The texts of a language."""
    rows = re.findall(r'^  ("?)(.+?)\1:\s+"(.*)",$', file.read_text(encoding="utf-8"), re.MULTILINE)
    return {key: text for _, key, text in rows}


@pytest.mark.parametrize("file", sorted(LANGUAGES.glob("*.js")), ids=lambda file: file.stem)
def test_every_language_has_every_text(file: Path) -> None:
    """The texts of the boxes in all, and in all but English those that the server has for a 403."""
    own = set(table(LANGUAGES / "en.js"))
    said = {text for row in REASONS.values() if row.status == 403 for text in (row.title, row.detail)}
    texts = table(file)
    assert set(texts) == (own if file.stem == "en" else own | said)
    assert all(texts.values())
    assert "{time}" in texts["time"]
    assert texts["lang"] == file.stem
    assert texts["dir"] == ("rtl" if file.stem == "ar" else "ltr")


@pytest.mark.parametrize(
    ("lang", "shown", "title"),
    [
        ("en", "en", "You may not open this"),
        ("de", "de", "Das dürfen Sie nicht öffnen"),
        ("de-AT", "de", "Das dürfen Sie nicht öffnen"),
        ("fr", "fr", "Vous ne pouvez pas ouvrir ceci"),
        ("es-419", "es", "No puede abrir esto"),
        ("zh-Hans", "zh", "您无法打开此内容"),
        ("ar", "ar", "لا يمكنك فتح هذا"),
        ("nl", "en", "You may not open this"),
        ("", "en", "You may not open this"),
    ],
)
def test_the_language_is_that_of_the_page(lab: Lab, window: Window, lang: str, shown: str, title: str) -> None:
    """The nearest that there is, or English; and it says which, to what reads it out."""
    tab = page_with(window, lab, lang=lang)
    ask(tab, "forbidden", REFUSAL, ALICE)
    assert tab.page.locator("section h2").text_content() == title
    assert tab.evaluate("() => document.documentElement.lastElementChild.lang") == shown
    silent(tab)


def test_the_frame_speaks_the_same_language(lab: Lab, window: Window) -> None:
    """The page in the dialog is told which."""
    tab = dialog(window, lab, lang="de-CH")
    snapshot(tab, "dialog", '- dialog "Anmelden":\n  - iframe\n  - button "Schließen"')
    assert tab.evaluate("() => document.documentElement.lang", frame=DIALOG) == "de"


@pytest.mark.parametrize(("lang", "left"), [("en", False), ("ar", True)])
def test_right_to_left_is_mirrored(lab: Lab, window: Window, *, lang: str, left: bool) -> None:
    """The notice stands at the end of the line, wherever that is, and its button to close it at its own end."""
    tab = page_with(window, lab, lang=lang)
    expiring(tab, 100)
    box = tab.page.locator("section").bounding_box()
    close = tab.page.locator("section .x").bounding_box()
    assert box is not None
    assert close is not None
    assert (box["x"] < 100) == left
    assert (close["x"] < box["x"] + box["width"] / 2) == left


def test_a_site_has_its_own_words(lab: Lab, window: Window) -> None:
    """Any text can be given, and comes before that of the language."""
    words = {"idle": "Noch da, Chef?", "stay": "Klar", "lang": "de-AT"}
    tab = page_with(window, lab, lang="de", clock=True, options={"strings": words})
    expiring(tab, 100)
    tab.page.clock.run_for(300)
    assert tab.page.get_by_role("region", name="Noch da, Chef?").count() == 1
    assert tab.page.get_by_role("button", name="Klar").count() == 1
    assert "Sie werden in 2 Minuten abgemeldet." in tab.text("section")


def test_a_site_has_its_own_colours_and_its_sheet_breaks_nothing(lab: Lab, window: Window) -> None:
    """Custom properties come through; other rules of the page do not, however broad they are."""
    tab = page_with(window, lab)
    rules = """
    :root { --demur-paper: rgb(1, 2, 3); --demur-ink: rgb(250, 251, 252); --demur-radius: 3px; --demur-font: serif }
    * { display: none; opacity: 0; font-size: 3px; color: red !important; position: static !important }
    div { visibility: hidden !important; transform: scale(0.1) }
    html, body { display: block }
    """
    tab.evaluate(
        "(rules) => { const s = new CSSStyleSheet(); s.replaceSync(rules); document.adoptedStyleSheets = [s]; }", rules
    )
    ask(tab, "forbidden", REFUSAL, ALICE)
    style = """() => {
      const style = getComputedStyle(document.documentElement.lastElementChild.shadowRoot.querySelector("section"));
      return [style.backgroundColor, style.color, style.borderRadius, style.fontFamily, style.fontSize, style.position];
    }"""
    assert tab.evaluate(style) == ["rgb(1, 2, 3)", "rgb(250, 251, 252)", "3px", "serif", "16px", "fixed"]
    assert tab.page.get_by_role("button", name="Use another account").is_visible()


@pytest.mark.parametrize(("scheme", "light"), [("light", True), ("dark", False), ("light dark", False)])
def test_light_or_dark_is_what_the_page_is(lab: Lab, window: Window, *, scheme: str, light: bool) -> None:
    """A page that is light in a dark system has light boxes."""
    tab = page_with(window, lab)
    tab.page.emulate_media(color_scheme="dark")
    tab.evaluate("(scheme) => { document.documentElement.style.colorScheme = scheme; }", scheme)
    ask(tab, "forbidden", REFUSAL, ALICE)
    assert (tab.evaluate(f"() => getComputedStyle({BOX}).backgroundColor") == "rgb(255, 254, 251)") == light
