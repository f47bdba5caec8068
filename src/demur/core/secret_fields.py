"""Which fields of a form are never kept: passwords, one-time codes, the numbers of payment cards.

A server sees names and values, and not what the page called `type=password`. So the name decides, in any spelling
(`userPassword`, `user[password]`, `USER-PASSWORD`, `Contraseña`), and for cards the value: the digits tell.

The token that guards a form against forgery is no secret of its person, and without it nothing could be sent again.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WITHIN = (
    *("password", "passwd", "passwrd", "passwort", "passphrase", "passcode", "passkey", "pwd", "pswd", "kennwort"),
    *("motdepasse", "contraseña", "wachtwoord", "lösenord", "salasana", "adgangskode", "parola", "parool", "heslo"),
    *("hasło", "jelszó", "şifre", "пароль", "密码", "密碼", "口令", "パスワード", "暗証番号", "비밀번호", "암호"),
    *("geheim", "secretkey", "clientsecret", "sharedsecret", "privatekey", "apikey", "accesskey"),
    *("cvc", "cvv", "cvn2", "securitycode", "cardcode", "cardnumber", "ccnum", "kartennummer", "prüfziffer"),
    *("onetimecode", "onetimepass", "einmalcode", "otpcode", "otptoken", "mfacode", "2facode", "authcode"),
    *("verificationcode", "smscode", "recoverycode", "backupcode"),
)
"""Anywhere in a name of which only letters and digits are left."""
_WORDS = frozenset(
    (
        "pass",
        "pw",
        "psw",
        "pin",
        "puk",
        "tan",
        "mtan",
        "itan",
        "csc",
        "cvn",
        "mfa",
        "2fa",
        "otp",
        "totp",
        "secret",
        "ssn",
    )
)
"""As a word of its own, with a number behind it perhaps: nobody wants to type their `shipping` again."""
_ENDS = re.compile(r"(?:user|new|old|my|login|current|confirm|repeat|admin|db|ftp|smtp)pass[0-9]*\Z")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[^\W_]+")
_TOKEN_OF_A_PERSON = re.compile(r"api|access|auth(?!enticity)|bearer|refresh|personal|device|bot|session")
_TOKEN_OF_A_FORM = re.compile(r"csrf|xsrf|authenticity|requestverification|forgery|middleware|form|nonce")
_TYPED_BY_HAND = 12
"""Characters: a token that is no longer than this is a code that somebody typed."""
_SWITCHES = frozenset(("", "0", "1", "on", "off", "true", "false", "yes", "no"))
_CARD = re.compile(r"[2-6](?:[ -]?[0-9]){12,18}")
_LONGEST_CARD = 40


def is_secret(name: str, value: str, never: Iterable[str] = ()) -> bool:
    """Whether the value of a field is never kept. `never` are further words in names, as the site lists them."""
    bare = plain(name)
    if value and any(plain(word) in bare for word in never):
        return True
    if value.strip().lower() in _SWITCHES:
        return False  # nothing, or a box that was ticked: `show_password=on`
    return _names_a_secret(name, bare) or _is_token(bare, value) or is_card(value)


def guards_a_form(name: str) -> bool:
    """Whether a field holds the token that guards a form against forgery: a page put it there, and nobody typed it."""
    bare = plain(name)
    return bare == "token" or bool(_TOKEN_OF_A_FORM.search(bare) and re.search(r"token|[cx]srf|nonce", bare))


def plain(name: str) -> str:
    """A name of which only its letters and digits are left, small and without accents."""
    parts = unicodedata.normalize("NFKD", name).casefold()
    return "".join(each for each in parts if each.isalnum())


def is_card(value: str) -> bool:
    """Whether a value is the number of a payment card: 13 to 19 digits that add up (ISO/IEC 7812-1, Luhn)."""
    written = value.strip()
    if len(written) > _LONGEST_CARD or not _CARD.fullmatch(written):
        return False
    digits = [int(each) for each in reversed(written) if each.isdigit()]
    doubled = (each * 2 - 9 * (each > 4) for each in digits[1::2])
    return (sum(digits[0::2]) + sum(doubled)) % 10 == 0


def _names_a_secret(name: str, bare: str) -> bool:
    if _NAMED.search(bare) or _ENDS.search(bare):
        return True
    words = {plain(word) for word in _WORD.findall(unicodedata.normalize("NFKC", name))}
    return bool(words & _WORDS) or any(word.rstrip("0123456789") in _WORDS for word in words)


def _is_token(bare: str, value: str) -> bool:
    if "token" not in bare or _TOKEN_OF_A_FORM.search(bare):
        return False
    return bool(_TOKEN_OF_A_PERSON.search(bare)) or len(value) <= _TYPED_BY_HAND


_NAMED = re.compile("|".join(re.escape(plain(word)) for word in _WITHIN))
