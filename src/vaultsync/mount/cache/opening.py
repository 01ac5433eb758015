"""What the cache does at its start: files and rows are made to agree again."""

from __future__ import annotations

import logging
import os
import shutil
import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from vaultsync.mount.cache.files import Files
    from vaultsync.state.drive import DriveStore
    from vaultsync.state.extents import ExtentStore

_log = logging.getLogger(__name__)


_BATCH = 500
"""Rows that are changed in one transaction: others want to write, too."""


class Found(NamedTuple):
    """What the cache found at its start.

    Attributes:
        losses: The nodes whose dirty content is lost.
        boot: Which boot of the machine this is; empty when that cannot be told.
    """

    losses: list[int]
    boot: str


def clear(store: DriveStore, rows: ExtentStore, files: Files, boot_id: Path) -> Found:
    """Remove files that no row speaks of, and rows' claims that no file bears out.

    Of files, only their being there is looked at; what is in them is checked when they are opened.
    Nobody else uses the drive's rows yet.

    Args:
        store: The drive's rows.
        rows: Those that say what is here.
        files: The cache folder; its use of the disk is counted.
        boot_id: The kernel's file that tells one boot of the machine from another.
    """
    losses: list[int] = []
    gone: list[int] = []
    with store.lock:
        held = {one.id: one for one in rows.all_held()}
        # Extents are claims for one boot only: `hydration` says why.
        boot = _boot(boot_id)
        same = bool(boot) and rows.boot() == boot
    there = _files(files, {id_ for id_, one in held.items() if same or one.here == 2})
    for one in held.values():
        if one.id in there or (one.here == 2 and one.size == 0):
            continue
        if one.dirty or one.o_etag is None:
            _log.error("The content of node %d is lost: its file is not there.", one.id)
            losses.append(one.id)
        else:
            gone.append(one.id)
    for start in range(0, len(gone), _BATCH):
        with store.transaction():
            for node in gone[start : start + _BATCH]:
                rows.nothing(node)
    # In the end: until then, whoever starts anew has to find the same. And only then: a full disk
    # must not keep a drive closed to which nothing has happened.
    if not same:
        with store.transaction():
            rows.set_boot(boot)
    return Found(losses, boot)


def _files(files: Files, wanted: set[int]) -> set[int]:
    """The wanted ones that are there; all others are removed."""
    there: set[int] = set()
    for node, path, status in files.all():
        if node in wanted and stat.S_ISREG(status.st_mode):
            there.add(node)
            files.used += status.st_blocks * 512
            continue
        try:
            if stat.S_ISDIR(status.st_mode):
                shutil.rmtree(path)
            else:
                os.unlink(path)  # noqa: PTH108 - text, as it came
        except OSError as error:
            _log.warning("'%s' in the cache could not be removed: %s", path, error.strerror)
            files.used += status.st_blocks * 512
    return there


def _boot(file: Path) -> str:
    """Which boot this is; empty when that cannot be told, and never the same as another then."""
    try:
        return file.read_text("ascii").strip()
    except OSError:
        return ""
