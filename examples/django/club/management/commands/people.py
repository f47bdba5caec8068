"""`manage.py people`: two people to try it with."""

from typing import Any

from django.contrib.auth.models import Group, User
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Makes them, unless they are there."""

    def handle(self, *_: Any, **__: Any) -> None:
        """Make them."""
        if User.objects.exists():
            return
        User.objects.create_user("bo", password="correct horse")
        anna = User.objects.create_superuser("anna", password="correct horse")
        anna.groups.add(Group.objects.create(name="board"))
