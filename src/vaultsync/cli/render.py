"""How results, tables, notes and errors look: for a person, in a pipe, as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
import unicodedata
from typing import TYPE_CHECKING

import click

from vaultsync.core.errors import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vaultsync.core.errors import VaultsyncError

SCHEMA = 1
"""Version of the JSON envelope."""


class Screen:
    """Standard output for data, standard error for everything else.

    Attributes:
        json: Print one envelope instead of text.
        quiet: Leave out notes.
        plain: No colours, whatever the terminal can do.
        silent: Never prompt.
        command: The command's name in the envelope.
    """

    def __init__(self) -> None:
        """A screen with nothing on it yet."""
        self.json = False
        self.quiet = False
        self.plain = bool(os.environ.get("NO_COLOR"))
        self.silent = False
        self.command = ""
        self._warnings: list[str] = []

    def result(self, value: object, lines: Iterable[str] = ()) -> None:
        """Print what the command was asked for.

        Args:
            value: JSON-ready, for `--json`.
            lines: The same for a person.
        """
        if self.json:
            self._envelope({"ok": True, "result": value, "warnings": self._warnings})
            return
        for line in lines:
            click.echo(line, color=self._colour(sys.stdout))

    def result_line(self, line: str) -> None:
        """Print a part of the result as soon as it is there; `result` has it all with `--json`."""
        if not self.json:
            click.echo(printable(line))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows: aligned under a head on a terminal, else separated by tabs without one."""
        if not rows:
            return
        if not sys.stdout.isatty():
            for row in rows:
                click.echo("\t".join(printable(cell) for cell in row))
            return
        from rich.console import Console  # noqa: PLC0415 - too slow for commands that print no table
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        shown = Table(box=None, pad_edge=False, header_style="bold")
        for title in head:
            shown.add_column(title, overflow="fold")
        for row in rows:
            shown.add_row(*(Text(printable(cell)) for cell in row))
        Console(no_color=self.plain, highlight=False).print(shown)

    def note(self, text: str) -> None:
        """Tell a person what is going on."""
        if not (self.quiet or self.json):
            click.echo(text, err=True, color=self._colour(sys.stderr))

    def warn(self, text: str) -> None:
        """Tell of something that is not right, although the command goes on."""
        self._warnings.append(text)
        if not self.json:
            label = click.style("Warning:", fg="yellow")
            click.echo(f"{label} {text}", err=True, color=self._colour(sys.stderr))

    def failure(self, error: VaultsyncError) -> None:
        """Say what happened, and on the next line what to try."""
        message = error.message[:1].upper() + error.message[1:]
        message += "" if message.endswith((".", "!", "?")) else "."
        if self.json:
            told = {"code": error.code, "message": message, "hint": error.hint}
            self._envelope({"ok": False, "error": told, "warnings": self._warnings})
            return
        colour = self._colour(sys.stderr)
        click.echo(
            f"{click.style('Error:', fg='red')} {printable(message)}", err=True, color=colour
        )
        if error.hint:
            click.echo(printable(error.hint), err=True, color=colour)

    def ask(self, question: str, instead: str, *, hidden: bool = False, twice: bool = False) -> str:
        """Ask a person; Usage when nobody can be asked.

        Args:
            question: What to ask.
            instead: The flag that answers it without a prompt.
            hidden: Do not show what is typed.
            twice: Have it typed again, to be sure.
        """
        self._can_ask(f"{question} is needed.", instead)
        return str(
            click.prompt(question, hide_input=hidden, confirmation_prompt=twice, err=True)
        ).strip()

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only with a person's consent; click.Abort without it, Usage when nobody is there.

        Args:
            question: What is going to happen, as a question.
            yes: Consent was given by `--yes`.
        """
        if yes:
            return
        self._can_ask(f"{question} Nobody is there to answer.", "--yes")
        click.confirm(question, abort=True, err=True)

    def _can_ask(self, problem: str, instead: str) -> None:
        if self.silent or not sys.stdin.isatty():
            raise Usage(problem, f"Give {instead}.")

    def _envelope(self, fields: dict[str, object]) -> None:
        head: dict[str, object] = {"schema": SCHEMA, "ok": fields["ok"], "command": self.command}
        # ASCII, so that any file name is a line of valid JSON wherever it is written.
        click.echo(json.dumps(head | fields))

    def _colour(self, stream: object) -> bool | None:
        """False: never; None: click looks at the terminal itself."""
        return False if self.plain or stream is None else None


def printable(text: str) -> str:
    """The text without anything that could steer a terminal: such characters become escapes."""
    if text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape", "surrogatepass").decode()
        if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        else letter
        for letter in text
    )


def amount(size: int) -> str:
    """Bytes for a person: `950 B`, `3.4 GB` (powers of 1,000)."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.95:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} PB"


def ago(moment: float | None) -> str:
    """A moment in the past for a person: `12 s ago`."""
    return "not yet" if moment is None else f"{_span(max(0.0, time.time() - moment))} ago"


def until(moment: float) -> str:
    """A moment to come for a person: `in 12 s`, or `now`."""
    seconds = moment - time.time()
    return "now" if seconds < 1 else f"in {_span(seconds)}"


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
