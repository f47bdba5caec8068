"""The command line. Each file holds one command, or one family of them.

- What a person can put right is one plain message on standard error and exit status 2; what they cannot is a bug,
  and shows a traceback.
- Colours and tables on a terminal, plain lines otherwise, `--json` for programs.
- `demur --help` answers at once: whatever is heavy is imported by the command that needs it.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from demur.cli import check_config, doctor, explain, init, keys, recipe, serve, sessions, token, user
from demur.cli.terminal import fail
from demur.core.model import ConfigError, StoreUnavailable


class _Group(TyperGroup):
    """Says what went wrong in one message, for all commands alike."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own signature
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            fail(str(error))
        except StoreUnavailable as error:
            fail(f"The store cannot be used: {error.cause}.", "See to that, then try again.")


app = typer.Typer(
    name="demur",
    cls=_Group,
    help="Protect a site, and refuse politely: the right status, a true reason, a next step.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(init.init)
app.command("serve")(serve.serve)
app.command("check-config")(check_config.check_config)
app.command("explain")(explain.explain)
app.command("recipe")(recipe.recipe)
app.command("doctor")(doctor.doctor)
app.add_typer(keys.app, name="keys")
app.add_typer(sessions.app, name="sessions")
app.add_typer(token.app, name="token")
app.add_typer(user.app, name="user")


def _version(asked: bool) -> None:  # noqa: FBT001 - typer passes the option by position
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - load what is used

        typer.echo(f"demur {version('demur')}")
        raise typer.Exit


@app.callback()
def _demur(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Protect a site, and refuse politely: the right status, a true reason, a next step."""


def main() -> None:
    """The command `demur`."""
    app()
