"""After a crash: finish or undo what was cut off, and clear what no journal knows of.

Which inode is under which staged name tells how far a replacement had come; see `local.swap` for
its steps.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, Retry, Stale
from vaultsync.local.content import is_version
from vaultsync.local.errands import Errands
from vaultsync.local.faults import translated
from vaultsync.local.folder import STAGING, Folder, ParentMissing, Place
from vaultsync.local.staged import Token, armed_entry, staged_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from vaultsync.core.model import Entry
    from vaultsync.core.ports import Staged
    from vaultsync.local.files import Files, Node
    from vaultsync.local.swap import Swap
    from vaultsync.local.trash import Trash

log = logging.getLogger(__name__)

ORPHANS = "left over"
"""Folder on a trash shelf for swapped-out versions of which no journal tells the path."""


class Recovery:
    """Recover, discard, clear.

    Args:
        folder: The root.
        trash: Where swapped-out versions go.
        swap: Finishes or undoes what it had begun.
    """

    def __init__(self, folder: Folder, trash: Trash, swap: Swap) -> None:
        self._folder = folder
        self._files: Files = folder.files
        self._trash = trash
        self._swap = swap
        self._errands = Errands(folder)

    def discard(self, token: str) -> None:
        """Drop staged bytes. What came out of a swap, or was edited, is never dropped."""
        known = Token.read(token)
        with self._folder.control(STAGING) as staging, translated(known.name):
            self._drop(staging, known, lambda name: self._orphan(staging, name))
            if not self._names(staging, known.name):
                self._errands.drop(known.name)

    def remember(self, staged: Staged) -> None:
        """Write down in the folder where staged bytes go, for `clear`; see `local.errands`.

        Raises:
            Blocked: When the disk refuses.
        """
        self._errands.write(staged)

    def recover(self, path: str, token: str) -> Entry | None:
        """Tell whether a commit happened, and finish it if it stopped half way.

        Returns:
            The entry that the commit made, or None when it did not happen. When somebody changed
            the file after the commit, the entry has a tag that equals none, so that this shows.
        """
        known = Token.read(token)
        with self._folder.control(STAGING) as staging, translated(path):
            try:
                with self._folder.place(path) as place:
                    happened = self._finish(staging, place, known)
                    # Before looking: a name less moves the ctime.
                    self._drop(staging, known, lambda name: self._swap.keep(staging, name, place))
                    return self._swap.shown(place, known) if happened else None
            except ParentMissing:
                self._bury(staging, path, known)
                return None

    def clear(self, keep: Collection[str] = ()) -> None:
        """Recover errands; then remove what no journal knows of.

        Staged bytes go, swapped-out versions to the trash.

        Args:
            keep: Operation ids that are still to be recovered.
        """
        for name, errand in self._errands.read().items():
            if errand is not None:
                with suppress(Blocked, Retry, Stale):  # what it leaves goes to the trash
                    done = self.recover(errand.path, errand.token) is not None
                    what = "is there now" if done else "is not there"
                    log.warning("bringing back %s was cut off: the version %s", errand.path, what)
            self._errands.drop(name)
        known = {staged_name(op) for op in keep}
        with self._folder.control(STAGING) as staging, translated(STAGING):
            listing = self._files.names(staging)
            for name in (*listing.directories, *listing.others):
                stem, _, rest = name.partition(".")
                if stem in known:
                    continue
                if rest:
                    self._orphan(staging, name)
                else:
                    self._files.unlink(staging, name)

    def _finish(self, staging: int, place: Place, token: Token) -> bool:
        """Finish or undo a commit that a crash cut off; return whether it happened."""
        shown = self._stat(place.directory, place.name)
        is_shown = shown is not None and shown.ino == token.ino
        waiting = self._stat(staging, token.name)
        armed = next((name for name in self._names(staging, token.name) if "." in name), None)
        came_out = armed is not None and not self._is_staged(staging, armed, token)
        if armed is None or not came_out:
            if not is_shown or shown is None:
                return False
            # Nothing but the inode's number may speak for it, and numbers are given out again.
            only_number = waiting is None and armed is None
            if only_number and self._swap.digest_now(place.directory, place.name) != token.sha256:
                return False
        elif waiting is not None and not is_shown:
            self._swap.put_back(staging, armed, place)
            return False
        elif self._files.stat(staging, armed).is_directory:
            self._swap.swap_back(staging, armed, place, token)
            return False
        else:
            self._swap.settle(staging, armed, place, armed_entry(armed), token)
        self._files.sync(place.directory)
        return True

    def _is_staged(self, staging: int, name: str, token: Token) -> bool:
        """Whether a name holds the staged bytes; FAT numbers its inodes anew at each mount."""
        node = self._files.stat(staging, name)
        if node.ino == token.ino or node.is_directory:
            return node.ino == token.ino
        same = (node.size, node.mtime_ns) == (token.size, token.mtime_ns)
        return same and self._swap.digest_now(staging, name) == token.sha256

    def _bury(self, staging: int, path: str, token: Token) -> None:
        """Nothing can be at the path any more: what came out of it goes to the trash.

        But an edit that nobody knew of brings its folder back.
        """
        self._drop(staging, token, lambda _: None)
        for name in self._names(staging, token.name):
            if self._is_edit(staging, name, token):
                with suppress(Stale), self._folder.place(path, make=True) as place:
                    self._swap.keep(staging, name, place)
                    continue
            self._trash_durably(staging, name, path)

    def _is_edit(self, staging: int, name: str, token: Token) -> bool:
        """Whether a name holds neither the expected version nor the staged bytes as they were."""
        node = self._files.stat(staging, name)
        if "." not in name or node.ino == token.ino or node.is_directory:
            return not node.is_directory
        if is_version(self._files, staging, name, armed_entry(name)):
            return False
        return self._swap.digest_now(staging, name) != token.sha256

    def _orphan(self, staging: int, name: str) -> None:
        self._trash_durably(staging, name, f"{ORPHANS}/{name}")

    def _trash_durably(self, staging: int, name: str, path: str) -> None:
        with self._trash.take(staging, name, path) as binned:
            self._files.sync(binned.directory)

    def _drop(self, staging: int, token: Token, rescue: Callable[[str], object]) -> None:
        """Remove staged bytes; but `rescue` a name whose bytes were shown for a moment and edited.

        One that is shown still (a second link) is only a name.
        """
        for name in self._names(staging, token.name):
            with suppress(FileNotFoundError):
                node = self._files.stat(staging, name)
                if node.ino != token.ino:
                    continue
                if node.links > 1 or token.describes(node):
                    self._files.unlink(staging, name)
                else:
                    rescue(name)

    def _names(self, staging: int, name: str) -> list[str]:
        listing = self._files.names(staging)
        return [
            other
            for other in (*listing.directories, *listing.others)
            if other == name or other.startswith(name + ".")
        ]

    def _stat(self, directory: int, name: str) -> Node | None:
        try:
            return self._files.stat(directory, name)
        except FileNotFoundError:
            return None
