"""ASGI middleware: every request is checked before the app sees it, and every answer leaves as it should.

- The app sees what was judged, byte for byte, without our cookie and without a field that could pass for identity.
- A refusal is answered before the body is read; then a bounded amount of it is read and dropped, so that a client that
  is still sending, perhaps through a proxy, reads the answer and not a broken pipe.
- What the app says of its own accord (`Demur-Refuse`) becomes the same refusal, without the promise that nothing
  was processed.
"""

from demur.adapters.asgi.middleware import Demur
from demur.adapters.asgi.wire import App, Message, Receive, Scope, Send, answer, read, target
from demur.adapters.passed import Passed
from demur.adapters.surface import Surface, unplaced

__all__ = [
    "App",
    "Demur",
    "Message",
    "Passed",
    "Receive",
    "Scope",
    "Send",
    "Surface",
    "answer",
    "read",
    "target",
    "unplaced",
]
