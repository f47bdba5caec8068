"""`demur init`: a first configuration."""

import stat
from ipaddress import ip_network

import pytest

from demur.gateway.config import findings
from demur.gateway.config import tables as config


def test_what_it_writes_is_a_good_configuration(folder, run):
    """The file passes every check, and only its owner may read it."""
    result = run("init", "--upstream", "http://127.0.0.1:9000/")
    assert result.exit_code == 0
    path = folder / "demur.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert findings.check(path, online=False) == []
    read = config.read(path)
    assert str(read.site[0].origin) == "http://localhost:8000"
    assert read.site[0].upstream == "http://127.0.0.1:9000"


def test_the_next_command_is_told(folder, run):
    """After writing, the next two commands are shown, with the name of the file if it is not the usual one."""
    said = run("init", "--upstream", "http://127.0.0.1:9000").stdout
    assert "  demur user add NAME " in said
    assert "  demur serve " in said
    other = run("init", "--upstream", "http://127.0.0.1:9000", "--config", "my site.toml").stdout
    assert "demur serve --config 'my site.toml'" in other


def test_an_https_origin_believes_a_proxy_on_this_machine(folder, run):
    """For an https origin, the file is complete without a certificate, and passes every check too."""
    result = run("init", "--upstream", "http://127.0.0.1:9000", "--origin", "https://app.example.com")
    assert result.exit_code == 0
    assert findings.check(folder / "demur.toml", online=False) == []
    assert ip_network("127.0.0.1") in config.read(folder / "demur.toml").gateway.trusted_proxies


def test_what_is_commented_out_works_when_it_is_not(folder, run):
    """Each line that is offered in a comment may be put to use."""
    run("init", "--upstream", "http://127.0.0.1:9000")
    path = folder / "demur.toml"
    offered = ("workers", "check_listen", "admin_listen", "trusted_proxies", "[[site.rule]]", "path", "allow")
    lines = path.read_text(encoding="utf-8").splitlines()
    used = [line.removeprefix("# ") if line.removeprefix("# ").startswith(offered) else line for line in lines]
    assert used != lines
    path.write_text("\n".join(used), encoding="utf-8")
    assert findings.check(path, online=False) == []
    assert len(config.read(path).site[0].rule) == 3


def test_an_existing_file_is_left_alone(folder, run):
    """Nothing is overwritten without being told to."""
    (folder / "demur.toml").write_text("mine", encoding="utf-8")
    result = run("init", "--upstream", "http://127.0.0.1:9000")
    assert result.exit_code == 2
    assert (folder / "demur.toml").read_text(encoding="utf-8") == "mine"
    assert result.stderr == (
        "demur: demur.toml is already there, and is left as it is.\n"
        "    Choose another name with --config, or use --force.\n"
    )


def test_force_replaces_the_file_and_its_mode(folder, run):
    """With `--force` the new file takes the old one's place, for the owner's eyes only, and nothing else is left."""
    (folder / "demur.toml").write_text("mine", encoding="utf-8")
    (folder / "demur.toml").chmod(0o644)
    assert run("init", "--upstream", "http://127.0.0.1:9000", "--force").exit_code == 0
    assert stat.S_IMODE((folder / "demur.toml").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["demur.toml"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--upstream", "localhost:9000"], 'Write "http://localhost:9000".'),
        (["--upstream", "http://localhost:9000/app"], 'Write "http://localhost:9000".'),
        (["--upstream", "http://localhost:8000"], "--origin http://localhost:8001"),
        (["--upstream", "http://[::1"], "has no valid host"),
        (["--upstream", "http://x:9000", "--origin", "app.example.com"], 'Write scheme and host: "https://app.'),
        (["--upstream", "http://x:9000", "--origin", "http://app.example.com"], '--origin "https://app.example.com"'),
        (["--upstream", "http://x:9000", "--config", "no/such/demur.toml"], "Make it: mkdir -p no/such"),
        ([], "Missing option '--upstream'"),
    ],
)
def test_what_cannot_be_is_told_with_the_fix(folder, run, args, said):
    """A mistake in an option gets one message that says what to write, and nothing is written."""
    result = run("init", *args)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert list(folder.iterdir()) == []
