"""Quart: an extension that judges the marks beside views, after routing and before the content is looked at.

- Marks only mark, on functions, classes and blueprints; no order of decorators opens a view.
- Whoever an app has signed in is told by a bridge; with `store`, demur's own sessions are used.
"""

from demur.adapters.quart.extension import Demur
from demur.adapters.quart.logins import QuartAuth, in_session

__all__ = ["Demur", "QuartAuth", "in_session"]
