"""What went wrong with a Redis, in words that say what to do. They go to the log, and to whoever checks the set-up."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demur.stores.redis.where import Place
    from demur.stores.redis.wire import Said

_SAID = {
    "WRONGPASS": "refuses our user name or password: see the user and password (or password_file) in the store's URL",
    "NOAUTH": "wants a password: put it into a file and name it in the store's URL with ?password_file=…",
    "NOPERM": "does not let our user do what demur needs: see the ACL line in the guide to Redis",
    "LOADING": "is still reading its data from disk: it answers when it has done so",
    "BUSY": "is busy with a script of somebody else",
    "READONLY": "is a replica, or writes to it are off: the store's URL must lead to the master",
    "MASTERDOWN": "is a replica that has lost its master: the store's URL must lead to the master",
    "MISCONF": "cannot save to its disk, and takes no writes until it can: see its log, and whether the disk is full",
    "OOM": "has no memory left: raise its maxmemory",
    "NOREPLICAS": "has fewer replicas than its min-replicas-to-write asks for: see whether they run",
    "CLUSTERDOWN": "says that its Cluster does not serve all slots: see CLUSTER INFO there",
    "TRYAGAIN": "is moving these keys to another server of its Cluster",
    "UNKILLABLE": "is busy with a script of somebody else",
    "NOPROTO": "is too old for demur, which needs Redis 7.0 or Valkey 7.2",
    "WRONGTYPE": "has something else under demur's keys: name another ?prefix=… in the store's URL",
    "DEMURLOST": (
        "has lost the sessions that it kept (it was emptied, or started again without its data). "
        "Restore its data; or restart demur to accept that everybody has to sign in again"
    ),
    "DEMURFROZEN": "is closed to writing: its sessions are being moved",
    "DEMURNEWER": "was written by a newer demur: start that one",
}

_PARTS = {
    "max number of clients": "has no connection left: raise its maxclients",
    "invalid password": _SAID["WRONGPASS"],
    "DB index is out of range": "has no database of that number: see the number in the store's URL",
    "unknown command 'HELLO'": _SAID["NOPROTO"],
    "unknown command `HELLO`": _SAID["NOPROTO"],
    "cluster support disabled": "is not part of a Cluster: write redis:// in the store's URL",
    "SELECT is not allowed in cluster mode": "is part of a Cluster: write redis+cluster:// in the store's URL",
    "in cluster mode": "is part of a Cluster: write redis+cluster:// in the store's URL",
    "allow-oom flag": _SAID["OOM"],
    "read only replica": _SAID["READONLY"],
    "ACL": _SAID["NOPERM"],
    "have no permission": _SAID["NOPERM"],
}


def said(place: Place, error: Said) -> str:
    """What the server said, and what that means."""
    text = error.text
    if error.code in ("MOVED", "CROSSSLOT"):
        return f"{place} is part of a Cluster: write redis+cluster:// in the store's URL"
    means = _SAID.get(error.code) or next((means for part, means in _PARTS.items() if part in text), None)
    if error.code.startswith("DEMUR"):
        return f"{place} {means}"
    return f"{place} {means} ({text})" if means else f"{place} cannot do what demur asked for ({text})"


def unreachable(place: Place, error: OSError | None = None) -> str:
    """There is no connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {place} is not accepted: {error.verify_message}; name its authority with ?ca=…"
    if isinstance(error, ssl.SSLError):
        return (
            f"there is no TLS at {place} as we want it: {error.reason or error}; see redis:// and rediss:// in the URL"
        )
    why = f" ({_why(error)})" if error is not None else ""
    return f"{place} cannot be reached{why}: see whether it runs there, and the store's URL"


def _why(error: OSError) -> str:
    # asyncio puts the address in place of the system's own words
    number = error.errno
    return (os.strerror(number) if number is not None and number > 0 else str(error.strerror or error)).lower()


def silent(place: Place) -> str:
    """No answer in time."""
    return f"{place} does not answer in time"


def lost(place: Place, error: Exception | None) -> str:
    """The connection broke."""
    return f"{place} has closed the connection{f' ({error})' if error else ''}"


def too_busy(place: Place) -> str:
    """More questions than one connection should have."""
    return f"{place} is too slow for all that is asked of it"


def not_redis(place: Place) -> str:
    """Something else answers."""
    return f"what answers at the place of {place} is no Redis: see the store's URL"


def closed() -> str:
    """We let go of it."""
    return "the connection to the session store was closed by us"


def evicts(place: Place, policy: str) -> str:
    """It would forget sessions, or worse, that they were ended."""
    return (
        f"{place} may forget sessions when its memory is full (maxmemory-policy {policy}): "
        "set maxmemory-policy to noeviction, or give demur a server of its own"
    )


def replica(place: Place) -> str:
    """Not a master."""
    return f"{place} {_SAID['READONLY']}"


def unconfirmed(place: Place, wanted: int, found: int) -> str:
    """Written, but not as safe as was asked for."""
    return (
        f"{place} has written it, but {found} of {wanted} replicas have confirmed it in time: "
        "see whether they run, and replicas=… in the store's URL"
    )


def no_master(name: str, tried: str) -> str:
    """No Sentinel knows one."""
    return f'no Sentinel names a master "{name}" that can be used: {tried}'


def too_few(place: Place, wanted: int, found: int) -> str:
    """Nothing could be confirmed."""
    return f"{place} has {found} of {wanted} replicas that must confirm: see whether they run, and replicas=…"


def newer(place: Place) -> str:
    """Another layout."""
    return f"{place} {_SAID['DEMURNEWER']}"


def nonsense(place: Place, error: Exception) -> str:
    """What came is no answer of ours."""
    return f"what {place} answers makes no sense ({error}): has something else written to demur's keys?"
