"""The page about each framework starts with one file that runs by one pasted command, and answers as the page says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.pasted import Answer, Exchange, Machine, Page, Visitor, differences, machine, read

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = ("asgi", "wsgi", "starlette", "fastapi", "flask", "quart", "django", "litestar")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for demur as it is built from this tree, which is done once."""
    return tmp_path_factory.mktemp("built")


@pytest.fixture
def fresh(tmp_path: Path, built: Path) -> Machine:
    """A machine with nothing but Python on it."""
    return machine(tmp_path, built)


def wrong(page: Page, *, before: bool) -> list[str]:
    """What is not as the page says, of the app as it was or as it is."""
    visitor = Visitor(page.port)
    return [
        f"{each.method} {each.target}: {difference}"
        for each in page.exchanges
        if each.before is before
        for difference in differences(each, visitor.ask(each))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_the_page_works(name: str, fresh: Machine) -> None:
    """The file runs in a fresh virtual environment by the one command, and gives the answers that are shown, those of
    before included."""
    page = read((HOW_TO / f"{name}.md").read_text())
    assert len([each for each in page.exchanges if not each.before]) >= 2, "a page shows at least two answers"
    assert any(each.before for each in page.exchanges), "a page shows what it was like before"
    with fresh.pasted(page, "after", page.file, page.command) as folder:
        said = wrong(page, before=False)
        assert not said, "\n".join((*said, (folder / "log").read_text()))
    with fresh.pasted(page, "before", page.before, page.serving) as folder:
        said = wrong(page, before=True)
        assert not said, "\n".join((*said, (folder / "log").read_text()))


SMALL = """
```python
# serve.py
from http.server import BaseHTTPRequestHandler, HTTPServer
import demur

class Site(BaseHTTPRequestHandler):
    status = 200
    status = 401 if demur else 200

    def do_GET(self):
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"hello")

HTTPServer(("127.0.0.1", 8000), Site).serve_forever()
```
```sh
python3 -m venv .venv &&
.venv/bin/pip install demur &&
.venv/bin/python serve.py
```
<!-- before -->
```http
GET / HTTP/1.1

HTTP/1.1 200 OK
```
```http
GET / HTTP/1.1

HTTP/1.1 401 Unauthorized
Server: BaseHTTP…

hello
```
"""


@pytest.mark.slow
def test_a_page_is_tried_as_it_says(fresh: Machine) -> None:
    """The file with demur and the file without it each give their own answers, and only those."""
    page = read(SMALL)
    with fresh.pasted(page, "after", page.file, page.command):
        assert wrong(page, before=False) == []
        assert wrong(page, before=True) == ["GET /: status 401 Unauthorized"]
    with fresh.pasted(page, "before", page.before, page.serving):
        assert wrong(page, before=True) == []


EXCHANGE = """
```http
POST /a?b HTTP/1.1
Content-Type: text/plain

sent
HTTP/1.1 403 Forbidden
X-One: a … z
Set-Cookie: (none)
…

first
…
last
```
"""
ANSWER = [("x-one", "a b z"), ("x-two", "whatever")]


def shown() -> Exchange:
    """The exchange above."""
    (only,) = read("```python\n# a.py\n```\n```sh\nx\n```\n" + EXCHANGE).exchanges
    return only


def test_an_exchange_is_read() -> None:
    """A request with its body, and what is shown of the answer."""
    exchange = shown()
    assert (exchange.method, exchange.target, exchange.fields) == ("POST", "/a?b", [("content-type", "text/plain")])
    assert (exchange.sent, exchange.status) == (b"sent", "403 Forbidden")
    assert exchange.shown == [("x-one", "a … z"), ("set-cookie", "(none)")]
    assert exchange.body == "first\n…\nlast"


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (Answer("403 Forbidden", ANSWER, "first\n2\n3\nlast\n"), []),
        (Answer("401 Unauthorized", ANSWER, "first\n\nlast"), ["status"]),
        (Answer("403 Forbidden", [("x-one", "a")], "first\n\nlast"), ["x-one:"]),
        (Answer("403 Forbidden", [*ANSWER, ("set-cookie", "a=b")], "first\n\nlast"), ["set-cookie:"]),
        (Answer("403 Forbidden", ANSWER, "first\nlast but one"), ["body"]),
    ],
)
def test_what_is_not_as_shown_is_named(answer: Answer, named: list[str]) -> None:
    """The comparison can fail."""
    assert [each.split(" ")[0] for each in differences(shown(), answer)] == named


def test_before_is_what_is_left_without_demur() -> None:
    """Every line that holds the word goes; a page may also show the file as it was."""
    page = read("```python\n# a.py\nimport Demur\none\ntwo = demur\n```\n```sh\na &&\nb &&\nc\n```\n")
    assert (page.name, page.before, page.serving) == ("a.py", "# a.py\none\n", "c\n")
    other = read("```python\n# a.py\nimport demur\n```\n```sh\nc\n```\n```python\n# before.py\nown\n```\n")
    assert other.before == "# before.py\nown\n"
