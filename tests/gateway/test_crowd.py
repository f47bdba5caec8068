"""How many connections there are, from whom, and who makes room."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from demur.gateway.server.crowd import Crowd, Share


class One:
    """A connection."""

    def __init__(self) -> None:
        self.asked_to_go = False

    def make_room(self) -> None:
        self.asked_to_go = True


def test_a_full_listener_lets_go_of_who_rests_longest() -> None:
    """Who works is not asked to go, and who has rested for less time stays."""
    crowd = Crowd(3)
    first, second, third, fourth, fifth = (One() for _ in range(5))
    for one in (first, second, third):
        assert crowd.enter(one, "192.0.2.1") is None
        crowd.works(one)
    crowd.rests(third)
    crowd.rests(first)
    assert crowd.enter(fourth, "192.0.2.1") is None
    assert [one.asked_to_go for one in (first, second, third)] == [False, False, True]
    for one in (first, fourth):
        crowd.works(one)
    assert crowd.enter(fifth, "192.0.2.1") == (503, "Too many connections are open.")
    crowd.leave(second)
    assert crowd.enter(fifth, "192.0.2.1") is None


@pytest.mark.parametrize(
    ("address", "other", "is_one"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("198.51.100.7", "198.51.100.7", False),
        ("::ffff:198.51.100.7", "198.51.100.7", False),
        ("", "", False),
    ],
)
def test_who_is_one(address: str, other: str, is_one: bool) -> None:
    """An IPv4 address, or an IPv6 network of 64 bits, has one share; who is exempt or has no address is free."""
    crowd = Crowd(10, Share(1, (ip_network("198.51.100.0/24"),)))
    assert crowd.enter(One(), address) is None
    assert (crowd.enter(One(), other) is not None) is is_one


def test_a_place_is_given_back_once() -> None:
    """Leaving twice frees one place."""
    crowd = Crowd(10, Share(2))
    one, two = One(), One()
    assert crowd.enter(one, "192.0.2.1") is None
    assert crowd.enter(two, "192.0.2.1") is None
    crowd.leave(one)
    crowd.leave(one)
    assert crowd.enter(One(), "192.0.2.1") is None
    assert crowd.enter(One(), "192.0.2.1") == (429, "Too many connections are open from this address.")
    crowd.rests(one)
    assert crowd.enter(One(), "192.0.2.2") is None


def test_without_a_share_one_address_may_take_all() -> None:
    """Listeners for other proxies count nobody."""
    crowd = Crowd(3)
    assert all(crowd.enter(One(), "192.0.2.1") is None for _ in range(3))
