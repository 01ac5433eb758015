"""The state database: rows, journal, intents and what it is all bound to."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from importlib import resources
from typing import TYPE_CHECKING, Any, Self

from vaultsync.core.errors import Blocked, Fatal
from vaultsync.core.model import Absence, Base, Entry, Kind, Row, Verb
from vaultsync.state.connection import Damaged, translated
from vaultsync.state.events import Events
from vaultsync.state.held import HeldRows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

VERSION = 4
CHUNK = 1000
"""Rows fetched at once: a reader never holds a cursor open while rows are being written."""

_COLUMNS = (
    "path, l_kind, l_size, l_tag, l_sha256, l_mtime, l_mode, l_absent,"
    " b_kind, b_size, b_sha256, b_ltag, b_rtag, b_mtime, b_mode, b_stamp, b_version, b_ops, b_gone,"
    " b_from,"
    " r_kind, r_size, r_tag, r_sha256, r_mtime, r_mode, r_stamp, r_version, r_ops, r_absent"
)
_NAMES = [name.strip() for name in _COLUMNS.split(",")]
_UPSERT = (
    f"INSERT INTO path ({_COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"  # noqa: S608 - constants
    " ON CONFLICT (path) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _NAMES[1:])
)
_ABSENCE = {1: Absence.ONCE, 2: Absence.CONFIRMED}


@dataclass(frozen=True, slots=True)
class Journalled:
    """An operation that was about to become visible.

    Attributes:
        path: Where.
        op: Its operation id.
        verb: What was about to be done.
        token: What the target side needs to find its staged bytes.
        base: The base to record once it has happened; the target side's tag is filled in then.
        source: The path that the content is moved away from by a copy on the server, if any.
    """

    path: str
    op: str
    verb: Verb
    token: str
    base: Base
    source: str | None = None


def _script(name: str) -> str:
    return resources.files("vaultsync.state").joinpath(name).read_text()


class Store:
    """The state of one vault on this device. Used by one thread; others take a `reader()`.

    Attributes:
        events: The history.
        held: What the guards count and hold.

    Raises Damaged when the file is not a sound database of ours, Fatal when it was written by a
    newer version.
    """

    _readonly = False
    _intending = True

    def __init__(self, file: Path, *, readonly: bool = False) -> None:
        self._file = file
        self._readonly = readonly
        mode = "ro" if readonly else "rwc"
        if not readonly and not file.exists():
            self._make()
        try:
            self._db = sqlite3.connect(
                f"{file.absolute().as_uri()}?mode={mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=30,
            )
        except sqlite3.Error as error:
            raise Damaged(f"The state database {file} cannot be opened: {error}.") from error
        self.events = Events(self._db)
        self.held = HeldRows(self._db)
        try:
            self._prepare(readonly)
        except BaseException:
            self._db.close()
            raise

    def _make(self) -> None:
        """Make a new database, whole: who finds the file, to read in it, finds everything there.

        Where that fails, opening it says why, or makes it after all.
        """
        new = self._file.with_name(f"{self._file.name}.new")
        with suppress(sqlite3.Error, OSError):
            new.unlink(missing_ok=True)
            with closing(sqlite3.connect(new, isolation_level=None)) as database:
                database.executescript(f"BEGIN;{_script('schema.sql')}COMMIT;")
            # What is left of one that somebody removed must not be taken for this one's.
            for end in ("-wal", "-shm"):
                self._file.with_name(self._file.name + end).unlink(missing_ok=True)
            self._file.hardlink_to(new)
            new.unlink()

    def _prepare(self, readonly: bool) -> None:
        try:
            if readonly:
                self._db.execute("PRAGMA query_only = ON")
                return
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._run_script("schema.sql")
            elif version > VERSION:
                raise Fatal(
                    f"The state database {self._file} was written by a newer vaultsync.",
                    "Update vaultsync; or move the file away, the vault will be merged anew.",
                )
            else:
                for step in range(version + 1, VERSION + 1):
                    self._run_script(f"upgrades/{step}.sql")
            (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            raise Damaged(f"The state database {self._file} is damaged: {error}.") from error
        if verdict != "ok":
            raise Damaged(f"The state database {self._file} is damaged: {verdict}.")

    def _run_script(self, name: str) -> None:
        try:
            self._db.executescript(f"BEGIN;{_script(name)}COMMIT;")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def reader(self) -> Store:
        """A second, read-only view for another thread. Close it."""
        return Store(self._file, readonly=True)

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._db.close()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """All or nothing.

        Args:
            durable: Whether the commit must have reached the disk before this returns: true for
                what precedes an irreversible step. Other commits may be lost by a power cut,
                never torn.

        Raises:
            Blocked: The disk is full or cannot be written; nothing was recorded.
            Damaged: The file is broken.
        """
        try:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise Blocked(
                f"The state database {self._file} cannot be written: {error}.",
                "Free some space on its disk, or make it writable.",
            ) from error
        except sqlite3.DatabaseError as error:
            # An error of our own is no reason to give the database up.
            raise translated(self._file, error) or error from error

    # Rows

    def row(self, path: str) -> Row:
        """All that is known about one path; an empty row when nothing is.

        Raises Blocked and Damaged as `transaction` does.
        """
        try:
            found = self._db.execute(
                f"SELECT {_COLUMNS} FROM path WHERE path = ?",  # noqa: S608
                (path,),
            ).fetchone()
            row = Row(path) if found is None else _row(found)
            return self._with_intents([row])[0]
        except sqlite3.DatabaseError as error:
            raise translated(self._file, error) or error from error

    def rows(self, at: str = "", after: str = "") -> Iterator[Row]:
        """Yield the rows at and below a path in order; rows written meanwhile may be among them.

        Args:
            at: A path without trailing `/`; empty for all.
            after: Leave out paths that are not greater than this one.
        """
        beyond = after + "\0" if after else ""
        if not at:
            yield from self._range(beyond, None)
            return
        if at > after:
            row = self.row(at)
            if row != Row(at):
                yield row
        yield from self._range(max(beyond, at + "/"), at + "0")

    def _range(self, start: str, before: str | None) -> Iterator[Row]:
        where = "path >= ?" if before is None else "path >= ? AND path < ?"
        while True:
            arguments = (start,) if before is None else (start, before)
            found = self._db.execute(
                f"SELECT {_COLUMNS} FROM path WHERE {where} ORDER BY path LIMIT {CHUNK}",  # noqa: S608
                arguments,
            ).fetchall()
            if not found:
                return
            rows = self._with_intents([_row(values) for values in found])
            yield from rows
            start = rows[-1].path + "\0"

    def _with_intents(self, rows: list[Row]) -> list[Row]:
        """Fill in the operation ids of unknown outcome; there are nearly always none.

        The mark LOCAL_GONE is of every version that a deletion of ours may still take away.
        """
        if not self._intending:
            return rows
        found = self._db.execute(
            "SELECT path, op, iif(json_extract(base, '$.ops[0]') IS op, NULL,"
            " json_extract(base, '$.remote_tag')) FROM intent WHERE path >= ? AND path <= ?",
            (rows[0].path, rows[-1].path),
        ).fetchall()
        if not found:
            # Only the one who writes may remember that there are none at all.
            self._intending = self._readonly or self._has_intents()
            return rows
        intents: dict[str, tuple[str, ...]] = {}
        endangered: set[tuple[str, str]] = set()
        for path, op, deleted in found:
            intents[path] = (*intents.get(path, ()), op)
            if deleted is not None:
                endangered.add((path, deleted))
        return [
            replace(
                row,
                intents=intents.get(row.path, ()),
                local_gone=row.local_gone
                or (row.base is not None and (row.path, row.base.remote_tag) in endangered),
            )
            for row in rows
        ]

    def _has_intents(self) -> bool:
        (found,) = self._db.execute("SELECT EXISTS (SELECT 1 FROM intent)").fetchone()
        return bool(found)

    def save(self, rows: Iterable[Row]) -> None:
        """Write rows; one that says nothing any more is removed. Call within a transaction."""
        for row in rows:
            if row.local is None and row.base is None and row.remote is None:
                self._db.execute("DELETE FROM path WHERE path = ?", (row.path,))
            else:
                self._db.execute(_UPSERT, _values(row))

    def unsure(self, *, remote: bool) -> list[Row]:
        """Rows whose absence on one side was seen only once: a chunk of them at most, in order."""
        column = "r_absent" if remote else "l_absent"
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM path WHERE {column} = 1 ORDER BY path LIMIT {CHUNK}"  # noqa: S608
        ).fetchall()
        return self._with_intents([_row(values) for values in found]) if found else []

    def vacated(self, size: int, sha256: str | None = None, *, remote: bool) -> list[Row]:
        """Files that one side does not show any more as in base, while the other one still does.

        Args:
            size: Bytes of the base version.
            sha256: Its digest; None for any.
            remote: Which side does not show it.

        Returns:
            Some of them, in the order of the index; at most eight.
        """
        here, there = "l_tag IS {}b_ltag", "r_tag IS {}b_rtag"
        gone, held = (there, here) if remote else (here, there)
        side = f"{gone.format('NOT ')} AND {held.format('')} AND b_gone = 0"
        digest = "" if sha256 is None else " AND b_sha256 = ?"
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM path WHERE b_kind = 'file' AND {side} AND b_size = ?{digest}"  # noqa: S608
            " LIMIT 8",
            (size,) if sha256 is None else (size, sha256),
        ).fetchall()
        return [_row(values) for values in found]

    def moved(self, source: str | None = None) -> list[Row]:
        """Rows with the mark MOVED_HERE, from one path or from any; a chunk of them at most."""
        where = "IS NOT NULL" if source is None else "= ?"
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM path WHERE b_from {where} LIMIT {CHUNK}",  # noqa: S608
            () if source is None else (source,),
        ).fetchall()
        return [self.row(values[0]) for values in found]

    def unequal(self) -> int:
        """How many paths are not known to be equal on both sides. Walks all rows: for people."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM path WHERE substr(path, -1) != '/' AND"
            " (b_kind IS NULL OR l_tag IS NOT b_ltag OR r_tag IS NOT b_rtag)"
        ).fetchone()
        return int(count)

    def totals(self) -> tuple[int, int]:
        """Files (and links) in sync, and their bytes."""
        files, size = self._db.execute("SELECT files, bytes FROM total").fetchone()
        return files, size

    def conflicts(self) -> list[str]:
        """Paths whose name has the form of a conflict copy, in order."""
        found = self._db.execute(
            "SELECT path FROM path WHERE l_kind = 'file' AND path GLOB '* (conflict *)*'"
            " ORDER BY path"
        )
        return [path for (path,) in found]

    # Journal and intents

    def begin(self, operation: Journalled) -> None:
        """Journal an operation that is about to become visible; its path must not have one yet."""
        self._db.execute(
            "INSERT INTO journal (path, op, verb, token, base, source) VALUES (?, ?, ?, ?, ?, ?)",
            (
                operation.path,
                operation.op,
                operation.verb.value,
                operation.token,
                _dump(operation.base),
                operation.source,
            ),
        )

    def finish(self, path: str) -> None:
        """Take a path's operation out of the journal; none there is fine."""
        self._db.execute("DELETE FROM journal WHERE path = ?", (path,))

    def journal(self) -> list[Journalled]:
        """Operations that were begun and not finished."""
        found = self._db.execute(
            "SELECT path, op, verb, token, base, source FROM journal ORDER BY path"
        )
        return [
            Journalled(path, op, Verb(verb), token, _load(base), source)
            for path, op, verb, token, base, source in found
        ]

    def intend(self, operation: Journalled, since: float) -> None:
        """Remember a remote write whose outcome is not known."""
        self._intending = True
        self._db.execute(
            "INSERT OR REPLACE INTO intent (op, path, base, since) VALUES (?, ?, ?, ?)",
            (operation.op, operation.path, _dump(operation.base), since),
        )

    def intended(self, op: str, path: str) -> Base | None:
        """The base that an intent of ours would have made, or None when there is no such intent."""
        found = self._db.execute(
            "SELECT base FROM intent WHERE op = ? AND path = ?", (op, path)
        ).fetchone()
        return None if found is None else _load(found[0])

    def deleting(self) -> Iterator[Row]:
        """Rows with the mark LOCAL_GONE and no operation of unknown outcome. Walks all rows."""
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM path WHERE b_gone = 1 AND b_kind IN ('file', 'link')"  # noqa: S608
            " AND NOT EXISTS (SELECT 1 FROM intent WHERE intent.path = path.path)"
        ).fetchall()
        yield from map(_row, found)

    def renew_intents(self, since: float) -> None:
        """Take all intents to have been made at a time: how old they are is not known any more."""
        self._db.execute("UPDATE intent SET since = ?", (since,))

    def forget_intent(self, path: str) -> None:
        """Drop what was intended for a path; none there is fine."""
        self._db.execute("DELETE FROM intent WHERE path = ?", (path,))

    def overdue(self, before: float) -> list[Row]:
        """Rows with intents older than a time (seconds since the epoch), in path order."""
        found = self._db.execute(
            "SELECT DISTINCT path FROM intent WHERE since < ? ORDER BY path", (before,)
        ).fetchall()
        return [self.row(path) for (path,) in found]

    def forget_intents(self, path: str, before: float) -> None:
        """Drop a path's intents older than a time. Call within a transaction."""
        self._db.execute("DELETE FROM intent WHERE path = ? AND since < ?", (path, before))

    # Binding

    def meta(self, key: str) -> str | None:
        """A value that was set before, or None."""
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def set_meta(self, key: str, value: str) -> None:
        """Set a value."""
        self._db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


def _dump(base: Base) -> str:
    return json.dumps(asdict(base))


def _load(text: str) -> Base:
    values = json.loads(text)
    return Base(**{**values, "kind": Kind(values["kind"]), "ops": tuple(values["ops"])})


def _ops(text: str | None) -> tuple[str, ...]:
    return tuple(text.split()) if text else ()


def _row(values: Any) -> Row:
    here, agreed, there = values[1:8], values[8:20], values[20:30]
    local = base = remote = None
    if here[0] is not None:
        local = Entry(Kind(here[0]), *here[1:6])
    if agreed[0] is not None:
        base = Base(*[Kind(agreed[0]), *agreed[1:9], _ops(agreed[9])])
    if there[0] is not None:
        remote = Entry(*[Kind(there[0]), *there[1:8], _ops(there[8])])
    return Row(
        values[0],
        local,
        base,
        remote,
        _ABSENCE[here[6]] if local is None else Absence.PRESENT,
        _ABSENCE[there[9]] if remote is None else Absence.PRESENT,
        bool(agreed[10]),
        moved_from=agreed[11],
    )


def _values(row: Row) -> tuple[Any, ...]:
    local, base, remote = row.local, row.base, row.remote
    here: tuple[Any, ...] = (None,) * 6
    agreed: tuple[Any, ...] = (None,) * 10
    there: tuple[Any, ...] = (None,) * 9
    if local is not None:
        here = (
            local.kind.value,
            local.size,
            local.tag,
            local.sha256,
            local.mtime_ns,
            local.mode,
        )
    if base is not None:
        agreed = (
            base.kind.value,
            base.size,
            base.sha256,
            base.local_tag,
            base.remote_tag,
            base.mtime_ns,
            base.mode,
            base.stamp,
            base.version,
            " ".join(base.ops),
        )
    if remote is not None:
        there = (
            remote.kind.value,
            remote.size,
            remote.tag,
            remote.sha256,
            remote.mtime_ns,
            remote.mode,
            remote.stamp,
            remote.version,
            " ".join(remote.ops),
        )
    once_here = local is None and row.local_absence is Absence.ONCE
    once_there = remote is None and row.remote_absence is Absence.ONCE
    return (
        row.path,
        *here,
        1 if once_here else 2,
        *agreed,
        int(row.local_gone),
        row.moved_from,
        *there,
        1 if once_there else 2,
    )
