"""What a configuration would do on this machine. The texts are in tests/config; here is what files cannot show."""

import shutil
import socket
import sqlite3
from pathlib import Path

import pytest

from demur.gateway.config import findings
from demur.gateway.config.faults import BadConfig

PEM = Path(__file__).parents[1] / "config" / "pem"
SITE = '[[site]]\norigin = "{origin}"\nupstream = "{upstream}"\n[[site.rule]]\npath = "/**"\nallow = "signed-in"\n'


@pytest.fixture
def write(tmp_path: Path):
    """Write a configuration that is right, but for what is added."""

    def to(text: str = "", *, origin="http://localhost:8000", upstream="http://127.0.0.1:9") -> Path:
        path = tmp_path / "demur.toml"
        path.write_text(f"version = 1\n{text}\n{SITE.format(origin=origin, upstream=upstream)}", encoding="utf-8")
        return path

    return to


def test_an_upstream_that_answers_is_fine(write):
    """A connection that is accepted is all that is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        upstream = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert findings.check(write(upstream=upstream)) == []
    (found,) = findings.check(write(upstream=upstream))
    assert found.severity == "warning"
    assert found.message == f"{upstream} cannot be reached: connection refused."


def test_an_upstream_that_does_not_answer_is_given_up(write):
    """A full queue looks like silence, and is waited for no longer than a second and a half."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        waiting = []
        for _ in range(4):  # one more than fits waits without an answer
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(address)
            waiting.append(client)
        (found,) = findings.check(write(upstream=f"http://127.0.0.1:{address[1]}"))
        for client in waiting:
            client.close()
    assert found.message.endswith("cannot be reached: it did not answer within a second.")


def test_offline_nobody_is_asked(write):
    """Without `online` nothing is connected to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        assert findings.check(write(upstream=f"http://127.0.0.1:{server.getsockname()[1]}"), online=False) == []
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_database_that_is_there_is_left_as_it_is(write, tmp_path):
    """An SQLite file is accepted, an empty one too, and neither is touched."""
    with sqlite3.connect(tmp_path / "accounts.db") as connection:
        connection.execute("CREATE TABLE x (y)")
    connection.close()
    (tmp_path / "sessions.db").touch()
    path = write()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert findings.check(path, online=False) == []
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_that_others_may_read_is_noticed(write, tmp_path, mode):
    """A private key is for its owner's eyes."""
    for name in ("certificate.pem", "key.pem"):
        shutil.copy(PEM / name, tmp_path / name)
        (tmp_path / name).chmod(mode)
    text = '[gateway]\ntls = { certificate = "certificate.pem", key = "key.pem" }'
    path = write(text, origin="https://app.example.com")
    (found,) = findings.check(path, online=False)
    assert (found.severity, found.line) == ("warning", 3)
    assert found.fix == f"Close it: chmod go-rwx {tmp_path / 'key.pem'}"
    (tmp_path / "key.pem").chmod(0o600)
    assert findings.check(path, online=False) == []


def test_session_keys_that_others_may_read_are_noticed(write, tmp_path):
    """So are the keys under which sessions are made."""
    (tmp_path / "keys").mkdir(mode=0o755)
    (tmp_path / "keys").chmod(0o755)
    (found,) = findings.check(write(), online=False)
    assert "sessions.keys" in found.message
    (tmp_path / "keys").chmod(0o700)
    assert findings.check(write(), online=False) == []


def test_what_can_be_served_is_loaded_in_spite_of_warnings(write, tmp_path):
    """Errors of this machine stop the start, warnings do not, and the network is not asked."""
    (tmp_path / "keys").mkdir(mode=0o755)
    assert findings.load(write()).site[0].upstream == "http://127.0.0.1:9"
    with pytest.raises(BadConfig, match="there is no folder"):
        findings.load(write('[accounts]\ndatabase = "sqlite:gone/accounts.db"'))


def test_rules_with_other_letters_are_understood(write):
    """Paths that are not ASCII are judged as any others."""
    text = '[[site]]\norigin = "http://b.localhost:8000"\nupstream = "http://127.0.0.1:9"\n'
    text += '[[site.rule]]\npath = "/**"\nallow = "anyone"\n[[site.rule]]\npath = "/büro"\nallow = "signed-in"\n'
    (found,) = findings.check(write(text), online=False)
    assert found.message == "what is below /büro is open to anyone, by rule 1 (/**)."


@pytest.mark.parametrize(
    ("rules", "shadowed"),
    [
        (["/a/*", "/a/{b}"], [1]),
        (["/a/**", "/a/{b}", "/a/*/c"], []),
        (["/a/*/c", "/a/{b}/**"], [1]),  # a capture comes before a star, whatever follows
        (["/a/*/c", "/a/{b}/c"], [1]),
        (["GET /a", "/a"], []),
        (["GET /a/*", "POST /a/{b}"], []),
        (["GET /a/*", "/a/{b}"], [1]),
        (["/.demur", "/.demurrage", "/.demur/x"], [1, 3]),
        (["/**"], []),
    ],
)
def test_a_rule_that_never_holds_is_noticed(tmp_path, rules, shadowed):
    """A rule is reported if, wherever it matches, another one is more specific; and not otherwise."""
    text = 'version = 1\n[[site]]\norigin = "http://localhost:8000"\nupstream = "http://127.0.0.1:9"\n'
    for rule in ["/", *rules]:
        method, _, path = rule.rpartition(" ")
        methods = f'methods = ["{method}"]\n' if method else ""
        text += f'[[site.rule]]\npath = "{path}"\n{methods}allow = "signed-in"\n'
    path = tmp_path / "demur.toml"
    path.write_text(text, encoding="utf-8")
    found = [finding.message for finding in findings.check(path, online=False)]
    assert [message.split()[1] for message in found] == [str(number + 1) for number in shadowed]


@pytest.mark.parametrize(
    ("trusted", "said"),
    [
        ("", "none of them may ask"),
        ('trusted_proxies = ["unix"]', "none of them may ask"),
        ('trusted_proxies = ["192.0.2.0/24"]', ""),
        ('trusted_proxies = ["0.0.0.0/0"]', "whoever reaches 0.0.0.0:8001"),
    ],
)
def test_who_may_ask_from_other_machines(write, trusted, said):
    """Only proxies that are named: a check listener for others needs their names, and not everybody's."""
    path = write(f'[gateway]\nlisten = "127.0.0.1:8000"\ncheck_listen = "0.0.0.0:8001"\n{trusted}\n')
    found = [each.message for each in findings.check(path, online=False) if "check_listen" in each.message]
    assert [said in message for message in found] == ([True] if said else [])
