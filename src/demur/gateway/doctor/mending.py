"""How to mend what a check found, in the words of each proxy's own configuration.

What is named here stands in the recipe of that proxy. tests/doctor/test_faults.py breaks it, and reads this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROXIES: Final = ("nginx", "caddy", "traefik", "envoy", "haproxy", "apache")

_COMPARE = "Compare the proxy's configuration with what `demur recipe{name}` prints."

_HOW: Mapping[str, Mapping[str, str]] = {
    "status": {
        "nginx": "Locations of the app need `auth_request`, and `error_page 401 403 500 = @demur-refusal`.",
        "caddy": "Every `handle` that leads to the app needs the question before it.",
        "traefik": "Every router that leads to the app needs its middleware with `forwardAuth`.",
        "envoy": "No route to the app may disable `envoy.filters.http.ext_authz`.",
        "haproxy": "No `use_backend` of the app may stand before that of demur_refusal.",
        "apache": "Every `ProxyPass` leads to gateway.listen, and none to the app.",
    },
    "body": {
        "nginx": "`auth_request` shows a status alone: `error_page 401 403 500 = @demur-refusal` fetches the rest.",
        "caddy": "The refusal comes by `reverse_proxy` with `rewrite /refusal`, and not by `respond`.",
        "traefik": "Take the `errors` middleware away from the site's router, or leave 401 and 403 out of its status.",
        "envoy": "Leave `allowed_client_headers` out of `authorization_response`, and 401 out of `local_reply_config`.",
        "haproxy": "Take `http-response return` out of the backend demur_refusal, and `errorfile 401` away.",
        "apache": "`ProxyErrorOverride` has to be Off, or 401 and 403 out of its list.",
    },
    "challenge": {
        "nginx": "demur's own is passed on as it is: no `add_header` and no `proxy_hide_header` for WWW-Authenticate.",
        "caddy": "demur's own is passed on as it is: no `header` and no `header_down` for WWW-Authenticate.",
        "traefik": "demur's own is passed on as it is: no `customResponseHeaders` with WWW-Authenticate.",
        "envoy": "demur's own is passed on as it is: nothing adds or removes www-authenticate.",
        "haproxy": "demur's own is passed on as it is: no `http-response` for WWW-Authenticate.",
        "apache": "demur's own is passed on as it is: no `Header` for WWW-Authenticate, and no `AuthType`.",
    },
    "unavailable": {
        "nginx": "`auth_request` knows 401 and 403 alone: ask /check?for=nginx, and leave 503 out of `error_page`.",
        "caddy": "In `handle_response`, what /refusal answers goes on as it is.",
        "traefik": "The `errors` middleware must leave 503 of the site's router as it is.",
        "envoy": "`status_on_error: {code: ServiceUnavailable}` has to stand in ext_authz: without it, Envoy says 403.",
        "haproxy": "Take `http-response set-status` and `return` out of the backend demur_refusal.",
        "apache": "`ProxyErrorOverride` has to be Off, and no `Header` may take Retry-After away.",
    },
    "set-cookie": {
        "nginx": "No `proxy_hide_header Set-Cookie` for /.demur/.",
        "caddy": "No `header_down -Set-Cookie` for /.demur/.",
        "traefik": "No `customResponseHeaders` with Set-Cookie for the pages' router.",
        "envoy": "No set-cookie in `response_headers_to_remove` of /.demur/.",
        "haproxy": "No `http-response del-header Set-Cookie` in the backend demur_pages.",
        "apache": "No `Header unset Set-Cookie`.",
    },
    "preflight": {
        "nginx": "No location may answer OPTIONS itself (`return 204`).",
        "caddy": "No `handle` may answer OPTIONS itself.",
        "traefik": "The router with Method(`OPTIONS`) leads to demur-pages, since forwardAuth takes any 2xx for a yes.",
        "envoy": "No route may answer OPTIONS itself, and the `cors` filter stays out.",
        "haproxy": "No `http-request return` for OPTIONS.",
        "apache": "No `RewriteRule` for OPTIONS.",
    },
    "check-is-private": {
        "nginx": "The location with `proxy_pass` to the check has to be `internal`.",
        "caddy": "No `handle` may lead to gateway.check_listen: `reverse_proxy` asks there by itself.",
        "traefik": "The router demur-check belongs to the entry point demur alone.",
        "envoy": "No route may lead to the cluster demur_check.",
        "haproxy": "No `use_backend` may lead to gateway.check_listen but that of demur_refusal.",
        "apache": "No `ProxyPass` may lead to gateway.check_listen.",
    },
    "forged-address": {
        "nginx": "For the question: `proxy_set_header X-Forwarded-Uri $request_uri`, and -Method $request_method.",
        "caddy": "For the question: `request_header -X-Forwarded*`, then `header_up X-Forwarded-Uri {uri}`.",
        "traefik": "`trustForwardHeader: false`, and no `forwardedHeaders` at entry points that clients reach.",
        "envoy": "First remove `x-forwarded-.*`, then append: x-forwarded-uri is %REQ(:path)%.",
        "haproxy": "`http-request set-header X-Forwarded-Uri %[pathq]`, without a condition.",
        "apache": "No `RewriteRule` may take the address from a field.",
    },
    "session": {
        "nginx": "For the question: no `proxy_pass_request_headers off`, no `proxy_set_header Cookie`.",
        "caddy": "For the question: no `header_up -Cookie`.",
        "traefik": "`authRequestHeaders` has to stay away: the question needs all fields of the client.",
        "envoy": "`allowed_headers` of ext_authz has to match every field.",
        "haproxy": "demur.lua has to send Cookie along.",
        "apache": "No `RequestHeader` may change Cookie.",
    },
    "forged-identity": {
        "nginx": "`proxy_set_header Remote-User $demur_user` and its kin, always; `underscores_in_headers off`.",
        "caddy": "Before the question: `request_header -Remote*`, `-*_*` and `-*.*`.",
        "traefik": "`authResponseHeadersRegex` takes all of them away, and other spellings too.",
        "envoy": "`remove_on_match` takes all of them away, and names with other marks than a hyphen too.",
        "haproxy": "`http-request del-header` takes away `remote[^a-z0-9].*`.",
        "apache": "Every `ProxyPass` leads to gateway.listen, and none to the app.",
    },
    "our-cookie": {
        "nginx": "Where the app is asked: `proxy_set_header Cookie $demur_cookie`.",
        "caddy": "After a yes: `request_header -Cookie`, then `request_header @cookie Cookie {rp.header.Cookie}`.",
        "traefik": "`authResponseHeaders` needs Cookie.",
        "envoy": "`allowed_upstream_headers` needs {exact: cookie}.",
        "haproxy": "In the app's backend: `http-request del-header Cookie`, then set-header from txn.demur_cookie.",
        "apache": "Every `ProxyPass` leads to gateway.listen, and none to the app.",
    },
    "same-bytes": {
        "nginx": "No path behind the address in `proxy_pass`, not even a slash, and no `rewrite`.",
        "caddy": "No `rewrite`, `uri` or `handle_path` before the app's `reverse_proxy`.",
        "traefik": "No stripPrefix, addPrefix or replacePath, and `sanitizePath: false`.",
        "envoy": "`path_with_escaped_slashes_action: KEEP_UNCHANGED`, and no rewrite in the route.",
        "haproxy": "No `normalize-uri` and no `set-path`.",
        "apache": "`AllowEncodedSlashes NoDecode`, and `nocanon` in `ProxyPass`.",
    },
    "app-cookies": {
        "nginx": "No `proxy_hide_header Set-Cookie` where the app is asked.",
        "caddy": "No `header_down -Set-Cookie` where the app is asked.",
        "traefik": "No `customResponseHeaders` with Set-Cookie for the site's router.",
        "envoy": "No set-cookie in `response_headers_to_remove` of the site.",
        "haproxy": "No `http-response del-header Set-Cookie` in the app's backend.",
        "apache": "No `Header unset Set-Cookie`.",
    },
}
_ALIKE: Mapping[str, str] = {"head": "status", "handshake": "status"}


def proxy(server: Sequence[str]) -> str:
    """The name of the proxy that says of itself what stands in `Server`; "" for those that say nothing."""
    said = " ".join(server).lower()
    return next((name for name in PROXIES if name in said), "")


def how(check: str, name: str) -> str:
    """A sentence or two about what to change in that proxy, or in any if its name is ""."""
    found = _HOW.get(_ALIKE.get(check, check), {}).get(name, "")
    compare = _COMPARE.format(name=f" {name}" if name else "")
    return f"{found} {compare}" if found else compare
