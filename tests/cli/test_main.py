"""The command line as a whole, as a program."""

import subprocess
import sys
from importlib.metadata import version

import pytest

HEAVY = ("pydantic", "sqlalchemy", "uvicorn", "argon2", "demur.gateway.config.tables", "rich")


def test_the_version_is_told(demur):
    """`demur --version` says which version it is."""
    assert demur("--version").stdout == f"demur {version('demur')}\n"


@pytest.mark.parametrize("args", [[], ["sessions"], ["user"]])
def test_without_a_command_the_help_is_shown(demur, args):
    """Whoever gives no command sees the commands, and no error."""
    shown = demur(*args)
    assert "Usage: " in shown.stdout + shown.stderr
    assert "Traceback" not in shown.stderr


def test_help_names_every_command(demur):
    """The help lists all commands, in plain text where nobody looks at a terminal."""
    shown = demur("--help").stdout
    for command in ("init", "serve", "check-config", "explain", "sessions", "user", "--install-completion"):
        assert f" {command} " in shown
    assert "\x1b" not in shown


def test_help_loads_nothing_heavy():
    """The help comes at once, because nothing is loaded for it that only some commands need."""
    program = (
        "import sys\n"
        "from demur.cli import app\n"
        "app(['--help'], standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("command", [["serve"], ["check-config"], ["sessions", "list"], ["explain", "GET", "/"]])
def test_a_missing_configuration_leads_to_init(demur, command):
    """Every command that needs the file says how to get one, ends with status 2 and shows no traceback."""
    done = demur(*command)
    assert done.returncode == 2
    assert "demur.toml: error: there is no such file.\n" in done.stdout + done.stderr
    assert "demur init --upstream URL" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["serve"], ["sessions", "list"], ["explain", "GET", "/"]])
def test_a_bad_configuration_ends_with_all_that_is_wrong(demur, write, command):
    """Every mistake is told on standard error, and nothing is done."""
    path = write('[[site]]\norigin = "http://localhost:8000"\nupstrem = "http://127.0.0.1:9"\nprefix = "x"\n')
    done = demur(*command)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        'demur.toml:4: error: there is no key "upstrem" in [[site]].\n    Did you mean "upstream"?\n'
        'demur.toml:5: error: site.prefix: "x" is not a plain path.\n'
        '    Write it with a slash before and none behind: "/.demur".\n'
    )
    assert [each.name for each in path.parent.iterdir()] == ["demur.toml"]


def test_serving_with_a_certificate_that_is_not_there_does_not_start(demur, write):
    """What this machine cannot do stops the start as well, in one message."""
    write(
        '[gateway]\ntls = { certificate = "c.pem", key = "k.pem" }\n'
        '[[site]]\norigin = "https://localhost:8000"\nupstream = "http://127.0.0.1:9"\n'
    )
    done = demur("serve")
    assert done.returncode == 2
    assert done.stderr.startswith("demur.toml:3: error: gateway.tls.certificate: there is no file c.pem.\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_the_shell_can_be_shown(demur, shell):
    """The completion script calls back with the shell's own instruction."""
    done = subprocess.run(
        [sys.executable, "-c", "from demur.cli import app; app(prog_name='demur')"],
        env={"_DEMUR_COMPLETE": f"source_{shell}", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"complete_{shell}" in done.stdout
