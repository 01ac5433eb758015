"""Command lines in the documents' code blocks are ones that the program takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from vaultsync.cli.main import root

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = ("sh", "bash", "console")
SCRIPTS = ("./demo", "./test")
BEGINNING = re.compile(r"^(?:\$ )?((?:\w+=\S* )*(?:\S*/)?vaultsync(?: |$).*|\./(?:demo|test)\b.*)$")
"""A line of a session that runs one of our programs, without its prompt."""


def documents() -> list[Path]:
    """Everything that is written for people."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def command_lines() -> list[tuple[str, str]]:
    """Each command line with the document that shows it."""
    found = []
    for document in documents():
        for language, block in FENCED.findall(document.read_text()):
            for line in block.splitlines() if language in SHELL else ():
                match = BEGINNING.match(line)
                # In a session every line without a prompt is output.
                if match and (language != "console" or line.startswith("$ ")):
                    found.append((str(document.relative_to(ROOT)), match[1]))
    return found


def parse(line: str) -> None:
    """Find the command of a line and check its words; raises when the program would refuse them."""
    words = shlex.split(line, comments=True)
    begin = next(i for i, word in enumerate(words) if word.endswith("vaultsync")) + 1
    end = next((i for i, word in enumerate(words) if word in ("&", "|", ">", ">>", ";")), None)
    command: click.Command = root
    words = without_options(command, words[begin:end])
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"there is no command '{words[0]}'"
        command, words = found, without_options(found, words[1:])


def without_options(command: click.Command, words: list[str]) -> list[str]:
    """The words that are no options of a command; files that options name need not exist."""
    context = click.Context(command)
    known = command.get_params(context)
    options = click.Command("options", params=[p for p in known if isinstance(p, click.Option)])
    given, rest, _ = options.make_parser(context).parse_args(list(words))
    for option in options.params:
        if isinstance(option.type, click.Choice) and option.name in given:
            option.type.convert(given[option.name], option, context)
    if not isinstance(command, click.Group):
        arguments = [p for p in known if isinstance(p, click.Argument)]
        least = sum(argument.required for argument in arguments)
        most = sum(argument.nargs if argument.nargs > 0 else len(rest) for argument in arguments)
        assert least <= len(rest) <= most, f"{rest} for {command.name}"
    return rest


def test_there_are_command_lines_to_check() -> None:
    assert sum(document == "README.md" for document, _ in command_lines()) > 10


@pytest.mark.parametrize(("document", "line"), sorted(set(command_lines())))
def test_a_command_line_is_one_that_exists(document: str, line: str) -> None:
    if line.startswith(SCRIPTS):
        script = ROOT / line.split(maxsplit=1)[0]
        assert script.is_file(), document
        assert script.stat().st_mode & 0o100, document
        return
    parse(line)


@pytest.mark.parametrize(
    "line",
    [
        "vaultsync stauts",
        "vaultsync status --wiat",
        "vaultsync status extra",
        "vaultsync cloud lokal",
        "vaultsync login --store pocket",
        "vaultsync why",
    ],
)
def test_a_wrong_one_would_be_noticed(line: str) -> None:
    with pytest.raises((click.UsageError, AssertionError)):
        parse(line)
