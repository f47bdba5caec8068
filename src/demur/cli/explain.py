"""`demur explain`: what a request would be answered, and why."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, urlsplit

import typer

from demur.cli.terminal import DEFAULT, AsJson, ConfigFile, as_json, fail, paint
from demur.core.model import Request, Subject
from demur.core.site import Site, find

if TYPE_CHECKING:
    from demur.core.explain import Explanation
    from demur.gateway.config.faults import Place
    from demur.gateway.config.tables import Config, Document

_COLOURS = {"allow": "green", "preflight": "green"}
# What browsers leave as it is in a path and a query (URL standard, 1.3), "%" because it may be encoded already.
_AS_TYPED = "!$%&'()*+,-./:;=?@[\\]^_`{|}~"


def explain(
    method: Annotated[str, typer.Argument(metavar="METHOD", help='Such as "GET".', show_default=False)],
    url: Annotated[
        str, typer.Argument(metavar="URL", help="A whole URL, or a path if there is one site.", show_default=False)
    ],
    *,
    as_: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Asked by this person.")] = None,
    group: Annotated[
        list[str] | None, typer.Option("--group", "-g", metavar="G", help="Asked by somebody in this group.")
    ] = None,
    config: ConfigFile = DEFAULT,
    rule_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Only rules, without a configuration or people.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Explain what a request would be answered.

    By which rule, what it asks for, what is held and what is missing.
    """
    from demur.core.explain import explain as why  # noqa: PLC0415 - load what is used

    if as_ is not None and (group or rule_file is not None):
        other = "--group" if group else "--rule-file"
        fail(f"--as looks a person up, and {other} does without.", "Use one of them; --group G tries a group out.")
    found = _in_rules(rule_file, url) if rule_file is not None else _in_config(config, url, as_)
    request = _request(method, found.target, found.origin)
    subject = _somebody(group) if group else found.subject
    explanation = why(found.site, request, subject, int(time.time()))
    where = found.where(explanation)
    if json:
        as_json({**asdict(explanation), "site": found.site.origin, "where": where, "own_page": found.own_page})
    else:
        _tell(found, explanation, where)


@dataclass(frozen=True, slots=True)
class _Found:
    """What is asked about: the site, at which of its origins, the target, by whom, and where the site's rules stand."""

    site: Site
    origin: str
    target: str
    subject: Subject | None
    document: Document
    above: Place = ()

    @property
    def own_page(self) -> bool:
        """Whether the path is one of demur's own, which no rule has a say in."""
        path = self.target.partition("?")[0]
        return f"{path}/".startswith(f"{self.site.prefix}/")

    def where(self, explanation: Explanation) -> str | None:
        """The file and line of the rule that holds."""
        if explanation.number is None:
            return None
        return f"{self.document.name}:{self.document.lines.of((*self.above, 'rule', explanation.number - 1))}"


def _in_rules(path: Path, url: str) -> _Found:
    from demur.gateway.config import rule_file  # noqa: PLC0415 - load what is used

    read = rule_file.read(path)
    origin, target = _split(url)
    origin = origin or "https://localhost"
    return _Found(Site(origin, urlsplit(origin).netloc, read.rules), origin, target, None, read.document)


def _in_config(path: Path, url: str, name: str | None) -> _Found:
    from demur.gateway.config import tables as configuration  # noqa: PLC0415 - load what is used

    document = configuration.load(path)
    config = configuration.interpret(document)
    origin, target = _split(url)
    sites = config.sites()
    known = [site.origin for site in sites]
    if origin is None and len(sites) > 1:
        fail(f'"{url}" may be on any of {len(sites)} sites.', f"Write the whole URL; there are {', '.join(known)}.")
    if origin is None and "://*." in known[0]:
        fail(f'"{url}" may be on any host of {known[0]}.', "Write the whole URL.")
    index = 0 if origin is None else find({each: at for at, each in enumerate(known)}, origin)
    if index is None:
        fail(
            f"No site here has the origin {origin}: whoever asks for it gets 421 host-unknown.",
            f"There {'is' if len(known) == 1 else 'are'} {', '.join(known)}.",
        )
    subject = asyncio.run(_person(config, name)) if name is not None else None
    return _Found(sites[index], origin or known[index], target, subject, document, ("site", index))


def _split(url: str) -> tuple[str | None, str]:
    """The origin, if the URL has one, and the target as a browser would send it."""
    from pydantic_core import PydanticCustomError  # noqa: PLC0415 - load what is used

    from demur.gateway.config.addresses import Origin  # noqa: PLC0415 - load what is used

    whole = url.partition("#")[0]
    if whole.startswith("/"):
        return None, quote(whole, safe=_AS_TYPED)
    scheme, separator, rest = whole.partition("://")
    authority, slash, path = rest.partition("/")
    try:
        origin = Origin.parse(f"{scheme}{separator}{authority}")
    except PydanticCustomError as error:
        fail(f"URL: {error.message()}", f"{(error.context or {})['fix']} A path alone begins with a slash.")
    return str(origin), quote(f"/{path}" if slash else "/", safe=_AS_TYPED)


async def _person(config: Config, name: str) -> Subject:
    from demur import accounts  # noqa: PLC0415 - load what is used

    people = accounts.open(config.accounts.database)
    try:
        account = await people.by_name(name)
    finally:
        await people.aclose()
    if account is None:
        fail(f'There is nobody called "{name}".', "`demur user list` shows who there is.")
    return replace(account.subject, suspended=account.subject.suspended or account.disabled)


def _somebody(groups: list[str]) -> Subject:
    return Subject(id="", name="somebody", groups=frozenset(groups))


def _request(method: str, target: str, origin: str) -> Request:
    scheme, _, host = origin.partition("://")
    return Request(method.upper(), target.encode("ascii"), scheme, host, "", ((b"host", host.encode("ascii")),))


# --- for people -------------------------------------------------------------------------------------


def _tell(found: _Found, explanation: Explanation, where: str | None) -> None:
    typer.echo(f"{explanation.method} {found.origin}{explanation.target}")
    for name, texts in _parts(found, explanation, where):
        for index, text in enumerate(texts):
            label = f"{name}:" if index == 0 else ""
            typer.echo(f"  {paint(f'{label:<11}', 'bright_black')} {text}")


def _parts(found: _Found, explanation: Explanation, where: str | None) -> list[tuple[str, list[str]]]:
    if found.own_page:
        return [("answer", [paint("demur's own page: no rule has a say in it", "cyan", bold=True)])]
    rule = f"{explanation.rule}   rule {explanation.number}, {where}" if explanation.rule else "none matches"
    return [
        ("answer", [paint(_answer(explanation), _COLOURS.get(explanation.outcome, "red"), bold=True)]),
        ("rule", [rule]),
        ("captures", [f"{name} = {value}" for name, value in explanation.captures]),
        ("asks", list(explanation.asks)),
        ("holds", list(explanation.holds)),
        ("missing", list(explanation.missing) or ["nothing"]),
        ("considered", [f"{each.name}   rule {each.number}: {each.why}" for each in explanation.considered]),
        ("read as", [reading for reading in explanation.readings if reading != explanation.target.partition("?")[0]]),
    ]


def _answer(explanation: Explanation) -> str:
    if explanation.outcome == "allow":
        return "allowed: what the site answers"
    if explanation.outcome == "preflight":
        return "a CORS preflight: answered without asking who it is"
    if explanation.outcome == "conceal":
        return f"the site's own {explanation.status}, so that nobody learns that it is there"
    return f"{explanation.status} {explanation.reason}"
