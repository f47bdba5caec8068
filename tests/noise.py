"""How much later than promised something may be, where a test looks at the clock.

A machine that runs tests has other things to do as well, for seconds at a time. What waits for something that never
comes waits far longer than that.
"""

from __future__ import annotations

from typing import Final

NOISE: Final = 5.0
"""Seconds."""
