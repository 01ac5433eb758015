"""docs/settings.md lists every setting; no text tells of a command that does not exist."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

import click
import pytest

from vaultsync import config
from vaultsync.cli.main import MODULES, root

ROOT = Path(__file__).parents[2]


def listed() -> dict[str, str]:
    """The settings of the page with their defaults."""
    lines = (ROOT / "docs/settings.md").read_text().splitlines()
    rows = [line.strip("|").split("|") for line in lines if re.match(r"\| `\w+\.\w+`", line)]
    return {row[0].strip(" `"): row[1].strip(" `") for row in rows}


def commands() -> set[str]:
    """Every command, the members of families by their full name."""
    found = set()
    context = click.Context(root)
    for name in MODULES:
        command = root.get_command(context, name)
        if isinstance(command, click.Group):
            found |= {f"{name} {member}" for member in command.list_commands(context)}
        else:
            found.add(name)
    return found


def settings() -> dict[str, object]:
    """Every setting with its default, MISSING when there is none that could be printed."""
    return {
        f"{table}.{item.name}": item.default
        for table, kind in config.TABLES.items()
        for item in fields(kind)
    }


def printed(default: object) -> str:
    """A default as the page shows it."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return "empty" if default in ("", ()) else str(default)


def test_every_setting_is_listed_with_its_default() -> None:
    assert listed().keys() == settings().keys()
    for name, default in settings().items():
        if default is not MISSING:
            assert listed()[name] == printed(default), name


def texts() -> list[Path]:
    """Everything that a user reads: documents, units, and what the program says."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("systemd/*"), *ROOT.glob("changelog.d/*")]
    return sorted([*found, *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.py")])


@pytest.mark.parametrize("text", texts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_users_are_told_of_exist(text: Path) -> None:
    known = commands() | {name.partition(" ")[0] for name in commands()}
    for first, second in re.findall(r"`vaultsync ([a-z]+)(?: ([a-z]+))?", text.read_text()):
        assert first in known, f"vaultsync {first}"
        family = any(name.startswith(first + " ") for name in known)
        assert not second or not family or f"{first} {second}" in known, f"{first} {second}"
