"""What the doctor sends is what is written, what it gets is all of it, and silence is told plainly."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from tests.proxies.real import certificate

from demur.gateway.doctor.asking import PAGE, Answer, Line, NoAnswer
from demur.gateway.doctor.standin import StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def line(address: tuple[str, int], context: ssl.SSLContext | None = None) -> Line:
    """To somebody who listens there."""
    return Line("https" if context else "http", "localhost", "localhost:8000", address, context)


@contextlib.contextmanager
def answering(data: bytes, context: ssl.SSLContext | None = None) -> Iterator[tuple[str, int]]:
    """Somebody who answers one connection with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection = listener.accept()[0]
                if context is not None:
                    connection = context.wrap_socket(connection, server_side=True)
                with connection:
                    connection.recv(65536)
                    connection.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()
        thread.join(10)


def test_a_request_arrives_as_it_was_written() -> None:
    """Byte for byte, with the host of the site, and found again by its mark."""
    with StandIn("127.0.0.1", 0) as standin:
        mark = standin.new_id()
        answer = line(standin.address).ask("GET", "/a%2Fb;v=1?d=%2e", (*PAGE, mark, ("Remote_User", "x")))
        seen = standin.saw(mark)
    assert seen is not None
    assert (seen.method, seen.target) == ("GET", b"/a%2Fb;v=1?d=%2e")
    assert seen.values("host") == ["localhost:8000"]
    assert seen.values("remote_user") == ["x"]
    assert (answer.status, answer.body) == (200, b"app")
    assert answer.values("set-cookie") == ["doctor-one=1; Path=/", "doctor-two=2; Path=/"]


def test_head_and_post() -> None:
    """HEAD has no content; a form without any says so."""
    with StandIn("127.0.0.1", 0) as standin:
        assert line(standin.address).ask("HEAD", "/").body == b""
        mark = standin.new_id()
        line(standin.address).ask("POST", "/", (mark,))
        seen = standin.saw(mark)
    assert seen is not None
    assert seen.values("content-length") == ["0"]


def test_nobody_stands_in_after_the_end() -> None:
    """The port is free again, and unknown marks were not seen."""
    with StandIn("127.0.0.1", 0) as standin:
        assert standin.saw(standin.new_id()) is None
    with pytest.raises(NoAnswer, match="Connection refused"):
        line(standin.address).ask("GET", "/")
    with StandIn(*standin.address):
        pass


def test_two_cannot_stand_in() -> None:
    """Who listens already is not pushed aside."""
    with StandIn("127.0.0.1", 0) as standin, pytest.raises(OSError, match="in use"):
        StandIn(*standin.address)


@pytest.mark.parametrize("data", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_no_http_is_no_answer(data: bytes) -> None:
    """It is said where that was, instead of a traceback."""
    with answering(data) as address, pytest.raises(NoAnswer, match=r"GET /x at 127\.0\.0\.1:"):
        assert line(address).ask("GET", "/x").status == 0


def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    """What is the matter, and the option that helps."""
    files = certificate(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files / "cert.pem", files / "key.pem")
    with answering(b"", server) as address, pytest.raises(NoAnswer, match="is not trusted: self-signed") as told:
        line(address, ssl.create_default_context()).ask("GET", "/")
    assert "--certificates" in told.value.fix
    with answering(b"HTTP/1.1 204 No Content\r\n\r\n", server) as address:
        trusting = ssl.create_default_context(cafile=str(files / "cert.pem"))
        assert line(address, trusting).ask("GET", "/").status == 204


def test_tls_where_there_is_none() -> None:
    """That is another matter than trust."""
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address, pytest.raises(NoAnswer, match="TLS with") as told:
        line(address, ssl.create_default_context()).ask("GET", "/")
    assert "speak TLS" in told.value.fix


@pytest.mark.parametrize(
    ("kind", "body", "problem"),
    [
        ("application/problem+json", b'{"reason": "x"}', {"reason": "x"}),
        ("text/html", b'{"reason": "x"}', {}),
        ("application/problem+json", b"<html>", {}),
        ("application/problem+json", b"[1]", {}),
    ],
)
def test_a_problem_is_read(kind: str, body: bytes, problem: dict[str, str]) -> None:
    """Or there is none."""
    assert Answer(401, (("content-type", kind),), body).problem == problem
