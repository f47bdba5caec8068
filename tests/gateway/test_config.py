"""The configuration file: what it means when it is right. What is said when it is wrong is in tests/cli."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from demur.core import sessions
from demur.core.model import ConfigError
from demur.core.site import Cookie, Cors
from demur.gateway.config import tables as config
from demur.gateway.config.addresses import Address, Origin, is_at, upstream_url
from demur.gateway.config.faults import BadConfig

SITE = '[[site]]\norigin = "http://localhost:8000"\nupstream = "http://127.0.0.1:9000"\n'
OPEN = '[[site.rule]]\npath = "/**"\nallow = "anyone"\n'


def read(folder: Path, text: str) -> config.Config:
    path = folder / "demur.toml"
    path.write_text(f"version = 1\n{text}", encoding="utf-8")
    return config.read(path)


def test_what_is_left_out_is_safe(tmp_path):
    """A configuration with one site listens on this machine only, believes nobody, and limits sessions."""
    found = read(tmp_path, SITE)
    assert found.gateway.listen == Address("127.0.0.1", 8000)
    assert found.gateway.check_listen is None
    assert found.gateway.admin_listen is None
    assert found.gateway.trusted_proxies == ()
    assert found.gateway.insecure_http is False
    assert found.sessions.lasting == sessions.NIST_AAL2
    assert found.site[0].rule == ()
    assert found.warnings() == ()


def test_paths_begin_at_the_folder_of_the_file(tmp_path, monkeypatch):
    """Wherever the program is started, relative paths mean the same, the defaults too."""
    monkeypatch.chdir("/")
    text = (
        '[gateway]\ncheck_listen = "unix:run/check.sock"\ntls = { certificate = "c.pem", key = "/etc/k.pem" }\n'
        '[sessions]\nstore = "sqlite:///data/s.db"\n'
    )
    found = read(tmp_path, text + SITE)
    assert found.gateway.check_listen == Address(path=tmp_path / "run/check.sock")
    assert found.gateway.tls is not None
    assert found.gateway.tls.certificate == tmp_path / "c.pem"
    assert found.gateway.tls.key == Path("/etc/k.pem")
    assert found.accounts.database == f"sqlite:{tmp_path}/accounts.db"
    assert found.sessions.store == f"sqlite:{tmp_path}/data/s.db"
    assert found.sessions.key_folder == tmp_path / "data/keys"
    assert found.file == tmp_path / "demur.toml"
    assert found.folder == tmp_path


def test_the_name_of_the_file_may_be_relative(tmp_path, monkeypatch):
    """A relative name is made absolute at once, so that a later change of folder changes nothing."""
    read(tmp_path, SITE)
    monkeypatch.chdir(tmp_path)
    found = config.read(Path("demur.toml"))
    monkeypatch.chdir("/")
    assert found.accounts.database == f"sqlite:{tmp_path}/accounts.db"


def test_nothing_changes_afterwards(tmp_path):
    """A configuration is a value: what was read is what holds."""
    found = read(tmp_path, SITE)
    with pytest.raises(ValidationError):
        found.gateway.workers = 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", sessions.NIST_AAL2),
        ('limits = "NIST_AAL3"', sessions.NIST_AAL3),
        ('idle = "10m"', sessions.Limits(600, sessions.NIST_AAL2.absolute)),
        ('limits = "NIST_AAL1"\nidle = 90\nabsolute = "2d"', sessions.Limits(90, 172800)),
    ],
)
def test_sessions_last_as_the_preset_or_the_numbers_say(tmp_path, text, expected):
    """A preset gives both limits, and a number of one's own replaces one."""
    assert read(tmp_path, f"[sessions]\n{text}\n{SITE}").sessions.lasting == expected


def test_a_store_in_memory_keeps_its_keys_there_too(tmp_path):
    """Nothing is written for sessions that are forgotten anyway, unless a folder is named."""
    assert read(tmp_path, f'[sessions]\nstore = "memory:"\n{SITE}').sessions.key_folder is None
    named = read(tmp_path, f'[sessions]\nstore = "memory:"\nkeys = "k"\n{SITE}')
    assert named.sessions.key_folder == tmp_path / "k"


@pytest.mark.parametrize(
    ("origin", "serialized", "cookie"),
    [
        ("https://App.Example.com:443/", "https://app.example.com", Cookie()),
        ("https://app.example.com:8443", "https://app.example.com:8443", Cookie()),
        ("https://localhost", "https://localhost", Cookie()),
        ("http://localhost:80", "http://localhost", Cookie("demur-dev", secure=False)),
        ("http://a.localhost:8000", "http://a.localhost:8000", Cookie("demur-dev", secure=False)),
        ("http://127.0.0.2:8000", "http://127.0.0.2:8000", Cookie("demur-dev", secure=False)),
        ("http://[0:0::1]:8000", "http://[::1]:8000", Cookie("demur-dev", secure=False)),
    ],
)
def test_an_origin_is_written_as_browsers_do(tmp_path, origin, serialized, cookie):
    """The origin is normal, and its cookie is the secure one unless it never leaves the machine."""
    text = f'[[site]]\norigin = "{origin}"\nupstream = "http://127.0.0.1:9000"\n'
    site = read(tmp_path, text).sites()[0]
    assert site.origin == serialized
    assert site.cookie == cookie
    assert site.name == serialized.partition("://")[2].rsplit(":", 1)[0] if "]" not in serialized else "[::1]"


@pytest.mark.parametrize(
    "origin", ["http://app.example.com", "http://127.0.0.1.example.com", "http://10.0.0.1", "http://notlocalhost:8000"]
)
def test_an_open_http_origin_has_to_be_wanted(tmp_path, origin):
    """Without `insecure_http` nothing is served where passwords can be read on the way; with it, it is said."""
    text = f'[[site]]\norigin = "{origin}"\nupstream = "http://127.0.0.1:9000"\n'
    with pytest.raises(BadConfig, match="has no TLS"):
        read(tmp_path, text)
    found = read(tmp_path, f"[gateway]\ninsecure_http = true\n{text}")
    assert found.sites()[0].cookie == Cookie("demur-dev", secure=False)
    assert origin in found.warnings()[0]


def test_a_site_becomes_what_the_core_knows(tmp_path):
    """All that stands in a site's table arrives in the core's site."""
    text = """
[gateway]
trusted_proxies = ["127.0.0.1"]
[[site]]
origin = "https://app.example.com"
upstream = "http://127.0.0.1:9000"
name = "The library"
prefix = "/_/demur"
help_url = "/help"
clear_site_data = ["cookies"]
[site.permissions]
"report:read" = ["staff"]
[site.cors]
origins = ["https://FRONT.example.com/"]
methods = ["GET", "PUT"]
headers = ["content-type"]
credentials = false
max_age = "1h"
[site.timeouts]
connect = 2
answer = "2m"
[[site.rule]]
path = "/reports/**"
allow = { permission = "report:read" }
"""
    found = read(tmp_path, text)
    site = found.sites()[0]
    assert (site.name, site.prefix, site.help_url, site.clear_site_data) == (
        "The library",
        "/_/demur",
        "/help",
        ("cookies",),
    )
    assert site.cors == Cors(
        frozenset({"https://front.example.com"}), ("GET", "PUT"), ("content-type",), credentials=False, max_age=3600
    )
    requirement = site.rules.match("GET", b"/reports/1", "app.example.com").requirement
    assert requirement.terms.permission_groups == {"staff"}
    assert (found.site[0].timeouts.connect, found.site[0].timeouts.answer) == (2, 120)


def test_cors_can_be_left_to_the_site(tmp_path):
    """`cors = "upstream"` leaves preflights to the site, and nothing at all allows nobody."""
    assert read(tmp_path, SITE).sites()[0].cors == Cors()
    assert read(tmp_path, f'{SITE}cors = "upstream"\n').sites()[0].cors == Cors(upstream=True)


def test_proxies_are_networks_or_whoever_is_on_the_socket(tmp_path):
    """An address is a network of one, and "unix" stands for whoever connects over a unix socket."""
    text = '[gateway]\ntrusted_proxies = ["10.0.0.0/8", "::1", "unix"]\n'
    assert read(tmp_path, text + SITE).gateway.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"), "unix")


def test_every_mistake_is_told_at_once(tmp_path):
    """Mistakes of all kinds come together, in the order of their lines, and the error is one of ours."""
    text = (
        '[gateway]\nworkers = 0\n[sessions]\nidle = "3d"\n'
        '[[site]]\norigin = "http://app.example.com"\nupstream = "http://127.0.0.1:9"\n'
        '[[site.rule]]\npath = "x"\nallow = "anyone"\n'
    )
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert isinstance(caught.value, BadConfig)
    assert [finding.line for finding in caught.value.findings] == [3, 5, 7, 10]
    assert str(caught.value).count("error:") == 4


def test_a_folder_is_not_a_configuration(tmp_path):
    """What cannot be read is told as such."""
    with pytest.raises(BadConfig, match="it cannot be read: is a directory"):
        config.read(tmp_path)


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path):
    """A file that an editor on Windows saved reads the same."""
    path = tmp_path / "demur.toml"
    path.write_bytes(b"\xef\xbb\xbf" + f"version = 1\n{SITE}{OPEN}".replace("\n", "\r\n").encode())
    assert config.read(path).sites()[0].rules.match("GET", b"/", "").rule is not None


def test_a_password_in_a_url_is_not_repeated(tmp_path):
    """What is wrong about a database's URL is told without the password in it."""
    with pytest.raises(BadConfig) as caught:
        read(
            tmp_path,
            f'[sessions]\nstore = "oracle://demur:hunter2@db/x"\n[accounts]\ndatabase = "mysql://a:hunter2@b"\n{SITE}',
        )
    assert "hunter2" not in str(caught.value)
    assert len(caught.value.findings) == 2


@pytest.mark.parametrize(
    ("listen", "url", "same"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000", True),
        ("127.0.0.1:8000", "http://localhost:8000", True),
        ("0.0.0.0:8000", "http://localhost:8000", True),
        ("[::]:8000", "http://[::1]:8000", True),
        ("0.0.0.0:8000", "http://10.0.0.1:8000", False),
        ("127.0.0.1:8000", "http://127.0.0.1:9000", False),
        ("127.0.0.1:80", "http://127.0.0.1", True),
        ("unix:x.sock", "http://127.0.0.1", False),
    ],
)
def test_a_circle_is_noticed(listen, url, same):
    """An upstream that leads back to where demur listens is known, by whatever name."""
    assert is_at(Address.parse(listen), upstream_url(url)) is same


@pytest.mark.parametrize("text", ["127.0.0.1:8000", "[::1]:8000", "localhost:0", "unix:/run/demur.sock"])
def test_an_address_is_written_as_it_is_read(text):
    """An address to listen on survives being written and read again."""
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "public"),
    [("127.0.0.1:1", False), ("[::1]:1", False), ("localhost:1", False), ("unix:x", False), ("0.0.0.0:1", True),
     ("[::]:1", True), ("192.168.1.1:1", True), ("gateway.internal:1", True)],
)  # fmt: skip
def test_public_is_what_others_can_reach(text, public):
    """Loopback addresses and unix sockets are private, all others public."""
    assert Address.parse(text).is_public is public


@pytest.mark.parametrize("text", ["https://a.example", "http://localhost:8000", "https://[::1]:8443"])
def test_an_origin_survives_being_read_again(text):
    """An origin that is normal is left as it is."""
    assert str(Origin.parse(text)) == text


SHARED = """
[sessions]
shared_domain = "Example.com"
sign_in = "https://login.example.com"
[[site]]
origin = "https://login.example.com"
upstream = "http://127.0.0.1:9000"
[[site]]
origin = "https://*.team.example.com"
upstream = "http://127.0.0.1:9000"
[[site]]
origin = "https://alone.example.com"
upstream = "http://127.0.0.1:9000"
shares_sign_in = false
"""


def test_sites_of_a_domain_share_a_sign_in(tmp_path):
    """The cookie is the domain's, people sign in at one origin, and who keeps out of it keeps a cookie of its own."""
    login, team, alone = read(tmp_path, SHARED).sites()
    assert login.cookie == team.cookie == Cookie("__Secure-demur", secure=True, domain="example.com")
    assert (login.sign_in_origin, login.relatives) == ("", ("https://*.team.example.com",))
    assert (team.sign_in_origin, team.relatives) == ("https://login.example.com", ("https://login.example.com",))
    assert team.sign_in_url() == "https://login.example.com/.demur/sign-in"
    assert team.name == "team.example.com"
    assert (alone.cookie, alone.sign_in_origin, alone.relatives) == (Cookie(), "", ())


def test_at_home_the_shared_cookie_is_the_plain_one(tmp_path):
    """Without TLS no browser takes `__Secure-`; below a name of localhost the plain cookie can be shared."""
    text = '[sessions]\nshared_domain = "demo.localhost"\nsign_in = "http://login.demo.localhost:8000"\n'
    text += SITE.replace("localhost:8000", "login.demo.localhost:8000")
    (site,) = read(tmp_path, text).sites()
    assert site.cookie == Cookie("demur-dev", secure=False, domain="demo.localhost")


@pytest.mark.parametrize("domain", ["com", "localhost", "co.uk", "ac.nz", "10.0.0.1", "[::1]", ".example.com", ""])
def test_what_nobody_owns_cannot_be_shared(tmp_path, domain):
    """Browsers would drop the cookie, and nobody could sign in; so it is said before."""
    with pytest.raises(BadConfig, match=r"sessions\.shared_domain"):
        read(tmp_path, SHARED.replace('"Example.com"', f'"{domain}"'))


@pytest.mark.parametrize(
    "domain", ["Example.com", "example.co.uk", "a.b.example.com", "xn--bcher-kva.example", "uk.com"]
)
def test_domains_of_ones_own_can_be(domain):
    """What has a registry's name before its country is one's own, and so is what only looks like it."""
    assert config.Sessions.model_validate({"shared_domain": domain}, context={"file": Path("x")}).shared_domain


def test_forms_are_kept_unless_the_site_says_otherwise(tmp_path):
    """With the site's own words for what is not; a word of marks would be in every name."""
    (site,) = read(tmp_path, SITE).sites()
    assert (site.keep_forms, site.never_keep) == (True, ())
    (site,) = read(tmp_path, SITE + 'keep_forms = false\nnever_keep = ["iban", "Diagnose"]\n').sites()
    assert (site.keep_forms, site.never_keep) == (False, ("iban", "Diagnose"))
    with pytest.raises(BadConfig, match="is no word"):
        read(tmp_path, SITE + 'never_keep = ["--"]\n')
