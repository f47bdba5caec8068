"""The mistakes that people make with each proxy: what is changed in its recipe, and what the doctor has to say.

A change is text: what is replaced has to stand in the recipe, so that a recipe which is rewritten takes its faults
along. `{app}`, `{pages}`, `{check}` and `{proxy}` are ports.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Change: TypeAlias = "Callable[[str], str]"


def instead(old: str, new: str) -> Change:
    """`new` in place of each `old`."""

    def change(text: str) -> str:
        assert old in text, f"the recipe has no {old!r}"
        return text.replace(old, new)

    return change


def without(*lines: str) -> Change:
    """Lines that hold one of these left out."""

    def change(text: str) -> str:
        for line in lines:
            assert line in text, f"the recipe has no {line!r}"
        return "".join(each for each in text.splitlines(keepends=True) if not any(line in each for line in lines))

    return change


def after(line: str, new: str, *, last: bool = False) -> Change:
    """`new` on lines of its own below the first (or last) line that holds `line`."""

    def change(text: str) -> str:
        found = [match.end() for match in re.finditer(rf"^.*{re.escape(line)}.*\n", text, re.MULTILINE)]
        assert found, f"the recipe has no {line!r}"
        at = found[-1 if last else 0]
        return f"{text[:at]}{new}\n{text[at:]}"

    return change


def both(*changes: Change) -> Change:
    """One after the other."""

    def change(text: str) -> str:
        for each in changes:
            text = each(text)
        return text

    return change


@dataclass(frozen=True, slots=True)
class Fault:
    """`change` in the recipe (and another in a `second` file) makes `check` say `words`; those of `also` may follow."""

    proxy: str
    check: str
    mistake: str
    change: Change
    words: str
    also: frozenset[str] = frozenset()
    file: str = ""
    second: tuple[str, Change] | None = None

    @property
    def changes(self) -> dict[str, Change]:
        """What is changed, by the name of the file."""
        return {self.file or MAIN[self.proxy]: self.change, **dict([self.second] if self.second else [])}

    @property
    def name(self) -> str:
        """For the report of a run."""
        return f"{self.proxy}-{self.check}-{self.mistake.replace(' ', '-')}"


MAIN: Mapping[str, str] = {
    "nginx": "demur.conf",
    "caddy": "Caddyfile",
    "traefik": "demur.yaml",
    "envoy": "envoy.yaml",
    "haproxy": "haproxy.cfg",
    "apache": "demur.conf",
}
"""The file that is changed, where a row names no other."""

# Who passes by demur at the members' pages passes by it in every respect.
PAST = frozenset(
    ("body", "challenge", "head", "handshake", "unavailable", "preflight", "forged-address", "forged-identity")
) | {"our-cookie"}
# What the proxy answers itself has nothing of what demur says.
ANSWERED = frozenset(("challenge", "unavailable", "preflight"))
STATUS = frozenset(("head", "handshake", "unavailable", "forged-address"))

_NGINX_SITE = "proxy_ignore_headers X-Accel-Redirect;"
_NGINX_PAGES = "location /.demur/ {"
_NGINX_REFUSAL = "location @demur-refusal {"
_NGINX_CHECK = "location = /.demur/check {"
_NGINX_SERVER = "underscores_in_headers  off;"
NGINX = (
    Fault(
        "nginx",
        "status",
        "a location for one folder",
        after(_NGINX_SERVER, "location /members/ { proxy_pass http://demur_site1; proxy_set_header Host $http_host; }"),
        "200 instead of 401",
        PAST,
    ),
    Fault(
        "nginx",
        "status",
        "error_page with a status",
        instead("401 403 500 = @demur-refusal", "401 403 500 =200 @demur-refusal"),
        "200 instead of 401",
        STATUS,
    ),
    Fault(
        "nginx",
        "body",
        "auth_request answers alone",
        without("error_page        401 403 500"),
        "the problem that says why a program was refused is lost",
        ANSWERED,
    ),
    Fault(
        "nginx",
        "challenge",
        "hidden from the browser",
        after(_NGINX_REFUSAL, "proxy_hide_header WWW-Authenticate;"),
        "the challenge is lost",
    ),
    Fault(
        "nginx",
        "challenge",
        "added by hand",
        after(_NGINX_REFUSAL, "add_header WWW-Authenticate 'Cookie realm=\"site\"' always;"),
        "the challenge comes 2 times",
    ),
    Fault(
        "nginx",
        "head",
        "monitors may pass",
        both(
            after("    location / {", "if ($request_method = HEAD) { return 418; } error_page 418 = @monitor;"),
            after(_NGINX_SERVER, "location @monitor { proxy_pass http://demur_site1; }"),
        ),
        "HEAD was answered with 200",
    ),
    Fault(
        "nginx",
        "handshake",
        "another way for WebSockets",
        both(
            after("    location / {", "if ($http_upgrade) { return 418; } error_page 418 = @websocket;"),
            after(_NGINX_SERVER, "location @websocket { proxy_pass http://demur_site1; }"),
        ),
        "a WebSocket handshake from nobody was answered with 200",
    ),
    Fault(
        "nginx",
        "unavailable",
        "asked in one step",
        both(
            without("error_page        401 403 500"),
            instead("check?for=nginx", "check"),
        ),
        "arrives as 500",
        frozenset(("body", "preflight")),
    ),
    Fault(
        "nginx",
        "unavailable",
        "Retry-After hidden",
        after(_NGINX_REFUSAL, "proxy_hide_header Retry-After;"),
        "503 arrives without its Retry-After",
    ),
    Fault(
        "nginx",
        "set-cookie",
        "hidden for a cache",
        after(_NGINX_PAGES, "proxy_hide_header Set-Cookie;"),
        "Set-Cookie is dropped",
    ),
    Fault(
        "nginx",
        "set-cookie",
        "no way to the pages",
        instead(_NGINX_PAGES, "location /elsewhere/ {"),
        "signing out was answered with 403",
    ),
    Fault(
        "nginx",
        "preflight",
        "answered by nginx",
        after("    location / {", "if ($request_method = OPTIONS) { return 204; }"),
        "a CORS preflight was answered with 204",
    ),
    Fault(
        "nginx",
        "check-is-private",
        "internal left out",
        instead(_NGINX_CHECK + "\n        internal;", _NGINX_CHECK),
        "/.demur/check reaches demur's check",
    ),
    Fault(
        "nginx",
        "check-is-private",
        "the check for everybody",
        after(_NGINX_SERVER, "location /check { proxy_pass http://demur_check; }"),
        "/check reaches demur's check",
    ),
    Fault(
        "nginx",
        "forged-address",
        "believes another proxy",
        both(
            instead("X-Forwarded-Uri    $request_uri", "X-Forwarded-Uri    $demur_asked"),
            after(
                "Written by",
                'map $http_x_forwarded_uri $demur_asked { "" $request_uri; default $http_x_forwarded_uri; }',
            ),
        ),
        "a client that sends X-Forwarded-Uri gets 200",
    ),
    Fault(
        "nginx",
        "forged-address",
        "the method as it was sent",
        both(
            instead("X-Forwarded-Method $request_method", "X-Forwarded-Method $demur_asked"),
            after(
                "Written by",
                'map $http_x_forwarded_method $demur_asked { "" $request_method; default $http_x_forwarded_method; }',
            ),
        ),
        "a client that sends X-Forwarded-Method gets",
    ),
    Fault(
        "nginx",
        "session",
        "the question without cookies",
        after(_NGINX_CHECK, 'proxy_set_header Cookie "";'),
        "somebody who is signed in gets",
    ),
    Fault(
        "nginx",
        "forged-identity",
        "a line left out",
        without("proxy_set_header  Remote-User "),
        "is that person for the app",
    ),
    Fault(
        "nginx",
        "forged-identity",
        "underscores let in",
        instead(_NGINX_SERVER, "underscores_in_headers on;"),
        "is that person for the app",
    ),
    Fault(
        "nginx",
        "our-cookie",
        "a line left out",
        without("proxy_set_header  Cookie "),
        "the app is given demur's own cookie at /members/",
    ),
    Fault(
        "nginx",
        "same-bytes",
        "a slash behind the address",
        instead("proxy_pass        http://demur_site1;", "proxy_pass        http://demur_site1/;"),
        "reaches the app as",
    ),
    Fault(
        "nginx",
        "app-cookies",
        "hidden for a cache",
        after(_NGINX_SITE, "proxy_hide_header Set-Cookie;"),
        "cookies that the app sets are lost",
    ),
)

_CADDY_SITE = "bind 127.0.0.1"
_CADDY_REFUSAL = "rewrite /refusal"
_CADDY_APP = "header_down -Demur-Processed"
CADDY = (
    Fault(
        "caddy",
        "status",
        "a handle for one folder",
        after(_CADDY_SITE, "handle /members/* {\nreverse_proxy 127.0.0.1:{app}\n}"),
        "200 instead of 401",
        PAST,
    ),
    Fault(
        "caddy",
        "body",
        "answered by Caddy",
        after("handle_response {", 'respond "Please sign in." {rp.status_code}'),
        "the problem that says why a program was refused is lost",
        ANSWERED,
    ),
    Fault(
        "caddy",
        "challenge",
        "hidden from the browser",
        instead(_CADDY_REFUSAL, _CADDY_REFUSAL + "\nheader_down -WWW-Authenticate"),
        "the challenge is lost",
    ),
    Fault(
        "caddy",
        "challenge",
        "added by hand",
        instead(_CADDY_REFUSAL, _CADDY_REFUSAL + '\nheader_down +WWW-Authenticate `Cookie realm="site"`'),
        "the challenge comes 2 times",
    ),
    Fault(
        "caddy",
        "head",
        "monitors may pass",
        after(_CADDY_SITE, "@monitor method HEAD\nhandle @monitor {\nreverse_proxy 127.0.0.1:{app}\n}"),
        "HEAD was answered with 200",
    ),
    Fault(
        "caddy",
        "handshake",
        "another way for WebSockets",
        after(_CADDY_SITE, "@ws header Upgrade websocket\nhandle @ws {\nreverse_proxy 127.0.0.1:{app}\n}"),
        "a WebSocket handshake from nobody was answered with 200",
    ),
    Fault(
        "caddy",
        "unavailable",
        "a page for errors",
        instead(_CADDY_REFUSAL, _CADDY_REFUSAL + '\n@bad status 5xx\nhandle_response @bad {\nrespond "Sorry." 500\n}'),
        "arrives as 500",
    ),
    Fault(
        "caddy",
        "unavailable",
        "Retry-After hidden",
        instead(_CADDY_REFUSAL, _CADDY_REFUSAL + "\nheader_down -Retry-After"),
        "503 arrives without its Retry-After",
    ),
    Fault(
        "caddy",
        "set-cookie",
        "hidden for a cache",
        after(_CADDY_SITE, "header /.demur/* {\n-Set-Cookie\ndefer\n}"),
        "Set-Cookie is dropped",
    ),
    Fault(
        "caddy",
        "preflight",
        "answered by Caddy",
        after(_CADDY_SITE, "@preflight method OPTIONS\nhandle @preflight {\nrespond 204\n}"),
        "a CORS preflight was answered with 204",
    ),
    Fault(
        "caddy",
        "check-is-private",
        "the check for everybody",
        after(_CADDY_SITE, "handle /check {\nreverse_proxy 127.0.0.1:{check}\n}"),
        "/check reaches demur's check",
    ),
    Fault(
        "caddy",
        "forged-address",
        "believes another proxy",
        both(
            without("request_header -X-Forwarded*"),
            instead("header_up X-Forwarded-Uri {uri}", "header_up X-Forwarded-Uri {demur_asked}"),
            after(_CADDY_SITE, 'map {header.X-Forwarded-Uri} {demur_asked} {\n"" {uri}\n~(.+) "${1}"\n}'),
        ),
        "a client that sends X-Forwarded-Uri gets 200",
    ),
    Fault(
        "caddy",
        "session",
        "the question without cookies",
        after("header_up X-Forwarded-Method {method}", "header_up -Cookie"),
        "somebody who is signed in gets",
    ),
    Fault(
        "caddy",
        "forged-identity",
        "lines left out",
        without("request_header -Remote"),
        "is that person for the app",
    ),
    Fault(
        "caddy",
        "our-cookie",
        "lines left out",
        without("request_header -Cookie", "request_header @cookie"),
        "the app is given demur's own cookie at /members/",
    ),
    Fault(
        "caddy",
        "same-bytes",
        "rewritten",
        after("# No path here", "rewrite * {path}?{query}"),
        "reaches the app as",
    ),
    Fault(
        "caddy",
        "app-cookies",
        "hidden for a cache",
        after(_CADDY_APP, "header_down -Set-Cookie"),
        "cookies that the app sets are lost",
    ),
)


def _router(name: str, rule: str, service: str = "site1", middlewares: str = "") -> Change:
    """Another router of Traefik's, which comes before those of the recipe."""
    more = f"      middlewares: [{middlewares}]\n" if middlewares else ""
    return after(
        "  routers:",
        f"    {name}:\n      entryPoints: [http-{{proxy}}]\n      rule: >-\n        Host(`localhost`) && {rule}\n"
        f"      priority: 1000\n{more}      service: {service}",
    )


def _middleware(name: str, what: str) -> Change:
    return instead("\n  middlewares:\n", f"\n  middlewares:\n    {name}: {what}\n")


_SITE1 = "middlewares: [site1-demur, demur-hidden]"
TRAEFIK = (
    Fault(
        "traefik",
        "status",
        "a router for one folder",
        _router("past", "PathPrefix(`/members/`)"),
        "200 instead of 401",
        PAST,
    ),
    Fault(
        "traefik",
        "body",
        "pages for errors",
        both(
            instead(_SITE1, "middlewares: [nice, site1-demur, demur-hidden]"),
            _middleware("nice", '{errors: {status: ["400-499"], service: site1, query: /sorry}}'),
        ),
        "the problem that says why a program was refused is lost",
        frozenset(("challenge",)),
    ),
    Fault(
        "traefik",
        "challenge",
        "hidden from the browser",
        both(
            instead(_SITE1, "middlewares: [quiet, site1-demur, demur-hidden]"),
            _middleware("quiet", '{headers: {customResponseHeaders: {WWW-Authenticate: ""}}}'),
        ),
        "the challenge is lost",
    ),
    Fault(
        "traefik",
        "head",
        "monitors may pass",
        _router("monitor", "Method(`HEAD`)"),
        "HEAD was answered with 200",
    ),
    Fault(
        "traefik",
        "handshake",
        "another way for WebSockets",
        _router("ws", "Header(`Upgrade`, `websocket`)"),
        "a WebSocket handshake from nobody was answered with 200",
    ),
    Fault(
        "traefik",
        "unavailable",
        "pages for errors",
        both(
            instead(_SITE1, "middlewares: [nice, site1-demur, demur-hidden]"),
            _middleware(
                "nice",
                '{errors: {status: ["500-599"], statusRewrites: {"500-599": 500}, service: site1, query: /sorry}}',
            ),
        ),
        "arrives as 500",
    ),
    Fault(
        "traefik",
        "set-cookie",
        "hidden for a cache",
        both(
            instead(
                "priority: 300\n      middlewares: [demur-down]",
                "priority: 300\n      middlewares: [cached, demur-down]",
            ),
            _middleware("cached", '{headers: {customResponseHeaders: {Set-Cookie: ""}}}'),
        ),
        "Set-Cookie is dropped",
    ),
    Fault(
        "traefik",
        "preflight",
        "its router left out",
        instead("&& HeaderRegexp(`Access-Control-Request-Method`, `.`)", "&& Path(`/nowhere`)"),
        "a CORS preflight was answered with 403",
    ),
    Fault(
        "traefik",
        "check-is-private",
        "the check for everybody",
        _router("open", "PathPrefix(`/check`)", "demur-check"),
        "/check reaches demur's check",
    ),
    Fault(
        "traefik",
        "forged-address",
        "believes another proxy",
        instead("trustForwardHeader: false", "trustForwardHeader: true"),
        "a client that sends X-Forwarded-Uri gets 200",
        second=(
            "traefik.yaml",
            instead(
                'address: "127.0.0.1:{proxy}"', 'address: "127.0.0.1:{proxy}"\n    forwardedHeaders: {insecure: true}'
            ),
        ),
    ),
    Fault(
        "traefik",
        "session",
        "the question without cookies",
        instead("trustForwardHeader: false", "trustForwardHeader: false\n        authRequestHeaders: [Accept]"),
        "somebody who is signed in gets",
        frozenset(("body",)),
    ),
    Fault(
        "traefik",
        "forged-identity",
        "a line left out",
        without("authResponseHeadersRegex"),
        "is that person for the app",
    ),
    Fault(
        "traefik",
        "our-cookie",
        "a name left out",
        instead("authResponseHeaders: [Cookie, Authorization]", "authResponseHeaders: [Authorization]"),
        "the app is given demur's own cookie at /members/",
    ),
    Fault(
        "traefik",
        "same-bytes",
        "a prefix added",
        both(
            instead(_SITE1, "middlewares: [site1-demur, demur-hidden, there]"),
            _middleware("there", "{addPrefix: {prefix: /app}}"),
        ),
        "reaches the app as /app/members/",
    ),
    Fault(
        "traefik",
        "app-cookies",
        "hidden for a cache",
        both(
            instead(_SITE1, "middlewares: [cached, site1-demur, demur-hidden]"),
            _middleware("cached", '{headers: {customResponseHeaders: {Set-Cookie: ""}}}'),
        ),
        "cookies that the app sets are lost",
    ),
)

_ENVOY_UNASKED = "                typed_per_filter_config: *unasked"


def _route(match: str, action: str = "route: {cluster: demur_site1}") -> Change:
    """Another route of Envoy's, before those of the recipe, which does not ask."""
    return instead(
        '              domains: ["localhost:{proxy}"]\n              routes:\n',
        '              domains: ["localhost:{proxy}"]\n              routes:\n'
        f"              - match: {match}\n                {action}\n{_ENVOY_UNASKED}\n",
    )


ENVOY = (
    Fault(
        "envoy",
        "status",
        "a route for one folder",
        _route('{prefix: "/members/"}'),
        "200 instead of 401",
        PAST,
    ),
    Fault(
        "envoy",
        "body",
        "fields of the answer listed",
        after("authorization_response:", "                  allowed_client_headers: {patterns: [{exact: set-cookie}]}"),
        "the problem that says why a program was refused is lost",
        frozenset(("unavailable", "preflight")),
    ),
    Fault(
        "envoy",
        "challenge",
        "hidden from the browser",
        after("response_mutations:", "                - remove: www-authenticate"),
        "the challenge is lost",
    ),
    Fault(
        "envoy",
        "challenge",
        "added by hand",
        after(
            "response_mutations:",
            "                - append: {header: {key: www-authenticate, value: 'Cookie realm=\"site\"'}}",
        ),
        "the challenge comes 2 times",
    ),
    Fault(
        "envoy",
        "head",
        "monitors may pass",
        _route('{prefix: "/", headers: [{name: ":method", string_match: {exact: HEAD}}]}'),
        "HEAD was answered with 200",
    ),
    Fault(
        "envoy",
        "handshake",
        "another way for WebSockets",
        _route('{prefix: "/", headers: [{name: upgrade, present_match: true}]}'),
        "a WebSocket handshake from nobody was answered with 200",
    ),
    Fault(
        "envoy",
        "unavailable",
        "status_on_error left out",
        without("status_on_error"),
        "arrives as 403",
    ),
    Fault(
        "envoy",
        "set-cookie",
        "hidden for a cache",
        instead(
            '              - match: {prefix: "/.demur/"}\n',
            '              - match: {prefix: "/.demur/"}\n                response_headers_to_remove: [set-cookie]\n',
        ),
        "Set-Cookie is dropped",
    ),
    Fault(
        "envoy",
        "preflight",
        "answered by Envoy",
        _route(
            '{prefix: "/", headers: [{name: ":method", string_match: {exact: OPTIONS}}]}',
            "direct_response: {status: 204}",
        ),
        "a CORS preflight was answered with 204",
    ),
    Fault(
        "envoy",
        "check-is-private",
        "the check for everybody",
        _route('{prefix: "/check"}', "route: {cluster: demur_check}"),
        "/check?answer=fields reaches demur's check",
    ),
    Fault(
        "envoy",
        "forged-address",
        "believes another proxy",
        both(
            instead(
                "|x-forwarded|x-original|x-envoy)-.*", "|x-original|x-envoy)-.*|x-forwarded-(for|host|method|proto)"
            ),
            instead(
                '{header: {key: x-forwarded-uri, value: "%REQ(:path)%"}}',
                '{header: {key: x-forwarded-uri, value: "%REQ(:path)%"}, append_action: ADD_IF_ABSENT}',
            ),
        ),
        "a client that sends X-Forwarded-",
        frozenset(("check-is-private",)),
    ),
    Fault(
        "envoy",
        "session",
        "the question without cookies",
        instead(
            "disallowed_headers:\n                patterns: [",
            "disallowed_headers:\n                patterns: [{exact: cookie}, ",
        ),
        "somebody who is signed in gets",
    ),
    Fault(
        "envoy",
        "forged-identity",
        "underscores let in",
        without("[a-z0-9-]*[^a-z0-9:-].*"),
        "is that person for the app",
    ),
    Fault(
        "envoy",
        "our-cookie",
        "a name left out",
        instead("{exact: cookie}, {exact: authorization}]", "{exact: authorization}]"),
        "the app is given demur's own cookie at /members/",
    ),
    Fault(
        "envoy",
        "same-bytes",
        "slashes decoded",
        instead(
            "path_with_escaped_slashes_action: KEEP_UNCHANGED", "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD"
        ),
        "reaches the app as",
    ),
    Fault(
        "envoy",
        "app-cookies",
        "hidden for a cache",
        instead(
            "response_headers_to_remove: [demur-processed", "response_headers_to_remove: [set-cookie, demur-processed"
        ),
        "cookies that the app sets are lost",
    ),
)

_HAPROXY_ROUTES = "    # Sets txn.demur to"
_HAPROXY_FIRST = "    use_backend demur_pages if site1"
_HAPROXY_REFUSAL = "    http-request set-uri /refusal"


def _backend(condition: str) -> Change:
    return instead(_HAPROXY_FIRST, f"    use_backend demur_site1 if site1 {condition}\n{_HAPROXY_FIRST}")


HAPROXY = (
    Fault(
        "haproxy",
        "status",
        "a backend for one folder",
        _backend("{ path -m beg /members/ }"),
        "200 instead of 401",
        PAST,
    ),
    Fault(
        "haproxy",
        "body",
        "answered by HAProxy",
        after(
            _HAPROXY_REFUSAL,
            '    http-response return status 401 content-type text/html string "Sorry." if { status 401 }',
        ),
        "the problem that says why a program was refused is lost",
        frozenset(("challenge",)),
    ),
    Fault(
        "haproxy",
        "challenge",
        "hidden from the browser",
        after(_HAPROXY_REFUSAL, "    http-response del-header WWW-Authenticate"),
        "the challenge is lost",
    ),
    Fault(
        "haproxy",
        "challenge",
        "added by hand",
        after(_HAPROXY_REFUSAL, "    http-response add-header WWW-Authenticate 'Cookie realm=\"site\"'"),
        "the challenge comes 2 times",
    ),
    Fault("haproxy", "head", "monitors may pass", _backend("{ method HEAD }"), "HEAD was answered with 200"),
    Fault(
        "haproxy",
        "handshake",
        "another way for WebSockets",
        _backend("{ req.hdr(Upgrade) -m found }"),
        "a WebSocket handshake from nobody was answered with 200",
    ),
    Fault(
        "haproxy",
        "unavailable",
        "a page for errors",
        after(
            _HAPROXY_REFUSAL,
            '    http-response return status 500 content-type text/html string "Sorry." if { status 503 }',
        ),
        "arrives as 500",
    ),
    Fault(
        "haproxy",
        "set-cookie",
        "hidden for a cache",
        after("backend demur_pages", "    http-response del-header Set-Cookie", last=True),
        "Set-Cookie is dropped",
    ),
    Fault(
        "haproxy",
        "preflight",
        "answered by HAProxy",
        instead(_HAPROXY_ROUTES, "    http-request return status 204 if METH_OPTIONS\n" + _HAPROXY_ROUTES),
        "a CORS preflight was answered with 204",
    ),
    Fault(
        "haproxy",
        "check-is-private",
        "the check for everybody",
        both(
            instead(_HAPROXY_FIRST, f"    use_backend open if {{ path -m beg /check }}\n{_HAPROXY_FIRST}"),
            instead(
                "# demur's own pages, and",
                "backend open\n    server demur 127.0.0.1:{check}\n\n# demur's own pages, and",
            ),
        ),
        "reaches demur's check",
    ),
    Fault(
        "haproxy",
        "forged-address",
        "believes another proxy",
        both(
            instead("x[^a-z0-9]forwarded[^a-z0-9].*|", ""),
            instead("|x[^a-z0-9]forwarded[^a-z0-9]uri|", "|"),
            instead(
                "set-header X-Forwarded-Uri    %[pathq]",
                "set-header X-Forwarded-Uri    %[pathq] unless { req.hdr(X-Forwarded-Uri) -m found }",
            ),
        ),
        "a client that sends X-Forwarded-Uri gets 200",
    ),
    Fault(
        "haproxy",
        "session",
        "the question without cookies",
        instead('["connection"] = true,', '["connection"] = true, ["cookie"] = true,'),
        "somebody who is signed in gets",
        file="demur.lua",
    ),
    Fault(
        "haproxy",
        "forged-identity",
        "a name left out",
        instead("(remote[^a-z0-9].*|", "("),
        "is that person for the app",
    ),
    Fault(
        "haproxy",
        "our-cookie",
        "lines left out",
        without("http-request del-header Cookie", "http-request set-header Cookie"),
        "the app is given demur's own cookie at /members/",
    ),
    Fault(
        "haproxy",
        "same-bytes",
        "decoded",
        after("backend demur_site1", "    http-request set-path %[path,url_dec]", last=True),
        "reaches the app as",
    ),
    Fault(
        "haproxy",
        "app-cookies",
        "hidden for a cache",
        instead(
            "    http-response lua.demur_answer",
            "    http-response lua.demur_answer\n    http-response del-header Set-Cookie",
        ),
        "cookies that the app sets are lost",
    ),
)

_APACHE_SITE = "ProxyTimeout        3600"
APACHE = (
    Fault(
        "apache",
        "status",
        "a folder goes to the app",
        after(_APACHE_SITE, "ProxyPass /members/ http://127.0.0.1:{app}/members/ nocanon"),
        "200 instead of 401",
        PAST,
    ),
    Fault(
        "apache",
        "body",
        "pages for errors",
        after(_APACHE_SITE, "ProxyErrorOverride On 401"),
        "the problem that says why a program was refused is lost",
        frozenset(("challenge",)),
    ),
    Fault(
        "apache",
        "challenge",
        "hidden from the browser",
        after(_APACHE_SITE, "Header unset WWW-Authenticate"),
        "the challenge is lost",
    ),
    Fault(
        "apache",
        "challenge",
        "added by hand",
        after(_APACHE_SITE, 'Header always add WWW-Authenticate "Cookie realm=\\"site\\""'),
        "the challenge comes 2 times",
    ),
    Fault(
        "apache",
        "head",
        "monitors may pass",
        after(
            _APACHE_SITE,
            "RewriteEngine On\nRewriteCond %{REQUEST_METHOD} =HEAD\nRewriteRule ^ http://127.0.0.1:{app}/ [P]",
        ),
        "HEAD was answered with 200",
    ),
    Fault(
        "apache",
        "handshake",
        "another way for WebSockets",
        after(
            _APACHE_SITE,
            "RewriteEngine On\nRewriteCond %{HTTP:Upgrade} websocket [NC]\nRewriteRule ^ http://127.0.0.1:{app}/ [P]",
        ),
        "a WebSocket handshake from nobody was answered with 200",
    ),
    Fault(
        "apache",
        "unavailable",
        "pages for errors",
        after(_APACHE_SITE, "ProxyErrorOverride On 503"),
        "503 arrives without its Retry-After",
    ),
    Fault(
        "apache",
        "unavailable",
        "a page elsewhere for errors",
        both(
            after("ErrorDocument 503", "ErrorDocument 503 http://localhost:{proxy}/public/sorry"),
            after(_APACHE_SITE, "ProxyErrorOverride On 503"),
        ),
        "arrives as 302",
    ),
    Fault(
        "apache",
        "set-cookie",
        "hidden for a cache",
        after(_APACHE_SITE, '<Location "/.demur/">\nHeader unset Set-Cookie\n</Location>'),
        "Set-Cookie is dropped",
    ),
    Fault(
        "apache",
        "preflight",
        "answered by Apache",
        after(
            _APACHE_SITE,
            "RewriteEngine On\nRewriteCond %{REQUEST_METHOD} =OPTIONS\nRewriteRule ^ - [R=204,L]",
        ),
        "a CORS preflight was answered with 204",
    ),
    Fault(
        "apache",
        "check-is-private",
        "the check for everybody",
        after(_APACHE_SITE, "ProxyPass /check http://127.0.0.1:{check}/check"),
        "/check reaches demur's check",
    ),
    Fault(
        "apache",
        "forged-address",
        "believes another proxy",
        after(
            _APACHE_SITE,
            "RewriteEngine On\nRewriteCond %{HTTP:X-Rewrite-URL} (.+)\nRewriteRule ^ http://127.0.0.1:{pages}%1 [P]",
        ),
        "a client that sends X-Rewrite-URL gets 200",
    ),
    Fault(
        "apache",
        "session",
        "cookies taken away",
        after(_APACHE_SITE, "RequestHeader unset Cookie"),
        "somebody who is signed in gets",
        frozenset(("set-cookie", "our-cookie")),
    ),
    Fault(
        "apache",
        "forged-identity",
        "an open folder goes to the app",
        after(_APACHE_SITE, "ProxyPass /public/ http://127.0.0.1:{app}/public/"),
        "is that person for the app",
        frozenset(("our-cookie",)),
    ),
    Fault(
        "apache",
        "our-cookie",
        "an open folder goes to the app",
        after(_APACHE_SITE, "ProxyPass /public/ http://127.0.0.1:{app}/public/"),
        "the app is given demur's own cookie at /public/",
        frozenset(("forged-identity",)),
    ),
    Fault(
        "apache",
        "same-bytes",
        "encoded slashes forbidden",
        without("AllowEncodedSlashes NoDecode"),
        "does not reach the app: 404",
    ),
    Fault(
        "apache",
        "app-cookies",
        "hidden for a cache",
        after(_APACHE_SITE, "Header unset Set-Cookie"),
        "cookies that the app sets are lost",
        frozenset(("set-cookie",)),
    ),
)

FAULTS = (*NGINX, *CADDY, *TRAEFIK, *ENVOY, *HAPROXY, *APACHE)
IMPOSSIBLE: Mapping[tuple[str, str], str] = {}
"""Proxy and check whose fault cannot be made, and why."""
