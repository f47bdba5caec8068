"""Forward-auth: another proxy asks about each request before it passes it on, and is answered on a listener of its own.

`answer` says what, `short` and `words` how it is said again a moment later, `protocol` and `listening` speak HTTP.
"""

from demur.gateway.check.answer import Check

__all__ = ["Check"]
