"""The page about ASGI apps: the code of its third step is what runs here; `test_framework_pages` runs the first."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demur import accounts
from demur.accounts.people import New
from demur.authenticators.password import Argon2Hasher

if TYPE_CHECKING:
    import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "asgi.md"
PASSWORD = "anna plants 40 beans"
FORM = {"sec_fetch_mode": "navigate", "sec_fetch_site": "same-origin"}


async def ask(app: Any, method: str, target: str, body: bytes = b"", **fields: str) -> tuple[int, dict[str, str], str]:
    """Send a request to an ASGI app."""
    lines = {"host": "localhost:8000", "content-length": str(len(body)), **fields}
    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in lines.items()]
    scope = {
        "type": "http", "method": method, "scheme": "http", "path": target, "raw_path": target.encode(),
        "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), "extensions": {},
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, b"".join(message["body"] for message in sent[1:]).decode()


async def test_the_page_is_an_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of the page refuses, signs in, and tells the app who it is."""
    code = re.search(r"```python\n(# club\.py\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / "club.py").write_text(code[1])
    monkeypatch.chdir(tmp_path)
    app, hasher = runpy.run_path("club.py")["app"], Argon2Hasher()
    assert list(tmp_path.iterdir()) == [tmp_path / "club.py"]  # nothing is opened before the first request
    people = accounts.open("sqlite:accounts.db", app.guard.store)
    await people.add(New("anna", encoded=await hasher.hash(PASSWORD)), by="test")
    hasher.close()

    assert (await ask(app, "GET", "/public/x"))[2] == "Hello stranger."
    status, fields, _ = await ask(app, "GET", "/plans")
    assert (status, fields["demur-processed"]) == (401, "?0")
    assert fields["www-authenticate"].startswith('Cookie realm="My app"')
    form = f"username=anna&password={PASSWORD.replace(' ', '+')}&next=/plans".encode()
    kind = "application/x-www-form-urlencoded"
    status, fields, _ = await ask(app, "POST", "/.demur/sign-in", form, content_type=kind, **FORM)
    assert (status, fields["location"]) == (303, "/plans")
    cookie = fields["set-cookie"].partition(";")[0]
    status, _, text = await ask(app, "GET", "/plans", cookie=cookie)
    assert (status, text) == (200, "Hello anna.")
    assert (await ask(app, "GET", "/admin/", cookie=cookie))[0] == 403
    await people.aclose()
    await app.surface.aclose()
