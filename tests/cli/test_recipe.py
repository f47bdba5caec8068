"""`demur recipe`: what is printed, what is written, and what is said where there is no recipe."""

import pytest

CONFIG = """
[gateway]
listen = "127.0.0.1:8000"
check_listen = "127.0.0.1:8001"
trusted_proxies = ["127.0.0.1"]

[[site]]
origin = "https://app.example.com"

[[site.rule]]
path = "/**"
allow = "signed-in"
"""
UPSTREAM = ("--upstream", "http://127.0.0.1:9000")


def test_a_recipe_is_printed(write, run):
    """The text goes to standard output, and what is still to be changed to standard error."""
    write(CONFIG)
    result = run("recipe", "nginx", *UPSTREAM)
    assert result.exit_code == 0
    assert "server_name app.example.com;" in result.stdout
    assert "server 127.0.0.1:9000;" in result.stdout
    assert result.stdout.endswith("}\n")
    assert "Change /etc/ssl/demur/certificate.pem" in result.stderr


def test_the_certificate_is_named(folder, write, run):
    """As absolute paths; without a key, it is in the same file."""
    write(CONFIG)
    result = run("recipe", "nginx", *UPSTREAM, "--certificate", "c.pem", "--key", "k.pem")
    assert f"ssl_certificate     {folder}/c.pem;" in result.stdout
    assert f"ssl_certificate_key {folder}/k.pem;" in result.stdout
    assert result.stderr == ""
    result = run("recipe", "nginx", *UPSTREAM, "--certificate", "c.pem")
    assert f"ssl_certificate_key {folder}/c.pem;" in result.stdout


def test_a_recipe_of_two_files(folder, write, run):
    """The first is printed, with a word about the second; each can be printed, and both can be written."""
    write(CONFIG)
    result = run("recipe", "haproxy", *UPSTREAM)
    assert "backend demur_site1" in result.stdout
    assert "also needs demur.lua: print it with --file, or write all with --into FOLDER" in result.stderr
    assert "core.register_action" in run("recipe", "haproxy", *UPSTREAM, "--file", "demur.lua").stdout
    wrong = run("recipe", "haproxy", *UPSTREAM, "--file", "other.lua")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "It has: haproxy.cfg, demur.lua." in wrong.stderr
    written = run("recipe", "haproxy", *UPSTREAM, "--into", str(folder))
    assert (written.exit_code, written.stdout) == (0, "")
    assert (folder / "haproxy.cfg").read_text() == result.stdout
    assert (folder / "demur.lua").exists()


def test_a_folder_that_is_not_there(folder, write, run):
    """It is not made, and nothing is written."""
    write(CONFIG)
    result = run("recipe", "nginx", *UPSTREAM, "--into", "nowhere")
    assert result.exit_code == 2
    assert "nowhere/demur.conf cannot be written" in result.stderr
    assert not (folder / "nowhere").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lighttpd",), 'There is no recipe for "lighttpd".'),
        (("nginx",), "https://app.example.com has no upstream"),
        (("nginx", *UPSTREAM, *UPSTREAM), "--upstream names a URL for all sites twice"),
        (("nginx", "--upstream", "https://b.example=http://a:1"), "no site has the origin https://b.example"),
        (("apache", *UPSTREAM), "with Apache before it, demur passes requests on"),
    ],
)
def test_what_there_is_no_recipe_for(write, run, words, said):
    """One message with what to do, and status 2."""
    write(CONFIG)
    result = run("recipe", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_one_upstream_for_each_site(write, run):
    """ORIGIN=URL is for that site."""
    write(CONFIG + CONFIG.partition("\n\n")[2].replace("app.", "b."))
    options = ("--upstream", "https://b.example.com=http://127.0.0.1:9001", *UPSTREAM)
    printed = run("recipe", "nginx", *options).stdout
    assert "upstream demur_site1 { server 127.0.0.1:9000; }" in printed
    assert "upstream demur_site2 { server 127.0.0.1:9001; }" in printed
