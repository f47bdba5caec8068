"""What a configuration that can be read would do on this machine, before it does it.

- An error stops the start and a reload: a certificate that does not fit, a folder that is not there.
- A warning is something that starts, and is likely not what was meant, or is less safe than it could be.
- Only `check` with `online` opens connections, to upstreams and to the stores. A store on the network proves there that
  it can be written, and makes its tables if they are missing; nothing else is written.
"""

from __future__ import annotations

import os
import socket
import ssl
import stat
import time
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from demur.core.model import Access
from demur.core.sessions import DAY
from demur.core.site import covers
from demur.gateway.config import tables as configuration
from demur.gateway.config.faults import BadConfig, Fault, Finding
from demur.gateway.config.others import accounts_faults, store_faults
from demur.signin.sessions import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from demur.core.rules import Rule, Rules
    from demur.gateway.config.addresses import Address
    from demur.gateway.config.faults import Place
    from demur.gateway.config.tables import Config, Document, Gateway, Site

CONNECT_WITHIN = 1.0
"""Seconds that an upstream has to accept a connection before it counts as unreachable."""

_SQLITE_MAGIC = b"SQLite format 3\x00"


def check(path: Path, *, online: bool = True) -> list[Finding]:
    """Everything worth knowing about the configuration at `path`, in the order of its lines.

    With `online` each upstream is connected to once, for at most a second, all at the same time, and the store is asked
    whether the other nodes have the same keys.
    """
    try:
        document = configuration.load(path)
        config = configuration.interpret(document)
    except BadConfig as error:
        return list(error.findings)
    faults = [*_errors(config), *_warnings(config)]
    if online:
        faults.extend(_unreachable(config))
        faults.extend(accounts_faults(config))
        faults.extend(store_faults(config))
    return sorted((document.finding(fault) for fault in faults), key=lambda finding: finding.line)


def load(path: Path) -> Config:
    """The configuration at `path`, if it can be used here. Raises `BadConfig` with every error otherwise."""
    document: Document = configuration.load(path)
    config = configuration.interpret(document)
    if errors := [document.finding(fault) for fault in _errors(config)]:
        raise BadConfig(errors)
    return config


# --- what cannot work -------------------------------------------------------------------------------


def _errors(config: Config) -> Iterator[Fault]:
    yield from _certificate(config.gateway)
    if config.accounts.database.startswith("sqlite:"):
        yield from _database(("accounts", "database"), config.accounts.database)
    if config.sessions.store.startswith("sqlite:"):
        yield from _database(("sessions", "store"), config.sessions.store)
    if config.sessions.keys is not None:
        yield from _folder(("sessions", "keys"), config.sessions.keys.parent)
    for key in ("listen", "check_listen", "admin_listen"):
        address = getattr(config.gateway, key)
        if address is not None and address.path is not None:
            yield from _folder(("gateway", key), address.path.parent)


def _certificate(gateway: Gateway) -> Iterator[Fault]:
    if gateway.tls is None:
        return
    bad = False
    for key, path in (("certificate", gateway.tls.certificate), ("key", gateway.tls.key)):
        for fault in _readable(("gateway", "tls", key), path):
            bad = True
            yield fault
    if bad:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # an encrypted key would ask for its password on the terminal
        context.load_cert_chain(gateway.tls.certificate, gateway.tls.key, password=lambda: b"")
    except ssl.SSLError as error:
        yield _unfit(error)


def _unfit(error: ssl.SSLError) -> Fault:
    if error.reason == "KEY_VALUES_MISMATCH":
        message = "gateway.tls: the key does not belong to the certificate."
        fix = "Name the pair that was issued together; in a chain the site's own certificate comes first."
        return Fault(("gateway", "tls", "key"), message, fix)
    message = "gateway.tls: these files are not a certificate and a key in PEM form without a password."
    fix = 'Both begin with "-----BEGIN"; `openssl x509 -in FILE` and `openssl pkey -in FILE` show what they are.'
    return Fault(("gateway", "tls"), message, fix)


def _readable(place: Place, path: Path) -> Iterator[Fault]:
    name = ".".join(map(str, place))
    try:
        with path.open("rb"):
            return
    except FileNotFoundError:
        yield Fault(
            place, f"{name}: there is no file {_near(path)}.", "Relative names begin at the configuration's folder."
        )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        yield Fault(place, f"{name}: {_near(path)} cannot be read: {reason}.", "Let the user that runs demur read it.")


def _database(place: Place, url: str) -> Iterator[Fault]:
    path = Path(url.removeprefix("sqlite:"))
    name = ".".join(map(str, place))
    if not path.exists():
        yield from _folder(place, path.parent)
    elif not path.is_file():
        yield Fault(place, f"{name}: {_near(path)} is not a file.", "Name a file; it is made if it is not there.")
    elif not os.access(path, os.R_OK | os.W_OK):
        yield Fault(
            place, f"{name}: {_near(path)} may not be written.", "Let the user that runs demur read and write it."
        )
    elif not _is_sqlite(path):
        yield Fault(
            place, f"{name}: {_near(path)} is not an SQLite database.", "Name another file; this one is left alone."
        )
    else:
        # SQLite keeps its journal beside the file (sqlite.org/wal.html)
        yield from _folder(place, path.parent)


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE_MAGIC)) in {b"", _SQLITE_MAGIC}


def _folder(place: Place, folder: Path) -> Iterator[Fault]:
    name = ".".join(map(str, place))
    if not folder.is_dir():
        yield Fault(place, f"{name}: there is no folder {_near(folder)}.", f"Make it: mkdir -p {_near(folder)}")
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield Fault(
            place, f"{name}: the folder {_near(folder)} may not be written.", "Let the user that runs demur write it."
        )


# --- what is likely not meant -----------------------------------------------------------------------


def _warnings(config: Config) -> Iterator[Fault]:
    yield from _exposed(config.gateway)
    yield from _lasting(config)
    yield from _private(config)
    if config.gateway.insecure_http and not any(site.origin.is_open_http for site in config.site):
        yield _warning(("gateway", "insecure_http"), "insecure_http = true is not needed here.", "Remove it.")
    for index, site in enumerate(config.site):
        yield from _transport(index, site, config.gateway)
        yield from _rules(index, site)
        yield from _strengths(index, site)
        yield from _told(index, site, config.gateway)


def _near(path: Path) -> str:
    """The path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _warning(place: Place, message: str, fix: str) -> Fault:
    return Fault(place, message, fix, "warning")


def _exposed(gateway: Gateway) -> Iterator[Fault]:
    if gateway.admin_listen is not None and gateway.admin_listen.is_public:
        message = f"gateway.admin_listen: other machines may reach the metrics on {gateway.admin_listen}."
        yield _warning(("gateway", "admin_listen"), message, 'Write "127.0.0.1:8002", or let a firewall close it.')
    if gateway.check_listen is not None and gateway.check_listen.is_public:
        yield from _asking(gateway, gateway.check_listen)
    for index, trusted in enumerate(gateway.trusted_proxies):
        if not isinstance(trusted, str) and trusted.prefixlen == 0:
            message = f"gateway.trusted_proxies: {trusted} believes everybody about who they are."
            yield _warning(("gateway", "trusted_proxies", index), message, "List the addresses of your own proxies.")


def _asking(gateway: Gateway, where: Address) -> Iterator[Fault]:
    """An address for other machines to ask at."""
    networks = [each for each in gateway.trusted_proxies if not isinstance(each, str)]
    if not networks:
        message = f"gateway.check_listen: {where} is there for other machines, and none of them may ask."
        fix = 'Name the proxies that ask in trusted_proxies, or write "unix:check.sock" or a loopback address.'
        yield _warning(("gateway", "check_listen"), message, fix)
    elif any(each.prefixlen == 0 for each in networks):
        message = f"gateway.check_listen: whoever reaches {where} may say which request it is about."
        yield _warning(("gateway", "check_listen"), message, 'Write "unix:check.sock" or a loopback address.')


def _lasting(config: Config) -> Iterator[Fault]:
    lasting = config.sessions.lasting
    if lasting.idle > 7 * DAY:
        message = f"sessions.idle: {lasting.idle // DAY} days without activity leave a forgotten computer signed in."
        yield _warning(("sessions", "idle"), message, 'Write "1h" (NIST AAL2) or at most "7d".')
    # SP 800-63B-4, 2.1.3: "a definite reauthentication overall timeout SHALL be established, which SHOULD be no more
    # than 30 days at AAL1"
    if lasting.absolute > 30 * DAY:
        message = (
            f"sessions.absolute: a session of {lasting.absolute // DAY} days is longer than NIST has it at any level."
        )
        yield _warning(("sessions", "absolute"), message, 'Write at most "30d".')
    if config.sessions.store == "memory:":
        message = "sessions.store: everybody is signed out at a restart."
        yield _warning(("sessions", "store"), message, 'Write store = "sqlite:sessions.db".')


def _private(config: Config) -> Iterator[Fault]:
    tls = config.gateway.tls
    secrets: list[tuple[Place, Path | None]] = [
        (("gateway", "tls", "key"), tls.key if tls else None),
        (("sessions", "keys"), config.sessions.key_folder),
    ]
    for place, path in secrets:
        if path is not None and path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IXOTH:
            fix = f"Close it: chmod go-rwx {_near(path)}"
            yield _warning(
                place, f"{'.'.join(map(str, place))}: other users of this machine may read {_near(path)}.", fix
            )


def _transport(index: int, site: Site, gateway: Gateway) -> Iterator[Fault]:
    place = ("site", index, "origin")
    if site.origin.is_open_http:
        message = f"{site.origin} has no TLS: passwords and sessions can be read on the way."
        yield _warning(place, message, f'Write "{site.origin.with_tls}" and set tls in [gateway].')
    if site.upstream is None:
        return
    if site.origin.scheme == "https" and gateway.tls is None and not gateway.trusted_proxies:
        message = f"{site.origin} is https, but nothing here speaks TLS: there is neither tls nor a trusted proxy."
        fix = (
            'Set tls = { certificate = "…", key = "…" } in [gateway], '
            'or name the proxy that does: trusted_proxies = ["127.0.0.1"].'
        )
        yield _warning(place, message, fix)
    if site.origin.scheme == "http" and gateway.tls is not None:
        message = f"{site.origin} is http, but {gateway.listen} speaks TLS only."
        yield _warning(place, message, f'Write "{site.origin.with_tls}", or remove tls.')
    if site.origin.scheme == "http" and site.origin.is_loopback and gateway.listen.is_public:
        message = f"other machines may reach {gateway.listen}, but {site.origin} is this machine's own name for itself."
        yield _warning(("gateway", "listen"), message, f'Write listen = "127.0.0.1:{gateway.listen.port}".')


# --- rules that do not do what they seem to ---------------------------------------------------------

_SOME = "~some~"
_OTHER = "~OTHER~"
"""A segment and a method that no rule names: what a pattern matches when nothing more specific does."""


def _rules(index: int, site: Site) -> Iterator[Fault]:
    rules = site.core().rules
    for rule in rules.all:
        place = ("site", index, "rule", rule.number - 1)
        if shadowed := _shadowed(place, rule, rules, site):
            yield shadowed
        else:
            yield from _open_below(place, rule, rules, site)
        if rule.requirement.challenge_basic and site.origin.scheme == "http":
            message = f"rule {rule.number} ({rule.name}) never asks for Basic: {site.origin} has no TLS."
            fix = "Remove challenge; a client that sends Basic by itself is let in all the same."
            yield _warning((*place, "challenge"), message, fix)
    if rules.match("GET", b"/", _authority(site)).rule is None:
        what = "nothing matches /" if site.rule else "it has no rules"
        message = f"{site.origin}: {what}, and what no rule opens is closed to everybody."
        yield _warning(("site", index), message, 'Add a rule, such as path = "/**" with allow = "signed-in".')


def _shadowed(place: Place, rule: Rule, rules: Rules, site: Site) -> Fault | None:
    path = _sample(rule)
    never = f"rule {rule.number} ({rule.name}) can never match:"
    if f"{path}/".startswith(f"{site.prefix}/"):
        message = f"{never} below {site.prefix}/ are demur's own pages."
        return _warning(place, message, "Remove it, or set another prefix for the site.")
    methods = sorted(rule.methods or {_OTHER})
    host = _authority(site, rule)
    winners = [rules.match(method, quote(path).encode(), host).rule for method in methods]
    if rule in winners:
        return None
    if winners[0] is None or not _covers_host(rule, site):
        message = f"{never} its host {rule.host} is not the site's."
        return _warning((*place, "host"), message, f"Remove host, or move the rule to the [[site]] of {rule.host}.")
    message = f"{never} rule {winners[0].number} ({winners[0].name}) is more specific wherever it does."
    return _warning(place, message, "Remove one of them.")


def _authority(site: Site, rule: Rule | None = None) -> str:
    """The host of a request that the rule is likely for: its own, where the site has many."""
    authority = site.origin.authority
    if not site.origin.is_wildcard:
        return authority
    if rule is not None and covers(str(site.origin), f"{site.origin.scheme}://{rule.host}"):
        return rule.host
    return authority.replace("*", "some-host", 1)


def _covers_host(rule: Rule, site: Site) -> bool:
    authority = _authority(site, rule)
    return rule.host in {"", authority} or (rule.host.startswith("*.") and authority.endswith(rule.host[1:]))


def _open_below(place: Place, rule: Rule, rules: Rules, site: Site) -> Iterator[Fault]:
    """`/admin` alone says nothing about `/admin/users`: an error only if that turns out to be open."""
    if rule.requirement.access is not Access.REQUIRED or rule.segments[-1][:1] in {"", "*", "{"}:
        return
    below = rules.match("GET", quote(f"{_sample(rule)}/{_SOME}").encode(), _authority(site, rule))
    if below.rule is not None and below.requirement.access is not Access.REQUIRED:
        message = f"what is below {rule.path} is open to anyone, by rule {below.rule.number} ({below.rule.name})."
        yield _warning((*place, "path"), message, f'If that is not meant, write path = "{rule.path}/**".')


def _told(index: int, site: Site, gateway: Gateway) -> Iterator[Fault]:
    """What is concealed where demur passes requests on, and told to whoever only asks."""
    if gateway.check_listen is None:
        return
    for rule in site.core().rules.all:
        if rule.requirement.conceal is not None:
            message = (
                f"rule {rule.number} ({rule.name}) conceals only what comes by {gateway.listen}: a proxy that asks at "
                "check_listen gets a 404 that is not the site's own."
            )
            fix = "Let demur pass these requests on, or remove conceal or check_listen."
            yield _warning(("site", index, "rule", rule.number - 1, "conceal"), message, fix)


def _strengths(index: int, site: Site) -> Iterator[Fault]:
    """A strength that nobody can show here: its pages are closed to everybody."""
    for rule in site.core().rules.all:
        asked = rule.requirement.acr
        if asked and PASSWORD not in asked:
            message = (
                f"rule {rule.number} ({rule.name}) asks for a sign-in of the strength {asked[0]}, "
                "and this version signs people in with a password only: nobody can open what it protects."
            )
            fix = 'Write fresh = "15m" to have the password asked for again, or leave it closed until there is more.'
            place: Place = ("site", index, "rule", rule.number - 1, "allow", "strength")
            yield _warning(place, message, fix)


def _sample(rule: Rule) -> str:
    """A path that the rule's pattern matches and, if that can be, no more specific one does."""
    deep = "/".join([_SOME] * 8)
    named = {"*": _SOME, "**": deep}
    parts = (_SOME if segment.startswith("{") else named.get(segment, segment) for segment in rule.segments)
    return "/" + "/".join(parts)


# --- what does not answer ---------------------------------------------------------------------------


def _unreachable(config: Config) -> Iterator[Fault]:
    answers = _answers({site.upstream for site in config.site if site.upstream is not None})
    for index, site in enumerate(config.site):
        if site.upstream is not None and (reason := answers[site.upstream]):
            message = f"{site.upstream} cannot be reached: {reason}."
            fix = "Start the site behind, or correct the upstream; until then people see a 502."
            yield _warning(("site", index, "upstream"), message, fix)


def _answers(upstreams: set[str]) -> dict[str, str | None]:
    """Of each upstream why it cannot be reached, or None."""
    answers: dict[str, str | None] = dict.fromkeys(upstreams, "it did not answer within a second")
    # looking up a name knows no timeout, so nobody waits for these threads to end
    threads = [
        Thread(target=lambda upstream=upstream: answers.update({upstream: _connect(upstream)}), daemon=True)
        for upstream in upstreams
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 1.5 * CONNECT_WITHIN
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    return dict(answers)


def _connect(upstream: str) -> str | None:
    """Why no connection could be made; None if it could."""
    url = urlsplit(upstream)
    try:
        with socket.create_connection((url.hostname, url.port), timeout=CONNECT_WITHIN):
            return None
    except socket.gaierror:
        return "its name is not known"
    except TimeoutError:
        return "it did not answer within a second"
    except OSError as error:
        return (error.strerror or str(error)).lower()


def counts(findings: Iterable[Finding]) -> tuple[int, int]:
    """How many errors, and how many warnings."""
    severities = [finding.severity for finding in findings]
    return severities.count("error"), severities.count("warning")
