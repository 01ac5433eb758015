"""What the guards count and hold, as questions to the rows and events. Nothing of it is a queue.

What is pending follows from the rows alone. Kept in `meta` are only: since when a guard holds
(`held <guard>`), from when on it counts (`counted <guard>`), which paths a person has let through
(`let <guard> <path>`, with the time), and which of those were done (`passed <guard> <path>`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vaultsync.core.model import Verb
from vaultsync.core.plan import CHANGED_HERE, EDITED_HERE
from vaultsync.core.safety import DAY, Guard, Hold

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator


CHUNK = 1000

# The first two terms of each are those of the indexes `vacated_there` and `vacated_here`.
_VACATED = {
    Guard.DELETIONS_HERE: "b_kind = 'file' AND r_tag IS NOT b_rtag",
    Guard.DELETIONS_THERE: "b_kind = 'file' AND l_tag IS NOT b_ltag",
    Guard.CHANGES: "b_kind = 'file' AND l_tag IS NOT b_ltag",
}
_PENDING = {
    Guard.DELETIONS_HERE: (
        "r_kind IS NULL AND l_kind IS NOT NULL AND b_gone = 0 AND"
        " (l_tag = b_ltag OR l_sha256 IS NULL OR l_sha256 = b_sha256)"
    ),
    Guard.DELETIONS_THERE: (
        "l_kind IS NULL AND r_kind IS NOT NULL AND"
        " (r_tag = b_rtag OR r_sha256 IS NULL OR r_sha256 = b_sha256)"
    ),
    Guard.CHANGES: (
        "b_kind = 'file' AND l_tag IS NOT b_ltag AND l_kind IS NOT NULL AND"
        " (l_sha256 IS NULL OR l_sha256 != b_sha256) AND r_tag IS b_rtag"
    ),
}
_VERBS = {
    Guard.DELETIONS_HERE: Verb.DELETE_LOCAL,
    Guard.DELETIONS_THERE: Verb.DELETE_REMOTE,
    Guard.CHANGES: Verb.PUSH,
    Guard.CONFLICTS: Verb.CONFLICT,
}
_SAME_PATH = "SELECT 1 FROM path WHERE path.path = event.path"
_NOT_LET = "NOT EXISTS (SELECT 1 FROM meta WHERE key = ? || path)"
_NO_BASE = (
    "b_kind = NULL, b_size = NULL, b_sha256 = NULL, b_ltag = NULL, b_rtag = NULL, b_mtime = NULL,"
    " b_mode = NULL, b_stamp = NULL, b_version = NULL, b_ops = NULL, b_from = NULL, b_gone = 0"
)


class HeldRows:
    """The guards' view of one database. Writing belongs within a transaction of the `Store`.

    Args:
        db: The connection of the store.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._searched = False

    # Holds

    def hold(self, guard: Guard) -> Hold | None:
        """What the guard holds since when, or None."""
        kept = self._meta(f"held {guard}")
        return None if kept is None else Hold(*kept)

    def set_hold(self, guard: Guard, hold: Hold | None) -> None:
        """Keep, or forget, that a guard holds."""
        key = f"held {guard}"
        if hold is None:
            self._db.execute("DELETE FROM meta WHERE key = ?", (key,))
        else:
            self._set_meta(key, [hold.since, hold.limit])

    # Counting

    def pending(self, guard: Guard) -> int:
        """Files that the guard would let go now, those left out that were let through."""
        here = " AND path NOT IN (SELECT path FROM temp.elsewhere)" if self._searched else ""
        (found,) = self._db.execute(
            f"SELECT count(*) FROM path WHERE {_VACATED[guard]} AND {_PENDING[guard]}"  # noqa: S608
            f" AND {_NOT_LET}{here}",
            (f"let {guard} ",),
        ).fetchone()
        return int(found)

    def done(self, guard: Guard, since: float) -> int:
        """Files to which it was done since a time, without what a person has let through.

        Deletions of directories do not count, nor of what lives on under another path or is there
        again; a change does not count beside a further one that is pending.
        """
        start = self._start(guard)
        # One that lies in the future was written down while the clock was wrong.
        begin = start if since < start <= since + DAY else since
        arguments: list[object] = [_VERBS[guard].value, begin]
        more = ""
        if guard is Guard.CHANGES:
            more = f" AND reason IN (?, ?) AND NOT EXISTS ({_SAME_PATH} AND {_PENDING[guard]})"
            arguments += [EDITED_HERE, CHANGED_HERE]
        elif guard in _PENDING:
            more = (
                " AND kept IS NULL AND substr(path, -1) != '/'"
                f" AND NOT EXISTS ({_SAME_PATH} AND b_kind IS NOT NULL)"
            )
        (found,) = self._db.execute(
            f"SELECT count(DISTINCT path) FROM event WHERE verb = ? AND at >= ?{more}"  # noqa: S608
            " AND NOT EXISTS (SELECT 1 FROM meta"
            " WHERE key = ? || event.path AND CAST(value AS REAL) >= event.at)",
            (*arguments, f"passed {guard} "),
        ).fetchone()
        return int(found)

    def find_elsewhere(self, guard: Guard, since: float) -> None:
        """Find deletions whose content is live under another path; they do not count.

        One walk over all rows, so only for when it matters. Those that happened already are
        remembered with their event, those that are pending in a temporary table.

        Args:
            guard: One of the two of deletions.
            since: How far back events matter, seconds since the epoch.
        """
        for table in ("missing", "found", "elsewhere"):
            self._db.execute(f"DROP TABLE IF EXISTS temp.{table}")
        self._db.execute(
            "CREATE TEMP TABLE missing AS"  # noqa: S608 - constants
            " SELECT b_sha256 AS sha256, b_size AS size, path, NULL AS event"
            f" FROM path WHERE {_VACATED[guard]} AND {_PENDING[guard]}"
            " UNION ALL SELECT sha256, size, path, id FROM event"
            " WHERE verb = ? AND at >= ? AND kept IS NULL AND sha256 IS NOT NULL",
            (_VERBS[guard].value, since),
        )
        self._db.execute("CREATE INDEX temp.missing_content ON missing (sha256, size)")
        self._db.execute(
            "CREATE TEMP TABLE found AS SELECT event, missing.path AS path, min(q.path) AS target"
            " FROM path AS q CROSS JOIN missing ON sha256 = q.b_sha256 AND size = q.b_size"
            " WHERE q.b_kind = 'file' AND q.l_kind IS NOT NULL AND q.r_kind IS NOT NULL"
            " AND q.path != missing.path GROUP BY event, missing.path"
        )
        self._db.execute(
            "CREATE TEMP TABLE elsewhere (path TEXT PRIMARY KEY, target TEXT) WITHOUT ROWID"
        )
        self._db.execute("INSERT INTO elsewhere SELECT path, target FROM found WHERE event IS NULL")
        self._db.execute(
            "UPDATE event SET kept = found.target FROM found WHERE found.event = event.id"
        )
        self._searched = True

    def lives_on(self, path: str) -> bool:
        """Whether the last search found a pending deletion's content under another path."""
        if not self._searched:
            return False
        found = self._db.execute("SELECT 1 FROM temp.elsewhere WHERE path = ?", (path,))
        return found.fetchone() is not None

    def deleted(self, path: str, at: float) -> None:
        """A deletion was written down; if its content lives on, that goes with its event."""
        if self._searched:
            self._db.execute(
                "UPDATE event SET kept = target FROM temp.elsewhere"
                " WHERE event.path = ? AND event.at = ? AND elsewhere.path = event.path",
                (path, at),
            )

    def living_on(self) -> int:
        """How many of those the last search found."""
        if not self._searched:
            return 0
        (found,) = self._db.execute("SELECT count(*) FROM temp.elsewhere").fetchone()
        return int(found)

    # What a person says

    def is_let(self, guard: Guard, path: str) -> bool:
        """Whether a person has let this path through."""
        found = self._db.execute(
            "SELECT 1 FROM meta WHERE key = ?", (f"let {guard} {path}",)
        ).fetchone()
        return found is not None

    def has_let(self, guard: Guard) -> bool:
        """Whether a person has let anything through that is still to be done."""
        prefix = f"let {guard} "
        found = self._db.execute(
            "SELECT 1 FROM meta WHERE key >= ? AND key < ?", (prefix, prefix[:-1] + "!")
        )
        return found.fetchone() is not None

    def let(self, guard: Guard, now: float, paths: tuple[str, ...] = ()) -> None:
        """Let through what is pending now, and nothing that comes later; counting begins anew.

        Args:
            guard: Which.
            now: Seconds since the epoch.
            paths: What is meant, for a guard whose pending items do not follow from the rows.
        """
        prefix = f"let {guard} "
        if guard in _PENDING:
            self._db.execute(
                "INSERT OR REPLACE INTO meta (key, value)"  # noqa: S608 - constants
                " SELECT ? || path, ? FROM path"
                f" WHERE b_kind IS NOT NULL AND {_PENDING[guard]}",
                (prefix, repr(now)),
            )
        self._db.executemany(
            "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
            [(prefix + path, repr(now)) for path in paths],
        )
        self._set_meta(f"counted {guard}", now)
        self.set_hold(guard, None)

    def passed(self, guard: Guard, path: str, at: float) -> None:
        """What was let through has been done."""
        self._db.execute(
            "UPDATE OR REPLACE meta SET key = ?, value = ? WHERE key = ?",
            (f"passed {guard} {path}", repr(at), f"let {guard} {path}"),
        )

    def forget_passed(self, before: float) -> None:
        """Forget what was let through and done before a time."""
        self._db.execute(
            "DELETE FROM meta WHERE key >= 'passed ' AND key < 'passed!'"
            " AND CAST(value AS REAL) < ?",
            (before,),
        )

    def forget_let(self, guard: Guard, now: float) -> None:
        """A person's word ends after a day, and with what it was about.

        A path that is not pending any more would have to be allowed anew.
        """
        prefix = f"let {guard} "
        about = ""
        if guard in _PENDING:
            about = (
                " OR NOT EXISTS (SELECT 1 FROM path WHERE path.path = substr(meta.key, ?)"  # noqa: S608
                f" AND b_kind IS NOT NULL AND {_PENDING[guard]})"
            )
        self._db.execute(
            "DELETE FROM meta WHERE key >= ? AND key < ?"  # noqa: S608 - constants
            f" AND (CAST(value AS REAL) < ?{about})",
            (prefix, prefix[:-1] + "!", now - DAY, *((len(prefix) + 1,) if about else ())),
        )

    def restore(self, guard: Guard) -> None:
        """Undo what is pending: without a base, each side's versions come to the other."""
        self._db.execute(
            f"UPDATE path SET {_NO_BASE} WHERE b_kind IS NOT NULL AND {_PENDING[guard]}"  # noqa: S608
        )
        self.set_hold(guard, None)

    def paths(self, guard: Guard, limit: int | None = None) -> Iterator[str]:
        """Paths that are pending and not let through, in order; at most `limit` of them."""
        left, after = -1 if limit is None else limit, ""
        while left:
            found = self._db.execute(
                f"SELECT path FROM path WHERE path > ? AND b_kind IS NOT NULL"  # noqa: S608
                f" AND {_PENDING[guard]} AND {_NOT_LET} ORDER BY path LIMIT ?",
                (after, f"let {guard} ", CHUNK if left < 0 else min(left, CHUNK)),
            ).fetchall()
            for (path,) in found:
                yield path
            if len(found) < CHUNK:
                return
            after, left = found[-1][0], left - len(found) if left > 0 else left

    def holds(self, guard: Guard, path: str) -> bool:
        """Whether a path is among them."""
        found = self._db.execute(
            f"SELECT 1 FROM path WHERE path = ? AND b_kind IS NOT NULL"  # noqa: S608
            f" AND {_PENDING[guard]} AND {_NOT_LET}",
            (path, f"let {guard} "),
        ).fetchone()
        return found is not None

    def _start(self, guard: Guard) -> float:
        """From when on the guard counts."""
        return float(self._meta(f"counted {guard}") or 0.0)

    def _meta(self, key: str) -> Any:
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])

    def _set_meta(self, key: str, value: object) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, json.dumps(value))
        )
