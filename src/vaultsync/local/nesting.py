"""The marker of a synced folder, and the rule that none lies inside another."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from vaultsync.core.errors import Fatal
from vaultsync.core.names import CONTROL
from vaultsync.local.faults import GONE

if TYPE_CHECKING:
    from pathlib import Path

    from vaultsync.local.files import Files

MARKER = "marker"
"""Name of the file in `.vaultsync` whose content binds a folder to its database."""
_MARKER_BYTES = 64


def read_marker(files: Files, control: int) -> str | None:
    """The marker in an open control folder, or None when there is none.

    Raises:
        OSError: When it cannot be read.
    """
    try:
        descriptor = files.open(control, MARKER)
    except OSError as fault:
        if fault.errno in GONE:
            return None
        raise
    try:
        text = files.read(descriptor, 0, _MARKER_BYTES).decode("ascii", "replace").strip()
    finally:
        files.close(descriptor)
    return text or None


def refuse_nesting(files: Files, path: Path, top: int) -> None:
    """Raise Fatal when a folder lies in another synced one, or holds one.

    Args:
        files: The port to the system.
        path: The folder.
        top: The same, open.
    """
    for above in path.resolve().parents:
        try:
            outer = files.top(above)
        except OSError:
            continue
        try:
            if _has_marker(files, outer):
                raise Fatal(
                    f"'{path}' lies inside the synced folder '{above}'.",
                    "Choose a folder outside of it.",
                )
        finally:
            files.close(outer)
    inner = _inner_root(files, top, "")
    if inner is not None:
        raise Fatal(
            f"'{path}' contains another synced folder, '{inner}'.",
            "Choose a folder that does not.",
        )


def _inner_root(files: Files, directory: int, path: str) -> str | None:
    for name in files.names(directory).directories:
        if name == CONTROL:
            continue
        with suppress(OSError):  # unreadable, or another file system: we shall not sync it either
            below = files.enter(directory, name)
            try:
                if _has_marker(files, below):
                    return path + name
                found = _inner_root(files, below, f"{path}{name}/")
                if found is not None:
                    return found
            finally:
                files.close(below)
    return None


def _has_marker(files: Files, directory: int) -> bool:
    try:
        control = files.enter(directory, CONTROL)
    except OSError:
        return False
    try:
        return read_marker(files, control) is not None
    except OSError:
        return False
    finally:
        files.close(control)
