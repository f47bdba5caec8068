"""Which fields are never kept, in any spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demur.core.secret_fields import is_card, is_secret, plain

SECRET = [
    *("password", "Password", "pass_word", "PASSWORD", "user[password]", "user.password", "userPassword", "password2"),
    *("new-password", "password_confirmation", "j_password", "passwd", "pwd", "txtPwd", "pw", "pw2", "pass", "pass1"),
    *("user_pass", "userpass", "newpass2", "Passwort", "kennwort", "mot_de_passe", "Contraseña", "Lösenord", "hasło"),
    *(
        "パスワード",
        "密码",
        "비밀번호",
        "\uff50\uff41\uff53\uff53word",  # wide letters
        "пароль",
        "passphrase",
        "pin",
        "PIN",
        "newPin",
        "pin_code",
        "puk",
    ),
    *("client_secret", "clientSecret", "clientsecret", "secret", "api_key", "apiKey", "private-key"),
    *("cvc", "cvv2", "card[cvc]", "securityCode", "cc-csc", "cardNumber", "cc_number", "ccnum"),
    *("otp", "otp_code", "totp", "mfa_code", "one-time-code", "verification_code", "2fa_code", "tan", "backupCode"),
    *("access_token", "apiToken", "auth-token"),
]
PLAIN = [
    *("name", "comment", "shipping_address", "opinion", "spinach", "compass", "passenger", "passport"),
    *(
        "bypass",
        "carbon_footprint",
        "hotplate",
        "secretary",
        "one_time_donation",
        "tangent",
        "tandem",
        "pink",
        "mapping",
    ),
    *(
        "csrf_token",
        "_token",
        "authenticity_token",
        "csrfmiddlewaretoken",
        "__RequestVerificationToken",
        "form[_token]",
    ),
    *("token", "_csrf", "wpEditToken", "form_token", "order", "amount", "Classification", ""),
]


@pytest.mark.parametrize("name", SECRET)
def test_is_never_kept(name: str) -> None:
    """A name that says password, code or card in some spelling."""
    assert is_secret(name, "x" * 40)


@pytest.mark.parametrize("name", PLAIN)
def test_is_kept(name: str) -> None:
    """A name that only looks a little like one, and the token of a form, without which nothing could be sent."""
    assert not is_secret(name, "x" * 40)


@pytest.mark.parametrize("value", ["123456", "abc-def"])
def test_a_short_token_is_a_code_that_somebody_typed(value: str) -> None:
    """What is called a token and is short is typed from a telephone; what is long was made by a machine."""
    assert is_secret("token", value)
    assert not is_secret("csrf_token", value)


@pytest.mark.parametrize("value", ["", "on", "true", "0", " 1 "])
def test_a_switch_is_no_secret(value: str) -> None:
    """An empty field and a ticked box give nothing away, whatever they are called."""
    assert not is_secret("show_password", value)


@pytest.mark.parametrize("value", ["4111 1111 1111 1111", "4111111111111111", "378282246310005", "5500-0000-0000-0004"])
def test_the_number_of_a_card_is_known_by_its_digits(value: str) -> None:
    """Whatever its field is called."""
    assert is_secret("reference", value)


@pytest.mark.parametrize("value", ["4111 1111 1111 1112", "12", "1234567890123456", "2026-11-23", "4" * 41, "४" * 16])
def test_another_number_is_none(value: str) -> None:
    """Digits that do not add up, too few or too many, and no card begins with a one."""
    assert not is_card(value)


def test_a_site_can_name_more() -> None:
    """Its words count anywhere in a name, in any spelling."""
    assert is_secret("patient[Diagnosis]", "flu", ["diagnosis"])
    assert is_secret("diagnosis_flu", "on", ["diagnosis"])
    assert not is_secret("diagnosis", "", ["diagnosis"])
    assert not is_secret("patient[name]", "Bo", ["diagnosis"])


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_sent_is_judged(name: str, value: str) -> None:
    """No name and no value is too strange, and capitals and marks between letters make no difference."""
    is_secret(name, value)
    assert plain(plain(name)) == plain(name)


@given(st.sampled_from(("password", "passphrase", "securitycode")), st.data())
def test_no_spelling_hides_a_password(word: str, data: st.DataObject) -> None:
    """Marks between letters, and capitals."""
    marks = data.draw(st.lists(st.sampled_from(("", "-", "_", ".", " ", "[")), min_size=len(word), max_size=len(word)))
    capital = data.draw(st.lists(st.booleans(), min_size=len(word), max_size=len(word)))
    spelt = "".join(
        (each.upper() if big else each) + mark for each, big, mark in zip(word, capital, marks, strict=True)
    )
    assert is_secret(spelt, "hush")
