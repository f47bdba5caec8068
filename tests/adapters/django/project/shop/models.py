"""Something to have permissions for."""

# mypy: disable-error-code="misc, import-untyped, attr-defined, unused-ignore"
from __future__ import annotations

from django.db import models


class Report(models.Model):
    """A report."""

    title = models.CharField(max_length=50)

    class Meta:
        """Where it is."""

        app_label = "shop"
