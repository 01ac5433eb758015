"""Each verb is a compare-and-set: when a side differs it is Stale, and nothing has changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from tests.fakes import FakeClock, MemorySide
from vaultsync.core.errors import Stale
from vaultsync.core.model import Absence, Action, Base, Entry, Row, Verb
from vaultsync.sync.executor import Executor, Prepared, Result

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "d/a.txt"


@dataclass
class Pair:
    """Two sides in memory with an executor between them."""

    local: MemorySide
    remote: MemorySide
    executor: Executor

    def row(self, path: str = PATH, base: Base | None = None) -> Row:
        local, remote = self.local.look(path), self.remote.look(path)
        return Row(
            path,
            local,
            base,
            remote,
            Absence.CONFIRMED if local is None else Absence.PRESENT,
            Absence.CONFIRMED if remote is None else Absence.PRESENT,
        )

    def in_sync(self, data: bytes = b"old") -> Base:
        """Put the same file on both sides; what both agree on."""
        self.local.write(PATH, data)
        self.remote.write(PATH, data)
        local = self.seen(self.local)
        local = self.local.identify(PATH, local)
        tag = self.seen(self.remote).tag
        return Base(
            local.kind,
            local.size,
            local.sha256 or "",
            local.tag,
            tag,
            local.mtime_ns,
            local.mode,
        )

    def seen(self, side: MemorySide, path: str = PATH) -> Entry:
        entry = side.look(path)
        assert entry is not None
        return entry

    def run(self, verb: Verb, row: Row) -> Result:
        prepared = self.executor.prepare(Action(verb, row, "test"), "op")
        return prepared if isinstance(prepared, Result) else self.executor.commit(prepared)


@pytest.fixture
def pair() -> Pair:
    clock = FakeClock()
    local, remote = MemorySide(clock), MemorySide(clock, remote=True)
    return Pair(local, remote, Executor(local, remote))


def push_new(pair: Pair) -> Row:
    pair.local.write(PATH, b"new")
    return pair.row()


def push_edit(pair: Pair) -> Row:
    base = pair.in_sync()
    pair.local.write(PATH, b"edited here")
    return pair.row(base=base)


def pull_new(pair: Pair) -> Row:
    pair.remote.write(PATH, b"new")
    return pair.row()


def pull_edit(pair: Pair) -> Row:
    base = pair.in_sync()
    pair.remote.write(PATH, b"edited there")
    return pair.row(base=base)


def delete_local(pair: Pair) -> Row:
    base = pair.in_sync()
    pair.remote.remove(PATH)
    return pair.row(base=base)


def delete_remote(pair: Pair) -> Row:
    base = pair.in_sync()
    pair.local.remove(PATH)
    return pair.row(base=base)


def both(pair: Pair) -> Row:
    return pair.row(base=pair.in_sync())


def conflict(pair: Pair) -> Row:
    pair.local.write(PATH, b"mine")
    pair.remote.write(PATH, b"yours")
    return pair.row()


def foreign(side: MemorySide) -> Callable[[], None]:
    """Somebody else writes the file."""
    return lambda: side.write(PATH, b"somebody else's")


SURPRISES = [
    pytest.param(Verb.PUSH, push_new, "local", id="push new, edited here"),
    pytest.param(Verb.PUSH, push_new, "remote", id="push new, appeared there"),
    pytest.param(Verb.PUSH, push_edit, "local", id="push edit, edited again"),
    pytest.param(Verb.PUSH, push_edit, "remote", id="push edit, edited there"),
    pytest.param(Verb.PULL, pull_new, "local", id="pull new, appeared here"),
    pytest.param(Verb.PULL, pull_new, "remote", id="pull new, edited there"),
    pytest.param(Verb.PULL, pull_edit, "local", id="pull edit, edited here"),
    pytest.param(Verb.PULL, pull_edit, "remote", id="pull edit, edited there again"),
    pytest.param(Verb.DELETE_LOCAL, delete_local, "local", id="delete here, edited here"),
    pytest.param(Verb.DELETE_REMOTE, delete_remote, "remote", id="delete there, edited there"),
    pytest.param(Verb.APPLY_LOCAL, both, "local", id="apply here, edited here"),
    pytest.param(Verb.APPLY_REMOTE, both, "remote", id="apply there, edited there"),
    pytest.param(Verb.CONFLICT, conflict, "local", id="conflict, edited here"),
    pytest.param(Verb.INSPECT, conflict, "local", id="inspect, edited here"),
    pytest.param(Verb.INSPECT, conflict, "remote", id="inspect, edited there"),
]


@pytest.mark.parametrize(("verb", "before", "which"), SURPRISES)
def test_a_side_that_differs_at_the_start_is_stale_and_nothing_changed(
    pair: Pair, verb: Verb, before: Callable[[Pair], Row], which: str
) -> None:
    row = before(pair)
    row = replace(row, local=_unknown(row.local), remote=_unknown(row.remote))
    if verb is Verb.APPLY_LOCAL and row.remote is not None:
        row = replace(row, remote=replace(row.remote, mode=0o755))
    foreign(getattr(pair, which))()
    trees = pair.local.tree(), pair.remote.tree()
    with pytest.raises(Stale):
        pair.run(verb, row)
    assert (pair.local.tree(), pair.remote.tree()) == trees
    assert not pair.local.mutations
    assert not pair.remote.mutations


COMMITS = [case for case in SURPRISES if case.values[0] is not Verb.INSPECT]
SENT_ALREADY = {("push new, edited here"), ("push edit, edited again")}
"""What was staged is what is committed: an edit after that is the next push's."""
READ_ALREADY = {"pull new, edited there", "pull edit, edited there again"}
"""What was fetched is what is committed: an edit after that is the next pull's."""


@pytest.mark.parametrize(
    ("verb", "before", "which"),
    [case for case in COMMITS if case.id not in SENT_ALREADY | READ_ALREADY],
)
def test_a_side_that_differs_at_the_commit_is_stale_and_nothing_changed(
    pair: Pair, verb: Verb, before: Callable[[Pair], Row], which: str
) -> None:
    row = before(pair)
    if verb is Verb.APPLY_LOCAL and row.remote is not None:
        row = replace(row, remote=replace(row.remote, mode=0o755))
    prepared = pair.executor.prepare(Action(verb, row, "test"), "op")
    assert isinstance(prepared, Prepared)
    foreign(getattr(pair, which))()
    trees = pair.local.tree(), pair.remote.tree()
    with pytest.raises(Stale):
        pair.executor.commit(prepared)
    assert (pair.local.tree(), pair.remote.tree()) == trees
    assert not pair.local.mutations
    assert not pair.remote.mutations


@pytest.mark.parametrize(
    ("verb", "before"),
    [
        (Verb.PUSH, push_new),
        (Verb.PUSH, push_edit),
        (Verb.PULL, pull_new),
        (Verb.PULL, pull_edit),
        (Verb.APPLY_REMOTE, both),
    ],
)
def test_a_base_is_true_on_both_sides(
    pair: Pair, verb: Verb, before: Callable[[Pair], Row]
) -> None:
    row = pair.run(verb, before(pair)).row
    assert row.base is not None
    assert pair.local.tree() == pair.remote.tree()
    assert row.base.local_tag == pair.seen(pair.local).tag
    assert row.base.remote_tag == pair.seen(pair.remote).tag
    assert row.base.sha256 == pair.seen(pair.remote).sha256


def test_deletions_leave_nothing_known(pair: Pair) -> None:
    assert pair.run(Verb.DELETE_LOCAL, delete_local(pair)).row == Row(PATH)
    assert pair.local.trash == [b"old"]
    assert pair.run(Verb.DELETE_REMOTE, delete_remote(pair)).row == Row(PATH)
    assert pair.remote.files == {}


def test_a_folder_that_is_not_empty_any_more_gets_no_marker_and_is_not_removed(pair: Pair) -> None:
    pair.local.make("d/")
    row = pair.row("d/")
    pair.local.write(PATH, b"x")
    with pytest.raises(Stale):
        pair.run(Verb.PUSH, row)
    with pytest.raises(Stale):
        pair.run(Verb.DELETE_LOCAL, row)
    assert pair.remote.tree() == {}
    assert pair.local.files[PATH].data == b"x"


def test_a_folder_is_not_made_where_a_file_is(pair: Pair) -> None:
    pair.remote.make("d/")
    row = pair.row("d/")
    pair.local.write("d", b"a file")
    with pytest.raises(Stale):
        pair.run(Verb.PULL, row)
    assert pair.local.tree() == {"d": b"a file"}


def _unknown(entry: Entry | None) -> Entry | None:
    """As a scan or a listing shows it: without a digest."""
    return None if entry is None else replace(entry, sha256=None)
