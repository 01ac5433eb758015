"""The rows of the drive's inodes: nodes, names, extended attributes and remembered replies.

All that is SQL about them, and nothing that is POSIX: what belongs together is the tree's to know.
Every method is called with the lock of the `DriveStore` held, and those that write within one of
its transactions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vaultsync.state.drive import DriveStore

COLUMNS = (
    "id, kind, mode, uid, gid, nlink, atime, mtime, ctime, born, size, rdev, target, change, dirty,"
    " sha256, here, pinned, used, o_path, o_etag, o_version"
)
"""The columns of a row, in the order in which `load` gives them."""
CHANGING = (
    "mode",
    "uid",
    "gid",
    "nlink",
    "size",
    "atime",
    "mtime",
    "ctime",
    "change",
    "dirty",
    "sha256",
    "pinned",
    "o_path",
    "o_etag",
    "o_version",
)
"""The columns that `update` writes, in its order; `here` and `used` are the cache's to write."""
REPLIES = 10_000
"""How many replies are kept: far more than a kernel has requests under way."""
BATCH = 64
"""How many nodes `load_many` fetches with one statement."""

_COUNT = COLUMNS.count(",")
_INSERT = f"INSERT INTO node ({COLUMNS.removeprefix('id, ')}) VALUES ({', '.join('?' * _COUNT)})"  # noqa: S608 - constants
_UPDATE = f"UPDATE node SET {', '.join(f'{name} = ?' for name in CHANGING)} WHERE id = ?"  # noqa: S608
_LOAD = f"SELECT {COLUMNS} FROM node WHERE id = ?"  # noqa: S608
_LOAD_MANY = f"SELECT {COLUMNS} FROM node WHERE id IN ({', '.join('?' * BATCH)})"  # noqa: S608
_TRIM_EVERY = 1024

Row = tuple[Any, ...]
"""A row of `node`, as COLUMNS has it."""


class NodeRows:
    """The rows of nodes and of what hangs on them.

    Args:
        store: The drive's connection and lock.
    """

    def __init__(self, store: DriveStore) -> None:
        self._db = store.db
        self._replies = 0

    # Nodes

    def load(self, node: int) -> Row | None:
        """The row of a node, as COLUMNS has it; None when there is none."""
        row: Row | None = self._db.execute(_LOAD, (node,)).fetchone()
        return row

    def load_many(self, nodes: Sequence[int]) -> Iterator[Row]:
        """The rows of so many nodes, in any order; those that are not there are left out."""
        for start in range(0, len(nodes), BATCH):
            some = list(nodes[start : start + BATCH])
            some += [0] * (BATCH - len(some))
            yield from self._db.execute(_LOAD_MANY, some).fetchall()

    def insert(self, values: Row) -> int:
        """Make a node of all columns but the first; returns its number, which was never used."""
        number = self._db.execute(_INSERT, values).lastrowid
        assert number is not None  # noqa: S101 - sqlite3 tells it after every insertion
        return number

    def insert_root(self, values: Row) -> None:
        """Make the node of number 1, of all columns but the first."""
        self._db.execute(
            f"INSERT INTO node ({COLUMNS}) VALUES (1, {', '.join('?' * _COUNT)})",  # noqa: S608
            values,
        )

    def update(self, node: int, values: Row) -> None:
        """Write the columns of CHANGING."""
        self._db.execute(_UPDATE, (*values, node))

    def set_here(self, node: int, here: int) -> None:
        """Say how much of new content the cache holds; from then on that is the cache's to say."""
        self._db.execute("UPDATE node SET here = ? WHERE id = ?", (here, node))

    def delete(self, node: int) -> None:
        """Remove a node that has no names, with its attributes and extents."""
        self._db.execute("DELETE FROM node WHERE id = ?", (node,))
        self._db.execute("DELETE FROM xattr WHERE node = ?", (node,))
        self._db.execute("DELETE FROM extent WHERE node = ?", (node,))
        self._db.execute("DELETE FROM displaced WHERE node = ?", (node,))

    def loose(self) -> list[int]:
        """The nodes without names: unlinked, but open when that was done."""
        rows = self._db.execute("SELECT id FROM node WHERE nlink = 0").fetchall()
        return [int(number) for (number,) in rows]

    def dirty(self) -> dict[int, int]:
        """The nodes whose content may differ from what their origin names, with their sizes."""
        rows = self._db.execute("SELECT id, size FROM node WHERE dirty = 1").fetchall()
        return {int(number): int(size) for number, size in rows}

    def pinned_elsewhere(self) -> list[int]:
        """The files that are pinned, and not all here. Walks all rows: for the start."""
        rows = self._db.execute(
            "SELECT id FROM node WHERE pinned = 1 AND kind = 'file' AND here < 2"
        ).fetchall()
        return [int(number) for (number,) in rows]

    def dirty_after(self, node: int, limit: int) -> list[int]:
        """The first nodes after one whose content may differ from what their origin names."""
        rows = self._db.execute(
            "SELECT id FROM node WHERE dirty = 1 AND id > ? ORDER BY id LIMIT ?", (node, limit)
        ).fetchall()
        return [int(number) for (number,) in rows]

    def clean_after(self, node: int, limit: int) -> list[int]:
        """The first files after one that are what their origin names."""
        rows = self._db.execute(
            "SELECT id FROM node WHERE id > ? AND dirty = 0 AND o_path IS NOT NULL"
            " ORDER BY id LIMIT ?",
            (node, limit),
        ).fetchall()
        return [int(number) for (number,) in rows]

    # Files without names that may get one again

    def displaced(self) -> dict[int, tuple[int, bytes]]:
        """All of them, each with the directory that it was in and its name there."""
        rows = self._db.execute("SELECT node, parent, name FROM displaced").fetchall()
        return {int(node): (int(parent), bytes(name)) for node, parent, name in rows}

    def displace(self, node: int, parent: int, name: bytes) -> None:
        """Note that a file has lost its last name, and which it was."""
        self._db.execute(
            "INSERT OR REPLACE INTO displaced (node, parent, name) VALUES (?, ?, ?)",
            (node, parent, name),
        )

    def forget_displaced(self, node: int | None = None) -> None:
        """Forget that of a node (None: of all)."""
        if node is None:
            self._db.execute("DELETE FROM displaced")
        else:
            self._db.execute("DELETE FROM displaced WHERE node = ?", (node,))

    # Names

    def find(self, parent: int, name: bytes) -> int:
        """The node of a name; 0 when there is none."""
        row = self._db.execute(
            "SELECT node FROM name WHERE parent = ? AND name = ?", (parent, name)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def add(self, parent: int, name: bytes, node: int) -> None:
        """Give a node a name that is free."""
        self._db.execute(
            "INSERT INTO name (parent, name, node) VALUES (?, ?, ?)", (parent, name, node)
        )

    def point(self, parent: int, name: bytes, node: int) -> None:
        """Make a name that is there mean another node."""
        self._db.execute(
            "UPDATE name SET node = ? WHERE parent = ? AND name = ?", (node, parent, name)
        )

    def remove(self, parent: int, name: bytes) -> None:
        """Remove a name."""
        self._db.execute("DELETE FROM name WHERE parent = ? AND name = ?", (parent, name))

    def children(self, parent: int, after: bytes = b"", limit: int = -1) -> list[tuple[bytes, int]]:
        """Names and nodes in a directory in the order of the names, from after a name on.

        Args:
            parent: The directory.
            after: Only names greater than that.
            limit: How many at most; -1: all.
        """
        return self._db.execute(
            "SELECT name, node FROM name WHERE parent = ? AND name > ? ORDER BY name LIMIT ?",
            (parent, after, limit),
        ).fetchall()

    def occupied(self, parent: int) -> bool:
        """Whether a directory has anything in it."""
        row = self._db.execute("SELECT 1 FROM name WHERE parent = ? LIMIT 1", (parent,)).fetchone()
        return row is not None

    def names_of(self, node: int) -> list[tuple[int, bytes]]:
        """All names of a node, each with its directory."""
        return self._db.execute(
            "SELECT parent, name FROM name WHERE node = ? ORDER BY parent, name", (node,)
        ).fetchall()

    # Extended attributes

    def attribute(self, node: int, name: bytes) -> bytes | None:
        """The value of an attribute; None when there is none."""
        row = self._db.execute(
            "SELECT value FROM xattr WHERE node = ? AND name = ?", (node, name)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def attributes(self, node: int) -> list[bytes]:
        """The names of a node's attributes, in their order."""
        rows = self._db.execute("SELECT name FROM xattr WHERE node = ? ORDER BY name", (node,))
        return [bytes(name) for (name,) in rows.fetchall()]

    def set_attribute(self, node: int, name: bytes, value: bytes) -> None:
        """Set an attribute, whether there was one or not."""
        self._db.execute(
            "INSERT OR REPLACE INTO xattr (node, name, value) VALUES (?, ?, ?)",
            (node, name, value),
        )

    def remove_attribute(self, node: int, name: bytes) -> bool:
        """Remove an attribute; returns whether there was one."""
        return (
            self._db.execute("DELETE FROM xattr WHERE node = ? AND name = ?", (node, name)).rowcount
            > 0
        )

    # Replies

    def remember(self, request: int, node: int) -> None:
        """Note that a request was done, and which node it was about; the oldest notes go."""
        latest = self._db.execute(
            "INSERT OR REPLACE INTO reply (request, node) VALUES (?, ?)", (request, node)
        ).lastrowid
        self._replies += 1
        if latest is not None and self._replies % _TRIM_EVERY == 0:
            self._db.execute("DELETE FROM reply WHERE id <= ?", (latest - REPLIES,))

    def reply(self, request: int) -> int | None:
        """The node of a request that was done; None: it was not, or long ago."""
        row = self._db.execute("SELECT node FROM reply WHERE request = ?", (request,)).fetchone()
        return None if row is None else int(row[0])

    def forget_replies(self) -> None:
        """Forget all: another kernel connection numbers its requests from the start."""
        self._db.execute("DELETE FROM reply")
