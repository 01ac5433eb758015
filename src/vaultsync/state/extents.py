"""The rows that say which content of the drive the cache holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vaultsync.state.drive import DriveStore

_BOOT = "drive.boot"
_RECOVERED = "drive.recovered"

# A directory's pin counts for all below it. What has no name any more may be open in a kernel that
# outlived us, and its origin may be gone from the vault: it stays.
_EVICTABLE = """
    kind = 'file' AND here > 0 AND pinned = 0 AND dirty = 0 AND size > 0 AND nlink > 0
    AND o_etag IS NOT NULL
    AND NOT EXISTS (
        WITH RECURSIVE above (id) AS (
            SELECT parent FROM name WHERE name.node = candidate.id
            UNION SELECT name.parent FROM name JOIN above ON name.node = above.id
        )
        SELECT 1 FROM above JOIN node AS directory ON directory.id = above.id
        WHERE directory.pinned = 1
    )
"""


class Held(NamedTuple):
    """What the table `node` says of one file's content.

    Attributes:
        id: The node.
        here: 0 nothing of it, 1 the extents, 2 all.
        dirty: It may differ from what the origin names.
        size: Bytes.
        o_etag: The origin's ETag; None when it is nowhere but here.
        o_version: The origin's VersionId.
    """

    id: int
    here: int
    dirty: bool
    size: int
    o_etag: str | None
    o_version: str | None


class ExtentStore:
    """Reads and writes `node.here`, `node.used` and the table `extent`; called with the lock held.

    What changes rows is called in a transaction.

    Args:
        store: The drive's rows.
    """

    def __init__(self, store: DriveStore) -> None:
        self._db = store.db

    def held(self, node: int) -> Held | None:
        """One node's; None when there is no such node."""
        row = self._db.execute(
            "SELECT id, here, dirty, size, o_etag, o_version FROM node WHERE id = ?", (node,)
        ).fetchone()
        return None if row is None else _held(row)

    def all_held(self) -> list[Held]:
        """Those of all files of which something is here."""
        rows = self._db.execute(
            "SELECT id, here, dirty, size, o_etag, o_version FROM node"
            " WHERE kind = 'file' AND here > 0"
        )
        return [_held(row) for row in rows]

    def spans(self, node: int) -> list[tuple[int, int]]:
        """The extents, in order."""
        return self._db.execute(
            "SELECT start, stop FROM extent WHERE node = ? ORDER BY start", (node,)
        ).fetchall()

    def partly(self, node: int, absorbed: Iterable[int], span: tuple[int, int]) -> None:
        """Put an extent in the place of those that start at `absorbed`."""
        self._db.executemany(
            "DELETE FROM extent WHERE node = ? AND start = ?", [(node, start) for start in absorbed]
        )
        self._db.execute("INSERT INTO extent VALUES (?, ?, ?)", (node, *span))
        self._db.execute("UPDATE node SET here = 1 WHERE id = ? AND here <> 1", (node,))

    def nothing(self, node: int) -> None:
        """Note that nothing is here."""
        self._db.execute("DELETE FROM extent WHERE node = ?", (node,))
        self._db.execute("UPDATE node SET here = 0 WHERE id = ?", (node,))

    def wholly(self, node: int) -> None:
        """Note that all is here."""
        self._db.execute("DELETE FROM extent WHERE node = ?", (node,))
        self._db.execute("UPDATE node SET here = 2 WHERE id = ?", (node,))

    def candidates(self, after: tuple[int, int], count: int) -> list[tuple[int, int]]:
        """What may be evicted, as (used, node), the least lately used first.

        Dirty and pinned content, and what is nowhere else, is never among it.

        Args:
            after: Only what comes after this one.
            count: How many at most.
        """
        return self._db.execute(
            f"SELECT used, id FROM node AS candidate WHERE {_EVICTABLE}"  # noqa: S608 - a constant
            " AND (used, id) > (?, ?) ORDER BY used, id LIMIT ?",
            (*after, count),
        ).fetchall()

    def evict(self, node: int) -> bool:
        """Note that nothing is here, if it may be evicted still; returns whether."""
        changed = self._db.execute(
            f"UPDATE node AS candidate SET here = 0 WHERE id = ? AND {_EVICTABLE}",  # noqa: S608
            (node,),
        ).rowcount
        if changed:
            self._db.execute("DELETE FROM extent WHERE node = ?", (node,))
        return bool(changed)

    def used(self, times: Mapping[int, int]) -> None:
        """Note when nodes were last used, in seconds since the epoch."""
        self._db.executemany(
            "UPDATE node SET used = ? WHERE id = ?", [(when, node) for node, when in times.items()]
        )

    def boot(self) -> str | None:
        """The boot of the machine in which extents were recorded."""
        return self._meta(_BOOT)

    def set_boot(self, boot: str) -> None:
        """Note the boot of the machine."""
        self._set_meta(_BOOT, boot)

    def recovered_boot(self) -> str | None:
        """The boot of the machine in which all dirty content was last looked at."""
        return self._meta(_RECOVERED)

    def set_recovered_boot(self, boot: str) -> None:
        """Note that it was looked at, in this boot of the machine."""
        self._set_meta(_RECOVERED, boot)

    def _meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _set_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def _held(row: tuple[int, int, int, int, str | None, str | None]) -> Held:
    node, here, dirty, size, etag, version = row
    return Held(node, here, bool(dirty), size, etag, version)
