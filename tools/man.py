"""Writes the manual pages, `vaultsync(1)` and one for each command, from the commands themselves.

`tools/man.py` writes them to `man/`, `tools/man.py --check` only tells whether they are up to date.
They hold no date, so that the same commands give the same pages.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vaultsync import __version__
from vaultsync.cli import exits
from vaultsync.cli.main import FAMILIES, root

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parents[1]
PAGES = HERE / "man"
CODES = HERE / "docs/exit-codes.md"
NAME = "vaultsync"

ENVIRONMENT = (
    ("VAULTSYNC_PROFILE", "The profile, as `--profile`."),
    ("VAULTSYNC_CONFIG_DIR", "Where everything is kept, as `--config-dir`."),
    ("VAULTSYNC_TABLE_KEY", "A setting: `VAULTSYNC_FOLDER_PATH` is `folder.path`."),
    ("XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR", "See FILES."),
    ("AWS_ENDPOINT_URL, AWS_CA_BUNDLE, HTTPS_PROXY", "Honoured as by other AWS programs."),
    ("NO_COLOR", "No colours, as `--no-color`."),
)
FILES = (
    ("$XDG_CONFIG_HOME/vaultsync/config.toml", "The settings, one table per profile."),
    ("$XDG_STATE_HOME/vaultsync/PROFILE/", "The state database, the sign-in, the log."),
    ("$XDG_RUNTIME_DIR/vaultsync/PROFILE.sock", "Where the daemon listens."),
    (".vaultsync/", "In the folder: its marker, what is on its way in, and the trash."),
    (".vaultsyncignore", "In the folder: what to leave alone, in the syntax of `gitignore`(5)."),
)
EXAMPLES = (
    ("Try it on this machine alone:", "vaultsync demo"),
    ("Make a backend in an AWS account, and bind a folder to it:", "vaultsync cloud deploy"),
    ("", "vaultsync init --stack vaultsync --folder ~/Vault"),
    ("Use the backend of an Amplify application:", "vaultsync init --from amplify_outputs.json"),
    ("Wait until everything is in sync:", "vaultsync status --wait --timeout 60"),
)


def pages() -> dict[str, str]:
    """Every page by the name of its file."""
    program = click.Context(root, info_name=NAME)
    written = {f"{NAME}.1": _page(program)}
    for context in _below(program):
        written[f"{context.command_path.replace(' ', '-')}.1"] = _page(context)
    return written


def _below(above: click.Context) -> Iterator[click.Context]:
    """The commands below one, each followed by its own; hidden ones are left out."""
    group = above.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(above):
        command = group.get_command(above, name)
        if command is not None and not command.hidden:
            context = click.Context(command, info_name=name, parent=above)
            yield context
            yield from _below(context)


def _page(context: click.Context) -> str:
    """One page: `man-pages(7)` gives the order of its sections."""
    command, path = context.command, context.command_path
    text = _description(command)
    name = path.replace(" ", "-")
    lines = [
        f'.TH {_roff(name.upper())} 1 "" "{NAME} {__version__}" "User Commands"',
        ".SH NAME",
        rf"{_roff(name)} \- {_roff(_summary(text))}",
        ".SH SYNOPSIS",
        rf"\fB{_roff(path)}\fP {_roff(' '.join(command.collect_usage_pieces(context)))}",
        ".SH DESCRIPTION",
        *_paragraphs(text),
    ]
    if context.parent is None:
        lines += [*_families(context), *_options(context), *_codes(), *_surroundings()]
        others = ["credentials", "demo", "init", "status"]
        also = [f"{NAME}-{other}" for other in others]
    else:
        members = list(_below(context))
        if members:
            lines += [".SH COMMANDS", *_listed(members)]
        lines += [*_options(context), *_adds(path)]
        also = [NAME, *(member.command_path.replace(" ", "-") for member in members)]
    lines += [".SH SEE ALSO", ",\n".join(rf"\fB{_roff(each)}\fP(1)" for each in sorted(also))]
    return "\n".join(lines) + "\n"


def _description(command: click.Command) -> str:
    """What a command says of itself; the program's own words stand at its callback."""
    text = command.help or (command.callback and command.callback.__doc__) or ""
    return "\n".join(line.strip() for line in text.strip().splitlines())


def _summary(text: str) -> str:
    """The beginning of a description: one clause, in one line."""
    return " ".join(re.split(r"[.;](?:\s|$)", text, maxsplit=1)[0].split())


def _families(context: click.Context) -> Iterator[str]:
    found = {each.info_name: each for each in _below(context) if each.parent is context}
    yield ".SH COMMANDS"
    for family, names in FAMILIES.items():
        yield f".SS {_roff(family)}"
        yield from _listed([found[name] for name in names])


def _listed(contexts: list[click.Context]) -> Iterator[str]:
    for each in contexts:
        name = each.command_path.replace(" ", "-")
        told = _roff(_summary(_description(each.command)))
        yield from (".TP", rf"\fB{_roff(name)}\fP(1)", f"{told}.")


def _options(context: click.Context) -> Iterator[str]:
    records = [each.get_help_record(context) for each in context.command.get_params(context)]
    yield ".SH OPTIONS"
    for record in records:
        if record is not None:
            yield from (".TP", rf"\fB{_roff(record[0])}\fP", _roff(record[1]))
    if context.parent is not None:
        yield from (".PP", rf"The options of \fB{NAME}\fP(1) may stand here as well.")


def _codes() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for code, meaning in exits.MEANING.items():
        yield from (".TP", rf"\fB{code}\fP", f"{_roff(meaning[0].upper() + meaning[1:])}.")


def _adds(path: str) -> Iterator[str]:
    """The codes of one command, from the table in the documents."""
    found = re.search(rf"^\| `{path}` \|[^|]*\|([^|]*)\|$", CODES.read_text(), re.MULTILINE)
    more = found[1].strip() if found else ""
    yield ".SH EXIT STATUS"
    yield f"0, 1, 2, 78, 130{', and ' if more else ''}{_roff(more)}."
    yield rf"\fB{NAME}\fP(1) tells what they mean."


def _surroundings() -> Iterator[str]:
    for title, rows in (("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        yield f".SH {title}"
        for name, meaning in rows:
            yield from (".TP", rf"\fB{_roff(name)}\fP", _roff(meaning))
    yield ".SH EXAMPLES"
    for words, line in EXAMPLES:
        if words:
            yield from (".PP", _roff(words))
        yield from (".PP", ".RS 4", rf"\fB{_roff(line)}\fP", ".RE")


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text)):
        if number:
            yield ".PP"
        yield _roff(paragraph)


def _roff(text: str) -> str:
    r"""Text as roff prints it: `words between backquotes` in bold, no line read as a request."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    text = text.replace("~", r"\(ti").replace("^", r"\(ha").replace("'", r"\(aq")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fP", text)
    return re.sub(r"^\.", r"\\&.", text, flags=re.MULTILINE)


def main(check: bool) -> int:
    """Write the pages, or with `check` only compare; 1 when they were out of date."""
    wanted = pages()
    found = {file.name: file.read_text() for file in PAGES.glob("*")}
    if check:
        stale = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
        for name in stale:
            print(f"man/{name} is out of date: run `make man`.", file=sys.stderr)
        return int(bool(stale))
    PAGES.mkdir(exist_ok=True)
    for name in found.keys() - wanted.keys():
        (PAGES / name).unlink()
    for name, text in wanted.items():
        (PAGES / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
