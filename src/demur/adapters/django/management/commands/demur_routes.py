"""`manage.py demur_routes`: every URL pattern, and what is asked for there."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from demur.adapters.django import config
from demur.adapters.django.routes import routes


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Lists; with `--closed` only what nobody says anything about, and then fails if there is some."""

    help = "List every URL pattern with what demur and the app ask for there."

    def add_arguments(self, parser: Any) -> None:  # noqa: ANN401 - Django's
        """What can be said."""
        parser.add_argument("--closed", action="store_true", help="only what nobody says anything about; fails if any")

    def handle(self, *_: object, **options: Any) -> None:  # noqa: ANN401 - Django's
        """Print the table."""
        surface = config.surface()
        rows = [(each.path, each.methods, each.requirement(surface), each.view) for each in routes()]
        if options["closed"]:
            rows = [row for row in rows if row[2] == "nothing"]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
        for path, methods, asked, view in rows:
            self.stdout.write(f"{path:{widths[0]}}  {methods:{widths[1]}}  {asked:{widths[2]}}  {view}")
        if options["closed"] and rows:
            message = f"Nobody says who may open {len(rows)} of these."
            raise CommandError(message)
