"""Something to have permissions for."""

from __future__ import annotations

from django.db import models


class Report(models.Model):  # type: ignore[misc]
    """A report."""

    title = models.CharField(max_length=50)

    class Meta:
        """Where it is."""

        app_label = "shop"
