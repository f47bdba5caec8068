"""The one way in which assertions are signed and verified (RFC 7515, RFC 8037).

RFC 9864 deprecates the name `EdDSA`, because it does not say which curve is meant. Here only Ed25519 is, and every key
says so; the new name is one that most languages' libraries do not know yet.
"""

from __future__ import annotations

from typing import Any, Final

from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry

from demur.core import asserted


class _OneWay(JWSRegistry):
    """Knows one algorithm."""

    max_payload_length = asserted.LONGEST_VALUE

    def get_alg(self, name: str) -> Any:  # noqa: ANN401 - a model that joserfc keeps to itself
        """The algorithm, if it is that one."""
        if name != asserted.ALGORITHM:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


REGISTRY: Final = _OneWay()
