"""What a configuration asks of a proxy: computed once, and the same for every kind of proxy.

- A plan holds nothing that could end a word, a line or a quotation in any proxy's language: what would is refused
  here, before a template sees it.
- What a kind of proxy cannot do for this configuration is told with its line in the file, all of it at once.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic_core import PydanticCustomError

from demur.core.model import ConfigError
from demur.gateway.config.addresses import Origin, is_loopback, upstream_url
from demur.gateway.config.faults import BadConfig, Fault
from demur.gateway.recipes.text import KEYS, RESOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from demur.core.site import Site as CoreSite
    from demur.gateway.config.addresses import Address
    from demur.gateway.config.tables import Config, Document, Gateway
    from demur.gateway.config.tables import Site as Table

CERTIFICATE = "/etc/ssl/demur/certificate.pem"
KEY = "/etc/ssl/demur/key.pem"
"""What stands in a recipe until somebody says where the files are."""

# What no language of a proxy gives a meaning to inside of a word, not even "$", "%", "{" or "#".
_PLAIN = re.compile(r"[A-Za-z0-9._/+-]+")
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where somebody listens: `host` (an IPv6 address without brackets) and `port`, or else the path of a `socket`."""

    host: str = ""
    port: int = 0
    socket: str = ""
    tls: bool = False

    @property
    def authority(self) -> str:
        """`host:port`, an IPv6 address in brackets. "" for a socket."""
        if self.socket:
            return ""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """`http://host:port`. "" for a socket."""
        return "" if self.socket else f"{'https' if self.tls else 'http'}://{self.authority}"


@dataclass(frozen=True, slots=True)
class Site:
    """One site, as the proxy serves it.

    `name` is a word for the proxy's own names ("site1"). `host` is the origin's, an IPv6 address in brackets, and may
    begin with `*.`. `authority` is what browsers send in `Host`. `bind` is the address at which the proxy listens on
    `port`: "" for all, an IPv6 address without brackets. `upstream` is the app. `prefix` is where demur's pages are
    ("/.demur"), `cookie` the name of its cookie. `preflights` says who answers those for restricted paths. `by_method`
    is whether the method decides (`core.site.Site.by_method`), so that nothing may change it behind demur's back. At
    the paths of `well_known` demur answers as it does below `prefix`.
    """

    name: str
    origin: str
    scheme: Literal["http", "https"]
    host: str
    port: int
    authority: str
    bind: str
    upstream: Endpoint
    prefix: str
    cookie: str
    preflights: Literal["demur", "upstream"]
    by_method: bool
    well_known: tuple[str, ...] = ()

    @property
    def port_suffix(self) -> str:
        """ ":8443" where browsers send the port in `Host`, else ""."""
        return self.authority[len(self.host) :]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a recipe needs to know.

    `pages` is gateway.listen and `check` gateway.check_listen, as the proxy reaches them. `check` is an empty endpoint
    for a recipe that does not ask. `file` is the name of the configuration, for a comment.
    """

    file: str
    sites: tuple[Site, ...]
    pages: Endpoint
    check: Endpoint
    certificate: str = CERTIFICATE
    key: str = KEY

    @property
    def listeners(self) -> tuple[tuple[str, int, str, tuple[Site, ...]], ...]:
        """Where the proxy listens: address ("" for all), port, scheme and the sites there, in the file's order."""
        at: dict[tuple[str, int, str], list[Site]] = {}
        for site in self.sites:
            at.setdefault((site.bind, site.port, site.scheme), []).append(site)
        return tuple((*place, tuple(sites)) for place, sites in at.items())


@dataclass(frozen=True, slots=True)
class Needs:
    """What a kind of proxy can do. `asks`: it passes requests on itself and asks demur; otherwise demur does, behind
    it. `sockets`: it can connect to unix sockets. `bundle`: it reads certificate and key from one file. `title` is its
    name for people."""

    title: str
    asks: bool = True
    sockets: bool = True
    bundle: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds. `upstreams` maps origins ("": all others) to URLs."""

    upstreams: Mapping[str, str] | None = None
    certificate: str = CERTIFICATE
    key: str = KEY


def plan(document: Document, config: Config, needs: Needs, options: Options | None = None) -> Plan:
    """The plan of a configuration. Raises `ConfigError` with everything that this kind of proxy cannot do."""
    options = options or Options()
    given = _upstreams(config, options.upstreams or {})
    found = [*_gateway_faults(config, needs), *_site_faults(config, needs, given), *_port_faults(config, given)]
    if found:
        raise BadConfig([document.finding(fault) for fault in found])
    for option, path in (("--certificate", options.certificate), ("--key", options.key)):
        if not _PLAIN.fullmatch(path):
            raise ConfigError(
                f'"{path}" has characters that a proxy\'s configuration could read as its own.',
                place=option,
                fix="Use a path of letters, digits, and . _ - / only.",
            )
    if needs.bundle and options.key not in {KEY, options.certificate, f"{options.certificate}.key"}:
        raise ConfigError(
            f"{needs.title} reads a certificate and its key from one file.",
            place="--key",
            fix="Write both into one file, the certificate first, and name that with --certificate alone.",
        )
    check = config.gateway.check_listen if needs.asks else None
    return Plan(
        file=document.path.name if _PLAIN.fullmatch(document.path.name) else "the configuration",
        sites=tuple(_sites(config, given)),
        pages=_reached(config.gateway.listen),
        check=Endpoint() if check is None else _reached(check),
        certificate=options.certificate,
        key=options.key,
    )


# --- the parts --------------------------------------------------------------------------------------


def _sites(config: Config, given: Sequence[str | None]) -> Iterator[Site]:
    for index, (table, core, upstream) in enumerate(zip(config.site, config.sites(), given, strict=True)):
        origin = table.origin
        yield Site(
            name=f"site{index + 1}",
            origin=str(origin),
            scheme="https" if origin.scheme == "https" else "http",
            host=origin.host,
            port=origin.port,
            authority=origin.authority,
            bind=_bind(config, origin),
            upstream=_behind(upstream or ""),
            prefix=table.prefix,
            cookie=core.cookie.name,
            preflights="upstream" if core.cors.upstream else "demur",
            by_method=core.by_method,
            well_known=_well_known(table, core),
        )


def _well_known(table: Table, core: CoreSite) -> tuple[str, ...]:
    """Where demur says to anybody who asks where to get tokens (RFC 9728), and how to verify what it signs."""
    found = [RESOURCE] if core.authorization_servers else []
    return tuple(found + ([KEYS] if table.asserts is not None else []))


def _bind(config: Config, origin: Origin) -> str:
    """Loopback, if browsers on this machine are all that any site on that port is for."""
    together = [table.origin for table in config.site if table.origin.port == origin.port]
    if not all(each.is_loopback for each in together):
        return ""
    hosts = {each.host.strip("[]") for each in together}
    return hosts.pop() if len(hosts) == 1 and _is_ip(next(iter(hosts))) else "127.0.0.1"


def _reached(address: Address) -> Endpoint:
    if address.path is not None:
        return Endpoint(socket=str(address.path))
    return Endpoint(_EVERYWHERE.get(address.host, address.host), address.port)


def _behind(url: str) -> Endpoint:
    at = Origin.parse(url)
    return Endpoint(at.host.strip("[]"), at.port, tls=at.scheme == "https")


def _upstreams(config: Config, options: Mapping[str, str]) -> list[str | None]:
    """Where each site is: the configuration says it, or an option."""
    known = [str(table.origin) for table in config.site]
    for origin, url in options.items():
        if origin and origin not in known:
            raise ConfigError(
                f"no site has the origin {origin}.", place="--upstream", fix=f"There are: {', '.join(known)}."
            )
        try:
            upstream_url(url)
        except PydanticCustomError as error:
            fix = (error.context or {})["fix"]
            raise ConfigError(error.message(), place="--upstream", fix=fix) from None
    everywhere = options.get("")
    said = [table.upstream or options.get(origin, everywhere) for table, origin in zip(config.site, known, strict=True)]
    return [url and upstream_url(url) for url in said]


# --- what cannot be done ----------------------------------------------------------------------------


def _gateway_faults(config: Config, needs: Needs) -> Iterator[Fault]:
    gateway = config.gateway
    if needs.asks and gateway.check_listen is None:
        yield Fault(
            ("gateway",),
            f"there is no check_listen, and {needs.title} has to ask somewhere.",
            'Add check_listen = "127.0.0.1:8001" to [gateway].',
        )
    if gateway.tls is not None:
        yield Fault(
            ("gateway", "tls"),
            f"demur itself speaks TLS at gateway.listen, where {needs.title} is to do so for browsers.",
            "Take tls out of [gateway], and name the files with --certificate and --key.",
        )
    for key in ("listen", "check_listen") if needs.asks else ("listen",):
        yield from _address_faults(key, getattr(gateway, key), needs)
    if not _is_believed(gateway):
        word = "unix" if gateway.listen.path is not None else "127.0.0.1"
        yield Fault(
            ("gateway", "trusted_proxies"),
            f"demur does not believe what {needs.title} says at gateway.listen, such as which site is asked for.",
            f'Write trusted_proxies = ["{word}"] in [gateway], or the address that {needs.title} comes from.',
        )


def _address_faults(key: str, address: Address | None, needs: Needs) -> Iterator[Fault]:
    if address is None:
        return
    place = ("gateway", key)
    if address.path is None and address.port == 0:
        yield Fault(place, f"gateway.{key} is any free port.", "Write the port, so that the proxy finds it.")
    if address.path is not None and not needs.sockets:
        yield Fault(
            place,
            f"{needs.title} cannot connect to a unix socket.",
            f'Write a port instead, such as {key} = "127.0.0.1:{8000 if key == "listen" else 8001}".',
        )
    if address.path is not None and not _PLAIN.fullmatch(str(address.path)):
        yield Fault(
            place,
            f"{address} has characters that a proxy's configuration could read as its own.",
            "Use a path of letters, digits, and . _ - / only.",
        )


def _is_believed(gateway: Gateway) -> bool:
    if gateway.listen.path is not None:
        return "unix" in gateway.trusted_proxies
    networks = [each for each in gateway.trusted_proxies if not isinstance(each, str)]
    host = _EVERYWHERE.get(gateway.listen.host, gateway.listen.host)
    if not is_loopback(host):
        return bool(networks)
    mine = ipaddress.ip_address(host if _is_ip(host) else "127.0.0.1")
    return any(mine in network for network in networks)


def _site_faults(config: Config, needs: Needs, given: Sequence[str | None]) -> Iterator[Fault]:
    for index, (table, core) in enumerate(zip(config.site, config.sites(), strict=True)):
        if given[index] is None or (not needs.asks and table.upstream is None):
            yield _upstream_fault(index, table, needs)
        if needs.asks:
            yield from _rule_faults(index, core, needs)


def _upstream_fault(index: int, table: Table, needs: Needs) -> Fault:
    message = f"{table.origin} has no upstream, so nobody knows where the site is."
    if needs.asks:
        fix = f"Write it there, or give it: --upstream {table.origin}=http://127.0.0.1:9000"
    else:
        message = f"{table.origin} has no upstream: with {needs.title} before it, demur passes requests on."
        fix = 'Add where the site is, such as upstream = "http://127.0.0.1:9000".'
    return Fault(("site", index), message, fix)


def _rule_faults(index: int, core: CoreSite, needs: Needs) -> Iterator[Fault]:
    for rule in core.rules.all:
        if rule.requirement.conceal is not None:
            yield Fault(
                ("site", index, "rule", rule.number - 1, "conceal"),
                f"the rule for {rule.path} conceals, which demur can only do where it passes requests on itself.",
                f"Take conceal out, or put demur between {needs.title} and the site (docs/how-to/behind-nginx.md).",
            )


def _another_port(config: Config) -> int:
    """A port that the configuration does not name."""
    gateway = config.gateway
    named = {address.port for address in (gateway.listen, gateway.check_listen, gateway.admin_listen) if address}
    named |= {table.origin.port for table in config.site}
    named |= {Origin.parse(table.upstream).port for table in config.site if table.upstream}
    return next(port for port in range(8000, 8100) if port not in named)


def _port_faults(config: Config, given: Sequence[str | None]) -> Iterator[Fault]:
    schemes: dict[int, str] = {}
    for index, table in enumerate(config.site):
        place, origin = ("site", index, "origin"), table.origin
        bind = _bind(config, origin)
        if schemes.setdefault(origin.port, origin.scheme) != origin.scheme:
            yield Fault(place, f"port {origin.port} has http and https.", "Give each of the two a port of its own.")
        for key in ("listen", "check_listen", "admin_listen"):
            address: Address | None = getattr(config.gateway, key)
            if address is not None and address.path is None and address.port == origin.port and _meet(bind, address):
                yield Fault(
                    place,
                    f"{origin} is where the proxy has to listen, and gateway.{key} is {address}.",
                    f"Give {key} a port of its own, such as {_another_port(config)}.",
                )
        behind = _behind(upstream) if (upstream := given[index]) else Endpoint()
        if is_loopback(behind.host) and any(behind.port == each.origin.port for each in config.site):
            fix = "Write where the site listens; what browsers see is its origin."
            yield Fault(place, f"{upstream} is where the proxy itself listens.", fix)


def _meet(bind: str, address: Address) -> bool:
    return bind == "" or address.host in _EVERYWHERE or address.host in {bind, "localhost"}


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
