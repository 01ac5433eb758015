"""Show new bytes in the place of old ones so that at each moment every version is somewhere.

The order of a replacement, each step one system call:

1. `stage`: the bytes lie in `.vaultsync/staging/<op>`, synced. The engine journals the token.
2. The staged file is renamed to `<op>.<what is expected>`: should we die from here on,
   `local.recovery` knows from that name what the version that comes out ought to be.
3. EXCHANGE with the visible name, so a reader sees the old or the new file. What was there now
   has the staged name. (Without EXCHANGE: it is renamed to that name, looked at, and the staged
   file, which kept the name `<op>`, moved into the gap.)
4. Look at what came out. The expected version goes to the trash. Anything else is an edit that
   nobody knew of: it is shown again under a conflict name. A directory is exchanged back.

Into a visible name we only ever move without replacing, out of one we only rename to a name that
is ours: neither can destroy a file that appears in between.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, Retry, Stale, VaultsyncError
from vaultsync.core.model import Entry, Kind
from vaultsync.core.names import conflict_name
from vaultsync.local.abilities import move
from vaultsync.local.content import digest_of, file_entry, is_version, link_entry
from vaultsync.local.faults import translated
from vaultsync.local.folder import STAGING, Folder, Place
from vaultsync.local.identity import Match, compare
from vaultsync.local.staged import (
    LocalCommitted,
    LocalStaged,
    Token,
    armed_name,
    staged_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.core.ports import Clock, Content, Staged
    from vaultsync.local.files import Files
    from vaultsync.local.room import Room
    from vaultsync.local.trash import Trash

_PATH_MAX = 4096
"""Bytes, more than any symbolic link's target has."""


class Swap:
    """Stage, commit.

    Args:
        folder: The root.
        trash: Where replaced versions go.
        device: This device's name, for conflict copies.
        clock: For the time in their names.
        room: How full the disk may get.
    """

    def __init__(self, folder: Folder, trash: Trash, device: str, clock: Clock, room: Room) -> None:
        self._folder = folder
        self._files: Files = folder.files
        self._trash = trash
        self._device = device
        self._clock = clock
        self._room = room

    def stage(self, path: str, content: Content, op: str) -> LocalStaged:
        """Write the bytes of `content` to the staging folder, durably.

        Raises:
            Retry: When size or digest are not what `content` says of itself.
            Blocked: When the disk is full, would be too full afterwards, or cannot be written.
                Nothing stays behind.
        """
        name = staged_name(op)
        size = content.entry.size
        with (
            self._folder.control(STAGING) as staging,
            translated(path),
            self._room.taken(staging, size, path) as written,
        ):
            with suppress(FileNotFoundError):
                self._files.unlink(staging, name)
            try:
                if content.entry.kind is Kind.LINK:
                    digest, size = self._stage_link(staging, name, content)
                else:
                    digest, size = self._stage_file(staging, name, content, written)
                _require_intact(path, content.entry, digest, size)
                node = self._files.stat(staging, name)
            except BaseException:
                with suppress(OSError):
                    self._files.unlink(staging, name)
                raise
        entry = content.entry
        token = Token(
            name,
            entry.kind,
            node.ino,
            node.size,
            node.mtime_ns,
            digest,
            entry.mode is not None,
            node.permissions if entry.mode is not None else None,
        )
        return LocalStaged(path, op, digest, size, token.written())

    def commit(self, staged: Staged, expected: Entry | None) -> LocalCommitted:
        """Show the staged bytes iff `expected` is (or, if None, nothing is) at their path.

        Raises:
            Stale: When something else is there; then nothing changed.
            Blocked: When the disk refuses; then nothing changed either.
        """
        token = Token.read(staged.token)
        with (
            self._folder.control(STAGING) as staging,
            self._folder.place(staged.path, make=expected is None) as place,
            translated(staged.path),
        ):
            kept = None
            if expected is None:
                self._appear(staging, place, token)
            else:
                kept = self._replace(staging, place, token, expected)
            return LocalCommitted(self.shown(place, token), kept)

    def require(self, place: Place, expected: Entry) -> None:
        """Raise Stale unless the expected version is at a place.

        Raises:
            OSError: When it cannot be examined.
        """
        verdict = compare(expected, self._files.stat(place.directory, place.name))
        if verdict is Match.DOUBT and expected.sha256 is not None:
            # A racy tag: only the content can tell.
            if digest_of(self._files, place.directory, place.name) == expected.sha256:
                return
        elif verdict is Match.YES:
            return
        raise Stale(f"'{place.path}' is not the version that was seen before")

    def keep(self, directory: int, name: str, place: Place, digest: str | None = None) -> str:
        """Show a version that lies in `.vaultsync` under a conflict name beside `place`.

        Args:
            directory: Open descriptor of the directory that holds it.
            name: Its name there.
            place: Where it was.
            digest: Its digest, when known.

        Returns:
            The path of the conflict copy.
        """
        digest = digest or self.digest_now(directory, name)
        when = datetime.fromtimestamp(self._clock.now())  # noqa: DTZ006 - local time, for people
        while True:
            path = conflict_name(place.path, self._device, when, digest)
            new = path.rpartition("/")[2]
            try:
                move(self._files, self._folder.abilities, directory, name, place.directory, new)
            except FileExistsError:
                when += timedelta(seconds=1)
                continue
            self._flush(place.directory)
            return path

    def put_back(self, directory: int, name: str, place: Place) -> str | None:
        """Move a version from `.vaultsync` back to its name, or, if that is taken, beside it.

        Returns:
            The path of the conflict copy if there had to be one.
        """
        try:
            move(self._files, self._folder.abilities, directory, name, place.directory, place.name)
        except FileExistsError:
            return self.keep(directory, name, place)
        self._flush(place.directory)
        return None

    def _stage_file(
        self, staging: int, name: str, content: Content, written: Callable[[int], None]
    ) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        descriptor = self._files.create(staging, name)
        try:
            for chunk in content.chunks():
                digest.update(chunk)
                size += len(chunk)
                self._files.write(descriptor, chunk)
                written(len(chunk))
            entry = content.entry
            wanted = 0o666 if entry.mode is None else entry.mode & 0o777
            self._files.chmod(descriptor, wanted & ~self._files.umask())
            if entry.mtime_ns is not None:
                with suppress(OverflowError):  # a time that no file system holds
                    self._files.utime(descriptor, entry.mtime_ns)
            self._files.sync(descriptor)
        finally:
            self._files.close(descriptor)
        return digest.hexdigest(), size

    def _stage_link(self, staging: int, name: str, content: Content) -> tuple[str, int]:
        if content.entry.size >= _PATH_MAX:
            raise Blocked("The target of a symbolic link is too long to be one.")
        target = b"".join(content.chunks())
        if not target or b"\0" in target:
            raise Blocked(
                "The target of a symbolic link is empty or holds a NUL byte; no link can say that."
            )
        self._files.symlink(staging, name, target)
        if content.entry.mtime_ns is not None:
            with suppress(OverflowError):
                self._files.utime_link(staging, name, content.entry.mtime_ns)
        return hashlib.sha256(target).hexdigest(), len(target)

    def _appear(self, staging: int, place: Place, token: Token) -> None:
        files = self._files
        move(files, self._folder.abilities, staging, token.name, place.directory, place.name)
        try:
            files.sync(place.directory)
            self._require_still(place)
        except (OSError, VaultsyncError):
            self._withdraw(staging, place, token)
            raise

    def _withdraw(self, staging: int, place: Place, token: Token) -> None:
        """Take back what was just shown, unless somebody has touched it since."""
        if not token.describes(self._files.stat(place.directory, place.name)):
            return
        self._files.rename(place.directory, place.name, staging, token.name)
        if not token.describes(self._files.stat(staging, token.name)):
            self.put_back(staging, token.name, place)
        else:
            self._spare(staging, token.name, place)

    def _replace(self, staging: int, place: Place, token: Token, expected: Entry) -> str | None:
        files = self._files
        self.require(place, expected)
        if not token.mode_given and expected.mode is not None and expected.kind is Kind.FILE:
            self._copy_mode(staging, token.name, expected.mode)
        armed = armed_name(token.name, expected)
        if not self._folder.abilities.exchange:
            return self._replace_in_two(staging, place, token, expected)
        files.rename(staging, token.name, staging, armed)
        files.exchange(staging, armed, place.directory, place.name)
        try:
            files.sync(staging)
            files.sync(place.directory)
            came_out = files.stat(staging, armed)
            if not came_out.is_file and not came_out.is_link:
                raise Stale(f"'{place.path}' became something else")
            self._require_still(place)
            return self.settle(staging, armed, place, expected, token)
        except (OSError, VaultsyncError):
            self.swap_back(staging, armed, place, token)
            raise

    def _replace_in_two(
        self, staging: int, place: Place, token: Token, expected: Entry
    ) -> str | None:
        """Replace where EXCHANGE is missing; for a moment nothing is at the place."""
        files = self._files
        armed = armed_name(token.name, expected)
        files.rename(place.directory, place.name, staging, armed)
        try:
            files.sync(staging)
            if not is_version(files, staging, armed, expected):
                raise Stale(f"'{place.path}' changed while it was being replaced")
            self._appear(staging, place, token)
        except (OSError, VaultsyncError):
            self.put_back(staging, armed, place)
            raise
        return self.settle(staging, armed, place, expected, token)

    def swap_back(self, staging: int, armed: str, place: Place, token: Token) -> None:
        """Undo an EXCHANGE; a version that somebody made meanwhile is kept under another name."""
        files = self._files
        try:
            files.exchange(staging, armed, place.directory, place.name)
        except FileNotFoundError:  # somebody deleted the new version, or it is settled already
            with suppress(FileNotFoundError):
                self.put_back(staging, armed, place)
            return
        self._flush(place.directory)
        if not token.describes(files.stat(staging, armed)):
            self.keep(staging, armed, place)
        else:
            self._spare(staging, armed, place)

    def _spare(self, staging: int, name: str, place: Place) -> None:
        """Trash what was shown for a moment if somebody has it open: an edit returns from there."""
        if self._in_use(staging, name):
            with self._trash.take(staging, name, place.path) as binned:
                self._flush(binned.directory)

    def _in_use(self, staging: int, name: str) -> bool:
        try:
            descriptor = self._files.open(staging, name)
        except OSError:  # a link
            return False
        try:
            return not self._files.claim(descriptor)
        except OSError:  # a file system that keeps no leases
            return False
        finally:
            self._files.close(descriptor)

    def settle(
        self, staging: int, armed: str, place: Place, expected: Entry, token: Token
    ) -> str | None:
        """Bring what came out to where it belongs.

        Args:
            staging: Open descriptor of the staging folder.
            armed: The name there that holds what came out.
            place: Where it was.
            expected: The version that it should be.
            token: What is shown instead.

        Returns:
            The path of the conflict copy that there had to be if it is another version.
        """
        digest = None
        if not is_version(self._files, staging, armed, expected):
            digest = self.digest_now(staging, armed)
            if digest != token.sha256:
                return self.keep(staging, armed, place, digest)
        with self._trash.take(staging, armed, place.path, expected.sha256 or "") as binned:
            self._flush(binned.directory)
        return None

    def _flush(self, directory: int) -> None:
        """Sync after the point of no return: an error could not undo anything any more."""
        with suppress(OSError):
            self._files.sync(directory)

    def shown(self, place: Place, token: Token) -> Entry:
        """The entry of what a commit made; its tag equals none if somebody changed it since."""
        with suppress(OSError):  # it is done: whatever goes wrong now only costs another look
            now = self._files.now_ns()
            node = self._files.stat(place.directory, place.name)
            if token.is_untouched(node) and node.is_link:
                target = self._files.readlink(place.directory, place.name)
                return link_entry(node, target, self._folder.grain, now)
            if token.is_untouched(node):
                return replace(file_entry(node, self._folder.grain, now), sha256=token.sha256)
        tag = f"{token.ino}:{token.size}:{token.mtime_ns}:0"
        return Entry(Kind(token.kind), token.size, tag, token.sha256, token.mtime_ns, token.mode)

    def _copy_mode(self, staging: int, name: str, mode: int) -> None:
        if self._files.stat(staging, name).is_file:
            descriptor = self._files.open(staging, name)
            try:
                self._files.chmod(descriptor, mode & 0o777)
            finally:
                self._files.close(descriptor)

    def digest_now(self, directory: int, name: str) -> str:
        """The digest of a version; of its identity while somebody is still writing to it."""
        try:
            return digest_of(self._files, directory, name)
        except Stale:
            return hashlib.sha256(repr(self._files.stat(directory, name)).encode()).hexdigest()

    def _require_still(self, place: Place) -> None:
        if self._folder.moved(place):
            raise Stale(f"The folder that holds '{place.path}' was moved in the meantime")


def _require_intact(path: str, entry: Entry, digest: str, size: int) -> None:
    if size != entry.size or (entry.sha256 is not None and digest != entry.sha256):
        raise Retry(f"'{path}' arrived damaged: its size or digest is not what was announced")
