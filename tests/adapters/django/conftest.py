"""The tests inside run in processes of their own: a process has one Django, with one project's settings."""

from __future__ import annotations

import os

collect_ignore = [] if "DEMUR_DJANGO" in os.environ else ["inside"]
