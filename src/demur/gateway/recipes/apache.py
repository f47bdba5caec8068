"""Apache: it speaks TLS, and demur passes requests on behind it.

httpd has no way to ask somebody else about a request and to hand the answer on whole: a subrequest's status can be
kept, but not its fields and content. With demur between Apache and the app nothing is lost, and Apache's own reading of
a path decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from demur.gateway.recipes.plan import Needs
from demur.gateway.recipes.text import DOWN, OVERRIDES, RETRY_AFTER, fill

if TYPE_CHECKING:
    from demur.gateway.recipes.plan import Endpoint, Plan, Site

NEEDS = Needs("Apache", asks=False)

_ALL = """\
# Apache in front of demur, which passes on what is allowed. Written by `demur recipe apache` for <<file>>; write it
# again when that changes. Save it as sites-available/demur.conf, then:
#   a2enmod <<modules>>
#   a2ensite demur && apachectl configtest
# Needs Apache 2.4.47 or newer.<<listens>>
<<sites>>
"""

_LISTEN = """

# Not in Debian's ports.conf, which has 80 and 443. A port must be listened at once only.
<<listens>>"""

_SITE = """

# --- <<origin>>

<VirtualHost <<at>>>
    ServerName <<scheme>>://<<name>><<alias>><<tls>>

    # The path goes on as it came, byte for byte, encoded slashes too: demur judges what the app gets.
    AllowEncodedSlashes NoDecode
    MergeSlashes        Off
    ProxyRequests       Off
    ProxyPreserveHost   On
    ProxyTimeout        3600
    # Apache itself would answer TRACE, asking nobody, and repeat the cookie.
    TraceEnable         Off

    # What demur is told about the client is said here. Set, never added to.
    ProxyAddHeaders Off
    RequestHeader   unset Forwarded
    RequestHeader   set X-Forwarded-For   expr=%{REMOTE_ADDR}
    RequestHeader   set X-Forwarded-Host  expr=%{HTTP_HOST}
    RequestHeader   set X-Forwarded-Proto <<scheme>><<overrides>>

    # retry=0: once demur is back, so is the site.
    ProxyPass / <<demur>> nocanon retry=0 upgrade=websocket flushpackets=on

    # demur does not answer: nobody gets in, and nobody is told to sign in. demur's own 503 says so itself.
    ErrorDocument 503 '<<down>>'
    <<own>>
</VirtualHost>"""

# A request that found demur has a note of the port it went out from; whatever says 503 then is not Apache.
_OWN = "%{REQUEST_STATUS} -eq 503 && -z note('proxy-source-port')"
_DOWN = (
    ("Content-Type", "application/problem+json"),
    ("Retry-After", RETRY_AFTER),
    ("Cache-Control", "no-store"),
    ("Demur-Processed", "?0"),
)

_OVERRIDES = """

    # The rules look at the method, so nothing may change it behind demur's back.{}"""

_TLS = """

    SSLEngine             on
    SSLCertificateFile    <<certificate>>
    SSLCertificateKeyFile <<key>>
    SSLProtocol           -all +TLSv1.2 +TLSv1.3"""

# What Debian listens at by itself.
_USUAL = frozenset({80, 443})


def render(plan: Plan) -> dict[str, str]:
    """The virtual hosts."""
    listens = [f"Listen {_at(bind, port)}" for bind, port, _, _ in plan.listeners if port not in _USUAL]
    tls = any(site.scheme == "https" for site in plan.sites)
    text = fill(
        _ALL,
        file=plan.file,
        modules="headers proxy proxy_http ssl" if tls else "headers proxy proxy_http",
        listens=fill(_LISTEN, listens="\n".join(listens)) if listens else "",
        sites="\n".join(_site(site, plan) for site in plan.sites),
    )
    return {"demur.conf": text}


def _site(site: Site, plan: Plan) -> str:
    wild = site.host.startswith("*.")
    return fill(
        _SITE,
        origin=site.origin,
        at=_at(site.bind or "*", site.port),
        scheme=site.scheme,
        # a name of its own, which nobody asks for, where only the alias may have an asterisk
        name=f"{site.name}.invalid" if wild else f"{site.host}:{site.port}",
        alias=f"\n    ServerAlias {site.host}" if wild else "",
        overrides=_OVERRIDES.format("".join(f"\n    RequestHeader   unset {name}" for name in OVERRIDES))
        if site.by_method
        else "",
        tls=fill(_TLS, certificate=plan.certificate, key=plan.key) if site.scheme == "https" else "",
        demur=_demur(plan.pages),
        down=DOWN,
        own="\n".join(f'Header always set {name:<15} {value} "expr={_OWN}"' for name, value in _DOWN),
    )


def _at(bind: str, port: int) -> str:
    return f"[{bind}]:{port}" if ":" in bind else f"{bind}:{port}" if bind else str(port)


def _demur(pages: Endpoint) -> str:
    return f"unix:{pages.socket}|http://demur/" if pages.socket else f"http://{pages.authority}/"
