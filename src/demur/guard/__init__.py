"""The hot path: a request in, a decision out, with at most one read of the store and no write."""

from demur.guard.asking import Who
from demur.guard.cache import Cache
from demur.guard.checked import Checked
from demur.guard.guard import FLUSH_AFTER, Guard
from demur.guard.known import Brief, Known
from demur.observe.reference import new_number, new_reference

__all__ = ["FLUSH_AFTER", "Brief", "Cache", "Checked", "Guard", "Known", "Who", "new_number", "new_reference"]
