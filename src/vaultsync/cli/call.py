"""One call of the program: its global options, and what they lead to."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vaultsync.cli.render import Screen
from vaultsync.config import DEFAULT, Config, Profile, check_name, load
from vaultsync.paths import Places, places

if TYPE_CHECKING:
    from vaultsync.daemon.client import Client


class Call:
    """What a command works with. Everything is found only when it is used.

    Attributes:
        profile_name: The profile that is meant.
        config_dir: The folder that everything is below, or None for the XDG folders.
        verbose: Show log lines, also the small ones.
        screen: Where to print.
    """

    def __init__(self) -> None:
        """A call without any option; the environment counts."""
        self.profile_name = os.environ.get("VAULTSYNC_PROFILE") or DEFAULT
        directory = os.environ.get("VAULTSYNC_CONFIG_DIR")
        self.config_dir = Path(directory) if directory else None
        self.verbose = False
        self.screen = Screen()

    @cached_property
    def places(self) -> Places:
        """Where the files of the profile are."""
        return places(check_name(self.profile_name), self.config_dir)

    @property
    def config(self) -> Config:
        """The configuration as it is now."""
        flags = {"log.level": "debug"} if self.verbose else {}
        return load(self.places.config_file, os.environ, flags)

    @property
    def profile(self) -> Profile:
        """The profile as it is now. Raises Misconfigured when there is none."""
        return self.config.profile(self.profile_name)

    @property
    def client(self) -> Client:
        """The daemon of the profile; nothing is connected yet."""
        from vaultsync.daemon.client import Client  # noqa: PLC0415 - not every command asks it

        return Client(self.places.socket)


def global_options(*, shown: bool) -> list[click.Parameter]:
    """The options that may stand before and after any command's name.

    Args:
        shown: Whether they are part of the help.
    """

    def option(names: list[str], help_text: str, **more: Any) -> click.Option:
        return click.Option(
            names, help=help_text, expose_value=False, hidden=not shown, callback=_keep, **more
        )

    return [
        option(["--profile"], "Which folder and vault.", metavar="NAME"),
        option(
            ["--config-dir"],
            "Keep configuration, state and socket below DIR.",
            metavar="DIR",
            type=click.Path(file_okay=False, path_type=Path),
        ),
        option(["--json"], "Print one JSON object.", is_flag=True),
        option(["-q", "--quiet"], "Print results and errors only.", is_flag=True),
        option(["-v", "--verbose"], "Show what is going on.", is_flag=True),
        option(["--no-color"], "Print without colours.", is_flag=True),
        option(["--no-input"], "Never ask anything.", is_flag=True),
    ]


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Note an option that was given; the last one counts."""
    name = parameter.name or ""
    if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
        return
    call: Call = context.obj
    if name == "profile":
        call.profile_name = check_name(value)
    elif name in ("config_dir", "verbose"):
        setattr(call, name, value)
    else:
        setattr(call.screen, {"no_color": "plain", "no_input": "silent"}.get(name, name), value)


class Verb(click.Command):
    """A command that takes the global options as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As click's, with more options."""
        super().__init__(*args, **kwargs)
        self.params += global_options(shown=False)

    def invoke(self, ctx: click.Context) -> Any:
        """Run, under the command's full name."""
        ctx.obj.screen.command = ctx.command_path.partition(" ")[2]
        return super().invoke(ctx)


class Family(click.Group):
    """Commands below one word, all of which take the global options."""

    command_class = Verb

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As click's, with more options."""
        super().__init__(*args, **kwargs)
        self.params += global_options(shown=False)
