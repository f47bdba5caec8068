"""WSGI middleware: every request is checked before the app sees it, and every answer leaves as it should.

- The app sees what was judged, without our cookie and without a field that could pass for identity.
- A refusal is answered before the content is read; then a bounded amount of it is read and dropped, so that a client
  that is still sending, perhaps through a proxy, reads the answer and not a broken pipe.
- It runs in threads and in processes that were forked: nothing is opened before the first request.
"""

from demur.adapters.wsgi.middleware import Demur
from demur.adapters.wsgi.wire import Upload, answer, read, target

__all__ = ["Demur", "Upload", "answer", "read", "target"]
