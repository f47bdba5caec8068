"""The scripts that do what the store promises, each of them at one moment for everybody."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """One script. One that only reads may be run again when a connection was lost. `flags` are Redis' own: "no-writes"
    is run by a server that cannot write now, and "allow-oom" by one whose memory is full."""

    name: str
    flags: str = ""
    text: str = field(init=False, repr=False)
    sha: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        folder = files("demur.stores.redis") / "lua"
        body = (folder / f"{self.name}.lua").read_text(encoding="utf-8")
        common = (folder / "common.lua").read_text(encoding="utf-8")
        text = f"#!lua flags={self.flags}\n{common}\n{body}"
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "sha", hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.flags == "no-writes"


_READS, _FREES = "no-writes", "allow-oom"

LOAD = Script("load", _READS)
WHERE = Script("where", _READS)
LISTED = Script("listed", _READS)
PEEK = Script("peek", _READS)
DUMP = Script("dump", _READS)
OPEN = Script("open")
CHECK = Script("check")
POINT = Script("point")
ISSUE = Script("issue")
APPLY = Script("apply")
# What ends sessions has to work when there is no memory for new ones.
ENDS = Script("apply", _FREES)
END_ALL = Script("end_all", _FREES)
PUBLISH = Script("publish", _FREES)
FORGET = Script("forget", _FREES)
TURN = Script("turn", _FREES)
TAKE = Script("take", _FREES)
FREEZE = Script("freeze", _FREES)
PUT = Script("put")
HIT = Script("hit")
ADOPT = Script("adopt")
