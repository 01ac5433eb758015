"""The decision table for folders, which depends on what becomes of the things in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.cells import FOLDER_BASE, cells, inside, row_of, verbs
from tests.core.worlds import directory_rows, file_rows
from vaultsync.core.model import (
    EMPTY,
    FULL,
    IMPLIED,
    MARKER,
    UNMANAGED,
    Absence,
    Entry,
    Kind,
    Row,
    Verb,
)
from vaultsync.core.plan import needs_children, plan

FOLDERS_HERE = {"empty": EMPTY, "full": FULL, "unmanaged": UNMANAGED}
FOLDERS_THERE = {"marker": MARKER, "implied": IMPLIED}

FOLDERS_WITH_BASE = """
           marker   implied  once     gone
empty      .        .        .        deleteL
full       .        .        .        .
unmanaged  .        .        .        forget
once       .        .        forget   forget
gone       deleteR  .        forget   forget
"""
FOLDERS_WITHOUT_BASE = """
           marker   implied  once     gone
empty      adopt    adopt    push     push
full       adopt    adopt    .        .
unmanaged  adopt    adopt    .        .
once       pull     .        .        .
gone       pull     .        .        .
"""


def folder(
    here: str, there: str, path: str = "d/", *, base: bool = True, gone: bool = False
) -> Row:
    absences = {"once": Absence.ONCE, "gone": Absence.CONFIRMED}
    local = Entry(Kind.DIR, 0, FOLDERS_HERE[here]) if here in FOLDERS_HERE else None
    remote = Entry(Kind.DIR, 0, FOLDERS_THERE[there]) if there in FOLDERS_THERE else None
    return Row(
        path,
        local,
        FOLDER_BASE if base else None,
        remote,
        absences.get(here, Absence.PRESENT),
        absences.get(there, Absence.PRESENT),
        gone,
    )


class TestFolders:
    @pytest.mark.parametrize(("here", "there", "verb"), cells(FOLDERS_WITH_BASE))
    def test_since_base(self, here: str, there: str, verb: Verb | None) -> None:
        expected = [] if verb is None else [("d/", verb)]
        assert verbs([folder(here, there)]) == expected

    @pytest.mark.parametrize(("here", "there", "verb"), cells(FOLDERS_WITHOUT_BASE))
    def test_without_base(self, here: str, there: str, verb: Verb | None) -> None:
        expected = [] if verb is None else [("d/", verb)]
        assert verbs([folder(here, there, base=False)]) == expected

    def test_one_that_came_back_is_pushed_again(self) -> None:
        assert verbs([folder("empty", "gone", gone=True)]) == [("d/", Verb.PUSH)]

    def test_the_marker_comes_before_the_last_file_goes(self) -> None:
        rows = [folder("empty", "implied"), inside("gone", "same")]
        assert verbs(rows) == [("d/f", Verb.DELETE_REMOTE), ("d/", Verb.PUSH)]

    @pytest.mark.parametrize("there", ["marker", "implied"])
    def test_no_marker_while_something_remains(self, there: str) -> None:
        rows = [folder("empty", there), inside("gone", "same"), inside("once", "same", "d/g")]
        assert verbs(rows) == [("d/f", Verb.DELETE_REMOTE)]

    def test_no_second_marker(self) -> None:
        rows = [folder("empty", "marker"), inside("gone", "same")]
        assert verbs(rows) == [("d/f", Verb.DELETE_REMOTE)]

    @pytest.mark.parametrize("here", ["full", "unmanaged"])
    def test_no_marker_for_what_only_ignored_things_keep(self, here: str) -> None:
        rows = [folder(here, "implied"), inside("gone", "same")]
        assert verbs(rows) == [("d/f", Verb.DELETE_REMOTE)]

    @pytest.mark.parametrize("there", ["edited", "maybe"])
    def test_a_marker_stays_while_something_in_it_does(self, there: str) -> None:
        rows = [folder("gone", "marker"), inside("gone", there)]
        assert ("d/", Verb.DELETE_REMOTE) not in verbs(rows)
        assert len(verbs(rows)) == 1

    def test_a_marker_goes_after_all_that_was_in_it(self) -> None:
        rows = [
            folder("gone", "marker"),
            folder("gone", "marker", "d/e/"),
            inside("gone", "same", "d/e/f"),
            inside("gone", "same", "d/g"),
        ]
        assert verbs(rows) == [
            ("d/e/f", Verb.DELETE_REMOTE),
            ("d/e/", Verb.DELETE_REMOTE),
            ("d/g", Verb.DELETE_REMOTE),
            ("d/", Verb.DELETE_REMOTE),
        ]

    def test_a_marker_that_stays_keeps_those_above_it(self) -> None:
        rows = [folder("gone", "marker"), folder("once", "marker", "d/e/")]
        assert verbs(rows) == []
        rows = [folder("gone", "marker"), folder("gone", "marker", "d/e/", base=False)]
        assert verbs(rows) == [("d/e/", Verb.PULL)]

    def test_a_marker_that_goes_leaves_one_above_it(self) -> None:
        rows = [folder("empty", "implied"), folder("gone", "marker", "d/e/")]
        assert verbs(rows) == [("d/e/", Verb.DELETE_REMOTE), ("d/", Verb.PUSH)]

    def test_a_neighbour_is_not_inside(self) -> None:
        rows = [
            inside("same", "same", "d"),
            inside("same", "same", "d-x"),
            folder("gone", "marker"),
            inside("gone", "same", "d/f"),
            inside("same", "same", "d0"),
        ]
        assert verbs(rows) == [("d/f", Verb.DELETE_REMOTE), ("d/", Verb.DELETE_REMOTE)]

    def test_local_children_alone_do_not_keep_a_marker(self) -> None:
        rows = [folder("gone", "marker"), inside("same", "gone")]
        assert verbs(rows) == [("d/f", Verb.DELETE_LOCAL), ("d/", Verb.DELETE_REMOTE)]

    @given(directory_rows(), st.lists(st.sampled_from(["f", "g", "h/"]), unique=True), st.data())
    def test_children_count_only_where_needs_children_says_so(
        self, row: Row, names: list[str], data: st.DataObject
    ) -> None:
        children = [
            data.draw(directory_rows("d/" + name) if name.endswith("/") else file_rows("d/" + name))
            for name in sorted(names)
        ]
        alone = [action for action in plan([row]) if action.path == "d/"]
        among = [action for action in plan([row, *children]) if action.path == "d/"]
        if not needs_children(row):
            assert among == alone

    def test_files_have_no_children(self) -> None:
        assert not needs_children(row_of("gone", "same"))
