"""demur in a Django project: `"demur.adapters.django"` in `INSTALLED_APPS`, `"demur.adapters.django.Middleware"` in
`MIDDLEWARE` right after `AuthenticationMiddleware`, and `DEMUR = {…}` for the options.

Views say what they ask for with `demur.require`, `demur.public` and `demur.identified`, or by their class with
`Requires`. What Django refuses by itself is turned right. `drf` and `ninja` beside this are for those who use them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demur.adapters.django.answers import csrf_failure
    from demur.adapters.django.middleware import Middleware
    from demur.adapters.django.mixins import Requires

__all__ = ["Middleware", "Requires", "csrf_failure"]

_HOMES = {"Middleware": "middleware", "Requires": "mixins", "csrf_failure": "answers"}


def __getattr__(name: str) -> object:
    """Load a name when it is asked for: as an app this is imported before there are models."""
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module  # noqa: PLC0415 - not at import

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
