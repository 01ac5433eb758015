"""The manual pages are those of the commands as they are, and read well."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from vaultsync.cli.main import root

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "man").glob("*"))


def names(above: click.Context) -> list[str]:
    """Names of pages for a command and all below it that are not hidden."""
    found = [above.command_path.replace(" ", "-") + ".1"]
    if isinstance(above.command, click.Group):
        for name in above.command.list_commands(above):
            command = above.command.get_command(above, name)
            assert command is not None
            if not command.hidden:
                found += names(click.Context(command, info_name=name, parent=above))
    return found


def test_each_command_has_a_page_and_each_page_a_command() -> None:
    assert [page.name for page in PAGES] == sorted(
        names(click.Context(root, info_name="vaultsync"))
    )


def test_the_pages_are_up_to_date() -> None:
    wanted = runpy.run_path(str(ROOT / "tools/man.py"))["pages"]()
    assert {page.name: page.read_text() for page in PAGES} == wanted, "run `make man`"


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_pages_are_typeset_without_a_warning() -> None:
    typeset = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", *map(str, PAGES)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert typeset.stderr == ""
    for page in PAGES:
        assert page.stem in typeset.stdout
