"""What is wrong with a sign-in that several sites share: what a browser would not do, or what would share too much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demur.gateway.config.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from demur.gateway.config.addresses import Origin
    from demur.gateway.config.tables import Sessions, Site


def sharing_faults(kept: Sessions | None, sites: Sequence[Site | None]) -> Iterator[Fault]:
    """Every fault of `shared_domain`, `sign_in` and the sites that share. A site that is wrong in itself is None."""
    if kept is None:
        return
    if kept.shared_domain is None:
        yield from _needless(kept, sites)
        return
    if kept.sign_in is None:
        message = f"sessions.shared_domain is {kept.shared_domain}, but nothing says where people sign in."
        fix = f'Add the origin of one of the sites: sign_in = "https://login.{kept.shared_domain}".'
        yield Fault(("sessions", "shared_domain"), message, fix)
        return
    yield from _sign_in_faults(kept.sign_in, sites)
    for index, site in enumerate(sites):
        if site is not None and site.shares_sign_in:
            yield from _site_faults(index, site, kept.shared_domain, kept.sign_in, sites)


def _needless(kept: Sessions, sites: Sequence[Site | None]) -> Iterator[Fault]:
    if kept.sign_in is not None:
        message = "sessions.sign_in is for sites that share a sign-in, and there is no shared_domain."
        fix = 'Add the domain that they have in common, such as shared_domain = "example.com", or remove sign_in.'
        yield Fault(("sessions", "sign_in"), message, fix)
    for index, site in enumerate(sites):
        if site is not None and not site.shares_sign_in:
            message = f"{site.origin} is kept out of a sign-in that no sites share."
            yield Fault(("site", index, "shares_sign_in"), message, "Remove it, or set shared_domain in [sessions].")


def _sign_in_faults(sign_in: Origin, sites: Sequence[Site | None]) -> Iterator[Fault]:
    if None in sites or any(site is not None and site.shares_sign_in and site.origin == sign_in for site in sites):
        return
    known = ", ".join(str(site.origin) for site in sites if site is not None and site.shares_sign_in)
    message = f"sessions.sign_in: {sign_in} is not the origin of a site that shares the sign-in."
    fix = f"Add a [[site]] with that origin, or name one of {known}." if known else "Add a [[site]] with that origin."
    yield Fault(("sessions", "sign_in"), message, fix)


def _site_faults(index: int, site: Site, domain: str, sign_in: Origin, sites: Sequence[Site | None]) -> Iterator[Fault]:
    place = ("site", index, "origin")
    host = site.origin.host.removeprefix("*.")
    if host != domain and not host.endswith(f".{domain}"):
        yield Fault(
            place,
            f"{site.origin} is not below sessions.shared_domain, {domain}: browsers would not keep its cookie.",
            "Write shares_sign_in = false into this [[site]]; it then has a sign-in of its own.",
        )
    elif site.origin.scheme != sign_in.scheme:
        # A cookie with `Secure` never reaches http, and to browsers http and https are two sites (schemeful same-site).
        yield Fault(
            place,
            f"{site.origin} and sessions.sign_in, {sign_in}, have different schemes, and so no cookie in common.",
            f"Write {sign_in.scheme} for both, or shares_sign_in = false into this [[site]].",
        )
    at_sign_in = next((each for each in sites if each is not None and each.origin == sign_in), None)
    if at_sign_in is not None and at_sign_in.prefix != site.prefix:
        yield Fault(
            ("site", index, "prefix"),
            f"the prefix of {site.origin} is {site.prefix}, and where people sign in it is {at_sign_in.prefix}.",
            "Write the same prefix for all sites that share a sign-in.",
        )
