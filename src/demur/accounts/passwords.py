"""What a new password has to be.

NIST SP 800-63B-4, 3.1.1.2: at least 8 characters where it is not the only factor, 15 where it is; "Verifiers and CSPs
SHALL NOT impose other composition rules"; and a new one is compared with a list of commonly used and expected ones.
We ask for 8 and advise 15.
"""

from __future__ import annotations

import unicodedata
from typing import Final

MIN_LENGTH: Final = 8
ADVISED_LENGTH: Final = 15
MAX_BYTES: Final = 1024


def problem(password: str, name: str = "") -> str | None:
    """Why this cannot be the password of the person of that name, as a sentence to show; None if it can.

    Length counts code points ("each Unicode code point SHALL be counted as a single character").
    """
    length = len(unicodedata.normalize("NFC", password))
    if length < MIN_LENGTH:
        return f"A password has at least {MIN_LENGTH} characters; {ADVISED_LENGTH} or more are better."
    if len(password.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return f"A password has at most {MAX_BYTES} bytes."
    folded = unicodedata.normalize("NFKC", password).casefold().strip()
    if name and folded == name.casefold():
        return "The password must not be the name."
    if _is_common(folded):
        return "This password is among the first that anybody tries. Take something longer, such as a few words."
    return None


def is_short(password: str) -> bool:
    """Whether a password that is possible is shorter than advised."""
    return len(unicodedata.normalize("NFC", password)) < ADVISED_LENGTH


def _is_common(folded: str) -> bool:
    if len(set(folded)) <= 2 or any(folded in run for run in _RUNS):
        return True
    plain = folded.translate(_LEET)
    cores = {core.strip(_AROUND) for core in (folded, plain, folded.rstrip(_AROUND).translate(_LEET))} | {folded}
    return any(core in _WORDS or _is_repeated(core) for core in cores)


def _is_repeated(core: str) -> bool:
    """Whether it is one common word or a short run again and again: "passpass", "abcabcabc"."""
    size = next((size for size in range(1, len(core) // 2 + 1) if core == core[:size] * (len(core) // size)), 0)
    return 0 < size <= 4 or (size > 0 and core[:size] in _WORDS)


_AROUND: Final = "0123456789 !?.,;:-_+*#$%&@()/="
_LEET: Final = str.maketrans("@4301!5$7", "aaeoiisst")


def _both_ways(*runs: str) -> tuple[str, ...]:
    return tuple(way for run in runs for way in (run * 2, run[::-1] * 2))


_RUNS: Final = _both_ways(
    "0123456789",
    "1234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "qwertzuiopü",
    "azertyuiop",
    "asdfghjkl",
    "yxcvbnm",
    "zxcvbnm",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "1q2w3e4r5t6y7u8i9o0p",
    "1q2w3e4r5t6z7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb",
    "q1w2e3r4t5y6u7i8o9p0",
    "!qaz@wsx#edc$rfv",
    "a1b2c3d4e5f6g7h8",
    "147258369",
    "159357",
)

# With whatever digits and signs stand around them, and with the usual digits for letters.
_WORDS: Final = frozenset(
    """
    11223344 zaq12wsx !qaz2wsx aaaa abc abcd abcde access account adgjmptw admin adminadmin administrator amanda
    america andrea andrew angel anthony apple arsenal asdf asdfasdf asdfgh ashley austin autumn babygirl bailey
    banana baseball basketball batman bayern beautiful benutzer berlin biteme blahblah blink buster butterfly camaro
    carlos changeit changeme charlie cheese chelsea chocolate christian computer cookie corvette daniel database
    default demo demur diamond dolphin donald dragon einstein elephant eminem enter eternity evernote family ferrari
    fckgwrhqq2 firebird flower football forever frankfurt freedom friday friend friends fuckyou fussball gandalf
    geheim george gfhjkm gibson ginger godzilla google guest hallo hallohallo hamburg hannah hello helloworld herbst
    hockey hunter iceman iloveu iloveyou internet jasmine jennifer jessica jesus johnny jordan joshua junior justin
    killer kitten knight kommwieder landing lastfm letmein liverpool login london lovely loveme loveyou lucky maggie
    manager marina martin marvin master matrix matthew maverick melissa mercedes merlin michael michelle midnight
    minecraft mission monday money monkey monster morgan mother motdepasse mustang mypassword mypass naruto nascar
    newyork nicole nintendo nirvana nothing november october office oliver orange passpass pass passphrase passw
    passwd password passwordpassword passwort patrick peanut pepper phoenix pokemon porsche prince princess private
    purple qazwsx qazwsxedc qwaszx qwer qwerasdf qwert qwerty qwertyqwerty qwertz rainbow ranger realmadrid robert
    root rootroot samantha samsung scorpion secret service shadow shannon sicher silver simpson slipknot snoopy
    soccer sommer sonnenschein sophie spiderman spring starwars startrek stella steven summer sunday sunflower
    sunset sunshine super superman support sweet swordfish system taylor temp temporary tennis test testing testtest
    thomas thunder thursday tigger timeout trustme trustno tuesday tweety user username vanessa victoria videogames
    viewsonic welcome wednesday whatever william wilkommen willkommen windows winner winter wizard wordpass yamaha
    yankees yourpassword zxcv zxcvbn zzzz
    """.split()  # noqa: SIM905 - one word a line would be a page long
)
