"""Which rule a request falls under, and what it asks for: the table as it is written, and the tree that it becomes."""

from demur.core.rules.conceal import UNUSED, sibling
from demur.core.rules.table import STRENGTHS, duration, load
from demur.core.rules.tree import CLOSED, Match, Rule, Rules, bind, fold

__all__ = ["CLOSED", "STRENGTHS", "UNUSED", "Match", "Rule", "Rules", "bind", "duration", "fold", "load", "sibling"]
