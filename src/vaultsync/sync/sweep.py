"""Merging what a side shows with what is stored, in slices of bounded size."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vaultsync.core.model import EMPTY, Absence, Entry, Kind, Row, Seen, Unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vaultsync.core.ports import Side
    from vaultsync.state.store import Store

SLICE = 1000
"""Items of a pass that are merged in one turn of the engine."""


def here(row: Row, entry: Entry | None) -> Row:
    """The row after a local observation of its path; the very same row when nothing changed."""
    old = row.local
    if entry is None:
        absence = _absence(row, old, row.local_absence)
        if old is None and absence is row.local_absence:
            return row
        return replace(row, local=None, local_absence=absence)
    if old is not None and (old.tag, old.kind) == (entry.tag, entry.kind):
        if entry.sha256 in (None, old.sha256):
            return row
        entry = replace(entry, sha256=entry.sha256 or old.sha256)
    # What was deleted with a folder may have been all that made it exist in the vault (rule R5).
    again = old is None and row.base is not None and entry.tag == EMPTY
    gone = row.local_gone or again
    return replace(row, local=entry, local_absence=Absence.PRESENT, local_gone=gone)


def there(row: Row, entry: Entry | None) -> Row:
    """The row after a remote observation of its path; the very same row when nothing changed.

    A listing tells less than a look: what was known of the same version is kept.
    """
    old = row.remote
    if entry is None:
        absence = _absence(row, old, row.remote_absence)
        if old is None and absence is row.remote_absence:
            return row
        return replace(row, remote=None, remote_absence=absence)
    if old is not None and old.kind is Kind.LINK and _is_listed(entry, old):
        entry = replace(entry, kind=Kind.LINK)
    if old is not None and (old.tag, old.kind, old.size) == (entry.tag, entry.kind, entry.size):
        if entry.sha256 is None and not entry.ops:
            if entry.stamp in (None, old.stamp):
                return row
            if old.stamp is None:
                return _stamped(row, old, entry.stamp)
        elif entry == old:
            return row
    base = row.base
    if base is not None and base.stamp is None and base.remote_tag == entry.tag:
        base = replace(base, stamp=entry.stamp)
    return replace(row, remote=entry, base=base, remote_absence=Absence.PRESENT)


def _is_listed(entry: Entry, old: Entry) -> bool:
    """Whether a listing shows the version that a look has found to be a link."""
    return entry.sha256 is None and (entry.tag, entry.size) == (old.tag, old.size)


def _absence(row: Row, old: Entry | None, absence: Absence) -> Absence:
    if row.base is None:
        return Absence.CONFIRMED
    return Absence.ONCE if old is not None else _second(absence)


def _second(absence: Absence) -> Absence:
    return Absence.CONFIRMED if absence is Absence.ONCE else absence


def _stamped(row: Row, old: Entry, stamp: str | None) -> Row:
    """The first listing after our own write shows its time: that is no change."""
    base = row.base
    if base is not None and base.remote_tag == old.tag and base.stamp is None:
        base = replace(base, stamp=stamp)
    return replace(row, remote=replace(old, stamp=stamp), base=base)


class Sweep:
    """One pass over one side, or a part of it, merged with the stored rows.

    Absence comes from the merge: a stored row that the pass went by without showing is absent. What
    the pass could not see (Unseen) proves nothing; its rows stay as they were.

    Attributes:
        began: The engine's count when the pass began: it knows nothing of later commits.
        whole: Whether it covers everything.
        remote: Which side it looks at.
        unseen: What it could not see, by path.
        done: Whether it has come to its end.
    """

    def __init__(
        self,
        side: Side,
        store: Store,
        began: int,
        *,
        remote: bool,
        at: str = "",
        after: str = "",
        until: str | None = None,
        met: Callable[[str], None] | None = None,
    ) -> None:
        self.began = began
        self.at = at
        self.whole = not at and not after and until is None
        self.remote = remote
        self.unseen: dict[str, Unseen] = {}
        self.done = False
        self._until = until
        self._met = met
        self._store = store
        self._observe = there if remote else here
        self._seen = side.entries(at, after)
        self._rows: Iterator[Row] = store.rows(at, after)
        self._item = next(self._seen, None)
        self._row = next(self._rows, None)
        self._hidden = ""

    def advance(
        self, skip: Callable[[str], bool], ignored: Callable[[str], bool]
    ) -> list[tuple[Row, Row]]:
        """Merge one slice; return the rows that changed as (before, after).

        Args:
            skip: Paths that this pass must say nothing about (in flight, or committed since).
            ignored: Paths that are left alone on both sides: their rows are dropped, so that
                becoming ignored never looks like a deletion.
        """
        changes: list[tuple[Row, Row]] = []
        for _ in range(SLICE):
            step = self._step()
            if step is None:
                self.done = True
                break
            row, entry = step
            if self._met is not None and (entry is not None or row.base is None):
                # What is about to be deleted may only have changed its case.
                self._met(row.path)
            if skip(row.path):
                continue
            if entry is None and ignored(row.path):
                changes.append((row, Row(row.path)))
                continue
            if self._observe(row, entry) is row:
                continue
            # The row was fetched with its chunk; the other side's half may have moved on since.
            row = self._store.row(row.path)
            new = self._observe(row, entry)
            if new is not row:
                changes.append((row, new))
        return changes

    def _step(self) -> tuple[Row, Entry | None] | None:
        """The next path of either stream with what the side shows there."""
        while True:
            item, row = self._item, self._row
            if isinstance(item, Unseen) and (
                not item.valid or row is None or item.path <= row.path
            ):
                self._hide(item)
                self._item = next(self._seen, None)
                continue
            path = min((found.path for found in (item, row) if found is not None), default=None)
            if path is None or (self._until is not None and path > self._until):
                return None
            shown = isinstance(item, Seen) and item.path == path
            stored = row is not None and row.path == path
            entry = item.entry if shown and isinstance(item, Seen) else None
            if shown:
                self._item = next(self._seen, None)
            known = row if stored and row is not None else Row(path)
            if stored:
                self._row = next(self._rows, None)
            if not shown and self._is_hidden(path):
                continue
            return known, entry

    def _hide(self, item: Unseen) -> None:
        self.unseen[item.path] = item
        if item.valid:
            self._hidden = item.path

    def _is_hidden(self, path: str) -> bool:
        hidden = self._hidden
        return bool(hidden) and (
            path == hidden or (hidden.endswith("/") and path.startswith(hidden))
        )
