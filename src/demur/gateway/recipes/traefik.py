"""Traefik: `forwardAuth` asks, with GET, and hands a refusal on.

- Where nobody answers it says 500. So it asks by way of an entry point of its own, which only this machine reaches,
  where 502 and 504 become 503 with `Retry-After`.
- A yes is any 2xx, so a preflight cannot be answered by the check: such requests go to demur's own listener.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from demur.gateway.recipes.plan import Needs
from demur.gateway.recipes.text import CLEARED, HIDDEN, OVERRIDES, RETRY_AFTER, fill

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.gateway.recipes.plan import Endpoint, Plan, Site

NEEDS = Needs("Traefik", sockets=False)

LOOP = "127.0.0.2"
"""Where Traefik asks itself: an address that nobody else can reach, and that nobody else listens at."""

_STATIC = """\
# Traefik asks demur about each request. Written by `demur recipe traefik` for <<file>>; write it again when that
# changes. Two files: this one, traefik.yaml, is what Traefik starts with (`traefik --configfile=traefik.yaml`); it
# reads the other, demur.yaml, and again whenever that changes. Tested with Traefik 3.7.

global: {checkNewVersion: false, sendAnonymousUsage: false}

providers:
  file: {filename: demur.yaml}   # seen from the folder in which Traefik is started

entryPoints:
  <<entries>>
  # Traefik's way to demur, for itself alone. (Where there is no <<loop>>, as on macOS, take another free address here
  # and in demur.yaml.)
  demur:
    address: "<<loop>>"
    forwardedHeaders: {trustedIPs: ["127.0.0.0/8"], notAppendXForwardedFor: true}
"""

_ENTRY = """\
<<name>>:
  address: "<<address>>"
  # No byte of the path is changed: the app gets what demur judged.
  http: {sanitizePath: false}
  # The app decides how long it takes in what is sent.
  transport: {respondingTimeouts: {readTimeout: 1h}}"""

_DYNAMIC = """\
# What Traefik does with each request. Written by `demur recipe traefik` for <<file>>, to go with traefik.yaml.

http:
  routers:
    <<routers>>
    <<others>>
    # --- Traefik's way to demur
    demur-check:
      entryPoints: [demur]
      rule: "PathPrefix(`/`)"
      priority: 1
      middlewares: [demur-down]
      service: demur-check
    demur-down:
      entryPoints: [demur]
      rule: "Path(`/down`)"
      priority: 2
      middlewares: [demur-later]
      service: demur-nobody

  middlewares:
    <<middlewares>>
    # demur does not answer: nobody gets in, and nobody is told to sign in.
    demur-down:
      errors: {status: ["502", "504"], statusRewrites: {"502-504": 503}, service: demur-down, query: /down}
    demur-later:
      headers: {customResponseHeaders: {Retry-After: "<<retry_after>>", Cache-Control: no-store}}
    demur-hidden:
      headers: {customResponseHeaders: {<<hidden>>}}

  services:
    demur-pages:
      loadBalancer: {servers: [{url: "<<pages>>"}], serversTransport: demur}
    demur-check:
      loadBalancer: {servers: [{url: "<<check>>"}], serversTransport: demur}
    demur-down:
      loadBalancer: {servers: [{url: "http://<<loop>>"}]}
    # Without a server, Traefik says 503.
    demur-nobody:
      loadBalancer: {servers: []}
    <<services>>

  serversTransports:
    demur:
      forwardingTimeouts: {dialTimeout: 5s, responseHeaderTimeout: 15s}
<<tls>>"""

_ROUTERS = """\
# --- <<origin>>
# demur's own pages: signing in and out, the person's sessions
<<name>>-pages:
  entryPoints: [<<entry>>]
  rule: <<host>> && <<own>>
  priority: 300
  middlewares: [demur-down]
  service: demur-pages<<tls>><<preflight>>
<<name>>:
  entryPoints: [<<entry>>]
  rule: <<host>>
  priority: 100
  middlewares: [<<name>>-demur, demur-hidden]
  service: <<name>><<tls>>"""

_PREFLIGHT = """
<<name>>-preflight:
  entryPoints: [<<entry>>]
  rule: >-
    <<host>> && Method(`OPTIONS`) && HeaderRegexp(`Origin`, `.`)
    && HeaderRegexp(`Access-Control-Request-Method`, `.`)
  priority: 200
  middlewares: [demur-down]
  service: demur-pages<<tls>>"""

_OTHERS = """\
# Whatever is for none of the sites: demur says so.
<<entry>>-others:
  entryPoints: [<<entry>>]
  rule: "PathPrefix(`/`)"
  priority: 1
  middlewares: [demur-down]
  service: demur-pages<<tls>>"""

_ASK = """\
<<name>>-demur:
  forwardAuth:
    address: "http://<<loop>>/check?for=traefik"
    trustForwardHeader: false
    preserveLocationHeader: true
    maxResponseBodySize: 1048576
    # Who it is, and the client's own cookies and Authorization without what was meant for demur. What is listed here is
    # taken from the client's request first. So is what only a proxy may say, and any name with other marks than a
    # hyphen: many apps read Remote_User and Remote.User as Remote-User.
    authResponseHeaders: [Cookie, Authorization]
    authResponseHeadersRegex: "(?i)^(.*[^a-z0-9-].*|(remote|demur|x-original)-.*|<<cleared>>)$"
    addAuthCookiesToResponse: [<<cookie>>]"""

_TLS = """
tls:
  stores: {default: {defaultCertificate: {certFile: "<<certificate>>", keyFile: "<<key>>"}}}
"""

_OWN = ("for", "host", "port", "proto", "server")
"""The X-Forwarded- fields that Traefik itself writes; it takes the client's away before, with X-Real-Ip."""


def render(plan: Plan) -> dict[str, str]:
    """Both files."""
    loop = f"{LOOP}:{plan.check.port}"
    listeners = plan.listeners
    static = fill(
        _STATIC,
        file=plan.file,
        loop=loop,
        entries="\n".join(
            fill(_ENTRY, name=_entry(scheme, port), address=f"[{bind}]:{port}" if ":" in bind else f"{bind}:{port}")
            for bind, port, scheme, _ in listeners
        ),
    )
    secure = [scheme for _, _, scheme, _ in listeners if scheme == "https"]
    dynamic = fill(
        _DYNAMIC,
        file=plan.file,
        loop=loop,
        routers="\n".join(_routers(site) for site in plan.sites),
        others="\n".join(
            fill(_OTHERS, entry=_entry(scheme, port), tls=_tls(scheme)) for _, port, scheme, _ in listeners
        ),
        middlewares="\n".join(_ask(site, loop) for site in plan.sites),
        hidden=", ".join(f'{name}: ""' for name in HIDDEN),
        pages=plan.pages.url,
        check=plan.check.url,
        services="\n".join(_service(site.name, site.upstream) for site in plan.sites),
        retry_after=RETRY_AFTER,
        tls=fill(_TLS, certificate=plan.certificate, key=plan.key) if secure else "",
    )
    return {"traefik.yaml": static, "demur.yaml": dynamic}


def _entry(scheme: str, port: int) -> str:
    return f"{scheme}-{port}"


def _tls(scheme: str) -> str:
    return "\n  tls: {}" if scheme == "https" else ""


def _routers(site: Site) -> str:
    told = {
        "name": site.name,
        "entry": _entry(site.scheme, site.port),
        "host": _host(site.host),
        "tls": _tls(site.scheme),
    }
    preflight = fill(_PREFLIGHT, **told) if site.preflights == "demur" else ""
    own = f"PathPrefix(`{site.prefix}/`)"
    own = " || ".join((own, *(f"Path(`{path}`)" for path in site.well_known)))
    own = f"({own})" if site.well_known else own
    return fill(_ROUTERS, origin=site.origin, own=own, preflight=preflight, **told)


def _host(host: str) -> str:
    if not host.startswith("*."):
        return f"Host(`{host}`)"
    return f"HostRegexp(`^[^.]+{re.escape(host[1:])}$`)"


def _ask(site: Site, loop: str) -> str:
    known = ("x-real-ip", "x-original-", "x-forwarded-", "demur-")
    gone = [name.lower() for name in (*CLEARED, *(OVERRIDES if site.by_method else ()))]
    gone = [name for name in gone if not name.startswith(known)]
    gone.append(f"x-forwarded-({_anything_but(_OWN)})")
    return fill(_ASK, name=site.name, loop=loop, cleared="|".join(gone), cookie=site.cookie)


def _anything_but(words: Sequence[str]) -> str:
    """A pattern for all that is none of the words. Go's patterns have no "not": it is told letter by letter."""
    first = sorted({word[0] for word in words if word})
    ways = ["" if "" not in words else ".+"] if not first else [f"[^{''.join(first)}].*"]
    if first and "" not in words:
        ways.append("")
    ways += [f"{letter}({_anything_but([word[1:] for word in words if word.startswith(letter)])})" for letter in first]
    return "|".join(ways)


def _service(name: str, at: Endpoint) -> str:
    return f'{name}:\n  loadBalancer: {{servers: [{{url: "{at.url}"}}]}}'
