"""The access layer that gets the *no* right: 401 or 403, a true reason, and a next step.

Public names are loaded when they are asked for: `import demur` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demur.adapters.asgi import Demur
    from demur.authenticators.assertions.verifying import Verifier
    from demur.core.asserted import Asserted, BadAssertion
    from demur.core.bridged import ended, nobody, person, unknown
    from demur.core.marks import Mark, identified, public, require
    from demur.core.model import ConfigError, Refused, StoreUnavailable, Subject
    from demur.core.reasons import REASONS, Reason
    from demur.core.site import Site
    from demur.guard import Guard

__version__ = "0.1.0"

__all__ = [
    "REASONS",
    "Asserted",
    "BadAssertion",
    "ConfigError",
    "Demur",
    "Guard",
    "Mark",
    "Reason",
    "Refused",
    "Site",
    "StoreUnavailable",
    "Subject",
    "Verifier",
    "__version__",
    "ended",
    "identified",
    "nobody",
    "person",
    "public",
    "require",
    "unknown",
]

_HOMES = {
    "REASONS": "demur.core.reasons",
    "Reason": "demur.core.reasons",
    "ConfigError": "demur.core.model",
    "Refused": "demur.core.model",
    "Site": "demur.core.site",
    "StoreUnavailable": "demur.core.model",
    "Subject": "demur.core.model",
    "Demur": "demur.adapters.asgi",
    "Verifier": "demur.authenticators.assertions.verifying",
    **dict.fromkeys(("Asserted", "BadAssertion"), "demur.core.asserted"),
    "Guard": "demur.guard",
    **dict.fromkeys(("ended", "nobody", "person", "unknown"), "demur.core.bridged"),
    **dict.fromkeys(("Mark", "identified", "public", "require"), "demur.core.marks"),
}


if not TYPE_CHECKING:  # or a name that is misspelled would have a type, too

    def __getattr__(name: str) -> object:
        """Load a public name at its first use (PEP 562)."""
        if name not in _HOMES:
            message = f"module 'demur' has no attribute {name!r}"
            raise AttributeError(message)
        from importlib import import_module  # noqa: PLC0415 - not at import

        return getattr(import_module(_HOMES[name]), name)
