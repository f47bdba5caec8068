"""As much of a WebDriver client as the tests need (https://www.w3.org/TR/webdriver2/)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""What a reference to an element is called on the wire."""

KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Shift": "\ue008", "Escape": "\ue00c", "ArrowDown": "\ue015"}
"""The code points of keys that have no character (17.4.2)."""


class WebDriverError(Exception):
    """What the driver says, by the name of its error."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name


class Driver:
    """A driver process with one session. `finder` is a script that defines `find(selector)`."""

    def __init__(
        self,
        command: Sequence[str],
        capabilities: Mapping[str, Any],
        environment: Mapping[str, str],
        log: Path,
        finder: str,
    ) -> None:
        self.finder = finder
        port = free_port()
        with log.open("ab") as said:
            arguments = [*command, f"--port={port}"]
            self._process = subprocess.Popen(
                arguments, env=dict(environment), stdout=said, stderr=said, start_new_session=True
            )
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)
        self._wait()
        try:
            made = self._send("POST", "/session", {"capabilities": {"alwaysMatch": dict(capabilities)}})
        except BaseException:
            self._end()
            raise
        self._session = f"/session/{made['sessionId']}"

    def _wait(self) -> None:
        for _ in range(1500):
            try:
                if self._send("GET", "/status")["ready"]:
                    return
            except OSError:
                self._connection.close()
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise WebDriverError("not ready", f"the driver does not answer, or ended with {self._process.poll()}")

    def _send(self, method: str, path: str, body: object = None) -> Any:
        content = None if method != "POST" else json.dumps(body or {})
        self._connection.request(method, path, content, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        value = json.loads(answer.read())["value"]
        if answer.status != 200:
            raise WebDriverError(value["error"], value.get("message", ""))
        return value

    def get(self, path: str) -> Any:
        """Ask something of the session."""
        return self._send("GET", self._session + path)

    def post(self, path: str, **values: Any) -> Any:
        """Have the session do something."""
        return self._send("POST", self._session + path, values)

    def delete(self, path: str) -> Any:
        """Do away with something."""
        return self._send("DELETE", self._session + path)

    def find(self, selector: str) -> str:
        """The id of the first element of a CSS selector, in shadow roots as well."""
        script = f"{self.finder}\nreturn find(arguments[0]);"
        found = self.post("/execute/sync", script=script, args=[selector])
        if found is None:
            raise WebDriverError("no such element", selector)
        return str(found[_ELEMENT])

    def enter(self, selector: str) -> None:
        """Go into a frame."""
        self.post("/frame", id={_ELEMENT: self.find(selector)})

    def leave(self) -> None:
        """Go to the page itself."""
        self.post("/frame", id=None)

    def press(self, *keys: str) -> None:
        """Press keys together, and let go of them in turn."""
        codes = [KEYS.get(key, key) for key in keys]
        down = [{"type": "keyDown", "value": code} for code in codes]
        up = [{"type": "keyUp", "value": code} for code in reversed(codes)]
        self.post("/actions", actions=[{"type": "key", "id": "keyboard", "actions": down + up}])

    def close(self) -> None:
        """End the session and the driver."""
        try:
            self.delete("")
        finally:
            self._end()

    def _end(self) -> None:
        self._connection.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # its browser, if that is still there
