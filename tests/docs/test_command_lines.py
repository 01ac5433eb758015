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
ASSIGNMENT = re.compile(r"\w+=.*")


def documents() -> list[Path]:
    """Everything that is written for people."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def command_lines() -> list[tuple[str, str]]:
    """Each line of a code block that is typed in, with its document."""
    found = []
    for document in documents():
        name = str(document.relative_to(ROOT))
        for language, block in FENCED.findall(document.read_text()):
            if language == "console":  # lines without a prompt are output
                found += [(name, line[2:]) for line in block.splitlines() if line[:2] == "$ "]
            elif language in SHELL:
                found += [(name, line) for line in block.splitlines() if line]
    return found


def calls(line: str) -> list[list[str]]:
    """The programs that a line runs, each with its words; redirections are left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    redirected = False
    for word in lexer:
        if set(word) <= set(";|&"):
            found.append([])
            redirected = False
        elif set(word) <= set("<>"):
            redirected = True
        elif not redirected and (found[-1] or not ASSIGNMENT.fullmatch(word)):
            found[-1].append(word)
    return [words for words in found if words]


def check(line: str) -> int:
    """How many of our programs a line runs; raises when one would refuse its words."""
    count = 0
    for program, *words in calls(line):
        if program in SCRIPTS:
            assert (ROOT / program).stat().st_mode & 0o100
        elif Path(program).name == "vaultsync":
            parse(words)
        else:
            continue
        count += 1
    return count


def parse(words: list[str]) -> None:
    """Find the command that is meant and check its words."""
    command: click.Command = root
    words = without_options(command, words)
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


@pytest.mark.parametrize(("document", "line"), sorted(set(command_lines())))
def test_a_command_line_is_one_that_exists(document: str, line: str) -> None:
    check(line)


def test_command_lines_are_found() -> None:
    assert sum(check(line) for name, line in command_lines() if name == "README.md") > 20
    assert calls("A=1 vaultsync stop; vaultsync start && x > y & # z") == [
        ["vaultsync", "stop"],
        ["vaultsync", "start"],
        ["x"],
    ]


@pytest.mark.parametrize(
    "line",
    [
        "vaultsync stauts",
        "vaultsync status --wiat",
        "vaultsync stop extra",
        "vaultsync cloud lokal",
        "vaultsync login --store pocket",
        "vaultsync why",
    ],
)
def test_a_wrong_one_would_be_noticed(line: str) -> None:
    with pytest.raises((click.UsageError, AssertionError)):
        check(line)
