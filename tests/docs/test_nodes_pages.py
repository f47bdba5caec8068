"""The pages about assertions and about many nodes: their code runs, in each language, and says what is so."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.nodes import cluster

import demur
from demur.authenticators.assertions.signing import Assertions
from demur.core.model import Key, KeyRing, Session, Subject
from demur.gateway.config import tables as config
from demur.gateway.config.others import KEYS_DIFFER
from demur.stores.agreement import KeysDiffer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
ADA = Subject("0190", "ada", frozenset({"staff"}), display_name="Ada Łovelace")


def blocks(page: str, kind: str) -> list[str]:
    """The blocks of that language on a page."""
    return re.findall(rf"^```{kind}\n(.*?)^```", (HOW_TO / page).read_text(), re.MULTILINE | re.DOTALL)


class Ring:
    """One key."""

    def __init__(self, secret: bytes) -> None:
        self._key = Key(0, secret)

    def ring(self) -> KeyRing:
        return KeyRing((self._key,))

    def rotate(self, now: int) -> KeyRing:
        return self.ring()

    async def agree(self, now: int) -> None:
        """Nobody else has it."""


class Site:
    """Where the keys are, and assertions that are right or wrong."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://localhost:{port}"
        self._signer = self.signing()

    def signing(self, secret: bytes = b"k" * 32, **more: Any) -> Assertions:
        return Assertions(Ring(secret), self.origin, **more)

    def keys(self) -> bytes:
        return self._signer.published()

    def cases(self) -> dict[str, str]:
        """Each kind of assertion; one of them is right."""
        now = int(time.time())
        session = Session(b"i" * 32, ADA.id, now, now, now, now + 900, 600)
        right = self._signer.of(ADA, session, self.origin, now).decode()
        head, body, signature = right.split(".")
        said = json.loads(base64.urlsafe_b64decode(head + "=="))

        def headed(**changed: str) -> str:
            other = base64.urlsafe_b64encode(json.dumps(said | changed).encode()).rstrip(b"=").decode()
            return f"{other}.{body}.{signature}"

        return {
            "right": right,
            "nothing": "",
            "noise": "a.b.c",
            "unsigned": headed(alg="none"),
            "another type": headed(typ="JWT"),
            "another key": headed(kid="x"),
            "no signature": f"{head}.{body}.",
            "changed": f"{head}.{body[:-2]}{'AA' if body[-2:] != 'AA' else 'BB'}.{signature}",
            "forged": self.signing(b"o" * 32).of(ADA, session, self.origin, now).decode(),
            "over": self._signer.of(ADA, session, self.origin, now - 100).decode(),
            "early": self._signer.of(ADA, session, self.origin, now + 100).decode(),
            "for others": self.signing(audience="urn:others").of(ADA, session, self.origin, now).decode(),
            "of others": self._signer.of(ADA, session, "http://other", now).decode(),
        }


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site that publishes its keys and nothing else."""
    found: list[Site] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/.well-known/jwks.json"
            body = found[0].keys()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        found.append(Site(httpd.server_port))
        threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield found[0]
        httpd.shutdown()


def judged(site: Site, verify: Callable[[dict[str, str]], dict[str, Any]]) -> None:
    """What is right is read, and nothing else is."""
    found = verify(site.cases())
    assert [name for name, said in found.items() if said] == ["right"]
    assert (found["right"]["sub"], found["right"]["name"], found["right"]["groups"]) == (
        ADA.id,
        "Ada Łovelace",
        ["staff"],
    )


def test_python(site: Site) -> None:
    """The example, with the keys over HTTP."""
    page: dict[str, Any] = {}
    exec(blocks("assertions.md", "python")[0].replace("http://localhost:8000", site.origin), page)

    def verify(cases: dict[str, str]) -> dict[str, Any]:
        found = {name: page["who"]({"Remote-Assertion": value}) for name, value in cases.items()}
        return {
            name: who and {"sub": who.id, "name": who.display_name, "groups": sorted(who.groups)}
            for name, who in found.items()
        }

    judged(site, verify)


@pytest.mark.php
@pytest.mark.skipif(shutil.which("php") is None, reason="needs php")
def test_php(site: Site, tmp_path: Path) -> None:
    """The function, and the lines that call it."""
    function, call = blocks("assertions.md", "php")
    script = function + "foreach (json_decode(file_get_contents('php://stdin'), true) as $name => $sent) {\n"
    script += (
        f"$_SERVER['HTTP_REMOTE_ASSERTION'] = $sent;\n{call}\n$found[$name] = $who;\n}}\necho json_encode($found);"
    )
    (tmp_path / "verify.php").write_text(script.replace("http://localhost:8000", site.origin))

    def verify(cases: dict[str, str]) -> dict[str, Any]:
        command = ["php", "-d", "display_errors=stderr", str(tmp_path / "verify.php")]
        done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, timeout=60, check=True)
        assert done.stderr == ""
        return dict(json.loads(done.stdout))

    judged(site, verify)


@pytest.mark.node
@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_node(site: Site, tmp_path: Path) -> None:
    """The module."""
    (tmp_path / "asserted.mjs").write_text(blocks("assertions.md", "javascript")[0])
    script = f"""
import {{ asserted }} from "./asserted.mjs";
import {{ readFileSync }} from "node:fs";
const jwks = {site.keys().decode()};
const found = {{}};
for (const [name, sent] of Object.entries(JSON.parse(readFileSync(0, "utf8"))))
  found[name] = asserted(sent, jwks, "{site.origin}", "{site.origin}");
console.log(JSON.stringify(found));
"""
    (tmp_path / "verify.mjs").write_text(script)

    def verify(cases: dict[str, str]) -> dict[str, Any]:
        command = ["node", str(tmp_path / "verify.mjs")]
        done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, timeout=60, check=True)
        return dict(json.loads(done.stdout))

    judged(site, verify)


def test_an_app_and_the_service_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option is one, and the bridge tells who it is from nobody and from what is over."""
    monkeypatch.chdir(tmp_path)
    _, option, bridge = blocks("assertions.md", "python")
    page: dict[str, Any] = {"demur": demur, "app": None}
    exec(option, page)
    assert page["app"].site.assertions is not None
    exec(bridge, page)

    class Request:
        def __init__(self, **headers: str) -> None:
            self.headers = headers

    assert page["bridge"](Request()) is demur.nobody
    assert page["bridge"](Request(authorization="Bearer x.y.z")) is demur.unknown


@pytest.mark.parametrize("page", ["assertions.md", "many-nodes.md"])
def test_the_configuration_is_one(page: str, tmp_path: Path) -> None:
    """What stands there can be read."""
    site = '[[site]]\norigin = "http://localhost:8000"\nupstream = "http://127.0.0.1:9000"\n'
    for number, block in enumerate(blocks(page, "toml")):
        file = tmp_path / f"{number}.toml"
        text = block if "[[site]]" in block else block + site if "[site." not in block else site + block
        file.write_text(f"version = 1\n{text}")
        config.read(file)


def test_nginx_is_the_one_that_is_tested() -> None:
    """Each line of the page's configuration that could lose a request stands in that of the tests, too."""
    (page,) = blocks("many-nodes.md", "nginx")
    tested = re.sub(r"\s+", " ", cluster._NGINX)
    lines = [re.sub(r"\s+", " ", line.strip()) for line in page.splitlines()]
    kept = [line for line in lines if line.startswith(("proxy_", "keepalive ")) and "Proto" not in line]
    assert len(kept) == 9
    assert [line for line in kept if line not in tested] == []
    assert page.count("max_fails=0;") == 3
    assert "max_fails=0;" in Path(cluster.__file__).read_text()


def test_the_message_is_what_is_said() -> None:
    """What a node with other keys says."""
    text = (HOW_TO / "many-nodes.md").read_text()
    assert f"{KeysDiffer(frozenset({0})).cause}.\n" in text
    assert KEYS_DIFFER.partition(". ")[0] in text
