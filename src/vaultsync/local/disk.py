"""The folder as a `core.ports.Side`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, Stale
from vaultsync.core.model import Entry, Kind
from vaultsync.core.names import conflict_digest, conflict_name, original_name, parent
from vaultsync.local.bin import Bin
from vaultsync.local.content import (
    Borrowed,
    FileContent,
    LinkContent,
    digest_of,
    is_version,
    link_entry,
)
from vaultsync.local.faults import translate, translated
from vaultsync.local.files import SystemFiles
from vaultsync.local.folder import Folder, ParentMissing, Place, taken
from vaultsync.local.identity import Match, compare
from vaultsync.local.recovery import Recovery
from vaultsync.local.room import Room, kept_free
from vaultsync.local.scan import Scan, directory_entry, leaf_entry
from vaultsync.local.snapshot import Snapshots
from vaultsync.local.swap import Swap
from vaultsync.local.trash import Trash

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from vaultsync.core.model import Seen, Unseen
    from vaultsync.core.ports import Clock, Content, Staged
    from vaultsync.local.files import Files, Node
    from vaultsync.local.staged import LocalCommitted, LocalStaged


class Disk:
    """A folder on a local file system.

    Args:
        root: The folder.
        device: This device's name, for conflict copies.
        clock: For the times in names; it decides nothing.
        ignored: Whether to leave a path alone; directories end with `/`.
        marker: What `bind` returned at the first start; None before that.
        files: The port to the system.
        kept_free: Bytes of the disk that stay free whatever arrives, from its size.

    Attributes:
        bin: The trash, as people and time see it.
    """

    def __init__(
        self,
        root: Path,
        device: str,
        clock: Clock,
        ignored: Callable[[str], bool],
        marker: str | None = None,
        files: Files | None = None,
        kept_free: Callable[[int], int] = kept_free,
    ) -> None:
        self._files = files or SystemFiles()
        self._folder = Folder(root, self._files, marker)
        self._device = device
        self._clock = clock
        self._ignored = ignored
        self._trash = Trash(self._folder, clock)
        room = Room(self._files, kept_free)
        self._swap = Swap(self._folder, self._trash, device, clock, room)
        self._recovery = Recovery(self._folder, self._trash, self._swap)
        self.bin = Bin(self._folder, self._trash, self._swap, clock)
        self._snapshots = Snapshots(self._folder, room)

    def bind(self) -> str:
        """Make the folder usable and return its marker, to be kept and given to the constructor.

        A marker that is there already is kept.

        Raises:
            Fatal: When the folder is missing, none, not writable, lies in or above another synced
                one, or its file system cannot rename without overwriting.
        """
        return self._folder.bind()

    def check(self) -> None:
        """Raise Fatal unless the root is there, is the bound one, and can be written to."""
        self._folder.check()

    def clear_staging(self, keep: Collection[str] = ()) -> None:
        """Remove what earlier runs left in staging; call before any transfer begins.

        Args:
            keep: Operation ids that the journal still has to recover.
        """
        self._recovery.clear(keep)

    def entries(self, at: str = "", after: str = "") -> Iterator[Seen | Unseen]:
        """Yield what is at and below a path, in byte order of the full path."""
        return Scan(self._folder, self._ignored, after).walk(at)

    def look(self, path: str) -> Entry | None:
        """Observe one path afresh; a path with a trailing `/` is a directory's."""
        try:
            with self._folder.place(path) as place, translated(path):
                now = self._files.now_ns()
                try:
                    node = self._files.stat(place.directory, place.name)
                except FileNotFoundError:
                    return None
                if node.is_directory:
                    return self._look_inside(place) if path.endswith("/") else None
                if path.endswith("/"):
                    return None
                entry = leaf_entry(self._folder, place.directory, place.name, node, now)
        except ParentMissing:
            return None
        if entry is None:
            raise Blocked(
                f"'{path}' is a device, a pipe or a socket, which have no content to sync",
                "Ignore it in .vaultsyncignore.",
            )
        return entry

    def identify(self, path: str, entry: Entry, like: Content | None = None) -> Entry:  # noqa: ARG002
        """Return `entry` as it is now, with its sha256.

        Raises:
            Stale: When it is not there any more, or changes while it is read.
        """
        with self.open(path, entry) as content:
            digest = content.sha256()
            return replace(content.entry, sha256=digest)

    def open(self, path: str, entry: Entry) -> Content:
        """Open this very version for reading.

        Raises:
            Stale: When it is not there any more.
        """
        with self._folder.place(path) as place, translated(path):
            if entry.kind is Kind.LINK:
                now = self._files.now_ns()
                node = self._files.stat(place.directory, place.name)
                if compare(entry, node) is Match.NO:
                    raise Stale(f"'{path}' is not the version that was seen before")
                target = self._files.readlink(place.directory, place.name)
                return LinkContent(link_entry(node, target, self._folder.grain, now), target)
            descriptor = self._files.open(place.directory, place.name)
            return FileContent(self._files, descriptor, path, entry, self._folder.grain)

    def snapshot(self, path: str, entry: Entry) -> Content:
        """Open a file that never holds still, as it is at one moment of this call.

        Raises:
            Stale: When it is no file any more, or no moment of it can be had.
            Blocked: When there is no room for a copy.
        """
        if entry.kind is Kind.LINK:
            return self.open(path, entry)
        return self._snapshots.take(path)

    def stage(
        self,
        path: str,
        content: Content,
        op: str,
        parents: tuple[str, ...] = (),  # noqa: ARG002 - only objects carry their ancestry
    ) -> LocalStaged:
        """Write the bytes of `content` to the staging folder, durably.

        Raises:
            Blocked: When the file system cannot show them under that name.
        """
        with self._folder.top() as top:
            twin = self._folder.twin(top, path)
        if twin is not None:
            raise taken(path, twin)
        return self._swap.stage(path, content, op)

    def borrow(self, path: str, source: str, entry: Entry, like: Entry, op: str) -> LocalStaged:
        """Write what another path holds to the staging folder, with the times and mode of `like`.

        Raises:
            Stale: When the source is not the expected version any more.
        """
        with self.open(source, entry) as content:
            if content.sha256() != entry.sha256:
                raise Stale(f"'{source}' is not the version that was seen before")
            return self._swap.stage(path, Borrowed(content, like), op)

    def remember(self, staged: Staged) -> None:
        """Write down where staged bytes go, when no journal will: `clear_staging` recovers them."""
        self._recovery.remember(staged)

    def commit(self, staged: Staged, expected: Entry | None) -> LocalCommitted:
        """Show staged bytes iff the folder still shows `expected`."""
        return self._swap.commit(staged, expected)

    def discard(self, token: str) -> None:
        """Drop staged bytes."""
        self._recovery.discard(token)

    def recover(self, path: str, op: str, token: str) -> Entry | None:  # noqa: ARG002
        """Tell whether a commit happened, and finish it if half done."""
        return self._recovery.recover(path, token)

    def make_directory(self, path: str) -> Entry:
        """Make a directory and those above it; no error if it is there already.

        Raises:
            Blocked: When a file is in the way.
        """
        try:
            with self._folder.place(path, make=True) as place, translated(path):
                with suppress(FileExistsError):
                    self._files.mkdir(place.directory, place.name, 0o777)
                    self._files.sync(place.directory)
                if self._files.stat(place.directory, place.name).is_directory:
                    return self._look_inside(place)
        except Stale as stale:
            raise _in_the_way(path) from stale
        raise _in_the_way(path)

    def delete(self, path: str, expected: Entry) -> None:
        """Move one file or link to the trash, or remove one directory that holds nothing.

        Raises:
            Stale: When it is not the expected version, or the directory holds something.
        """
        try:
            with self._folder.place(path) as place, translated(path):
                try:
                    node = self._files.stat(place.directory, place.name)
                except FileNotFoundError:
                    return
                if node.is_directory != (expected.kind is Kind.DIR):
                    return  # something else took its place; the version itself is gone
                if node.is_directory:
                    self._files.rmdir(place.directory, place.name)
                    self._files.sync(place.directory)
                else:
                    self._swap.require(place, expected)
                    self._to_trash(place, expected)
        except ParentMissing:
            return

    def apply(
        self,
        path: str,
        expected: Entry,
        mtime_ns: int | None,
        mode: int | None,
        op: str = "",  # noqa: ARG002 - what is done here leaves no doubt
    ) -> Entry:
        """Set mtime and permission bits of the expected version; return it as read back.

        Raises:
            Stale: When it is another version, or somebody wrote to it meanwhile.
        """
        with self._folder.place(path) as place, translated(path):
            if expected.kind is Kind.LINK:
                self._swap.require(place, expected)
                if mtime_ns is not None:
                    self._files.utime_link(place.directory, place.name, mtime_ns)
            else:
                self._apply_to_file(place, expected, mtime_ns, mode)
            self._require_still(place)
            found = self.look(path)
            if found is None:
                raise Stale(f"'{path}' vanished in the meantime")
            if mtime_ns is None and compare(expected, self._node(place), moved=True) is Match.YES:
                return replace(found, sha256=expected.sha256)
            # A write between our look and our utime would hide behind the time we set, so only the
            # content can tell that this is still the version; its digest goes with the new tag.
            found = self.identify(path, replace(found, sha256=None))
            if expected.sha256 not in (None, found.sha256):
                raise Stale(f"'{path}' changed in the meantime")
            return found

    def set_aside(self, path: str, expected: Entry) -> str:
        """Rename the expected version to its conflict name; return the copy's path.

        Raises:
            Stale: When it is another version.
        """
        with self._folder.place(path) as place, translated(path):
            self._swap.require(place, expected)
            digest = digest_of(self._files, place.directory, place.name)
            known = replace(expected, sha256=digest)
            copy = self._existing_copy(place, digest)
            if copy is not None:
                self._to_trash(place, known)
                return copy
            if not self._folder.abilities.noreplace:
                return self._set_aside_by_trash(place, known)
            return self._set_aside_at_once(place, known, digest)

    def _node(self, place: Place) -> Node:
        return self._files.stat(place.directory, place.name)

    def _look_inside(self, place: Place) -> Entry:
        descriptor = self._files.enter(place.directory, place.name)
        try:
            names = self._files.names(descriptor)
        finally:
            self._files.close(descriptor)
        return directory_entry(names, place.path + "/", self._ignored)

    def _to_trash(self, place: Place, expected: Entry) -> None:
        """Move what should be the expected version to the trash; put anything else back."""
        with self._trash.take(
            place.directory, place.name, place.path, expected.sha256 or ""
        ) as binned:
            try:
                self._require_moved(place, binned.directory, binned.name, expected)
                self._files.sync(binned.directory)
                self._files.sync(place.directory)
            except BaseException:
                self._swap.put_back(binned.directory, binned.name, place)
                raise

    def _set_aside_by_trash(self, place: Place, expected: Entry) -> str:
        """Where NOREPLACE means a hard link, whose source must be ours (see `move`)."""
        with self._trash.take(place.directory, place.name, place.path) as binned:
            try:
                self._require_moved(place, binned.directory, binned.name, expected)
                return self._swap.keep(binned.directory, binned.name, place, expected.sha256)
            except BaseException:
                with suppress(FileNotFoundError):
                    self._swap.put_back(binned.directory, binned.name, place)
                raise

    def _set_aside_at_once(self, place: Place, expected: Entry, digest: str) -> str:
        when = datetime.fromtimestamp(self._clock.now())  # noqa: DTZ006 - local time, for people
        while True:
            copy = conflict_name(place.path, self._device, when, digest)
            name = copy.rpartition("/")[2]
            try:
                self._files.move(place.directory, place.name, place.directory, name)
                break
            except FileExistsError:
                when += timedelta(seconds=1)
        try:
            self._require_moved(place, place.directory, name, expected)
            self._files.sync(place.directory)
        except BaseException:
            with suppress(FileExistsError):  # then it stays aside: both are there
                self._files.move(place.directory, name, place.directory, place.name)
            raise
        return copy

    def _require_moved(self, place: Place, directory: int, name: str, expected: Entry) -> None:
        """Look at what a rename took away, and at whether it took it from where it should."""
        if not is_version(self._files, directory, name, expected):
            raise Stale(f"'{place.path}' is not the version that was seen before")
        self._require_still(place)

    def _require_still(self, place: Place) -> None:
        if self._folder.moved(place):
            raise Stale(f"The folder that holds '{place.path}' was moved in the meantime")

    def _existing_copy(self, place: Place, digest: str) -> str | None:
        """Path of a conflict copy of the same original that holds the same bytes."""
        original = original_name(place.path)
        for name in sorted(self._files.names(place.directory).others):
            path = parent(place.path) + name
            if path == place.path or conflict_digest(path) != digest[:6]:
                continue
            if original_name(path) != original:
                continue
            with suppress(OSError, Stale):
                if digest_of(self._files, place.directory, name) == digest:
                    return path
        return None

    def _apply_to_file(
        self, place: Place, expected: Entry, mtime_ns: int | None, mode: int | None
    ) -> None:
        descriptor = self._files.open(place.directory, place.name)
        with FileContent(
            self._files, descriptor, place.path, expected, self._folder.grain
        ) as content:
            if content.entry.sha256 is None and expected.sha256 is not None:
                content.sha256()
            if mode is not None:
                self._files.chmod(descriptor, mode & 0o777 & ~self._files.umask())
            if mtime_ns is not None:
                try:
                    self._files.utime(descriptor, mtime_ns)
                except OverflowError as fault:
                    raise translate(OSError(22, "no such time"), place.path) from fault
            self._files.sync(descriptor)


def _in_the_way(path: str) -> Blocked:
    return Blocked(
        f"The folder '{path}' cannot be made: a file is in the way.", "Rename one of the two."
    )
