"""The table of faults has no hole, and nothing in it is about nothing."""

from __future__ import annotations

from tests.faults.table import FAULTS, MEMORY, STORES, TABLE, Never, Row, wrong


def test_no_cell_is_empty() -> None:
    """Each store has each fault, or the reason why it cannot have it, and nothing else."""
    assert wrong() == []
    assert all(isinstance(cell, Row | Never) for rows in TABLE.values() for cell in rows.values())


def test_every_fault_is_made() -> None:
    """Each ground knows how to make what the table says of it, and no more."""
    from tests.faults import postgres, redis, sqlite  # noqa: PLC0415 - they need servers' packages

    for store, ground in (("sqlite", sqlite.Ground), ("postgres", postgres.Ground), ("redis", redis.Ground)):
        made = {name for name in FAULTS if hasattr(ground, name)}
        assert made == {fault for fault, cell in TABLE[store].items() if isinstance(cell, Row)}, store
    assert not any(isinstance(cell, Row) for cell in MEMORY.values())
    assert set(STORES) == set(TABLE)
