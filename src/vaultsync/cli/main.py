"""The program `vaultsync`: finds the command, runs it, and turns errors into words and a code."""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from vaultsync import __version__
from vaultsync.cli import exits
from vaultsync.cli.call import Call, global_options
from vaultsync.core.errors import Fatal, Usage, VaultsyncError

if TYPE_CHECKING:
    from collections.abc import Sequence

FAMILIES = {
    "First steps": {"init": "setup", "demo": "demo.command", "version": "setup"},
    "Account": {
        "signup": "account",
        "verify": "account",
        "login": "account",
        "logout": "account",
        "whoami": "account",
        "credentials": "account",
    },
    "Running": {"start": "running", "stop": "running", "daemon": "running"},
    "Looking": {
        "status": "looking",
        "why": "looking",
        "conflicts": "looking",
        "history": "history",
        "activity": "history",
    },
    "Steering": {
        "sync": "steering",
        "pause": "steering",
        "resume": "steering",
        "held": "held",
    },
    "Drive": {"mount": "drive", "unmount": "drive", "pin": "drive", "unpin": "drive"},
    "Files": {"trash": "trash", "versions": "versions", "restore": "versions"},
    "Cloud": {"cloud": "backend"},
}
"""Each command with the module it lives in. Only the one that is called is imported."""

MODULES = {name: module for family in FAMILIES.values() for name, module in family.items()}


class Root(click.Group):
    """`vaultsync` itself."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All commands, in the order of the help."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command."""
        if cmd_name not in MODULES:
            return None
        module = import_module(f"vaultsync.cli.{MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say what may have been meant."""
        if args[0] not in MODULES and not args[0].startswith("-"):
            from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

            close = get_close_matches(args[0], MODULES, n=1)
            hint = f"Did you mean `vaultsync {close[0]}`?" if close else "See `vaultsync --help`."
            raise Usage(f"There is no command '{args[0]}'.", hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands under their families' names."""
        for family, commands in FAMILIES.items():
            rows = [
                (name, command.get_short_help_str(60))
                for name in commands
                if (command := self.get_command(ctx, name)) is not None
            ]
            with formatter.section(family):
                formatter.write_dl(rows)


@click.pass_context
def _overview(context: click.Context) -> Any:
    """Keep a folder and your private files in S3 the same.

    Without a command: the status, and what to do next.
    """
    if context.invoked_subcommand is not None:
        return None
    from vaultsync.cli.looking import overview  # noqa: PLC0415 - only when there is no command

    return overview(context.obj)


root = Root(
    "vaultsync",
    callback=_overview,
    invoke_without_command=True,
    params=[
        *global_options(shown=True),
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            help="Print the version.",
            callback=lambda context, _, value: _print_version(context) if value else None,
        ),
    ],
)


def _print_version(context: click.Context) -> NoReturn:
    click.echo(f"vaultsync {__version__}")
    context.exit()


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: Without the program's name.
    """
    call = Call()
    # Known before the command line is understood, so that also that failure is told as JSON.
    call.screen.json = "--json" in arguments
    code: Any = exits.OK
    try:
        code = root.main(list(arguments), "vaultsync", standalone_mode=False, obj=call) or exits.OK
        sys.stdout.flush()
    except VaultsyncError as error:
        call.screen.failure(error)
        code = exits.exit_code(error)
    except click.ClickException as error:
        words = "vaultsync"
        if isinstance(error, click.UsageError) and error.ctx is not None:
            words = error.ctx.command_path
        call.screen.command = words.partition(" ")[2]
        call.screen.failure(Usage(error.format_message(), f"See `{words} --help`."))
        code = exits.USAGE
    except (click.Abort, KeyboardInterrupt):
        call.screen.note("Interrupted.")
        code = exits.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough; what is still buffered must not fail again at exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = exits.FAILED
    except Exception as error:  # the last resort: a fault of ours, told like any other
        if call.verbose:
            raise
        what = f"vaultsync met an error of its own: {type(error).__name__}."
        call.screen.failure(Fatal(what, "Run it again with -v and report what it prints."))
        code = exits.FAILED
    return int(code)


def main() -> NoReturn:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
