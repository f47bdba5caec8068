"""nginx: `auth_request` decides, and a second step shows what was decided.

`auth_request` understands 2xx, 401 and 403 only, and drops what an answer says. So the check answers in fields, and a
refusal is fetched from demur by `error_page`, which keeps its status, fields and content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from demur.gateway.recipes.plan import Needs
from demur.gateway.recipes.text import CLEARED, DOWN, HIDDEN, MEANT_FOR, OVERRIDES, RETRY_AFTER, fill

if TYPE_CHECKING:
    from demur.gateway.recipes.plan import Endpoint, Plan, Site

NEEDS = Needs("nginx")

_LONG = 40  # as many bytes of a server name as nginx's smallest hash bucket holds, with room to spare

_ALL = """\
# nginx asks demur about each request. Written by `demur recipe nginx` for <<file>>; write it again when that changes.
# Goes into the http block: save it as conf.d/demur.conf, then `nginx -t`. Needs nginx 1.22 or newer with
# ngx_http_auth_request_module (`nginx -V` shows it; Debian's packages have it).

<<hash>>upstream demur_pages { <<pages>> }   # gateway.listen
upstream demur_check { <<check>> keepalive 32; }   # gateway.check_listen
<<apps>>

# Of the protocols that a request may change to, only WebSocket is passed on.
map $http_upgrade $demur_upgrade {
    default          "";
    "~*^websocket$"  websocket;
}
map $demur_upgrade $demur_connection {
    default    close;
    websocket  upgrade;
}

# A host is the one that nginx chose the site by, with the port that the client named.
map $http_host $demur_port {
    default                  "";
    "~(?<demur_p>:[0-9]+)$"  $demur_p;
}

# What was made for one person is not for shared caches. $demur_subject is empty where nobody in particular asked.
map "$demur_subject|$upstream_http_cache_control" $demur_cache_control {
    default                                "private, no-cache";
    "~^[|]"                                $upstream_http_cache_control;
    "~*[|].*no-store"                      "private, no-store";
    "~*[|](?!.*(public|s-maxage|=\\")).+"   "private, $upstream_http_cache_control";
}
<<sites>>
"""

_SITE = """

# --- <<origin>>

server {
    <<listen>>
    server_name <<host>>;<<tls>>

    # The app decides how much it takes, and gets it while it comes in.
    client_max_body_size    0;
    proxy_http_version      1.1;
    proxy_request_buffering off;
    proxy_buffering         off;
    proxy_redirect          off;
    # A field whose name has anything but letters, digits and hyphens is dropped: many apps read Remote_User as
    # Remote-User.
    ignore_invalid_headers  on;
    underscores_in_headers  off;

    <<pages>>

    location / {
        auth_request      <<prefix>>/check;
        auth_request_set  $demur_refusal       $upstream_http_demur_refusal;
        auth_request_set  $demur_subject       $upstream_http_remote_subject;
        auth_request_set  $demur_user          $upstream_http_remote_user;
        auth_request_set  $demur_name          $upstream_http_remote_name;
        auth_request_set  $demur_email         $upstream_http_remote_email;
        auth_request_set  $demur_groups        $upstream_http_remote_groups;
        auth_request_set  $demur_assertion     $upstream_http_remote_assertion;
        auth_request_set  $demur_cookie        $upstream_http_cookie;
        auth_request_set  $demur_authorization $upstream_http_authorization;
        auth_request_set  $demur_timing        $upstream_http_server_timing;
        auth_request_set  $demur_set_cookie    $upstream_http_set_cookie;
        # 500 is what nginx makes of a check that failed. What the app itself answers stays as it is.
        error_page        401 403 500 = @demur-refusal;
        proxy_intercept_errors off;

        # No path here: the app gets the very bytes that demur judged.
        proxy_pass        <<app_scheme>>://demur_<<name>>;<<app_tls>>
        proxy_read_timeout 1h;
        proxy_ignore_headers X-Accel-Redirect;
        proxy_set_header  Host              $host$demur_port;
        proxy_set_header  Upgrade           $demur_upgrade;
        proxy_set_header  Connection        $demur_connection;
        proxy_set_header  X-Forwarded-For   $remote_addr;
        proxy_set_header  X-Forwarded-Host  $host$demur_port;
        proxy_set_header  X-Forwarded-Proto <<scheme>>;
        # Who it is. All of them, always: what a client sends under these names must not reach the app.
        proxy_set_header  Remote-Subject    $demur_subject;
        proxy_set_header  Remote-User       $demur_user;
        proxy_set_header  Remote-Name       $demur_name;
        proxy_set_header  Remote-Email      $demur_email;
        proxy_set_header  Remote-Groups     $demur_groups;
        proxy_set_header  Remote-Assertion  $demur_assertion;
        # The client's own, without what was meant for demur.
        proxy_set_header  Cookie            $demur_cookie;
        proxy_set_header  Authorization     $demur_authorization;
        # What only a proxy may say.
        <<cleared>>

        <<hidden>>
        proxy_hide_header Cache-Control;
        add_header        Cache-Control  $demur_cache_control always;
        add_header        Server-Timing  $demur_timing        always;
        add_header        Set-Cookie     $demur_set_cookie    always;
    }

    # The question. `internal`: nobody else can ask it.
    location = <<prefix>>/check {
        internal;
        proxy_pass              http://demur_check/check?for=nginx;
        proxy_pass_request_body off;
        proxy_buffering         on;
        proxy_buffer_size       64k;    # the answer repeats the cookies
        proxy_buffers           4 64k;
        proxy_connect_timeout   5s;
        proxy_read_timeout      15s;
        <<asked>>
        proxy_set_header        Demur-Refusal      "";
        proxy_set_header        Content-Length     "";
    }

    # A no, in words: demur reads from the slip what was decided, and decides nothing again.
    # The content of the request goes along, and nowhere else: a client that is still sending has to be heard out
    # before it hears the answer, and nginx alone would keep all of it on disk for that.
    location @demur-refusal {
        rewrite                 ^ /refusal? break;
        proxy_pass              http://demur_check;
        proxy_connect_timeout   5s;
        proxy_read_timeout      60s;
        error_page              500 502 504 = @demur-down;
        <<asked>>
        proxy_set_header        Demur-Refusal      $demur_refusal;
    }

    # demur does not answer: nobody gets in, and nobody is told to sign in.
    location @demur-down {
        internal;
        default_type application/problem+json;
        add_header   Retry-After     <<retry_after>> always;
        add_header   Cache-Control   no-store always;
        add_header   Demur-Processed ?0 always;
        return       503 '<<down>>';
    }
    recursive_error_pages on;
}"""

_PAGES = """\
# <<what>>
location <<where>> {
    proxy_pass         http://demur_pages;
    proxy_read_timeout 1h;
    # demur's answer when it runs, this one when it does not
    error_page         502 504 = @demur-down;
    proxy_set_header   Host              $host$demur_port;
    proxy_set_header   Upgrade           $demur_upgrade;
    proxy_set_header   Connection        $demur_connection;
    proxy_set_header   Forwarded         "";
    proxy_set_header   X-Forwarded-For   $remote_addr;
    proxy_set_header   X-Forwarded-Host  $host$demur_port;
    proxy_set_header   X-Forwarded-Proto <<scheme>>;
}"""

_ASKED = """\
proxy_set_header        Host               $host$demur_port;
proxy_set_header        Connection         "";
proxy_set_header        X-Forwarded-For    $remote_addr;
proxy_set_header        X-Forwarded-Host   $host$demur_port;
proxy_set_header        X-Forwarded-Method $request_method;
proxy_set_header        X-Forwarded-Proto  <<scheme>>;
proxy_set_header        X-Forwarded-Uri    $request_uri;"""

_TLS = """
    ssl_certificate     <<certificate>>;
    ssl_certificate_key <<key>>;
    ssl_protocols       TLSv1.2 TLSv1.3;"""

_APP_TLS = """
        proxy_ssl_server_name on;
        proxy_ssl_name    <<app_host>>;
        proxy_ssl_verify  on;
        proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;   # the authorities that you believe"""


def render(plan: Plan) -> dict[str, str]:
    """The configuration, to be included in the http block."""
    long = any(len(site.host) > _LONG for site in plan.sites)
    text = fill(
        _ALL,
        file=plan.file,
        hash="server_names_hash_bucket_size 512;\n\n" if long else "",
        pages=_server(plan.pages),
        check=_server(plan.check),
        apps="\n".join(f"upstream demur_{site.name} {{ {_server(site.upstream)} }}" for site in plan.sites),
        sites="\n".join(_site(site, plan) for site in plan.sites),
    )
    return {"demur.conf": text}


def _site(site: Site, plan: Plan) -> str:
    gone = (*CLEARED, MEANT_FOR, *(OVERRIDES if site.by_method else ()))
    tls = site.scheme == "https"
    return fill(
        _SITE,
        origin=site.origin,
        listen=_listen(site),
        host=site.host,
        tls=fill(_TLS, certificate=plan.certificate, key=plan.key) if tls else "",
        pages="\n\n".join(fill(_PAGES, what=what, where=where, scheme=site.scheme) for what, where in _own(site)),
        prefix=site.prefix,
        scheme=site.scheme,
        name=site.name,
        app_scheme="https" if site.upstream.tls else "http",
        app_tls=fill(_APP_TLS, app_host=site.upstream.host) if site.upstream.tls else "",
        cleared="\n".join(f'proxy_set_header  {name:<22} "";' for name in gone),
        hidden="\n".join(f"proxy_hide_header {name};" for name in HIDDEN),
        asked=fill(_ASKED, scheme=site.scheme),
        retry_after=RETRY_AFTER,
        down=DOWN,
    )


def _own(site: Site) -> list[tuple[str, str]]:
    """What demur itself answers: a comment, and how nginx finds it."""
    own = [("demur's own pages: signing in and out, the person's sessions", f"{site.prefix}/")]
    return own + [("what demur says of the site to anybody", f"= {path}") for path in site.well_known]


def _listen(site: Site) -> str:
    at = f"[{site.bind}]:{site.port}" if ":" in site.bind else f"{site.bind}:{site.port}".lstrip(":")
    return f"listen {at}{' ssl' if site.scheme == 'https' else ''};"


def _server(at: Endpoint) -> str:
    return f"server {f'unix:{at.socket}' if at.socket else at.authority};"
