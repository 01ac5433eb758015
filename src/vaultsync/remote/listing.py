"""A listing as the planner wants it: paths in byte order, with the directories that keys imply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaultsync.core.model import IMPLIED, MARKER, Entry, Kind, Seen, Unseen
from vaultsync.core.names import VAULT_MARK, is_control, local_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vaultsync.remote.client import Listed, Transport


class Listing:
    """Lists what lies below a prefix.

    Keys below one directory are neighbours in byte order, so each directory is announced right
    before the first of them, which is also its own place in the order. Keys of control objects and
    ignored paths are passed over as if they were not there, also for implying directories.

    Args:
        transport: Sends the requests.
        prefix: What every key starts with; empty, or ending with `/`.
        ignored: Tells whether a path (a directory's with `/`) is to be left alone.

    Attributes:
        mark: Tag of the object by which the vault is recognised, as the last listing of everything
            that came to its end showed it; None when it did not.
    """

    def __init__(self, transport: Transport, prefix: str, ignored: Callable[[str], bool]) -> None:
        self._transport = transport
        self._prefix = prefix
        self._ignored = ignored
        self.mark: str | None = None
        self._passed: str | None = None

    def entries(self, at: str = "", after: str = "") -> Iterator[Seen | Unseen]:
        """Yield what is at and below a path; see `core.ports.Side.entries`."""
        if not at:
            self._passed = None
            yield from self.below("", after)
            if not after:
                self.mark = self._passed
            return
        # One page often shows both the file `at` and the directory `at/`; between the two there may
        # be any number of names that only start the same.
        page = self._transport.list_page(self._prefix + at)
        mine = [key for key in page.items if self._path(key) == at]
        yield from self._walk(iter(mine), at, after)
        if page.more is None:
            inner = [key for key in page.items if self._path(key).startswith(at + "/")]
            yield from self._walk(iter(inner), at, after)
        else:
            yield from self.below(at + "/", after)

    def below(self, directory: str, after: str = "", limit: int = 1000) -> Iterator[Seen | Unseen]:
        """Yield a directory (its path with `/`; empty for the root) and all below it."""
        yield from self._walk(self._keys(directory, after, limit), directory, after)

    def holds(self, path: str) -> bool:
        """Whether there is an object at this very path, as one listing page tells it."""
        key = self._prefix + path
        return any(item.key == key for item in self._transport.list_page(key, limit=1).items)

    def _keys(self, directory: str, after: str, limit: int) -> Iterator[Listed]:
        more = None
        while True:
            page = self._transport.list_page(
                self._prefix + directory,
                after=self._prefix + after if after else "",
                more=more,
                limit=limit,
            )
            yield from page.items
            more = page.more
            if more is None:
                return

    def _walk(self, keys: Iterator[Listed], at: str, after: str) -> Iterator[Seen | Unseen]:
        announced = _above(at)
        for key in keys:
            path = self._path(key)
            if path == VAULT_MARK:
                self._passed = key.etag
            if not path or is_control(path) or self._ignored(path):
                continue
            above = _above(path)
            for depth, directory in enumerate(above):
                if announced[depth : depth + 1] != [directory]:
                    del announced[depth:]
                    announced.append(directory)
                    if directory > after and local_problem(directory) is None:
                        yield Seen(directory, Entry(Kind.DIR, 0, IMPLIED))
            if path.endswith("/") and key.size == 0:
                del announced[len(above) :]
                announced.append(path)
            if path > after:
                yield _item(path, key)

    def _path(self, key: Listed) -> str:
        return key.key[len(self._prefix) :]


def _above(path: str) -> list[str]:
    """The directories above a path, also where a foreign key has empty parts."""
    return [path[: place + 1] for place, letter in enumerate(path[:-1]) if letter == "/"]


def _item(path: str, key: Listed) -> Seen | Unseen:
    problem = local_problem(path)
    if problem is not None:
        return Unseen(path, f"It cannot exist in a folder: {problem}.", "Rename it.", valid=False)
    if path.endswith("/"):
        if key.size:
            return Unseen(
                path, "Its name is that of a folder, but it has content.", "Rename it.", valid=False
            )
        return Seen(path, Entry(Kind.DIR, 0, MARKER))
    if key.archived:
        return Unseen(path, "It is archived.", "Restore it in S3 first.")
    return Seen(path, Entry(Kind.FILE, key.size, key.etag, stamp=key.modified))
