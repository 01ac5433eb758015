"""The command line as a whole: what is documented, what errors look like, what prompts do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from vaultsync.cli import exits
from vaultsync.cli.main import root
from vaultsync.cli.render import ago, amount, printable, until
from vaultsync.core import errors
from vaultsync.core.errors import SignIn, VaultsyncError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Program

PAGE = (Path(__file__).parents[2] / "docs" / "exit-codes.md").read_text()


def commands(group: click.Group, words: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{words} {name}")
        else:
            yield f"{words} {name}", command


COMMANDS = dict(commands(root, "vaultsync"))


def test_every_exit_code_is_documented_with_its_meaning() -> None:
    table = dict(re.findall(r"^\| (\d+) \| (.+) \|$", PAGE, re.MULTILINE))
    assert {int(code): meaning for code, meaning in table.items()} == exits.MEANING


def test_every_command_is_documented_and_nothing_else() -> None:
    documented = re.findall(r"^\| `(vaultsync[^`]*)` \|", PAGE, re.MULTILINE)
    assert sorted(documented) == sorted(["vaultsync", *COMMANDS])


def test_documented_codes_exist() -> None:
    rows = re.findall(r"^\| `vaultsync[^`]*` \|[^|]+\|(.*)\|$", PAGE, re.MULTILINE)
    found = {int(code) for row in rows for code in re.findall(r"\b\d+\b", row)}
    assert found <= exits.MEANING.keys()


def test_every_error_has_an_exit_code_that_is_documented() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, VaultsyncError)
    ]
    assert {exits.exit_code(kind("x")) for kind in kinds} <= exits.MEANING.keys()

    class Unconfirmed(SignIn):
        code = "unconfirmed"

    assert exits.exit_code(Unconfirmed("x")) == 4


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_help_and_the_global_options(words: str) -> None:
    command = COMMANDS[words]
    assert command.help
    assert command.help.splitlines()[0].endswith(".")
    options = {name for each in command.params for name in each.opts}
    assert {"--json", "--profile", "--config-dir", "--quiet", "--no-input"} <= options


@pytest.mark.parametrize("words", [["--help"], ["cloud", "--help"], ["status", "--help"]])
def test_help_is_printed(bare: Program, words: list[str]) -> None:
    said = bare(*words)
    assert said.code == 0
    assert said.out.startswith("Usage: vaultsync")


def test_version_both_ways(bare: Program) -> None:
    assert bare("--version").out == bare("version").out
    assert bare("version", "--json").json["result"]["version"] in bare("version").out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["stauts"], "Did you mean `vaultsync status`?"),
        (["xyzzy"], "See `vaultsync --help`."),
        (["status", "--nonsense"], "See `vaultsync status --help`."),
        (["cloud", "locl"], "See `vaultsync cloud --help`."),
        (["status", "--timeout", "soon"], "See `vaultsync status --help`."),
        (["why"], "See `vaultsync why --help`."),
    ],
)
def test_a_wrong_call_ends_with_2_and_says_what_to_try(
    bare: Program, words: list[str], hint: str
) -> None:
    said = bare(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Error: ")
    assert said.err.splitlines()[-1] == hint
    told = bare(*words, "--json")
    assert told.code == 2
    assert told.json["error"]["code"] == "usage"
    assert told.json["error"]["hint"] == hint


@pytest.mark.parametrize("command", ["status", "why x", "pause", "resume", "sync", "stop"])
def test_commands_for_the_daemon_end_with_3_without_one(program: Program, command: str) -> None:
    said = program(*command.split())
    assert (said.code, said.out) == (3, "")
    assert "vaultsync start" in said.err


@pytest.mark.parametrize(
    "command",
    ["status", "sync --once", "start", "daemon", "login", "whoami", "credentials"],
)
def test_commands_end_with_78_without_a_profile(bare: Program, command: str) -> None:
    said = bare(*command.split())
    assert said.code == 78
    assert "vaultsync init" in said.err


def test_a_broken_configuration_is_told_with_its_place(program: Program) -> None:
    file = program.home / "config.toml"
    file.write_text(file.read_text().replace("bucket =", "buckett ="))
    said = program("status")
    assert said.code == 78
    assert "line " in said.err
    assert "Did you mean 'bucket'?" in said.err


def test_the_environment_chooses_profile_and_folder(program: Program) -> None:
    said = program("status", VAULTSYNC_PROFILE="other")
    assert "'other'" in said.err
    said = program("status", VAULTSYNC_FOLDER_POLL_SECONDS="never")
    assert said.code == 78
    assert "VAULTSYNC_FOLDER_POLL_SECONDS" in said.err


def test_nobody_is_asked_in_a_pipe_or_with_no_input(program: Program) -> None:
    for said in (
        program("login", "ann@example.com"),
        program.on_terminal("login", "ann@example.com", "--no-input"),
    ):
        assert said.code == 2
        assert "--password-stdin" in said.out + said.err


def test_interrupting_a_prompt_ends_with_130(program: Program) -> None:
    said = program.on_terminal("login", answers=(("E-mail address", "\x03"),))
    assert said.code == 130
    assert "Traceback" not in said.out


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (3_400_000_000, "3.4 GB"), (10**16, "10.0 PB")],
)
def test_amounts(size: int, shown: str) -> None:
    assert amount(size) == shown


def test_moments() -> None:
    import time

    now = time.time()
    assert ago(None) == "not yet"
    assert ago(now - 12.1) == "12 s ago"
    assert ago(now - 7_300) == "2 h ago"
    assert ago(now + 50) == "0 s ago"
    assert until(now - 5) == "now"
    assert until(now + 90.2) in ("in 2 min", "in 1 min")


def test_printable_keeps_every_script_and_escapes_control() -> None:
    assert printable("grüße/日本 🎉 ё.txt") == "grüße/日本 🎉 ё.txt"
    assert printable("a\nb\x1b\u202e\u2028\udc80") == "a\\nb\\x1b\\u202e\\u2028\\udc80"
