"""At which addresses somebody listens, as this machine's kernel says."""

from __future__ import annotations

import socket

import pytest

from demur.gateway.doctor import listening


@pytest.mark.parametrize(
    ("family", "address", "others"),
    [
        (socket.AF_INET, "127.0.0.1", False),
        (socket.AF_INET, "127.0.0.2", False),
        (socket.AF_INET, "0.0.0.0", True),
        (socket.AF_INET6, "::1", False),
        (socket.AF_INET6, "::", True),
    ],
)
def test_listeners_are_found(family: socket.AddressFamily, address: str, *, others: bool) -> None:
    """With their address, whatever its kind, and whether others can connect there."""
    try:
        listener = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip("this machine has no such address")
    with listener:
        assert listening.addresses(listener.getsockname()[1]) == {address}
    assert listening.is_for_others(address) is others


def test_who_is_only_connected_does_not_listen() -> None:
    """A connection from a port is no door."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as other:
        assert listening.addresses(other.getsockname()[1]) == frozenset()


@pytest.mark.parametrize(
    ("address", "others"), [("::ffff:127.0.0.1", False), ("::ffff:192.0.2.1", True), ("192.0.2.1", True)]
)
def test_an_address_is_for_others(address: str, *, others: bool) -> None:
    """An IPv4 address may be written as one of IPv6."""
    assert listening.is_for_others(address) is others
