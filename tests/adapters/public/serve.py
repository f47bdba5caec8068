"""Serve one app as it was published, or with the added lines, and do what is asked on standard input.

serve.py KEY before|after FOLDER DESCRIPTOR
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.adapters.public.apps import APPS, Control
    from tests.adapters.public.sources import sources
else:  # found beside this file
    from apps import APPS, Control
    from sources import sources


def _load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute.removesuffix("()"))
    return found() if attribute.endswith("()") else found


def _obey(control: Any) -> None:
    for line in sys.stdin:
        name, *said = json.loads(line)
        try:
            done = {"done": getattr(control, name)(*said)}
        except Exception as error:  # noqa: BLE001 - it is told to whoever asks
            done = {"failed": repr(error)}
        print(json.dumps(done), flush=True)


def main(key: str, side: str, folder: str, descriptor: str) -> None:
    """Serve until told to stop."""
    app, source = APPS[key], sources()[key]
    sys.path[:1] = [folder, *([str(source.packages)] if source.packages else [])]
    os.chdir(folder)
    if app.settings:
        os.environ["DJANGO_SETTINGS_MODULE"] = app.settings[side == "after"]
    if app.prepare:
        app.prepare()
    served = _load(app.after if side == "after" else app.before)
    threading.Thread(target=_obey, args=(Control,), daemon=True).start()
    opened = socket.socket(fileno=int(descriptor))
    if app.kind == "wsgi":
        import waitress  # type: ignore[import-untyped]  # noqa: PLC0415

        waitress.serve(served, sockets=[opened], threads=2, _quiet=True)
    else:
        import uvicorn  # noqa: PLC0415

        uvicorn.Server(uvicorn.Config(served, access_log=False, log_level="warning")).run(sockets=[opened])


if __name__ == "__main__":
    main(*sys.argv[1:])
