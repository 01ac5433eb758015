"""A device's folder: the memory side of the tests, and the hands that work in it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.fakes import MemorySide
from vaultsync.core import names
from vaultsync.core.model import Entry, Seen, Unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class MemoryFolder(MemorySide):
    """A folder in which people work at any moment, also during the side's own calls.

    Attributes:
        show: Called with a path and the bytes that have just come to be there.
    """

    show: Callable[[str, bytes], None]

    def entries(self, at: str = "", after: str = "") -> Iterator[Seen | Unseen]:
        """A walk that is overtaken by what happens behind and before it."""
        self.fault("entries", at)
        last = after
        while True:
            shown = self.tree()
            later = [
                path
                for path in shown
                if path > last
                and (not at or path in (at, at + "/") or path.startswith(at + "/"))
                and not names.is_control(path)
            ]
            if not later:
                return
            last = min(later)
            entry = self._directory(last) if last.endswith("/") else self._file(last)
            if entry is not None:
                yield Seen(last, entry)
            self.fault("entries after", last)

    def identify(self, path: str, entry: Entry, like: object = None) -> Entry:
        found = super().identify(path, entry)
        self.fault("identified", path)
        self._expect(path, entry)
        return found

    def apply(self, path: str, expected: Entry, mtime_ns: int | None, mode: int | None) -> Entry:
        self.mutations.append(("apply", path))
        return super().apply(path, expected, mtime_ns, mode)

    def delete(self, path: str, expected: Entry) -> None:
        """A directory that stands where the file was, or the reverse, is none of our business."""
        if not path.endswith("/") and path not in self.files:
            self.fault("delete", path)
            return
        super().delete(path, expected)

    def _put(self, path: str, data: bytes, mtime: int, mode: int, ops: tuple[str, ...]) -> None:
        super()._put(path, data, mtime, mode, ops)
        self.show(path, data)

    def set_aside(self, path: str, expected: Entry) -> str:
        kept = super().set_aside(path, expected)
        self.show(kept, self.files[kept].data)
        self.fault("after set_aside", path)
        return kept

    # What people do, and see

    def bins(self) -> set[bytes]:
        """Contents that can be had back from the trash."""
        return set(self.trash)

    def is_directory(self, path: str) -> bool:
        return path + "/" in self._all_directories()

    def is_free(self, path: str) -> bool:
        """Whether a new file can be put at a path."""
        above = names.parents(path)
        return not self.is_directory(path) and not any(up[:-1] in self.files for up in above)

    def save(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self._put(path, data, int(self.clock.time * 1e9), mode, ())

    def touch(self, path: str, mode: int | None = None) -> None:
        """Another mtime, or another mode."""
        old = self.files[path]
        self.save(path, old.data, old.mode if mode is None else mode)

    def drop(self, path: str) -> None:
        del self.files[path]

    def rename(self, old: str, new: str) -> None:
        """Move a file or, with all that is below, a directory (without their final `/`)."""
        if old in self.files:
            version = self.files.pop(old)
            self._count += 1
            self.files[new] = replace(version, tag=str(self._count))
            self.show(new, version.data)
        else:
            for path in sorted(self.files):
                if path.startswith(old + "/"):
                    target = new + path[len(old) :]
                    self.files[target] = self.files.pop(path)
                    self.show(target, self.files[target].data)
            for path in sorted(self.directories):
                if path.startswith(old + "/"):
                    self.directories.remove(path)
                    self.directories.add(new + path[len(old) :])
        self.directories.update(names.parents(new))

    def make_folder(self, path: str) -> None:
        self.make(path + "/")

    def remove_folder(self, path: str) -> None:
        """Remove an empty directory."""
        self.directories.discard(path + "/")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
