"""How programs write files, call by call; every state is in the ledger before it can be seen."""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.campaign.ledger import EMPTY, digest
from tests.campaign.trees import look, see

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.campaign.ledger import Ledger


class Hands:
    """What one person can do in one folder.

    Args:
        ledger: Where it is written down first.
        who: The person.
        root: The folder.
    """

    def __init__(self, ledger: Ledger, who: str, root: Path) -> None:
        self.ledger = ledger
        self.who = who
        self.root = root

    def at(self, path: str) -> str:
        """Where a path of the folder is; people see that a directory is a link, and stop there."""
        parts = path.split("/")
        for end in range(1, len(parts)):
            above = f"{self.root}/{'/'.join(parts[:end])}"
            if os.path.islink(above):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), above)
        return f"{self.root}/{path}"

    def is_directory(self, path: str) -> bool:
        """A real one, not a link to one."""
        return os.path.isdir(self.at(path)) and not os.path.islink(self.at(path))

    def exists(self, path: str) -> bool:
        """Whether anything is there, a dangling link included."""
        return os.path.lexists(self.at(path))

    def read(self, path: str) -> str:
        """Look into a file; what is in it must be known. Returns its SHA-256."""
        seen = see(self.at(path))
        if seen is None or not seen.sha256:
            return ""
        if not self.ledger.knows(seen.sha256):
            self.ledger.broke("torn", path, f"{self.who} reads unknown content {seen.sha256}")
        return seen.sha256

    def create(self, path: str, data: bytes, *, pieces: int = 1, pause: float = 0.0) -> None:
        """Open a new file and write it, perhaps in pieces."""
        self._above(path)
        with self._saving(path, data, "creates"):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            self._write(path, os.open(self.at(path), flags, 0o644), b"", data, pieces, pause)

    def overwrite(self, path: str, data: bytes, *, pieces: int = 1, pause: float = 0.0) -> None:
        """Truncate a file and write it anew, as VS Code does."""
        descriptor = os.open(self.at(path), os.O_RDWR | os.O_NOFOLLOW)
        self._supersede(path, _content(descriptor, closing=True), "truncates and writes")
        with self._saving(path, data, "writes in place"):
            try:
                os.ftruncate(descriptor, 0)
            except OSError:
                os.close(descriptor)
                raise
            self._write(path, descriptor, b"", data, pieces, pause)

    def append(self, path: str, data: bytes) -> None:
        """Write at the end of a file, as logs are."""
        descriptor = os.open(self.at(path), os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
        before = _content(descriptor, closing=True)
        self._supersede(path, before, "appends")
        with self._saving(path, before + data, "appends"):
            self._write(path, descriptor, before, data, 1, 0.0)

    def patch(self, path: str, where: float, data: bytes) -> None:
        """Write over some of a file, at a part of its length from 0 to 1, and perhaps beyond."""
        descriptor = os.open(self.at(path), os.O_RDWR | os.O_NOFOLLOW)
        try:
            before = _content(descriptor)
            at = int(where * len(before))
            self._supersede(path, before, "patches")
            with self._saving(path, before[:at] + data + before[at + len(data) :], "patches"):
                os.pwrite(descriptor, data, at)
        finally:
            os.close(descriptor)

    def copy(self, old: str, new: str) -> None:
        """Have the system copy a file to a new name."""
        self._above(new)
        source = os.open(self.at(old), os.O_RDONLY | os.O_NOFOLLOW)
        try:
            data = _content(source)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            target = os.open(self.at(new), flags, 0o644)
            try:
                with self._saving(new, data, f"copies {old!r} to"):
                    done = 0
                    while done < len(data):
                        step = min(len(data) - done, 100_000)
                        self.ledger.passing(self.who, new, data[: done + step])
                        count = os.copy_file_range(source, target, step, done, done)
                        if not count:
                            break
                        done += count
                        if count < step:
                            self.ledger.passing(self.who, new, data[:done])
            finally:
                os.close(target)
        finally:
            os.close(source)

    def truncate(self, path: str) -> None:
        """Cut a file in half."""
        with open(self.at(path), "r+b") as file:
            before = _content(file.fileno())
            self._supersede(path, before, "cuts in half")
            with self._saving(path, before[: len(before) // 2], "cuts in half"):
                os.ftruncate(file.fileno(), len(before) // 2)

    def replace(self, path: str, data: bytes, *, aside: str, pieces: int = 1) -> None:
        """Write a file beside and rename it over, as most programs save; `aside` is its name."""
        self._above(path)
        with self._saving(path, data, "saves by rename"):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            try:
                self._write(aside, os.open(self.at(aside), flags, 0o644), b"", data, pieces, 0.02)
                self._supersede_at(path, "renames over")
                os.rename(self.at(aside), self.at(path))
            except OSError:
                if self.exists(aside):
                    os.unlink(self.at(aside))
                raise

    def move(self, old: str, new: str) -> None:
        """Rename a file or a directory, perhaps over a file."""
        self._above(new)
        self.ledger.note(self.who, f"moves to {new!r}", old, self.read(old))
        self._supersede_at(new, f"moves {old!r} over")
        os.rename(self.at(old), self.at(new))

    def remove(self, path: str) -> None:
        """Delete a file."""
        self._supersede_at(path, "deletes")
        os.unlink(self.at(path))

    def remove_tree(self, path: str) -> None:
        """Delete a directory with all that is in it."""
        self.ledger.note(self.who, "removes the tree", path)
        found = look(self.root, path)
        for below in sorted(found, reverse=True):
            if found[below].kind == "dir":
                os.rmdir(self.at(below))
            else:
                self.remove(below)
        os.rmdir(self.at(path))

    def make_directory(self, path: str) -> None:
        """Make a directory."""
        self.ledger.note(self.who, "makes the directory", path)
        os.makedirs(self.at(path), exist_ok=True)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        self._above(path)
        self.ledger.passing(self.who, path, target.encode())
        self.ledger.note(self.who, f"links to {target!r}", path)
        os.symlink(target, self.at(path))

    def chmod(self, path: str, mode: int) -> None:
        """Change the mode."""
        self.ledger.note(self.who, f"chmod {mode:o}", path)
        os.chmod(self.at(path), mode, follow_symlinks=True)

    def _above(self, path: str) -> None:
        os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)

    def _supersede_at(self, path: str, how: str) -> None:
        sha256 = self.read(path)
        if sha256:
            self.ledger.superseded(self.who, path, sha256, how)

    def _supersede(self, path: str, before: bytes, how: str) -> None:
        sha256 = digest(before)
        if not self.ledger.knows(sha256):
            self.ledger.broke("torn", path, f"{self.who} found unknown content {sha256}")
        if sha256 != EMPTY:
            self.ledger.superseded(self.who, path, sha256, how)

    @contextmanager
    def _saving(self, path: str, data: bytes, how: str) -> Iterator[None]:
        """Note a version before it is there; take it back when the system refuses it."""
        sha256 = self.ledger.saved(self.who, path, data, how)
        try:
            yield
        except OSError as error:
            self.ledger.withdrawn(self.who, path, sha256, error.strerror or str(error))
            raise

    def _write(
        self, path: str, descriptor: int, before: bytes, data: bytes, pieces: int, pause: float
    ) -> None:
        """Write `data` behind `before` and close; what is there after each call is noted first."""
        step = max(1, -(-len(data) // pieces))
        try:
            done = 0
            while done < len(data):
                self.ledger.passing(self.who, path, before + data[: done + step])
                wrote = os.write(descriptor, data[done : done + step])
                done += wrote
                if wrote < step:
                    self.ledger.passing(self.who, path, before + data[:done])
                if pause:
                    time.sleep(pause)
        finally:
            os.close(descriptor)


def _content(descriptor: int, *, closing: bool = False) -> bytes:
    """All of an open file, which may be closed when it cannot be read."""
    size, data = os.fstat(descriptor).st_size, b""
    try:
        while len(data) < size and (piece := os.pread(descriptor, size - len(data), len(data))):
            data += piece
    except OSError:
        if closing:
            os.close(descriptor)
        raise
    return data
