"""Caddy: a first request asks, and a second one shows what was decided.

`forward_auth` would do with one: it hands a refusal on. But Caddy breaks off whoever is still sending more than 256
kB when the answer is there. So a refusal is fetched from demur with the content of the request, which demur takes in
first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from demur.gateway.recipes.plan import CERTIFICATE, Needs
from demur.gateway.recipes.text import CLEARED, DOWN, GIVEN, HIDDEN, LOST, OVERRIDES, RETRY_AFTER, fill

if TYPE_CHECKING:
    from demur.gateway.recipes.plan import Endpoint, Plan, Site

NEEDS = Needs("Caddy")

_ALL = """\
# Caddy asks demur about each request. Written by `demur recipe caddy` for <<file>>; write it again when that changes.
# Save it as Caddyfile, then `caddy validate`. Tested with Caddy 2.11.

{
	# Nothing on this machine can change what runs. Take it out if you use `caddy reload`.
	admin off<<https>>
}
<<sites>>
<<others>>
"""

_SITE = """

# --- <<origin>>

<<address>> {<<bind>><<tls>>
	# demur's own pages: signing in and out, the person's sessions
	@pages path <<own>>
	handle @pages {
		vars demur pages
		request_header -Forwarded
		reverse_proxy <<pages>>
	}

	handle {
		route {
			# Many apps read Remote_User and Remote.User as Remote-User, so such names go, and what only a proxy says.
			request_header -*_*
			request_header -*.*
			request_header -Remote*
			request_header -X-Forwarded*
			request_header -X-Original*
			<<cleared>>
			# Of the protocols that a request may change to, only WebSocket is passed on. And a client that names fields
			# in Connection cannot have Caddy take them away: those that say who it is would be gone, too.
			@websocket {
				header Connection *
				header_regexp Upgrade (?i)^websocket$
			}
			@ordinary not header_regexp Upgrade (?i)^websocket$
			request_header @ordinary -Upgrade
			request_header @ordinary -Connection
			request_header @websocket Connection Upgrade
			request_header -Http2-Settings

			# The question: GET, and without content.
			reverse_proxy <<check>> {
				method GET
				rewrite /check?answer=fields
				header_up X-Forwarded-Method {method}
				header_up X-Forwarded-Uri {uri}
				transport http {
					dial_timeout 5s
					response_header_timeout 15s
				}

				@yes status 200
				handle_response @yes {
					route {
						vars demur yes
						request_header -Demur-*
						# Who it is, and the client's own cookies and Authorization without what was meant for demur.
						<<given>>
						@timing not vars {rp.header.Server-Timing} ""
						header @timing +Server-Timing {rp.header.Server-Timing}
						# What was made for one person is not for shared caches.
						header @subject ?Cache-Control "private, no-cache"
						header @subject {
							>Cache-Control `^.*".*$` ""
							>Cache-Control "(?i)\\b(?:public|private|s-maxage=[0-9]*)(?:[ \\t]*,[ \\t]*|$)" ""
							>Cache-Control "^" "private, "
							>Cache-Control "[, ]+$" ""
						}
					}
				}

				# A no, in words: demur reads from the slip what was decided, and decides nothing again. It gets the
				# content too, so that a client which is still sending reads the answer; but not from one that waits to
				# be asked for it, which would wait for ever on a connection that stays open.
				handle_response {
					@waits header Expect *
					header @waits Connection close
					reverse_proxy @waits <<check>> {
						method GET
						<<refusal>>
					}
					reverse_proxy <<check>> {
						method POST
						<<refusal>>
					}
				}
			}

			# No path here: the app gets the very bytes that demur judged.
			reverse_proxy <<app>> {
				<<hidden>>
				# The app cannot set demur's cookie. (An empty field is all that Caddy can make of it.)
				header_down Set-Cookie "(?i)^[ \\t]*=?[ \\t]*(?:__Host-demur|__Secure-demur|demur-dev)[ \\t]*=.*" ""
				transport http {
					compression off
				}
			}
		}
	}

	# demur does not answer: nobody gets in, and nobody is told to sign in. The app's own failures stay what they are.
	handle_errors {
		@lost vars demur pages
		handle @lost {
			header Content-Type application/problem+json
			header Cache-Control no-store
			header Retry-After <<retry_after>>
			respond `<<lost>>` 503
		}
		@unasked not vars demur yes
		handle @unasked {
			header Content-Type application/problem+json
			header Cache-Control no-store
			header Retry-After <<retry_after>>
			header Demur-Processed ?0
			respond `<<down>>` 503
		}
	}
}"""

_OTHERS = """

# Whatever is for none of the sites: demur says so.
<<address>> {<<bind>><<tls>>
	request_header -Forwarded
	reverse_proxy <<pages>>
}"""

_REFUSAL = """\
rewrite /refusal
header_up Demur-Refusal {rp.header.Demur-Refusal}
header_up X-Forwarded-Method {method}
header_up X-Forwarded-Uri {uri}
transport http {
	dial_timeout 5s
	response_header_timeout 15s
}"""

_GIVEN = """\
request_header -<<name>>
@<<word>> not vars {rp.header.<<name>>} ""
request_header @<<word>> <<name>> {rp.header.<<name>>}"""


def render(plan: Plan) -> dict[str, str]:
    """The whole file."""
    own = plan.certificate != CERTIFICATE
    tls = f"\n\ttls {plan.certificate} {plan.key}" if own else ""
    https = [site for site in plan.sites if site.scheme == "https"]
    text = fill(
        _ALL,
        file=plan.file,
        https=_automatic(own=own, usual=any(site.port == 443 for site in https)),
        sites="\n".join(_site(site, plan, tls if site in https else "") for site in plan.sites),
        others="\n".join(
            fill(
                _OTHERS,
                address=f"{scheme}://:{port}",
                bind=_bind(bind),
                tls=tls if scheme == "https" else "",
                pages=_at(plan.pages),
            )
            for bind, port, scheme, _ in plan.listeners
        ),
    )
    return {"Caddyfile": text}


def _automatic(*, own: bool, usual: bool) -> str:
    """What Caddy shall not do by itself: get certificates where there are some, and lead from port 80 to another port
    than the usual one."""
    if own and usual:
        return "\n\tauto_https disable_certs"
    return f"\n\tauto_https {'off' if own else 'disable_redirects'}" if not usual else ""


def _site(site: Site, plan: Plan, tls: str) -> str:
    gone = (*CLEARED, *OVERRIDES) if site.by_method else CLEARED
    return fill(
        _SITE,
        origin=site.origin,
        address=f"{site.scheme}://{site.host}:{site.port}",
        bind=_bind(site.bind),
        tls=tls,
        own=" ".join((f"{site.prefix}/*", *site.well_known)),
        pages=_at(plan.pages),
        check=_at(plan.check),
        app=_at(site.upstream),
        cleared="\n".join(f"request_header -{name}" for name in gone if not name.startswith("X-Forwarded")),
        given="\n".join(fill(_GIVEN, name=name, word=name.lower().removeprefix("remote-")) for name in GIVEN),
        hidden="\n".join(f"header_down -{name}" for name in HIDDEN),
        refusal=_REFUSAL,
        retry_after=RETRY_AFTER,
        down=DOWN,
        lost=LOST,
    )


def _bind(address: str) -> str:
    return f"\n\tbind {address}" if address else ""


def _at(endpoint: Endpoint) -> str:
    if endpoint.socket:
        return f"unix/{endpoint.socket}"
    return endpoint.url if endpoint.tls else endpoint.authority
