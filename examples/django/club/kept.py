"""The project with demur's sessions and pages, over the same user table."""

from club.settings import *  # noqa: F403
from club.settings import BASE_DIR, DEMUR

DEMUR = {
    **DEMUR,
    "origin": "http://localhost:8000",
    "store": f"sqlite:{BASE_DIR / 'sessions.db'}",
    "keys": str(BASE_DIR / "keys"),
}
