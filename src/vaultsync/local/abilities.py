"""What the machine and the folder's file system can do, found out by trying."""

from __future__ import annotations

import secrets
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from vaultsync.core.errors import MachineRefused
from vaultsync.core.lookalikes import same_to_some
from vaultsync.local.faults import UNSUPPORTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.local.files import Files


_MARK = "-a\u00e9"
_LIKE_MARK = ("-A\u00e9", "-ae\u0301")
"""The same in another case, and with the accent written apart."""


class Abilities(NamedTuple):
    """What the file system of the folder can do."""

    noreplace: bool
    exchange: bool
    link: bool
    folds: bool = False
    """Names that differ only in case, or in the form of an accent, are one name to it."""


def move(files: Files, abilities: Abilities, source: int, name: str, target: int, new: str) -> None:
    """Bring a control file into view, never replacing; by a hard link where no flag does it.

    The source must be ours (in `.vaultsync`): between link and unlink somebody could put another
    file under a visible name, and the unlink would destroy it.

    Raises:
        OSError: EEXIST when the name is taken.
    """
    if abilities.noreplace:
        files.move(source, name, target, new)
        return
    files.link(source, name, target, new)
    files.unlink(source, name)


def probe(files: Files, control: int) -> Abilities:
    """Try out, on files made for it, what the file system can do."""
    stem = f"probe-{secrets.token_hex(8)}"
    one, two, three = (f"{stem}-{number}" for number in range(3))
    four = stem + _MARK
    try:
        for name in (one, two):
            files.close(files.create(control, name))
        noreplace = _works(lambda: files.move(control, one, control, three))
        if noreplace:
            files.move(control, three, control, one)
        exchange = _works(lambda: files.exchange(control, one, control, two))
        link = _works(lambda: files.link(control, one, control, three))
        files.close(files.create(control, four))
        folds = any(_is_there(files, control, f"{stem}{other}") for other in _LIKE_MARK)
    finally:
        for name in (one, two, three, four):
            with suppress(FileNotFoundError):
                files.unlink(control, name)
    return Abilities(noreplace, exchange, link, folds)


def _is_there(files: Files, directory: int, name: str) -> bool:
    try:
        files.stat(directory, name)
    except FileNotFoundError:
        return False
    return True


def _works(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except OSError as fault:
        if fault.errno in UNSUPPORTED:
            return False
        raise
    return True


def other_name(files: Files, directory: int, name: str) -> str | None:
    """The name of what the file system shows under `name`, when it is not that very name.

    Raises:
        OSError: When the directory cannot be read.
    """
    if not _is_there(files, directory, name):
        return None
    listed = files.names(directory)
    held = {*listed.directories, *listed.others}
    return None if name in held else same_to_some(sorted(held), name) or name


def refuse_odd_locale() -> None:
    """Raise MachineRefused when Python would not keep the bytes of names."""
    if sys.getfilesystemencoding().lower() not in ("utf-8", "utf8"):
        raise MachineRefused(
            "The locale's encoding is not UTF-8, so names of files could not be kept exactly.",
            "Start vaultsync with LC_ALL=C.UTF-8.",
        )
