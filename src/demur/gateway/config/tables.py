"""The configuration file: what may stand in it, and what it means.

- Nothing is opened by a configuration that is not understood to the last key: `read` gives all of it or raises.
- Every error names file and line, says what is wrong and what to do; all of them are told at once.
- Relative paths are relative to the folder of the file, not to where somebody happens to start the program.
- Reading looks at the one file only. What the machine makes of it (ports, folders, certificates, upstreams) is
  for `findings`.
"""

# ruff: noqa: TC001 - pydantic reads the annotations when the module is loaded
from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PrivateAttr, Tag, ValidationError

from demur.core import asserted, rules, sessions
from demur.core.model import Scheme
from demur.core.site import Cookie, Cors
from demur.core.site import Site as CoreSite
from demur.gateway.config.addresses import Address, is_at
from demur.gateway.config.faults import MISSING, BadConfig, Fault, Finding, faults
from demur.gateway.config.lines import Lines
from demur.gateway.config.rule_faults import rule_faults
from demur.gateway.config.sharing import sharing_faults
from demur.gateway.config.values import (
    Audience,
    CorsOrigin,
    Database,
    Domain,
    FieldWord,
    File,
    Hashing,
    Help,
    Issuer,
    Life,
    Listen,
    Many,
    OneOrigin,
    Prefix,
    Preset,
    Seconds,
    SiteName,
    SiteOrigin,
    StoreUrl,
    Token,
    Trusted,
    Upstream,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

M = TypeVar("M", bound=BaseModel)


class Table(BaseModel):
    """A table of the file: an unknown key is an error, and nothing changes afterwards."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, arbitrary_types_allowed=True
    )


# --- tables -----------------------------------------------------------------------------------------


class Tls(Table):
    """A certificate chain and its private key, PEM."""

    certificate: File
    key: File


class Gateway(Table):
    """`[gateway]`: where to listen, and whom to believe."""

    listen: Listen = Address("127.0.0.1", 8000)
    tls: Tls | None = None
    check_listen: Listen | None = None
    admin_listen: Listen | None = None
    trusted_proxies: Many[Trusted] = ()
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    connections_per_address: Annotated[int, Field(ge=1)] = 1000
    insecure_http: bool = False
    drain: Seconds = 30
    log: Literal["auto", "json", "text"] = "auto"


class Accounts(Table):
    """`[accounts]`: where people are kept, and how passwords are hashed (None: the hasher's own default)."""

    database: Database = "sqlite:accounts.db"
    hashing: Hashing | None = None


class Sessions(Table):
    """`[sessions]`: where they are kept and how long they last, in seconds.

    `limits` names a preset; `idle` and `absolute` each replace one half of it. With `shared_domain` the sites below it
    have one sign-in, at the origin `sign_in`.
    """

    store: StoreUrl = "sqlite:sessions.db"
    keys: File | None = None
    limits: Preset = "NIST_AAL2"
    idle: Seconds | None = None
    absolute: Seconds | None = None
    keep_me_signed_in: bool = True
    shared_domain: Domain | None = None
    sign_in: OneOrigin | None = None

    _folder: Path = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:  # noqa: ANN401 - pydantic's own signature
        """Remember where the configuration is."""
        self._folder = context["file"].parent

    @property
    def lasting(self) -> sessions.Limits:
        """Both limits."""
        preset = sessions.LIMITS[self.limits]
        idle = preset.idle if self.idle is None else self.idle
        absolute = preset.absolute if self.absolute is None else self.absolute
        return sessions.Limits(idle=idle, absolute=absolute)

    @property
    def key_folder(self) -> Path | None:
        """Where the key ring is kept: `keys`, or the folder of that name beside the store's file, or beside the
        configuration if the store is not a file. None: in memory."""
        if self.keys is not None or self.store == "memory:":
            return self.keys
        if not self.store.startswith("sqlite:"):
            return self._folder / "keys"
        return Path(self.store.removeprefix("sqlite:")).parent / "keys"


class CorsTable(Table):
    """`[site.cors]`: whom the site lets read its answers from elsewhere."""

    origins: Many[CorsOrigin]
    methods: Many[Token] = ("GET", "HEAD", "POST")
    headers: Many[Token] = ()
    credentials: bool = True
    max_age: Seconds = 600


def _which_cors(value: object) -> str:
    return "word" if isinstance(value, str) else "table"


CorsChoice: TypeAlias = Annotated[
    Annotated[CorsTable, Tag("table")] | Annotated[Literal["upstream"], Tag("word")], Discriminator(_which_cors)
]
"""A table, or the word that leaves the question to the site itself."""


class AssertionTable(Table):
    """`[site.assertion]`: the app is told who asks once more, signed, for whom it is meant and for how many seconds."""

    audience: Audience | None = None
    lifetime: Life = asserted.LASTS


def _which_assertion(value: object) -> str:
    return "table" if isinstance(value, dict | AssertionTable) else "flag"


AssertionChoice: TypeAlias = Annotated[
    Annotated[AssertionTable, Tag("table")] | Annotated[bool, Tag("flag")], Discriminator(_which_assertion)
]
"""A table, or whether there is one with nothing in it."""


class Timeouts(Table):
    """`[site.timeouts]`: how long the upstream may take, in seconds, to accept and to begin its answer."""

    connect: Seconds = 5
    answer: Seconds = 60


class Site(Table):
    """`[[site]]`: one origin, what is behind it, and who may open what."""

    origin: SiteOrigin
    name: SiteName | None = None
    upstream: Upstream | None = None
    prefix: Prefix = "/.demur"
    shares_sign_in: bool = True
    help_url: Help | None = None
    clear_site_data: Many[Literal["cache", "cookies", "storage", "executionContexts", "*"]] = ("cookies", "storage")
    keep_forms: bool = True
    never_keep: Many[FieldWord] = ()
    timeouts: Timeouts = Timeouts()
    cors: CorsChoice | None = None
    assertion: AssertionChoice = False
    accepts: Many[Literal["bearer", "basic"]] = ()
    authorization_servers: Many[Issuer] = ()
    permissions: dict[str, Many[str]] = Field(default_factory=dict)
    rule: Many[dict[str, Any]] = ()

    @property
    def asserts(self) -> AssertionTable | None:
        """How the app is told who asks, signed; None if it is not."""
        return (
            self.assertion
            if isinstance(self.assertion, AssertionTable)
            else AssertionTable()
            if self.assertion
            else None
        )

    def core(self, *, keep_me_signed_in: bool = True) -> CoreSite:
        """The protection space that the core knows. Raises `ConfigError` if the rules cannot be used."""
        return CoreSite(
            origin=str(self.origin),
            name=self.name or self.origin.host.removeprefix("*."),
            rules=rules.load(
                self.rule, self.permissions, can_ask=self.upstream is not None, accepts=map(Scheme, self.accepts)
            ),
            prefix=self.prefix,
            cookie=Cookie() if self.origin.scheme == "https" else Cookie("demur-dev", secure=False),
            cors=self._core_cors(),
            clear_site_data=self.clear_site_data,
            keep_me_signed_in=keep_me_signed_in,
            help_url=self.help_url,
            authorization_servers=self.authorization_servers,
            keep_forms=self.keep_forms,
            never_keep=self.never_keep,
        )

    def _core_cors(self) -> Cors:
        if self.cors is None:
            return Cors()
        if isinstance(self.cors, str):
            return Cors(upstream=True)
        table = self.cors
        return Cors(frozenset(table.origins), table.methods, table.headers, table.credentials, table.max_age)


class Config(Table):
    """A whole configuration. `file` is where it was read, as an absolute path."""

    version: Literal[1]
    gateway: Gateway
    accounts: Accounts
    sessions: Sessions
    site: Many[Site]
    _file: Path = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:  # noqa: ANN401 - pydantic's own signature
        """Keep what is known of the file beside what stands in it."""
        self._file = context["file"]

    @property
    def file(self) -> Path:
        """Where it was read."""
        return self._file

    @property
    def folder(self) -> Path:
        """What relative paths are relative to."""
        return self._file.parent

    def sites(self) -> tuple[CoreSite, ...]:
        """The protection spaces, in the order of the file."""
        kept = self.sessions
        sites = tuple(site.core(keep_me_signed_in=kept.keep_me_signed_in) for site in self.site)
        if kept.shared_domain is None:
            return sites
        together = tuple(str(table.origin) for table in self.site if table.shares_sign_in)
        return tuple(
            _sharing(site, kept.shared_domain, str(kept.sign_in), together) if table.shares_sign_in else site
            for table, site in zip(self.site, sites, strict=True)
        )

    def warnings(self) -> tuple[str, ...]:
        """What has to be said at every start, because the file asks for less than the safe default."""
        return tuple(
            f"{site.origin} has no TLS (insecure_http = true): passwords and sessions can be read on the way."
            for site in self.site
            if site.origin.is_open_http
        )


def _sharing(site: CoreSite, domain: str, sign_in: str, together: tuple[str, ...]) -> CoreSite:
    """A site as one of several that share a sign-in. A cookie for a domain cannot be called `__Host-`."""
    name = "__Secure-demur" if site.cookie.secure else site.cookie.name
    return replace(
        site,
        cookie=replace(site.cookie, name=name, domain=domain),
        sign_in_origin="" if site.origin == sign_in else sign_in,
        relatives=tuple(origin for origin in together if origin != site.origin),
    )


# --- reading ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Document:
    """A file that is TOML, before anything is said about what stands in it. `name` is how it was called."""

    name: str
    path: Path
    data: Mapping[str, Any]
    lines: Lines

    def finding(self, fault: Fault) -> Finding:
        """The fault with its line."""
        return Finding(fault.severity, self.name, self.lines.of(fault.place), fault.message, fault.fix)


def read(path: Path, *, serves: bool = True) -> Config:
    """Read the configuration at `path`; one that nothing is to be served by needs no site. Raises `BadConfig` with
    everything that is wrong with it."""
    return interpret(load(path), serves=serves)


def load(path: Path) -> Document:
    """Read `path` as TOML. Raises `BadConfig` if it cannot be read or is not TOML."""
    name = str(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        message, fix = "there is no such file.", "Write one with `demur init --upstream URL`, or name it with --config."
        raise BadConfig([Finding("error", name, 0, message, fix)]) from None
    except OSError as error:
        message = f"it cannot be read: {(error.strerror or str(error)).lower()}."
        raise BadConfig([Finding("error", name, 0, message, "Name a file that this user may read.")]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadConfig([Finding("error", name, line, "this is not UTF-8.", "Save the file as UTF-8.")]) from None
    try:
        return Document(name, path.absolute(), tomllib.loads(text), Lines(text))
    except tomllib.TOMLDecodeError as error:
        raise BadConfig([_not_toml(name, text, str(error))]) from None


_KEYS = re.compile(r"\('[^)]*\)")
_AT = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")


def _not_toml(name: str, text: str, message: str) -> Finding:
    at = _AT.search(message)
    line = int(at["line"]) if at and at["line"] else text.count("\n", 0, len(text.rstrip())) + 1
    said = _KEYS.sub(lambda keys: ".".join(re.findall(r"'([^']*)'", keys[0])), _AT.sub("", message))
    return Finding("error", name, line, f"this is not TOML: {said[:1].lower()}{said[1:]}.", _toml_fix(said))


def _toml_fix(said: str) -> str:
    if "value" in said.lower():
        return 'Texts stand in quotes: origin = "http://localhost:8000".'
    if "overwrite" in said or "Cannot declare" in said or "twice" in said:
        return "Write each key and each [table] once; what may come many times has two brackets, as in [[site]]."
    return 'A line is key = value, [table] or [[table]]; "#" begins a comment.'


def interpret(document: Document, *, serves: bool = True) -> Config:
    """What a document means; see `read`. Raises `BadConfig` with everything that is wrong with it."""
    found: list[Fault] = []
    config: Config | None = None
    # what is not there counts as empty, so that its defaults become absolute paths as well
    data = {"gateway": {}, "accounts": {}, "sessions": {}, **({} if serves else {"site": []}), **document.data}
    try:
        config = Config.model_validate(data, context={"file": document.path})
    except ValidationError as error:
        found.extend(faults(error, Config, document.data))
    found.extend(rule_faults(document.data, document.lines))
    if serves and data.get("site") == []:
        found.append(Fault(("site",), "there is no site.", MISSING["site"]))
    found.extend(_together(data, {"file": document.path}))
    if config is None or found:
        raise BadConfig([document.finding(fault) for fault in found])
    return config


def _together(data: Mapping[str, Any], context: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong only in view of something else. Looks at each part that is right by itself, so that one
    mistake does not hide another."""
    gateway = _part(Gateway, data["gateway"], context)
    kept = _part(Sessions, data["sessions"], context)
    tables = data.get("site")
    sites = [_part(Site, table, context) for table in (tables if isinstance(tables, list) else [])]
    people = _part(Accounts, data["accounts"], context)
    if kept is not None:
        yield from _session_faults(kept, gateway)
    # PostgreSQL has room for both, and each has tables of its own there.
    if kept and people and kept.store == people.database and kept.store.startswith("sqlite:"):
        message = "accounts.database and sessions.store are the same file."
        yield Fault(("sessions", "store"), message, 'Give each its own, such as "sqlite:sessions.db".')
    if gateway is not None:
        yield from _listening_faults(gateway)
    yield from sharing_faults(kept, sites)
    insecure = isinstance(data["gateway"], dict) and data["gateway"].get("insecure_http") is True
    seen: dict[str, int] = {}
    for index, site in enumerate(sites):
        if site is not None:
            yield from _origin_faults(index, site, seen, insecure=insecure)
            yield from _upstream_faults(index, site, gateway)
            yield from _issuer_faults(index, site)


def _part(model: type[M], data: object, context: Mapping[str, Any]) -> M | None:
    try:
        return model.model_validate(data, context=context)
    except ValidationError:
        return None


def _session_faults(kept: Sessions, gateway: Gateway | None) -> Iterator[Fault]:
    lasting = kept.lasting
    if lasting.idle > lasting.absolute:
        key = "absolute" if kept.idle is None else "idle"
        yield Fault(
            ("sessions", key),
            f"sessions.idle ({lasting.idle} s) is longer than sessions.absolute ({lasting.absolute} s).",
            "Make idle the shorter one: it would never be reached.",
        )
    if kept.store == "memory:" and gateway is not None and gateway.workers > 1:
        yield Fault(
            ("sessions", "store"),
            f"sessions.store is in memory, which {gateway.workers} workers cannot share.",
            'Write store = "sqlite:sessions.db", or workers = 1.',
        )


def _listening_faults(gateway: Gateway) -> Iterator[Fault]:
    taken: dict[Address, str] = {gateway.listen: "listen"}
    for key in ("check_listen", "admin_listen"):
        address: Address | None = getattr(gateway, key)
        if address is None or (address.path is None and address.port == 0):
            continue
        if address in taken:
            message = f"gateway.{key} and gateway.{taken[address]} are both {address}."
            yield Fault(("gateway", key), message, "Give each an address of its own: they serve different people.")
        taken.setdefault(address, key)


def _origin_faults(index: int, site: Site, seen: dict[str, int], *, insecure: bool) -> Iterator[Fault]:
    place = ("site", index, "origin")
    origin = str(site.origin)
    if origin in seen:
        yield Fault(
            place,
            f"{origin} is the origin of site {seen[origin] + 1} and of site {index + 1}.",
            "Put all rules of an origin into one [[site]].",
        )
    seen.setdefault(origin, index)
    if site.origin.is_open_http and not insecure:
        yield Fault(
            place,
            f"{origin} has no TLS, so passwords and sessions could be read on the way.",
            f'Write "{site.origin.with_tls}", or, if you know what you do, insecure_http = true in [gateway].',
        )


def _issuer_faults(index: int, site: Site) -> Iterator[Fault]:
    """Who is told where to get a token must be able to use it."""
    said = [site.accepts, *(rule.get("accepts", ()) for rule in site.rule)]
    if site.authorization_servers and not any(isinstance(each, (list, tuple)) and "bearer" in each for each in said):
        yield Fault(
            ("site", index, "authorization_servers"),
            "authorization_servers says where to get tokens, and no rule of this site accepts any.",
            'Add accepts = ["bearer"] to the [[site]] or to a rule, or remove it.',
        )


def _upstream_faults(index: int, site: Site, gateway: Gateway | None) -> Iterator[Fault]:
    if gateway is None:
        return
    if site.upstream is None and gateway.check_listen is None:
        yield Fault(
            ("site", index),
            f"{site.origin} has no upstream, and there is no check_listen for another proxy to ask at.",
            'Add what is behind, such as upstream = "http://127.0.0.1:9000", or check_listen to [gateway].',
        )
    if site.upstream is not None and is_at(gateway.listen, site.upstream):
        yield Fault(
            ("site", index, "upstream"),
            f"{site.upstream} is where demur itself listens: requests would go round in a circle.",
            "Write where your site listens, or move gateway.listen to another port.",
        )
