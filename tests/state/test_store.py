"""The database gives back what it was given, in order, and never half of it."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vaultsync.core.errors import Blocked
from vaultsync.core.model import Absence, Base, Entry, Kind, Row, Verb
from vaultsync.state import store as module
from vaultsync.state.store import Journalled, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NUMBERS = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)
SIZES = st.integers(min_value=0, max_value=1 << 50)
MODES = st.none() | st.integers(min_value=0, max_value=0o777)
OPS = st.lists(st.uuids().map(lambda it: it.hex), max_size=8).map(tuple)
KINDS = st.sampled_from(Kind)
ABSENCES = st.sampled_from([Absence.ONCE, Absence.CONFIRMED])
SEGMENTS = st.text("ab.-0/ é\U0001f984", min_size=1, max_size=6)
PATHS = SEGMENTS.filter(lambda path: not path.startswith("/") and "//" not in path)

HERE = st.builds(Entry, KINDS, SIZES, TEXTS, st.none() | TEXTS, st.none() | NUMBERS, MODES)
THERE = st.builds(
    Entry,
    KINDS,
    SIZES,
    TEXTS,
    st.none() | TEXTS,
    st.none() | NUMBERS,
    MODES,
    st.none() | TEXTS,
    st.none() | TEXTS,
    OPS,
)
BASES = st.builds(
    Base,
    KINDS,
    SIZES,
    TEXTS,
    TEXTS,
    TEXTS,
    st.none() | NUMBERS,
    MODES,
    st.none() | TEXTS,
    st.none() | TEXTS,
    OPS,
)


@st.composite
def rows(draw: st.DrawFn, paths: st.SearchStrategy[str] = PATHS) -> Row:
    """Rows that say something."""
    local, base, remote = draw(
        st.tuples(st.none() | HERE, st.none() | BASES, st.none() | THERE).filter(any)
    )
    return Row(
        draw(paths),
        local,
        base,
        remote,
        draw(ABSENCES) if local is None else Absence.PRESENT,
        draw(ABSENCES) if remote is None else Absence.PRESENT,
        draw(st.booleans()),
        moved_from=draw(st.none() | paths),
    )


MANY_ROWS = st.lists(rows(), max_size=12, unique_by=lambda row: row.path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    with Store(file) as store:
        yield store


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few rows are already several chunks."""
    monkeypatch.setattr(module, "CHUNK", 2)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One database for all examples; each starts it anew with `filled`."""
    with Store(tmp_path_factory.mktemp("shared") / "state.db") as store:
        yield store


def filled(store: Store, with_rows: list[Row]) -> None:
    """Let the store hold exactly these rows."""
    with store.transaction():
        store.save([Row(row.path) for row in list(store.rows())])
        store.save(with_rows)


def save(store: Store, *some: Row) -> None:
    with store.transaction():
        store.save(some)


def file_row(path: str, size: int = 1) -> Row:
    return Row(path, base=Base(Kind.FILE, size, "x", "l", "r"))


class TestRows:
    @given(rows())
    def test_what_was_saved_is_what_is_read(self, shared: Store, row: Row) -> None:
        filled(shared, [row])
        assert shared.row(row.path) == row
        assert list(shared.rows()) == [row]
        with shared.reader() as reader:
            assert reader.row(row.path) == row

    @given(rows(st.just("a")), rows(st.just("a")))
    def test_the_last_one_saved_counts(self, shared: Store, one: Row, two: Row) -> None:
        filled(shared, [one, two])
        assert shared.row("a") == two

    def test_nothing_is_known_at_first(self, store: Store) -> None:
        assert store.row("a") == Row("a")
        assert list(store.rows()) == []
        assert store.totals() == (0, 0)

    def test_a_row_that_says_nothing_is_removed(self, store: Store) -> None:
        save(store, file_row("a"))
        save(store, Row("a", local_gone=True))
        assert list(store.rows()) == []
        assert store.row("a") == Row("a")

    @given(MANY_ROWS, PATHS.map(lambda path: path.rstrip("/")) | st.just(""), PATHS | st.just(""))
    def test_ranges(self, shared: Store, some: list[Row], at: str, after: str) -> None:
        filled(shared, some)
        expected = [
            row
            for row in sorted(some, key=lambda row: row.path.encode())
            if row.path > after and (at in ("", row.path) or row.path.startswith(at + "/"))
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "CHUNK", 2)
            assert list(shared.rows(at, after)) == expected

    def test_neighbours_of_the_slash_are_outside(self, store: Store) -> None:
        paths = ["d", "d!", "d-", "d.", "d./x", "d/", "d/.", "d/a", "d/é", "d0", "d0/x", "da", "e"]
        save(store, *[file_row(path) for path in paths])
        assert [row.path for row in store.rows("d")] == ["d", "d/", "d/.", "d/a", "d/é"]
        assert [row.path for row in store.rows("d", "d/")] == ["d/.", "d/a", "d/é"]
        assert [row.path for row in store.rows("d", "d.")] == ["d/", "d/.", "d/a", "d/é"]
        assert [row.path for row in store.rows("d", "d0")] == []
        assert [row.path for row in store.rows("", "d0")] == ["d0/x", "da", "e"]
        assert [row.path for row in store.rows("missing")] == []

    @pytest.mark.usefixtures("small_chunks")
    def test_rows_may_be_written_while_others_are_read(self, store: Store) -> None:
        save(store, *[file_row(f"{number:02}") for number in range(10)])
        read = []
        for row in store.rows():
            read.append(row.path)
            if not row.path.endswith("!"):
                save(store, Row(row.path), file_row(f"{row.path}!"))
        assert [path for path in read if not path.endswith("!")] == [f"{n:02}" for n in range(10)]


class TestQuestions:
    @given(MANY_ROWS)
    def test_unsure_rows_are_those_seen_absent_once(self, shared: Store, some: list[Row]) -> None:
        filled(shared, some)
        some = sorted(some, key=lambda row: row.path)
        here = [row for row in some if row.local_absence is Absence.ONCE]
        there = [row for row in some if row.remote_absence is Absence.ONCE]
        assert shared.unsure(remote=False) == here
        assert shared.unsure(remote=True) == there

    @pytest.mark.usefixtures("small_chunks")
    def test_unsure_rows_come_a_chunk_at_a_time(self, store: Store) -> None:
        gone = [replace(file_row(path), local_absence=Absence.ONCE) for path in "abc"]
        save(store, *gone)
        assert store.unsure(remote=False) == gone[:2]

    def test_unsure_rows_know_their_intents(self, store: Store) -> None:
        save(store, replace(file_row("a"), remote_absence=Absence.ONCE))
        intend(store, "a", "op")
        assert store.unsure(remote=True)[0].intents == ("op",)

    def test_unequal_counts_what_is_not_known_to_be_equal(self, store: Store) -> None:
        local, remote = Entry(Kind.FILE, 1, "l"), Entry(Kind.FILE, 1, "r")
        same = replace(file_row("same"), local=local, remote=remote)
        save(
            store,
            same,
            replace(same, path="edited", local=replace(local, tag="l2")),
            replace(same, path="changed", remote=replace(remote, tag="r2")),
            replace(same, path="gone", local=None),
            replace(same, path="new", base=None),
            replace(same, path="folder/", base=None),
        )
        assert store.unequal() == 4

    def test_conflicts_are_found_by_name(self, store: Store) -> None:
        shown = Entry(Kind.FILE, 1, "l")
        copy = "d/a (conflict laptop 2026-11-23 143005 3f9a1c).txt"
        save(
            store,
            Row(copy, shown),
            Row("b (conflict x 2026-11-23 143005 3f9a1c)", shown),
            Row("conflict", shown),
            Row("c (conflict gone 2026-11-23 143005 3f9a1c)", base=file_row("c").base),
        )
        assert store.conflicts() == ["b (conflict x 2026-11-23 143005 3f9a1c)", copy]
        plan = store._db.execute(
            "EXPLAIN QUERY PLAN SELECT path FROM path WHERE l_kind = 'file'"
            " AND path GLOB '* (conflict *)*' ORDER BY path"
        ).fetchall()
        assert "conflict" in str(plan)

    @pytest.mark.parametrize("there", [True, False])
    def test_looking_for_unsure_rows_walks_no_others(self, store: Store, there: bool) -> None:
        column = "r_absent" if there else "l_absent"
        plan = store._db.execute(
            f"EXPLAIN QUERY PLAN SELECT path FROM path WHERE {column} = 1 ORDER BY path"  # noqa: S608
        ).fetchall()
        assert "unsure_" in str(plan)


class Totals(RuleBasedStateMachine):
    """The running totals against a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.store = Store(Path(self.folder.name) / "state.db")
        self.known: dict[str, Row] = {}

    @rule(some=st.lists(rows(st.sampled_from(["a", "b", "c/"])), max_size=3))
    def save(self, some: list[Row]) -> None:
        save(self.store, *some)
        self.known.update({row.path: row for row in some})

    @rule(path=st.sampled_from(["a", "b", "c/"]))
    def forget(self, path: str) -> None:
        save(self.store, Row(path))
        self.known.pop(path, None)

    @rule(path=st.sampled_from(["a", "b", "c/"]))
    def unbase(self, path: str) -> None:
        row = self.known.get(path)
        if row is not None and (row.local or row.remote):
            self.known[path] = replace(row, base=None)
            save(self.store, self.known[path])

    @invariant()
    def totals_are_sums(self) -> None:
        bases = [row.base for row in self.known.values() if row.base is not None]
        files = [base for base in bases if base.kind is not Kind.DIR]
        assert self.store.totals() == (len(files), sum(base.size for base in files))
        assert {row.path: row for row in self.store.rows()} == self.known

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


def operation(path: str = "a", op: str = "op", verb: Verb = Verb.PUSH) -> Journalled:
    base = Base(Kind.FILE, 3, "x" * 64, "l", "", 5, 0o600, None, "v", (op, "older"))
    return Journalled(path, op, verb, "token é", base)


def intend(store: Store, path: str, op: str, since: float = 1.0) -> None:
    with store.transaction():
        store.intend(operation(path, op), since)


class TestJournal:
    @given(BASES)
    def test_what_was_begun_is_there_until_it_is_finished(self, shared: Store, base: Base) -> None:
        for verb in (Verb.PUSH, Verb.PULL):
            begun = replace(operation(verb=verb), base=base)
            with shared.transaction(durable=True):
                shared.begin(begun)
            assert shared.journal() == [begun]
            with shared.transaction():
                shared.finish("a")
            assert shared.journal() == []

    def test_in_path_order(self, store: Store) -> None:
        with store.transaction():
            store.begin(operation("b", "1"))
            store.begin(operation("a", "2"))
        assert [it.path for it in store.journal()] == ["a", "b"]

    def test_one_operation_at_a_time_for_each_path(self, store: Store) -> None:
        with store.transaction():
            store.begin(operation())
        with pytest.raises(sqlite3.IntegrityError):
            store.begin(operation(op="other"))
        assert [it.op for it in store.journal()] == ["op"]

    def test_finishing_nothing_is_fine(self, store: Store) -> None:
        with store.transaction():
            store.finish("a")


class TestIntents:
    def test_rows_carry_them_until_they_are_forgotten(self, store: Store) -> None:
        save(store, *[file_row(path) for path in "abcd"])
        intend(store, "b", "op1", 10.0)
        intend(store, "b", "op2", 20.0)
        intend(store, "c", "op3", 30.0)
        assert store.row("b").intents == ("op1", "op2")
        assert [row.intents for row in store.rows()] == [(), ("op1", "op2"), ("op3",), ()]
        assert store.overdue(20.0) == [store.row("b")]
        with store.transaction():
            store.forget_intents("b", 20.0)
        assert store.row("b").intents == ("op2",)
        assert store.overdue(100.0) == [store.row("b"), store.row("c")]
        with store.transaction():
            store.forget_intents("b", 100.0)
            store.forget_intents("c", 100.0)
        assert not any(row.intents for row in store.rows())

    def test_one_knows_what_it_would_have_made(self, store: Store) -> None:
        intend(store, "a", "op1")
        assert store.intended("op1", "a") == operation("a", "op1").base
        assert store.intended("op2", "a") is None

    def test_it_is_known_for_a_path_of_which_nothing_else_is(self, store: Store) -> None:
        intend(store, "a", "op")
        assert store.row("a") == Row("a", intents=("op",))

    def test_saving_a_row_does_not_touch_them(self, store: Store) -> None:
        intend(store, "a", "op")
        save(store, replace(file_row("a"), intents=()))
        assert store.row("a").intents == ("op",)
        save(store, Row("a"))
        assert store.row("a").intents == ("op",)


class TestMeta:
    def test_values_stay(self, store: Store, file: Path) -> None:
        assert store.meta("binding") is None
        with store.transaction():
            store.set_meta("binding", "one")
            store.set_meta("binding", "two é")
        with Store(file) as again:
            assert again.meta("binding") == "two é"


class Surprise(Exception):  # noqa: N818 - nothing of ours
    pass


def half_done(store: Store, *, durable: bool) -> None:
    with store.transaction(durable=durable):
        store.save([file_row("b"), Row("a")])
        store.begin(operation())
        store.intend(operation(), 1.0)
        store.set_meta("key", "value")
        raise Surprise


class TestTransactions:
    @pytest.mark.parametrize("durable", [True, False])
    def test_a_fault_inside_takes_everything_back(self, store: Store, durable: bool) -> None:
        save(store, file_row("a", 5))
        with pytest.raises(Surprise):
            half_done(store, durable=durable)
        assert list(store.rows()) == [file_row("a", 5)]
        assert (store.journal(), store.meta("key"), store.totals()) == ([], None, (1, 5))
        save(store, file_row("c"))
        assert store.totals() == (2, 6)

    def test_a_durable_commit_is_synced(self, store: Store) -> None:
        with store.transaction(durable=True):
            assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
        with store.transaction():
            assert store._db.execute("PRAGMA synchronous").fetchone() == (1,)

    def test_a_reader_sees_only_what_is_committed(self, store: Store) -> None:
        save(store, file_row("a"))
        with store.reader() as reader:
            with store.transaction():
                store.save([file_row("b"), Row("a")])
                assert [row.path for row in reader.rows()] == ["a"]
                assert reader.totals() == (1, 1)
            assert [row.path for row in reader.rows()] == ["b"]

    def test_a_reader_cannot_write(self, store: Store) -> None:
        with store.reader() as reader:
            with pytest.raises(Blocked, match="cannot be written"), reader.transaction():
                reader.save([file_row("a")])
            assert list(reader.rows()) == []
        assert list(store.rows()) == []

    def test_closing_twice_is_fine(self, store: Store) -> None:
        store.close()
        store.close()


TestTotals = Totals.TestCase


def test_who_finds_a_new_database_finds_everything_in_it(tmp_path: Path) -> None:
    """Those who look at what was done do not wait until the daemon has begun."""
    done = threading.Event()
    troubles: list[Exception] = []

    def look() -> None:
        seen = 0
        while not (done.is_set() and seen):
            for file in tmp_path.glob("*.db"):
                with Store(file, readonly=True) as store:
                    try:
                        store.events.read("", before=0, since=0, limit=1)
                    except Exception as error:  # noqa: BLE001 - told below
                        troubles.append(error)
                seen += 1

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(40):
        Store(tmp_path / f"{number}.db").close()
    done.set()
    looking.join()
    assert troubles == []


def test_what_is_left_of_a_removed_database_is_not_taken_for_the_new_ones(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    store = Store(file)
    with store.transaction(durable=True):
        store.set_meta("binding", "old")
    copy = file.with_name("copy-wal")
    copy.write_bytes(file.with_name("state.db-wal").read_bytes())
    store.close()
    file.unlink()
    copy.rename(file.with_name("state.db-wal"))
    with Store(file) as again:
        assert again.meta("binding") is None
