"""The decision table for files and links, cell by cell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.cells import BASE, HERE, LARGE, NEW, OLD, THERE, cells, file, row_of, verb_of
from vaultsync.core.model import Base, Entry, Kind, Verb
from vaultsync.core.plan import CHEAP_READ, agreed, contents_equal, decide, executable

WITH_BASE = """
         same     anew     chmod    edited   longer   alike    maybe    stamp    link     once     gone
same     .        adopt    applyL   pull     pull     pull     pull     inspect  pull     .        deleteL
touched  adopt    adopt    applyL   pull     pull     pull     inspect  inspect  pull     .        deleteL
chmod    applyR   applyR   applyL   pull     pull     pull     inspect  inspect  pull     .        deleteL
edited   push     push     push     conflict conflict adopt    inspect  inspect  conflict push     push
longer   push     push     push     conflict conflict conflict inspect  inspect  conflict push     push
maybe    push     inspect  inspect  inspect  inspect  inspect  inspect  inspect  inspect  inspect  inspect
link     push     push     push     conflict conflict conflict inspect  inspect  adopt    push     push
once     .        .        .        pull     pull     pull     inspect  inspect  pull     forget   forget
gone     deleteR  deleteR  deleteR  pull     pull     pull     inspect  inspect  pull     forget   forget
"""  # noqa: E501
"""Rows: here against base; columns: in the vault against base; a dot: nothing to do (yet)."""

WITHOUT_BASE = """
         edited   longer   alike    maybe    link     once     gone
edited   conflict conflict adopt    inspect  conflict push     push
longer   conflict conflict conflict conflict conflict push     push
maybe    inspect  conflict inspect  inspect  inspect  push     push
link     conflict conflict conflict inspect  adopt    push     push
once     pull     pull     pull     pull     pull     .        .
gone     pull     pull     pull     pull     pull     .        .
"""
"""The same for a path on which nothing was ever agreed."""


class TestTable:
    @pytest.mark.parametrize(("here", "there", "verb"), cells(WITH_BASE))
    def test_since_base(self, here: str, there: str, verb: Verb | None) -> None:
        row = row_of(here, there)
        action = decide(row)
        assert verb_of(row) is verb
        if action is not None:
            assert action.row is row
            assert action.reason

    @pytest.mark.parametrize(("here", "there", "verb"), cells(WITHOUT_BASE))
    def test_without_base(self, here: str, there: str, verb: Verb | None) -> None:
        assert verb_of(row_of(here, there, None)) is verb

    def test_the_bit_of_a_file_that_was_only_stored_anew_there_is_sent(self) -> None:
        assert verb_of(row_of("chmod", "anew")) is Verb.APPLY_REMOTE
        assert verb_of(row_of("chmod", "chmod")) is Verb.APPLY_LOCAL

    @pytest.mark.parametrize("here", [None, Entry(Kind.LINK, 7, "l", OLD)])
    def test_a_link_that_a_listing_shows_as_a_file_is_looked_at(self, here: Entry | None) -> None:
        base = replace(BASE, kind=Kind.LINK)
        listed = file("r", stamp="monday", mode=None)
        row = replace(row_of("gone", "same", base), local=here, remote=listed)
        assert verb_of(row) is Verb.INSPECT
        seen = Entry(Kind.LINK, 7, "r", OLD, stamp="monday")
        assert verb_of(replace(row, remote=seen)) is (None if here else Verb.DELETE_REMOTE)
        assert verb_of(replace(row, remote=file("r", NEW, stamp="monday"))) is Verb.PULL

    def test_a_table_names_every_case(self) -> None:
        assert {(here, there) for here, there, _ in cells(WITH_BASE)} == {
            (here, there) for here in HERE for there in THERE
        }

    def test_what_is_dear_to_read_is_inspected_first(self) -> None:
        large = replace(BASE, size=LARGE)
        row = row_of("same", "same", large, local=file("l", size=LARGE))
        assert verb_of(replace(row, remote=file("r'", size=LARGE))) is Verb.INSPECT
        cheap = replace(BASE, size=CHEAP_READ)
        row = row_of("same", "same", cheap, local=file("l", size=CHEAP_READ))
        assert verb_of(replace(row, remote=file("r'", size=CHEAP_READ))) is Verb.PULL

    @pytest.mark.parametrize(
        ("before", "now", "verb"),
        [
            (None, None, None),
            (None, "tuesday", None),
            ("monday", None, None),
            ("monday", "monday", None),
            ("monday", "tuesday", Verb.INSPECT),
        ],
    )
    def test_another_time_of_the_same_etag_needs_a_look(
        self, before: str | None, now: str | None, verb: Verb | None
    ) -> None:
        row = row_of("same", "same", replace(BASE, stamp=before))
        assert verb_of(replace(row, remote=file("r", stamp=now))) is verb

    def test_after_that_look_the_metadata_are_followed(self) -> None:
        looked = file("r", OLD, stamp="tuesday")
        assert verb_of(row_of("same", "same", remote=looked)) is Verb.ADOPT
        executable_now = replace(looked, mode=0o755)
        assert verb_of(row_of("same", "same", remote=executable_now)) is Verb.APPLY_LOCAL
        unknown = replace(looked, mode=None)
        assert verb_of(row_of("same", "same", remote=unknown)) is Verb.ADOPT

    def test_an_unknown_tag_of_base_means_that_the_content_decides(self) -> None:
        pulled = replace(BASE, local_tag="")
        assert verb_of(row_of("touched", "same", pulled)) is Verb.ADOPT
        assert verb_of(row_of("edited", "same", pulled)) is Verb.PUSH


class TestMarks:
    @pytest.mark.parametrize("here", ["same", "touched", "chmod"])
    @pytest.mark.parametrize("there", ["once", "gone"])
    def test_a_file_that_came_back_is_pushed_again(self, here: str, there: str) -> None:
        assert verb_of(row_of(here, there, local_gone=True)) is Verb.PUSH

    def test_a_deletion_that_was_asked_for_may_be_asked_for_again(self) -> None:
        assert verb_of(row_of("gone", "same", local_gone=True)) is Verb.DELETE_REMOTE

    def test_the_mark_ends_once_both_sides_are_equal_and_nothing_can_arrive(self) -> None:
        row = row_of("same", "same", local_gone=True)
        assert verb_of(row) is Verb.ADOPT
        looked = file("r", OLD, stamp="monday")
        waits = replace(row, remote=looked, intents=("op",))
        assert verb_of(waits) is None

    @pytest.mark.parametrize("there", [name for name, it in THERE.items() if isinstance(it, Entry)])
    @pytest.mark.parametrize("here", list(HERE))
    @pytest.mark.parametrize("base", [None, BASE])
    def test_with_a_write_of_unknown_outcome_nothing_is_done_blindly(
        self, base: Base | None, here: str, there: str
    ) -> None:
        row = row_of(here, there, base, intents=("op",))
        assert row.remote is not None
        unknown = replace(row, remote=replace(row.remote, sha256=None))
        assert verb_of(unknown) is Verb.INSPECT
        if row.remote.sha256 is not None:
            assert verb_of(row) is verb_of(replace(row, intents=()))

    @pytest.mark.parametrize("there", ["once", "gone"])
    @pytest.mark.parametrize("here", list(HERE))
    def test_such_a_write_is_no_matter_where_nothing_is(self, here: str, there: str) -> None:
        row = row_of(here, there)
        assert verb_of(replace(row, intents=("op",))) is verb_of(row)


class TestValues:
    def test_agreed_needs_both_sides(self) -> None:
        with pytest.raises(ValueError, match="both sides"):
            agreed(row_of("same", "gone"))
        with pytest.raises(ValueError, match="both sides"):
            agreed(row_of("gone", "same"))

    def test_agreed_takes_what_both_sides_show(self) -> None:
        local = file("l'", OLD, mtime_ns=5, mode=0o755)
        remote = file("r'", stamp="now", version="v", ops=("op",))
        base = agreed(row_of("same", "same", None, local=local, remote=remote))
        assert base == Base(Kind.FILE, 7, OLD, "l'", "r'", 5, 0o755, "now", "v", ("op",))

    def test_agreed_knows_more_of_the_same_object_than_a_listing_shows(self) -> None:
        known = replace(BASE, version="v", ops=("op",))
        base = agreed(row_of("touched", "same", known))
        assert (base.version, base.ops) == ("v", ("op",))
        base = agreed(row_of("touched", "anew", known))
        assert (base.version, base.ops) == (None, ())

    @pytest.mark.parametrize(
        ("one", "other", "equal"),
        [
            (file("x", OLD), BASE, True),
            (file("x", NEW), BASE, False),
            (file("x"), BASE, None),
            (file("x", OLD), file("y"), None),
            (file("x", size=8), BASE, False),
            (Entry(Kind.LINK, 7, "x", OLD), BASE, False),
        ],
    )
    def test_unknown_is_neither_equal_nor_different(
        self, one: Entry, other: Entry | Base, equal: bool | None
    ) -> None:
        assert contents_equal(one, other) is equal

    @pytest.mark.parametrize(
        ("mode", "runs"), [(None, False), (0o644, False), (0o755, True), (0o011, False)]
    )
    def test_only_the_owners_bit_makes_an_executable(self, mode: int | None, runs: bool) -> None:
        assert executable(mode) is runs
