"""`demur serve`, as a program: it starts, it stops, and it says plainly why it does not start."""

import http.client
import signal
import socket
import subprocess
import sys

import pytest

SITE = (
    '[gateway]\nlisten = "127.0.0.1:{port}"\n'
    '[[site]]\norigin = "http://127.0.0.1:{port}"\nupstream = "http://127.0.0.1:9"\n'
    '[[site.rule]]\npath = "/**"\nallow = "signed-in"\n'
)


@pytest.fixture
def port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.slow
def test_it_serves_until_it_is_told_to_stop(folder, write, port):
    """After "listening" it refuses politely, and SIGTERM ends it with status 0."""
    write(SITE.format(port=port))
    program = [sys.executable, "-c", "from demur.cli import main; main()", "serve"]
    with subprocess.Popen(program, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert f"listening on http://127.0.0.1:{port}" in process.stderr.readline()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/")
        assert connection.getresponse().status == 401
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_port_in_use_is_told_with_the_fix(demur, write):
    """Whoever starts it twice is told that the address is taken, in one message."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        write(SITE.format(port=port))
        done = demur("serve")
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Stop the other program, or choose another port." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["sessions.db", "accounts.db"])
def test_a_file_that_is_no_database_stops_the_start(demur, write, folder, port, name):
    """What is not a database is told with its line, and is left as it is."""
    write(SITE.format(port=port))
    (folder / name).write_text("notes, and not a database", encoding="utf-8")
    done = demur("serve")
    assert done.returncode == 2
    assert f"{name} is not an SQLite database." in done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / name).read_text(encoding="utf-8") == "notes, and not a database"


@pytest.mark.slow
def test_serving_without_tls_is_said_at_every_start(folder, write, port):
    """`insecure_http` starts, and says what it gives up."""
    write(SITE.format(port=port).replace("[gateway]", "[gateway]\ninsecure_http = true").replace(
        f'origin = "http://127.0.0.1:{port}"', 'origin = "http://intranet"'
    ))  # fmt: skip
    program = [sys.executable, "-c", "from demur.cli import main; main()", "serve"]
    with subprocess.Popen(program, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == (
            "warning: http://intranet has no TLS (insecure_http = true): "
            "passwords and sessions can be read on the way.\n"
        )
        assert "listening" in process.stderr.readline()
        process.terminate()
        assert process.wait(timeout=40) == 0
