"""What must hold of every decision, whatever the row; and where decisions lead to."""

from __future__ import annotations

import gc
import tracemalloc
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from tests.core.cells import BASE, FOLDER_BASE, file, row_of, verb_of
from tests.core.worlds import Pair, Version, file_rows, forests, pairs
from vaultsync.core.model import EMPTY, FULL, MARKER, Absence, Entry, Kind, Row, Verb
from vaultsync.core.plan import agreed, contents_equal, decide, plan

if TYPE_CHECKING:
    from collections.abc import Iterator


def unchanged_here(row: Row) -> bool:
    """Whether what is here is known to be what was agreed on, or at most touched since."""
    local, base = row.local, row.base
    if local is None or base is None:
        return False
    same_tag = (local.tag, local.kind) == (base.local_tag, base.kind)
    return same_tag or contents_equal(local, base) is True


class TestAlways:
    @given(file_rows())
    def test_nothing_is_deleted_without_base_and_confirmed_absence(self, row: Row) -> None:
        action = decide(row)
        if action is None or not action.verb.deletes:
            return
        assert row.base is not None
        if action.verb is Verb.DELETE_LOCAL:
            assert row.remote is None
            assert row.remote_absence is Absence.CONFIRMED
            assert not row.local_gone
            assert unchanged_here(row)
        else:
            assert row.local is None
            assert row.local_absence is Absence.CONFIRMED
            assert row.remote is not None
            same = row.remote.tag == row.base.remote_tag and row.remote.kind is row.base.kind
            assert same or contents_equal(row.remote, row.base) is True

    @given(forests())
    def test_no_folder_is_deleted_without_base_and_confirmed_absence(self, rows: list[Row]) -> None:
        for action in plan(rows):
            if action.path.endswith("/") and action.verb.deletes:
                row = action.row
                assert row.base is not None
                absent, sure, shown = (
                    (row.remote, row.remote_absence, row.local)
                    if action.verb is Verb.DELETE_LOCAL
                    else (row.local, row.local_absence, row.remote)
                )
                assert absent is None
                assert sure is Absence.CONFIRMED
                assert shown is not None
                assert shown.tag in (EMPTY, MARKER)

    @given(file_rows())
    def test_an_edit_here_is_never_pulled_over(self, row: Row) -> None:
        if verb_of(row) is Verb.PULL and row.local is not None:
            assert unchanged_here(row)

    @given(file_rows())
    def test_an_edit_in_the_vault_is_never_pushed_over(self, row: Row) -> None:
        if verb_of(row) is Verb.PUSH and row.remote is not None:
            assert row.base is not None
            same = row.remote.tag == row.base.remote_tag and row.remote.kind is row.base.kind
            assert same or contents_equal(row.remote, row.base) is True

    @given(file_rows())
    def test_only_what_is_equal_is_adopted(self, row: Row) -> None:
        if verb_of(row) is Verb.ADOPT:
            assert row.local is not None
            assert row.remote is not None
            assert contents_equal(row.local, row.remote) is not False or row.base is not None
            base = agreed(row)
            assert (base.local_tag, base.remote_tag) == (row.local.tag, row.remote.tag)

    @given(file_rows())
    def test_an_inspection_has_something_to_find_out(self, row: Row) -> None:
        if verb_of(row) is Verb.INSPECT:
            entries = [entry for entry in (row.local, row.remote) if entry is not None]
            assert any(entry.sha256 is None for entry in entries)

    @given(file_rows())
    def test_deciding_twice_is_deciding_once_and_changes_nothing(self, row: Row) -> None:
        before = deepcopy(row)
        one, two = decide(row), decide(row)
        assert one == two
        assert (one and one.reason) == (two and two.reason)
        assert row == before

    @given(forests())
    def test_a_plan_decides_each_file_by_itself(self, rows: list[Row]) -> None:
        before = deepcopy(rows)
        planned = list(plan(rows))
        files = [action for action in planned if not action.path.endswith("/")]
        decided = [decide(row) for row in rows if not row.path.endswith("/")]
        assert files == [action for action in decided if action is not None]
        assert planned == list(plan(iter(rows)))
        assert rows == before

    @given(forests())
    def test_a_folder_comes_after_all_that_is_in_it(self, rows: list[Row]) -> None:
        left: list[str] = []
        for action in plan(rows):
            assert not any(action.path.startswith(folder) for folder in left)
            if action.path.endswith("/"):
                left.append(action.path)


STEPS = 8
"""Decisions and second looks that bring any two versions to rest."""


def run(pair: Pair) -> None:
    """Carry out what is decided until there is nothing to do."""
    for _ in range(STEPS):
        action = decide(pair.row)
        if action is not None:
            pair.act(action)
        elif not pair.look_again():
            return
    raise AssertionError(f"no rest after {STEPS} steps: {pair.row}")


class TestRest:
    @given(pairs())
    def test_both_sides_come_to_be_equal(self, pair: Pair) -> None:
        run(pair)
        local, remote = pair.local, pair.remote
        assert (local and local.content) == (remote and remote.content)
        assert (pair.row.base is None) == (pair.local is None)

    @pytest.mark.parametrize("runs", [False, True])
    @pytest.mark.parametrize("here", [False, True])
    def test_an_executable_bit_changed_on_one_side_comes_to_both(
        self, here: bool, runs: bool
    ) -> None:
        old, new = Version("0", not runs), Version("0", runs)
        base = replace(BASE, mode=0o644 if runs else 0o755)
        mode = 0o755 if runs else 0o644
        row = row_of("same", "same", base)
        if here:
            pair = Pair(replace(row, local=file("l'", mode=mode)), new, old)
        else:
            remote = file("r'", stamp="tuesday", mode=mode)
            pair = Pair(replace(row, remote=remote), old, new)
        run(pair)
        assert pair.local == pair.remote == new

    @given(pairs())
    def test_every_edit_survives(self, pair: Pair) -> None:
        old = pair.row.base.sha256 if pair.row.base is not None else None
        edits = {side.content for side in (pair.local, pair.remote) if side is not None}
        edits = {content for content in edits if content * 64 != old}
        run(pair)
        kept = {side.content for side in (pair.local, pair.remote, *pair.aside) if side is not None}
        assert edits <= kept

    @given(pairs())
    def test_only_two_edits_make_a_conflict(self, pair: Pair) -> None:
        old = pair.row.base.sha256 if pair.row.base is not None else None
        edits = {side.content for side in (pair.local, pair.remote) if side is not None}
        edits = {content for content in edits if content * 64 != old}
        run(pair)
        assert len(pair.aside) == (1 if len(edits) == 2 else 0)


PATHS = 40_000
PEAK = 1_000_000
"""Bytes."""


def many(here: str, there: str) -> Iterator[Row]:
    """So many rows in path order: deep folders, a long line of folders, and one wide folder."""
    like = row_of(here, there)
    values = (like.local, BASE, like.remote, like.local_absence, like.remote_absence)
    shown = Entry(Kind.DIR, 0, FULL)
    gone = None if here == "gone" else shown
    absence = Absence.CONFIRMED if gone is None else Absence.PRESENT
    marker = Entry(Kind.DIR, 0, MARKER)
    yield Row("a/", shown, FOLDER_BASE, marker)
    for top in range(20):
        path = f"a/{top:03}/"
        for _ in range(200):
            yield Row(path, shown, FOLDER_BASE, marker)
            yield Row(path + "!", *values)
            path += "d/"
    yield Row("b/", shown, FOLDER_BASE, marker)
    for index in range(6_000):
        yield Row(f"b/{index:06}/", gone, FOLDER_BASE, marker, absence)
        yield Row(f"b/{index:06}/f", *values)
    yield Row("c/", shown, FOLDER_BASE, marker)
    for index in range(PATHS - 2 * (4_000 + 6_000)):
        yield Row(f"c/{index:09}", *values)


@pytest.mark.parametrize(("here", "there"), [("same", "same"), ("gone", "same")])
def test_a_plan_over_many_paths_holds_few_of_them(here: str, there: str) -> None:
    """Memory is bounded by depth, not by the number of paths, changed or not."""
    paths = actions = 0

    def counted() -> Iterator[Row]:
        nonlocal paths
        for row in many(here, there):
            paths += 1
            yield row

    gc.collect()
    tracemalloc.start()
    try:
        for _ in plan(counted()):
            actions += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert paths >= PATHS
    assert (actions > 0) == (here != "same")
    assert peak < PEAK
