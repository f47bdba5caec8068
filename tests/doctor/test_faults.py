"""Each check is seen to fail: every recipe is broken in each way that the doctor claims to detect."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import pytest
from tests.doctor.faults import FAULTS, IMPOSSIBLE, MAIN, Change, Fault
from tests.proxies.real import PROXIES, UNTESTED, Stand, behind

from demur.gateway.config import tables
from demur.gateway.doctor.checks import CHECKS, Finding, Verdict
from demur.gateway.doctor.examination import Means, examinations
from demur.gateway.doctor.mending import how

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = [pytest.mark.proxies, pytest.mark.slow]

Found: TypeAlias = "dict[str, Finding]"


class House:
    """A proxy whose recipe can be broken and made whole again, while demur goes on. Nobody is the app."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.ports = {
            "app": stand.upstream.address[1],
            "pages": stand.pages,
            "check": stand.check,
            "proxy": stand.port,
        }
        files = stand.folder.iterdir()
        named = {MAIN[stand.name], "demur.lua", "traefik.yaml"}
        self.whole = {path.name: path.read_text() for path in files if path.name in named}
        stand.upstream.close()
        # Bound, and never listened at: nobody else on this machine is given the port.
        self._kept = socket.socket()
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept.bind(stand.upstream.address)
        stand.proxy.stop()

    def close(self) -> None:
        """Let go of the port."""
        self._kept.close()

    def examined(self, changes: Mapping[str, Change] = MappingProxyType({}), *, stand_in: bool = True) -> Found:
        """What the doctor finds, with changes in files of the recipe."""
        for name, change in changes.items():
            (self.stand.folder / name).write_text(self._changed(self.whole[name], change))
        try:
            self.stand.proxy.start(self.stand.address)
            self._settled()
            return self.diagnosis(stand_in=stand_in)
        finally:
            self.stand.proxy.stop()
            for name in changes:
                (self.stand.folder / name).write_text(self.whole[name])

    def diagnosis(self, *, stand_in: bool = True, proxy: str = "") -> Found:
        """What the doctor finds as everything is."""
        config = tables.read(self.stand.folder / "demur.toml")
        ((_, findings),) = examinations(config, Means(stand_in=stand_in, proxy=proxy or self.stand.name))
        return {each.check: each for each in findings}

    def _changed(self, text: str, change: Change) -> str:
        for name, port in self.ports.items():
            text = text.replace(f":{port}", f":{{{name}}}").replace(f"-{port}", f"-{{{name}}}")
            text = text.replace(f"port_value: {port}", f"port_value: {{{name}}}")
        changed = change(text)
        assert changed != text
        for name, port in self.ports.items():
            changed = changed.replace(f"{{{name}}}", str(port))
        return changed

    def _settled(self) -> None:
        """Traefik listens a moment before it knows its sites."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if self.stand.ask("GET", "/public/settled").status != 404:
                    return
            time.sleep(0.02)


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, House]]:
    """Houses by the name of the proxy, built when they are asked for."""
    with contextlib.ExitStack() as stack:
        yield _Houses(tmp_path_factory, stack)


class _Houses(dict[str, House]):
    def __init__(self, folders: pytest.TempPathFactory, stack: contextlib.ExitStack) -> None:
        super().__init__()
        self._folders = folders
        self._stack = stack

    def __missing__(self, name: str) -> House:
        folder = self._folders.mktemp(name)
        self[name] = House(self._stack.enter_context(behind(name, folder, people=False)))
        self._stack.callback(self[name].close)
        return self[name]


def wrong(found: Found) -> set[str]:
    """The checks that failed."""
    return {check for check, each in found.items() if each.verdict is Verdict.WRONG}


def _row(fault: Fault) -> object:
    skip = pytest.mark.skipif(fault.proxy in UNTESTED, reason=UNTESTED.get(fault.proxy, ""))
    return pytest.param(fault, marks=skip, id=fault.name)


EACH = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(name in UNTESTED, reason=UNTESTED.get(name, "")),
    )
    for name in PROXIES
]


@pytest.mark.parametrize("fault", [_row(fault) for fault in FAULTS])
def test_a_mistake_in_the_recipe_is_found(fault: Fault, houses: Mapping[str, House]) -> None:
    """The check that looks for it fails, says what is wrong and what to look at, and no other fails for it."""
    found = houses[fault.proxy].examined(fault.changes)
    assert fault.check in wrong(found), found[fault.check]
    assert wrong(found) <= {fault.check, *fault.also}, {check: found[check].said for check in wrong(found)}
    assert fault.words in found[fault.check].said
    assert found[fault.check].fix.endswith(how(fault.check, fault.proxy))


@contextlib.contextmanager
def app(address: str, port: int) -> Iterator[None]:
    """An app that listens there, and has the same answer for everybody."""
    with socket.create_server((address, port)) as listener:
        thread = threading.Thread(target=_answer, args=(listener,), daemon=True)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _answer(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("name", EACH)
def test_an_app_that_listens_for_everybody_is_found(name: str, houses: Mapping[str, House]) -> None:
    """Clients can reach it without the proxy, whatever the proxy does."""
    house = houses[name]
    with app("0.0.0.0", house.ports["app"]):
        found = house.examined(stand_in=False)
    assert wrong(found) == {"way-round"}
    assert f"0.0.0.0, port {house.ports['app']}" in found["way-round"].said
    assert "127.0.0.1" in found["way-round"].fix


@pytest.mark.parametrize("name", EACH)
def test_a_check_that_listens_for_everybody_is_found(name: str, houses: Mapping[str, House]) -> None:
    """Whoever can connect to check_listen is believed."""
    house = houses[name]
    file = house.stand.folder / "demur.toml"
    whole = file.read_text()
    file.write_text(whole.replace('check_listen = "127.0.0.1', 'check_listen = "0.0.0.0'))
    try:
        found = house.examined()
    finally:
        file.write_text(whole)
    assert wrong(found) == {"check-is-private"}
    assert "check_listen is 0.0.0.0" in found["check-is-private"].said
    assert "unix:check.sock" in found["check-is-private"].fix


@pytest.mark.parametrize("name", EACH)
def test_a_proxy_that_does_not_run_is_found(name: str, houses: Mapping[str, House]) -> None:
    """That is one finding, and not sixteen."""
    (only,) = houses[name].diagnosis(stand_in=False).values()
    assert (only.check, only.verdict) == ("answer", Verdict.WRONG)
    assert "Connection refused" in only.said
    assert "--connect" in only.fix


@pytest.mark.parametrize("name", EACH)
def test_a_house_is_whole_again(name: str, houses: Mapping[str, House]) -> None:
    """Nothing is wrong with the recipe itself, so what was found above was the mistake."""
    found = houses[name].examined()
    assert wrong(found) == set()


def test_every_check_has_a_fault_with_every_proxy() -> None:
    """Or a reason why it cannot have one; a check that was never seen to fail does not count."""
    broken = {(fault.proxy, fault.check) for fault in FAULTS} | {(name, "way-round") for name in PROXIES}
    wanted = {(name, check) for name in PROXIES for check in CHECKS}
    assert wanted - broken == set(IMPOSSIBLE)
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all(IMPOSSIBLE.values())


def test_a_fault_says_what_it_changes() -> None:
    """A row whose text is not in the recipe any more fails, instead of testing nothing."""
    for fault in FAULTS:
        with pytest.raises(AssertionError, match="the recipe has no"):
            fault.change("nothing of a recipe\n")
