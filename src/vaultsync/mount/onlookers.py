"""Programs that only look into files, to show or to index them: they are not read ahead for.

Who browses a folder does not want to have it downloaded; a thumbnailer or an indexer that opens
each file in it gets the ranges that it asks for, and no more.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

USUAL = (
    "baloo_file*",
    "evince-thumbnailer",
    "ffmpegthumbnailer",
    "gdk-pixbuf-thumbnailer",
    "gnome-thumbnail*",
    "gst-thumbnail*",
    "gvfsd-*",
    "localsearch*",
    "locate",
    "plocate*",
    "recollindex",
    "thumbnail.so",
    "totem-video-thumbnailer",
    "tracker-*",
    "tumblerd",
    "updatedb*",
)
"""Thumbnailers and indexers of the usual desktops."""

_COMM = 15
"""Bytes of a process's name that the kernel keeps (TASK_COMM_LEN, less its NUL)."""


class Onlookers:
    """Tells them by the names of their processes.

    Args:
        names: On top of `USUAL`, as in /proc/PID/comm, or longer: the kernel keeps the first 15
            bytes of each; `*` and `?` stand for any letters and any one. A name with `!` before it
            is taken off.
        proc: Where the kernel tells of processes.
    """

    def __init__(self, names: Iterable[str], proc: Path = Path("/proc")) -> None:
        given = list(names)
        meant = {*USUAL, *(name for name in given if not name.startswith("!"))}
        meant -= {name[1:] for name in given if name.startswith("!")}
        self._names = {name.encode()[:_COMM].decode(errors="ignore") for name in meant}
        self._patterns = [name for name in meant if "*" in name or "?" in name]
        self._proc = proc

    def __call__(self, pid: int) -> bool:
        """Whether a thread is one of such a program; False when it is not known."""
        if pid <= 0 or not self._names:
            return False
        if self._named(self._comm(pid)):
            return True
        # Threads of a pool have names of their own.
        process = self._process(pid)
        return process != pid and self._named(self._comm(process))

    def _named(self, comm: str) -> bool:
        return comm in self._names or any(fnmatchcase(comm, one) for one in self._patterns)

    def _comm(self, pid: int) -> str:
        try:
            told = (self._proc / str(pid) / "comm").read_bytes()
        except OSError:
            return ""
        return told.rstrip(b"\n").decode(errors="ignore")

    def _process(self, pid: int) -> int:
        """The process that a thread belongs to."""
        try:
            status = (self._proc / str(pid) / "status").read_bytes()
        except OSError:
            return pid
        _, found, rest = status.partition(b"\nTgid:")
        return int(rest.split(None, 1)[0]) if found else pid
