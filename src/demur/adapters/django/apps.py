"""demur as an app of a Django project: it has no models, and so no migrations."""

from __future__ import annotations

from django.apps import AppConfig


class DemurConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """The app; its label is `demur`."""

    name = "demur.adapters.django"
    label = "demur"
    verbose_name = "demur"

    def ready(self) -> None:
        """Listen to Django's signals, and have its system checks look at the views."""
        from demur.adapters.django import checks, signals  # noqa: PLC0415 - when all models are there

        signals.connect()
        signals.connect_people()
        checks.connect()
