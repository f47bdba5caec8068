"""Envoy: `ext_authz` asks over HTTP and hands a refusal on.

- It asks with the method of the request, and an answer to HEAD has no content whose length it could tell. So it is
  told GET while it asks.
- It passes on a field that came on several lines as one, with commas. `Cookie` wants semicolons.
- Of what demur answers with 5xx it makes an answer of its own, which is written here.
"""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING

from demur.gateway.recipes.plan import Needs
from demur.gateway.recipes.text import CLEARED, DOWN, GIVEN, HIDDEN, LOST, OVERRIDES, RETRY_AFTER, fill

if TYPE_CHECKING:
    from demur.gateway.recipes.plan import Endpoint, Plan, Site

NEEDS = Needs("Envoy")

_ALL = """\
# Envoy asks demur about each request. Written by `demur recipe envoy` for <<file>>; write it again when that changes.
# Save it as envoy.yaml, then `envoy --mode validate -c envoy.yaml`. Tested with Envoy 1.40.

static_resources:
  listeners:
  <<listeners>>
  clusters:
  <<clusters>>
"""

_LISTENER = """\
- name: <<scheme>>_<<port>>
  address: {socket_address: {address: "<<bind>>", port_value: <<port>>}}
  filter_chains:
  - <<tls>>filters:
    - name: envoy.filters.network.http_connection_manager
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: <<scheme>>_<<port>>
        # No byte of the path is changed: the app gets what demur judged.
        normalize_path: false
        merge_slashes: false
        path_with_escaped_slashes_action: KEEP_UNCHANGED
        # Who asks is who connects. What a client says about that is overwritten below.
        use_remote_address: true
        skip_xff_append: true
        # A client that waits for leave to send its content gets it from the app, and none from a refusal.
        proxy_100_continue: true
        server_header_transformation: PASS_THROUGH
        http_protocol_options: {accept_http_10: true}
        request_headers_timeout: 30s
        stream_idle_timeout: 3600s
        upgrade_configs: [{upgrade_type: websocket}]
        http_filters:
        <<filters>>
        route_config:
          virtual_hosts:
          # Whatever is for none of the sites: demur says so.
          - name: others
            domains: ["*"]
            routes:
            - match: {prefix: "/"}
              route: {cluster: demur_pages, timeout: 0s}
              typed_per_filter_config: &unasked
                envoy.filters.http.ext_authz:
                  "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                  disabled: true
                demur.before: &off
                  "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute
                  disabled: true
                demur.after: *off
          <<hosts>>
        local_reply_config:
          mappers:
          # demur does not answer, or cannot decide: nobody gets in, and nobody is told to sign in.
          - filter:
              and_filter:
                filters:
                - response_flag_filter: {flags: [UAEX]}
                - status_code_filter: {comparison: {op: EQ, value: {default_value: 503, runtime_key: demur_down}}}
            headers_to_add:
            - {header: {key: retry-after, value: "<<retry_after>>"}}
            - {header: {key: cache-control, value: no-store}}
            - {header: {key: demur-processed, value: "?0"}}
            body_format_override:
              content_type: application/problem+json
              text_format_source: {inline_string: <<down>>}
          <<lost>>
          # Envoy's own refusals are for nobody's cache.
          - filter:
              status_code_filter: {comparison: {op: GE, value: {default_value: 400, runtime_key: demur_own}}}
            headers_to_add:
            - {header: {key: cache-control, value: no-store}, append_action: ADD_IF_ABSENT}
"""

_LOST = """\
- filter:
    and_filter:
      filters:
      - header_filter: {header: {name: ":path", string_match: {prefix: "<<prefix>>/"}}}
      - status_code_filter: {comparison: {op: EQ, value: {default_value: 503, runtime_key: demur_down}}}
  headers_to_add:
  - {header: {key: retry-after, value: "<<retry_after>>"}}
  - {header: {key: cache-control, value: no-store}}
  body_format_override:
    content_type: application/problem+json
    text_format_source: {inline_string: <<lost>>}"""

_FILTERS = """\
- name: envoy.filters.http.header_mutation
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
    mutations:
      request_mutations:
      # Many apps read remote_user and remote.user as remote-user, so such names go; and what only a proxy may say.
      - remove_on_match: {key_matcher: {safe_regex: {regex: "[a-z0-9-]*[^a-z0-9:-].*"}}}
      - remove_on_match: {key_matcher: {safe_regex: {regex: "(remote|x-forwarded|x-original|x-envoy)-.*"}}}
      <<cleared>>
      <<said>>
      response_mutations:
      - remove: x-envoy-upstream-service-time
- name: demur.before
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
    default_source_code:
      inline_string: |
        function envoy_on_request(handle)
          local headers = handle:headers()
          -- Whatever asks for another protocol, and is no opening handshake, would be a tunnel past demur.
          if headers:get("upgrade") and not (headers:get(":method") == "GET" and headers:get("sec-websocket-key")) then
            handle:respond({[":status"] = "400", ["cache-control"] = "no-store"}, "")
            return
          end
          -- demur's answer to HEAD would have no content, and Envoy could not tell its length.
          if headers:get(":method") == "HEAD" then headers:replace(":method", "GET") end
          -- Several Cookie lines are one list, with semicolons; Envoy would join them with commas.
          local cookies = {}
          for i = 0, headers:getNumValues("cookie") - 1 do cookies[i + 1] = headers:getAtIndex("cookie", i) end
          if #cookies > 1 then headers:replace("cookie", table.concat(cookies, "; ")) end
        end
- name: envoy.filters.http.ext_authz
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
    failure_mode_allow: false
    status_on_error: {code: ServiceUnavailable}
    allowed_headers: {patterns: [{safe_regex: {regex: ".*"}}]}
    disallowed_headers:
      patterns: [{exact: connection}, {exact: upgrade}, {exact: transfer-encoding}, {exact: expect}, {exact: te}]
    http_service:
      server_uri: {uri: "http://demur.invalid", cluster: demur_check, timeout: 15s}
      path_override: "/check?for=envoy"
      authorization_response:
        # demur also says, in x-envoy-auth-headers-to-remove, which of them the app must not get at all.
        allowed_upstream_headers:
          patterns: [<<given>>]
        allowed_client_headers_on_success:
          patterns: [{exact: server-timing}, {exact: set-cookie}]
- name: demur.after
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
    default_source_code:
      inline_string: |
        local ours = {["__host-demur"] = true, ["__secure-demur"] = true, ["demur-dev"] = true}

        function envoy_on_request(handle)
          local headers = handle:headers()
          if headers:get("x-forwarded-method") == "HEAD" then headers:replace(":method", "HEAD") end
          local spoken = {}
          for name in pairs(headers) do
            if name:find("^demur%-") then spoken[#spoken + 1] = name end
          end
          for _, name in ipairs(spoken) do headers:remove(name) end
          local person = headers:get("remote-subject") and "yes" or "no"
          handle:streamInfo():dynamicMetadata():set("demur", "person", person)
        end

        -- What was made for one person is not for shared caches.
        local function private(control)
          if not control or control:find('"') then return "private, no-cache" end
          local kept = {"private"}
          for each in control:gmatch("[^,%s][^,]*") do
            local name = each:lower():match("^[^=%s]*")
            if name ~= "public" and name ~= "private" and name ~= "s-maxage" then kept[#kept + 1] = each end
          end
          return table.concat(kept, ", ")
        end

        function envoy_on_response(handle)
          local said = handle:streamInfo():dynamicMetadata():get("demur")
          if not said then return end  -- a refusal: that is demur's own
          local headers = handle:headers()
          -- The app cannot set demur's cookie.
          local kept, found = {}, false
          for i = 0, headers:getNumValues("set-cookie") - 1 do
            local value = headers:getAtIndex("set-cookie", i)
            local name = (value:match("^%s*=?%s*([^=;]*)=") or ""):gsub("%s+$", "")
            if ours[name:lower()] then found = true else kept[#kept + 1] = value end
          end
          if found then
            headers:remove("set-cookie")
            for _, value in ipairs(kept) do headers:add("set-cookie", value) end
          end
          if said.person == "yes" then headers:replace("cache-control", private(headers:get("cache-control"))) end
        end
- name: envoy.filters.http.router
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
    suppress_envoy_headers: true"""

_HOST = """\
# --- <<origin>>
- name: <<name>>
  domains: [<<domains>>]
  routes:
  # demur's own pages: signing in and out, the person's sessions
  <<own>>
  - match: {prefix: "/"}
    route: {cluster: demur_<<name>>, timeout: 0s}
    request_headers_to_remove: [x-forwarded-method, x-forwarded-uri]
    response_headers_to_remove: [<<hidden>>]"""

_OWN = """\
- match: {<<where>>}
  route: {cluster: demur_pages, timeout: 0s}
  typed_per_filter_config: *unasked"""

_CLUSTER = """\
- name: <<name>>
  <<found>>
  connect_timeout: 5s
  load_assignment:
    cluster_name: <<name>>
    endpoints: [{lb_endpoints: [{endpoint: {address: {<<address>>}}}]}]<<more>>"""

_SHORT = """
  # demur lets go of a connection after 75 s without a request; Envoy must not use it just then.
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      common_http_protocol_options: {idle_timeout: 60s}
      explicit_http_config: {http_protocol_options: {}}"""

_APP_TLS = """
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      sni: "<<host>>"
      common_tls_context:
        validation_context:
          trusted_ca: {filename: /etc/ssl/certs/ca-certificates.crt}   # the authorities that you believe
          match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: "<<host>>"}}]"""

_TLS = """\
transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
        common_tls_context:
          alpn_protocols: [h2, http/1.1]
          tls_certificates:
          - certificate_chain: {filename: "<<certificate>>"}
            private_key: {filename: "<<key>>"}"""


def render(plan: Plan) -> dict[str, str]:
    """The whole bootstrap file."""
    clusters = [_cluster("demur_pages", plan.pages, _SHORT), _cluster("demur_check", plan.check, _SHORT)]
    clusters += [_cluster(f"demur_{site.name}", site.upstream) for site in plan.sites]
    text = fill(
        _ALL,
        file=plan.file,
        listeners="\n".join(_listener(plan, *place) for place in plan.listeners),
        clusters="\n".join(clusters),
    )
    return {"envoy.yaml": text}


def _listener(plan: Plan, bind: str, port: int, scheme: str, sites: tuple[Site, ...]) -> str:
    return fill(
        _LISTENER,
        scheme=scheme,
        port=str(port),
        bind=bind or "0.0.0.0",
        tls=fill(_TLS, certificate=plan.certificate, key=plan.key) + "\n    " if scheme == "https" else "",
        filters=_filters(scheme, by_method=any(site.by_method for site in sites)),
        hosts="\n".join(_host(site) for site in sites),
        retry_after=RETRY_AFTER,
        down=json.dumps(DOWN),
        lost="\n".join(
            fill(_LOST, prefix=prefix, retry_after=RETRY_AFTER, lost=json.dumps(LOST))
            for prefix in dict.fromkeys(site.prefix for site in sites)
        ),
    )


def _filters(scheme: str, *, by_method: bool) -> str:
    said = {
        "for": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
        "host": "%REQ(:authority)%",
        "proto": scheme,
        "method": "%REQ(:method)%",
        "uri": "%REQ(:path)%",
    }
    gone = (*CLEARED, *OVERRIDES) if by_method else CLEARED
    return fill(
        _FILTERS,
        cleared="\n".join(f"- remove: {name.lower()}" for name in gone if not name.startswith("X-Forwarded")),
        said="\n".join(
            f'- append: {{header: {{key: x-forwarded-{key}, value: "{value}"}}}}' for key, value in said.items()
        ),
        given=", ".join(f"{{exact: {name.lower()}}}" for name in GIVEN),
    )


def _host(site: Site) -> str:
    own = [f'prefix: "{site.prefix}/"', *(f'path: "{path}"' for path in site.well_known)]
    domains = dict.fromkeys((site.authority, f"{site.host}:{site.port}"))
    return fill(
        _HOST,
        origin=site.origin,
        name=site.name,
        domains=", ".join(f'"{domain}"' for domain in domains),
        own="\n".join(fill(_OWN, where=where) for where in own),
        hidden=", ".join(name.lower() for name in HIDDEN),
    )


def _cluster(name: str, at: Endpoint, more: str = "") -> str:
    address = f'socket_address: {{address: "{at.host}", port_value: {at.port}}}'
    return fill(
        _CLUSTER,
        name=name,
        found="type: STATIC" if at.socket or _is_ip(at.host) else "type: LOGICAL_DNS\ndns_lookup_family: ALL",
        address=f'pipe: {{path: "{at.socket}"}}' if at.socket else address,
        more=more or (fill(_APP_TLS, host=at.host) if at.tls else ""),
    )


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
