"""The short way, for what most requests are: somebody who is known asks for what they were allowed a moment ago.

- It decides nothing. The long way has decided about a request for the same target with the same session, and about the
  same view, and the guard says whether that still holds; what brings anything else that could matter goes the long way.
- What is a field that cannot matter is learned by name, and so is what may be asked for: whatever is new goes the long
  way first.
- To the app and to the client both ways look the same, byte for byte.

Here is what the protocols and the frameworks share of it.
"""

from demur.adapters.short.cgi import CgiNoes
from demur.adapters.short.no import No, Noes
from demur.adapters.short.passed import NOBODY, LeftToTheView, ShortPassed
from demur.adapters.short.ways import CHANGES, LONGEST, MATTERS, USUAL, Way, Ways, room

__all__ = [
    "CHANGES",
    "LONGEST",
    "MATTERS",
    "NOBODY",
    "USUAL",
    "CgiNoes",
    "LeftToTheView",
    "No",
    "Noes",
    "ShortPassed",
    "Way",
    "Ways",
    "room",
]
