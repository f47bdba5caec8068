"""PostgreSQL under every fault: see `tests.faults.matrix`."""

from __future__ import annotations

import pytest
from tests.faults import matrix
from tests.faults.table import OPERATIONS

STORE = "postgres"
FAULTS = matrix.faults(STORE)

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("fault", FAULTS)
def test_cell(fault: str, operation: str) -> None:
    """Whoever does that is told what the table says."""
    matrix.cell(STORE, fault, operation)


@pytest.mark.parametrize("fault", FAULTS)
def test_everybody_else_and_afterwards(fault: str) -> None:
    """Whoever is nobody, or nobody any more, stays that; all sessions are alive when the fault is over."""
    matrix.besides(STORE, fault)
