"""A site's own refusal is understood as a whole or is the site's fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demur.core.foreign import MAY_SAY, read_refuse
from demur.core.model import Details, Refuse
from demur.core.reasons import REASONS, Reason


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"not-permitted", Refuse(Reason.NOT_PERMITTED)),
        (b"access-pending", Refuse(Reason.ACCESS_PENDING)),
        (b"not-found", Refuse(Reason.NOT_FOUND)),
        (
            b'not-permitted; detail="Only the author may publish \\"this\\"."',
            Refuse(Reason.NOT_PERMITTED, Details(detail='Only the author may publish "this".')),
        ),
        (
            b'not-permitted;detail=%"nur f%c3%bcr Autoren"',
            Refuse(Reason.NOT_PERMITTED, Details(detail="nur für Autoren")),
        ),
        (b'not-permitted;detail=""', Refuse(Reason.NOT_PERMITTED)),
        (
            b"not-permitted;detail=" + b'"' + b"x" * 1000 + b'"',
            Refuse(Reason.NOT_PERMITTED, Details(detail="x" * 1000)),
        ),
        (b"step-up-required", Refuse(Reason.STEP_UP_REQUIRED)),
        (
            b'step-up-required; max_age=300; acr_values="mfa phr"; detail="x"',
            Refuse(Reason.STEP_UP_REQUIRED, Details(detail="x", max_age=300, acr_values=("mfa", "phr"))),
        ),
        (b"step-up-required;max_age=0", Refuse(Reason.STEP_UP_REQUIRED, Details(max_age=0))),
    ],
)
def test_read_refuse(value: bytes, expected: Refuse) -> None:
    """A reason that a site may give is read with its parameters."""
    assert read_refuse([value]) == expected


def test_every_reason_of_403_may_be_said() -> None:
    """All reasons with status 403 are a site's to give, and beside them a step-up and a 404, nothing else."""
    assert {reason for reason in Reason if REASONS[reason].status == 403} | {
        Reason.STEP_UP_REQUIRED,
        Reason.NOT_FOUND,
    } == MAY_SAY
    for reason in MAY_SAY:
        assert read_refuse([reason.value.encode()]).reason is reason


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "sent 0 times"),
        ([b"not-permitted", b"not-permitted"], "sent 2 times"),
        ([b"not-permitted, access-pending"], "position 13"),
        ([b""], "token is expected"),
        ([b"Not-Permitted"], "cannot refuse with 'Not-Permitted'"),
        ([b"no-such-slug"], "cannot refuse with 'no-such-slug'"),
        ([b"sign-in-required"], "cannot refuse with 'sign-in-required'"),
        ([b"unavailable"], "cannot refuse with 'unavailable'"),
        ([b"too-many-attempts"], "cannot refuse with"),
        ([b'"not-permitted"'], "token is expected"),
        ([b"not-permitted; detail"], "detail has to be a string"),
        ([b"not-permitted; detail=5"], "detail has to be a string"),
        ([b'not-permitted; detail="x\n"'], "position"),
        ([b'not-permitted; detail=%"x%0ay"'], "control characters"),
        ([b'not-permitted; detail=%"x%e2%80%a8y"'], "control characters"),  # a line separator
        ([b'not-permitted; detail="' + b"x" * 1001 + b'"'], "longer than 1000"),
        ([b"not-permitted; max_age=5"], "has no parameter max_age"),
        ([b'not-permitted; details="x"'], "has no parameter details"),
        ([b"step-up-required; max_age=-1"], "max_age"),
        ([b"step-up-required; max_age"], "max_age"),
        ([b'step-up-required; max_age="5"'], "max_age"),
        ([b"step-up-required; acr_values=5"], "acr_values"),
        ([b'step-up-required; acr_values="a  b"'], "acr_values"),
        ([b'step-up-required; acr_values="a\\"b"'], "acr_values"),
    ],
)
def test_read_refuse_refuses(values: list[bytes], message: str) -> None:
    """Anything else is an error that says what is wrong."""
    with pytest.raises(ValueError, match=message):
        read_refuse(values)


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(lambda noise: b"not-permitted;" + noise)))
def test_only_value_errors(value: bytes) -> None:
    """Whatever a site sends is a refusal or a ValueError."""
    try:
        refuse = read_refuse([value])
    except ValueError:
        return
    assert refuse.reason in MAY_SAY
