"""schemathesis, which makes up requests from an OpenAPI document, finds nothing wrong with demur's own.

It asks a real `demur serve`, with every check it has, once with a session and once without: no 5xx, no ignored
authentication, no answer, type, field or member that the document does not name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.judges.exceptions import Finding, verdict

if TYPE_CHECKING:
    from tests.site.houses import House

pytestmark = pytest.mark.slow

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
EXAMPLES = 50 if "DEMUR_NIGHTLY" in os.environ else 10
# Without shrinking and without a memory of former runs, so that one run is like another. Where a session is needed
# follows from the document; made-up ones would only take the place of the one that is given.
HOW = [
    "--checks=all",
    "--seed=1",
    f"--max-examples={EXAMPLES}",
    "--continue-on-failure",
    "--no-shrink",
    "--no-color",
    "--report=json",
    "--generation-database=none",
    "--generation-with-security-parameters=false",
]
NOTHING: list[str] = []


def run(document: str, folder: Path, *more: str) -> dict[str, Any]:
    """What it reports about a document."""
    report = folder / "report.json"
    command = [SCHEMATHESIS, "run", document, *HOW, "--report-json-path", str(report), *more]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert report.exists(), done.stdout + done.stderr
    said: dict[str, Any] = json.loads(report.read_text())
    said["text"] = done.stdout
    return said


def findings(said: dict[str, Any]) -> list[Finding]:
    """Each kind of failure at each operation."""
    assert said["errors"] == [], said["text"]
    return [
        Finding(operation, f"{failure['code']} {failure['title']}")
        for failure in said["failures"]
        for operation in failure["operations"]
    ]


def test_every_address(house: House, tmp_path: Path) -> None:
    """With a session each address answers as its description says, and does not without one. Signing out is left to
    those who have none, because it would end the session."""
    document = f"{house.origin}/.demur/openapi.json"
    token, _ = house.session("bob")
    inside = run(document, tmp_path, f"--header=Cookie: {house.cookie}={token}", "--exclude-operation-id=signOut")
    assert house.script("/.demur/session", token).status == 200, "the session was lost, and nothing was tried with it"
    outside = run(document, tmp_path)
    assert verdict("schemathesis", findings(inside) + findings(outside)) == NOTHING, inside["text"] + outside["text"]
    # It leaves out the address that it has the document from.
    described = json.loads(house.script("/.demur/openapi.json").body)["paths"].values()
    operations = sum(len(methods) for methods in described) - 1
    assert (inside["operations"]["tested"], outside["operations"]["tested"]) == (operations - 1, operations)
    assert min(said["test_cases"]["generated"] for said in (inside, outside)) > min(EXAMPLES, 20) * operations
    restricted = "GET /account, GET /kept, GET /session, GET /sessions, "
    restricted += "POST /account, POST /kept, POST /session/extend, POST /sessions"
    assert sorted(outside["warnings"].pop("missing_auth")) == restricted.split(", ")
    # Nobody has sent anything in vain here, so there is nothing kept to be found.
    warned = [
        set(each) - {"GET /kept", "POST /kept"} for said in (inside, outside) for each in said["warnings"].values()
    ]
    assert not any(warned), inside["text"] + outside["text"]


@pytest.mark.parametrize(
    ("operation", "change", "code"),
    [
        (("/sign-in", "get"), {"security": [{"session": []}]}, "API accepts requests without authentication"),
        (("/session", "get"), {"responses": {"200": {"description": "No 401."}}}, "Undocumented status code"),
        (
            ("/reasons/{slug}", "get"),
            {"responses": {"200": {"description": "", "content": {"text/plain": {}}}}},
            "Undo",
        ),
    ],
    ids=["authentication ignored", "status not said", "type not said"],
)
def test_a_fault_is_seen(house, tmp_path, operation, change, code):
    """The judge is shown a document that is not true, and says so."""
    document = json.loads(house.script("/.demur/openapi.json").body)
    path, method = operation
    document["paths"] = {path: {method: document["paths"][path][method] | change}}
    lie = tmp_path / "openapi.json"
    lie.write_text(json.dumps(document))
    said = run(str(lie), tmp_path, f"--url={house.origin}/.demur", "--phases=coverage")
    assert any(code in finding.message for finding in findings(said)), said["text"]
