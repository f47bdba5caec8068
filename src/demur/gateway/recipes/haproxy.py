"""HAProxy: a script in its own Lua asks demur, and a second step shows what was decided.

HAProxy has no forward-auth of its own. Since 2.5 its Lua can send a request without anything else installed. The
script asks for the answer in fields, and a refusal is fetched from demur like any other page, so that HAProxy itself
moves its content, and that of the request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from demur.gateway.recipes.plan import Needs
from demur.gateway.recipes.text import CLEARED, DOWN, GIVEN, MEANT_FOR, OVERRIDES, RETRY_AFTER, fill

if TYPE_CHECKING:
    from demur.gateway.recipes.plan import Endpoint, Plan, Site

NEEDS = Needs("HAProxy", bundle=True)

_ALL = """\
# HAProxy asks demur about each request. Written by `demur recipe haproxy` for <<file>>; write it again when that
# changes. Needs HAProxy 2.6 or newer, with Lua (`haproxy -vv` shows USE_LUA; Debian's package has it), and demur.lua,
# the recipe's second file, beside this one.

global
    # Relative paths begin at the folder of this file.
    default-path config
    # What demur is told about a request stands beside it: half of the room is for that.
    tune.bufsize    32768
    tune.maxrewrite 16384
    lua-load-per-thread demur.lua

defaults
    mode http
    timeout http-request 15s
    timeout connect      5s
    timeout client       1h
    timeout server       1h
    timeout tunnel       1h
<<frontends>>

# demur's own pages, and the answer to whoever asks for a site that is not here
backend demur_pages
    retries 0
    <<down>>
    server demur <<pages>>

# A no, in words: demur reads from the slip what was decided, and decides nothing again.
backend demur_refusal
    retries 0
    http-request set-uri /refusal
    http-request del-header Upgrade
    http-request set-header Demur-Refusal %[var(txn.demur_refusal)] if { var(txn.demur_refusal) -m found }
    <<down>>
    server demur <<check>>
<<backends>>
"""

_FRONTEND = """

frontend demur_<<port>>
    bind <<at>><<tls>>
    http-request deny deny_status 501 if METH_CONNECT
    # Whatever form a target has, only path and query go on: those that are judged.
    http-request set-uri %[pathq] if { url -m reg -i ^[a-z]+:// }
    # What only a proxy may say, and who it is, in any spelling: many apps read Remote_User as Remote-User.
    http-request del-header '<<cleared>>' -m reg
    http-request set-header X-Forwarded-For    %[src]
    http-request set-header X-Forwarded-Host   %[req.fhdr(host)]
    http-request set-header X-Forwarded-Method %[method]
    http-request set-header X-Forwarded-Proto  <<scheme>>
    http-request set-header X-Forwarded-Uri    %[pathq]
    <<hosts>>

    # Sets txn.demur to "yes", "no" or "down". Anything but "yes" is a no.
    http-request lua.demur_check unless <<own>>
    http-request <<down>> if { var(txn.demur) -m str down }
    use_backend demur_pages if <<own>>
    use_backend demur_refusal unless { var(txn.demur) -m str yes }
    <<routes>>
    default_backend demur_pages"""

_BACKEND = """

# <<origin>>
backend demur_<<name>>
    http-request del-header X-Forwarded-Method
    http-request del-header X-Forwarded-Uri
    http-request del-header '^(<<gone>>)$' -m reg
    # Of the protocols that a request may change to, only WebSocket is passed on.
    http-request del-header Upgrade unless { req.hdr(Upgrade) -m str -i websocket }
    # Who it is, and the client's own credentials without what was meant for demur. All of them, always.
    <<given>>
    http-response lua.demur_answer
    server app <<app>>"""

_LUA = """\
-- Asks demur. Written by `demur recipe haproxy`; lua-load-per-thread in haproxy.cfg names this file.

-- These belong to the connection or to the content, and the question has none (RFC 9110, 7.6.1).
local NOT_ASKED = {
    ["connection"] = true, ["content-length"] = true, ["expect"] = true, ["host"] = true, ["keep-alive"] = true,
    ["te"] = true, ["trailer"] = true, ["transfer-encoding"] = true, ["upgrade"] = true,
}
-- What the app gets from demur's answer, and never from the client.
local GIVEN = { <<given>> }
-- Cookies that only demur sets.
local OURS = { <<cookies>> }

-- The values of a field, as a list from 1; HAProxy's own lists begin at 0.
local function listed(values)
    local list = {}
    if values ~= nil then
        if values[0] ~= nil then table.insert(list, values[0]) end
        for _, value in ipairs(values) do table.insert(list, value) end
    end
    return list
end

core.register_action("demur_check", { "http-req" }, function(txn)
    txn:set_var("txn.demur", "down")
    local headers = {}
    for name, values in pairs(txn.http:req_get_headers()) do
        if not NOT_ASKED[name] then headers[name] = listed(values) end
    end
    local answer = core.httpclient():get({
        url = "http://demur/check?answer=fields", dst = "<<check>>", headers = headers, timeout = 15000,
    })
    local function said(name) return listed(answer.headers[name])[1] or "" end
    if answer == nil or answer.headers == nil then return end
    if answer.status == 200 then
        for name, variable in pairs(GIVEN) do
            if said(name) ~= "" then txn:set_var("txn." .. variable, said(name)) end
        end
        txn:set_var("txn.demur", "yes")
    elseif answer.status == 401 or answer.status == 403 or answer.status == 400 then
        if said("demur-refusal") ~= "" then txn:set_var("txn.demur_refusal", said("demur-refusal")) end
        txn:set_var("txn.demur", "no")
    end
end)

-- Whether a Set-Cookie line sets a cookie of demur's, in any case: browsers compare the prefix without it.
local function sets_ours(line)
    local name = line:match("^%s*([^=;]*)"):gsub("%s+$", ""):lower()
    return OURS[name] ~= nil
end

-- Without what would let a shared cache keep what was made for one person (RFC 9111, 5.2.2.9 and 5.2.2.10).
local function private(control)
    local kept, safe = {}, false
    if control:find('"', 1, true) then
        return control:lower():find("no-store", 1, true) and "no-store" or "private, no-cache"
    end
    for directive in control:gmatch("[^,]+") do
        directive = directive:match("^%s*(.-)%s*$")
        local name = directive:match("^[^=]*"):lower()
        safe = safe or name == "private" or name == "no-store"
        if directive ~= "" and name ~= "public" and name ~= "s-maxage" then table.insert(kept, directive) end
    end
    if control:match("^[%s,]*$") then return "private, no-cache" end
    if not safe then table.insert(kept, 1, "private") end
    return table.concat(kept, ", ")
end

core.register_action("demur_answer", { "http-res" }, function(txn)
    local headers = txn.http:res_get_headers()
    -- What an app may not say: that nothing was processed, and what demur alone puts into words.
    txn.http:res_del_header("demur-processed")
    txn.http:res_del_header("demur-refuse")
    local cookies = listed(headers["set-cookie"])
    txn.http:res_del_header("set-cookie")
    for _, line in ipairs(cookies) do
        if not sets_ours(line) then txn.http:res_add_header("set-cookie", line) end
    end
    local own = txn:get_var("txn.demur_set_cookie")
    if own ~= nil then txn.http:res_add_header("set-cookie", own) end
    local timing = txn:get_var("txn.demur_server_timing")
    if timing ~= nil then txn.http:res_add_header("server-timing", timing) end
    if txn:get_var("txn.demur_subject") ~= nil then
        local control = table.concat(listed(headers["cache-control"]), ", ")
        txn.http:res_set_header("cache-control", private(control))
    end
end)
"""

# One line: HAProxy knows no way to go on in the next.
_DOWN = (
    "<<word>> status 503 content-type application/problem+json string '<<down>>'"
    " hdr Retry-After <<retry_after>> hdr Cache-Control no-store hdr Demur-Processed ?0"
)


def render(plan: Plan) -> dict[str, str]:
    """The configuration, and the script that asks."""
    text = fill(
        _ALL,
        file=plan.file,
        frontends="\n".join(_frontend(plan, bind, port, scheme, sites) for bind, port, scheme, sites in plan.listeners),
        down=_down("http-error"),
        pages=_server(plan.pages),
        check=_server(plan.check),
        backends="\n".join(_backend(site) for site in plan.sites),
    )
    given = ", ".join(f'["{name.lower()}"] = "{_variable(name)}"' for name in (*GIVEN, "Server-Timing", "Set-Cookie"))
    cookies = ", ".join(f'["{name}"] = true' for name in sorted({site.cookie.lower() for site in plan.sites}))
    script = fill(_LUA, given=given, cookies=cookies, check=_server(plan.check))
    return {"haproxy.cfg": text, "demur.lua": script}


def _frontend(plan: Plan, bind: str, port: int, scheme: str, sites: tuple[Site, ...]) -> str:
    return fill(
        _FRONTEND,
        at=f"[{bind}]:{port}" if ":" in bind else f"{bind}:{port}",
        port=str(port),
        tls=f" ssl crt {plan.certificate}   # the chain and the private key, both in this file"
        if scheme == "https"
        else "",
        scheme=scheme,
        cleared=_pattern(CLEARED),
        hosts="\n".join(f"acl {site.name} req.fhdr(host),host_only,lower {_match(site)}" for site in sites),
        own=" || ".join(condition for site in sites for condition in _own(site)),
        routes="\n".join(f"use_backend demur_{site.name} if {site.name}" for site in sites),
        down=_down("return"),
    )


def _own(site: Site) -> list[str]:
    """What demur itself answers."""
    own = [f"{site.name} {{ path -m beg {site.prefix}/ }}"]
    return own + [f"{site.name} {{ path -m str {path} }}" for path in site.well_known]


def _down(word: str) -> str:
    return fill(_DOWN, word=word, down=DOWN, retry_after=RETRY_AFTER)


def _match(site: Site) -> str:
    if site.host.startswith("*."):
        return f"-m reg '^[^.]+{re.escape(site.host[1:])}$'"
    return f"-m str {site.host}"


def _pattern(names: tuple[str, ...]) -> str:
    """Every spelling of these names, and of all that begin as our identity and forwarding fields do."""
    return f"^(remote[^a-z0-9].*|x[^a-z0-9]forwarded[^a-z0-9].*|{_spellings(names)})$"


def _spellings(names: tuple[str, ...]) -> str:
    """These names with any mark for a hyphen, as a regular expression."""
    return "|".join(name.lower().replace("-", "[^a-z0-9]") for name in names)


def _backend(site: Site) -> str:
    names = (MEANT_FOR, *(OVERRIDES if site.by_method else ()))
    given = [f"http-request del-header {name}" for name in GIVEN if not name.startswith("Remote-")]
    for name in GIVEN:
        variable = f"var(txn.{_variable(name)})"
        given.append(f"http-request set-header {name:<14} %[{variable}] if {{ {variable} -m found }}")
    return fill(
        _BACKEND,
        origin=site.origin,
        name=site.name,
        gone=_spellings(names),
        given="\n".join(given),
        app=_server(site.upstream) + (_app_tls(site) if site.upstream.tls else ""),
    )


def _app_tls(site: Site) -> str:
    return f" ssl verify required ca-file @system-ca sni str({site.upstream.host}) verifyhost {site.upstream.host}"


def _variable(name: str) -> str:
    """The name of the variable that keeps a field: Remote-User in demur_user."""
    return "demur_" + name.lower().removeprefix("remote-").replace("-", "_")


def _server(at: Endpoint) -> str:
    return f"unix@{at.socket}" if at.socket else at.authority
