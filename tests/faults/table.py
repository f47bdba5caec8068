"""The matrix of faults: each store under each fault, what that means there, and what becomes of people.

The tests hold every cell to what stands here, and the reference shows it (`make docs`). It is plain data: nothing of
demur is imported.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final, TypeAlias


class Does(StrEnum):
    """What becomes of somebody who asks while the fault is there."""

    GOES_ON = "as ever"
    TWO_SECONDS = "2 s, then wait"
    WAITS = "wait"
    DEPENDS = "as ever, or wait"


@dataclass(frozen=True, slots=True)
class Row:
    """A fault in a store: what it is there, and what becomes of people. `told` says that a neighbour can still end a
    session meanwhile; `heals` is for how many seconds the store may take to be itself again."""

    how: str
    cached: Does
    uncached: Does
    sign_in: Does
    sign_out: Does
    told: bool = True
    heals: float = 5.0


@dataclass(frozen=True, slots=True)
class Never:
    """Why a fault cannot be in a store."""

    why: str


Cell: TypeAlias = Row | Never

STORES: Final = {"memory": "memory", "sqlite": "SQLite", "postgres": "PostgreSQL", "redis": "Redis, Valkey"}
OPERATIONS: Final = {
    "cached": "asked within the last seconds",
    "uncached": "not asked before",
    "sign_in": "signing in",
    "sign_out": "signing out",
}
FAULTS: Final = {
    "refused": "connections are refused",
    "swallowed": "nothing is answered (a black hole)",
    "slow": "answers come 0.3 s late",
    "too_slow": "answers come 2 s late",
    "reset": "connections are reset in the middle of an answer",
    "read_only": "nothing can be written",
    "failover": "another server takes over",
    "wrong_data": "what is answered makes no sense",
    "full_disk": "the disk is full",
    "pool_spent": "there is no connection left",
    "dns_gone": "the name cannot be found",
    "tls_expired": "the certificate has expired",
    "restart": "the store is restarted",
}

_INSIDE = "The store is in the memory of the process that asks it: there is nothing in between."
_A_FILE = "A file has no name on the network and no certificate."

_G, _T, _W, _D = Does.GOES_ON, Does.TWO_SECONDS, Does.WAITS, Does.DEPENDS

MEMORY: Final[dict[str, Cell]] = {
    **{fault: Never(_INSIDE) for fault in FAULTS},
    "read_only": Never("Memory can be written for as long as its process lives."),
    "full_disk": Never("There is no disk. How much memory a process gets is for the system to say, which ends it."),
    "restart": Never("It is gone with its process, and everybody signs in again. That is what this store is."),
}

SQLITE: Final[dict[str, Cell]] = {
    "refused": Row("the file is gone: its disk was taken away", _T, _T, _W, _W, told=False),
    "swallowed": Row("another process stops while it recovers the file, holding all locks", _T, _W, _W, _W, told=False),
    "slow": Row("another program writes nearly all the time, for 0.3 s at once", _G, _G, _D, _D, told=False),
    "too_slow": Row("another program writes nearly all the time, for 2 s at once", _G, _G, _D, _D, told=False),
    "reset": Row("a process that is about to commit is killed, again and again", _G, _G, _G, _G),
    "read_only": Row("the file system is read-only when the gateway opens the file", _W, _W, _W, _W, told=False),
    "failover": Row("a copy of the file is put in its place, as from a backup", _G, _G, _G, _G),
    "wrong_data": Row("something else is written over the file", _T, _W, _W, _W, told=False),
    "full_disk": Row("the disk is full", _G, _G, _W, _W, told=False),
    "pool_spent": Row("another program holds the one lock for writing", _G, _G, _W, _W, told=False),
    "dns_gone": Never(_A_FILE),
    "tls_expired": Never(_A_FILE),
    "restart": Row("the gateway is restarted", _G, _G, _G, _G),
}

POSTGRES: Final[dict[str, Cell]] = {
    "refused": Row("nobody listens at the port", _T, _W, _W, _W),
    "swallowed": Row("connections stay open, and nothing comes through", _T, _W, _W, _W),
    "slow": Row("each answer comes 0.3 s late", _G, _D, _D, _D),
    "too_slow": Row("each answer comes 2 s late", _T, _W, _W, _W),
    "reset": Row("of each answer five bytes come through", _T, _W, _W, _W),
    "read_only": Row("every transaction is read-only, as on a standby", _D, _D, _W, _W, told=False),
    "failover": Row("the primary is killed, and a second later its standby is promoted", _D, _D, _D, _D, told=False),
    "wrong_data": Row("answers are noise", _T, _W, _W, _W),
    "full_disk": Row("the disk of the tables is full", _G, _G, _D, _D, told=False),
    "pool_spent": Row(
        "the server takes no more connections, and ends those that there are", _T, _W, _W, _W, told=False
    ),
    "dns_gone": Row(
        "connections are lost, and the name server does not answer: the last address is tried", _D, _D, _D, _D
    ),
    "tls_expired": Row("connections are lost, and the certificate has expired", _T, _W, _W, _W),
    "restart": Row("the server is killed, and is back after a second", _D, _D, _D, _D, told=False),
}

REDIS: Final[dict[str, Cell]] = {
    "refused": Row("nobody listens at the port", _T, _W, _W, _W),
    "swallowed": Row("connections stay open, and nothing comes through", _T, _W, _W, _W),
    "slow": Row("each answer comes 0.3 s late", _G, _D, _D, _D),
    "too_slow": Row("each answer comes 2 s late", _T, _W, _W, _W),
    "reset": Row("of each answer five bytes come through", _T, _W, _W, _W),
    "read_only": Row("the server has become a replica", _D, _D, _W, _W, told=False),
    "failover": Row("the master is killed, and Sentinel makes its replica the master", _D, _D, _D, _D, told=False),
    "wrong_data": Row("answers are noise", _T, _W, _W, _W),
    "full_disk": Row("the disk of the append-only file is full", _G, _G, _D, _D, told=False),
    "pool_spent": Row("the server takes no more clients, and ends those that there are", _T, _W, _W, _W, told=False),
    "dns_gone": Row("connections are lost, and the name server does not answer", _T, _W, _W, _W),
    "tls_expired": Row("connections are lost, and the certificate has expired", _T, _W, _W, _W),
    "restart": Row(
        "the server is killed, and is back after a second, with its append-only file", _D, _D, _D, _D, told=False
    ),
}

TABLE: Final[dict[str, dict[str, Cell]]] = {"memory": MEMORY, "sqlite": SQLITE, "postgres": POSTGRES, "redis": REDIS}


def expected(store: str, fault: str, operation: str) -> Does | None:
    """What becomes of whoever does that; None if it cannot be."""
    cell = TABLE[store][fault]
    found: Does = getattr(cell, operation) if isinstance(cell, Row) else None  # type: ignore[assignment]
    return found


def wrong() -> list[str]:
    """What is missing in the table, and what is in it and is about nothing."""
    said = [f"{store}: no such store" for store in TABLE.keys() ^ STORES.keys()]
    for store, rows in TABLE.items():
        said += [
            f"{store}: {fault} is {'missing' if fault in FAULTS else 'no fault'}"
            for fault in rows.keys() ^ FAULTS.keys()
        ]
    assert {each.name for each in fields(Row)} >= OPERATIONS.keys()
    return said
