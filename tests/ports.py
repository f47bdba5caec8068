"""Ports for programs that have to be told where to listen.

A port that the kernel has just given away is soon given to somebody else: to whoever asks for any, and to each
connection that goes out. So these are below the range from which it gives, no process gives one twice before it has
given all of its own, and two processes of one run give different ones. (Browsers ask nobody at 10080.)
"""

from __future__ import annotations

import itertools
import os
import random
import socket

_PROCESSES = 16  # of one run, at most
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
_OWN = range(10_240 + _WORKER, 32_768, _PROCESSES)
_ports = itertools.islice(itertools.cycle(_OWN), random.randrange(len(_OWN)), None)


def free_port(host: str = "127.0.0.1") -> int:
    """A port at which nobody listens."""
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("the ports are without end")
