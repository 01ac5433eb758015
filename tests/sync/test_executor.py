"""Every verb of the executor: what it makes, and that it makes nothing where a side differs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.sync.pairs import Pair, in_memory, real
from vaultsync.core.errors import Stale
from vaultsync.core.model import EMPTY, MARKER, Absence, Action, Entry, Kind, Row, Verb
from vaultsync.core.plan import agreed, decide
from vaultsync.sync.executor import Executor, Prepared, Result
from vaultsync.sync.sweep import here, there

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OP = "0123456789abcdef-1"
OLD, MINE, YOURS, NEWEST = b"old", b"mine, edited", b"yours, edited too", b"the newest of all"


@pytest.fixture(params=["memory", "real"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    if request.param == "memory":
        yield in_memory()
        return
    url, foreign = (request.getfixturevalue(name) for name in ("moto_url", "foreign"))
    with real(tmp_path / "folder", url, foreign) as pair:
        yield pair


@pytest.fixture
def executor(pair: Pair) -> Executor:
    return Executor(pair.here.side, pair.there.side)


def observed(pair: Pair, path: str, *, digest: bool = True) -> Row:
    """What a look at both sides tells."""
    entries: list[Entry | None] = []
    for side in (pair.here.side, pair.there.side):
        entry = side.look(path)
        if entry is not None and digest and not path.endswith("/"):
            entry = side.identify(path, entry)
        entries.append(entry)
    absences = [Absence.CONFIRMED if entry is None else Absence.PRESENT for entry in entries]
    return Row(path, entries[0], None, entries[1], *absences)


def synced(pair: Pair, path: str = "d/f") -> Row:
    """A file that both sides agree on."""
    pair.here.put_behind(path, OLD)
    pair.there.put_behind(path, OLD)
    row = observed(pair, path)
    return replace(row, base=agreed(row))


def after(pair: Pair, row: Row) -> Row:
    """The row after somebody did something: seen anew, with the old base."""
    return replace(observed(pair, row.path), base=row.base)


# What an action may be decided on, and the action


def push_new(pair: Pair) -> Action:
    pair.here.put_behind("d/f", MINE)
    return Action(Verb.PUSH, observed(pair, "d/f", digest=False), "new")


def push_edit(pair: Pair) -> Action:
    row = synced(pair)
    pair.here.put_behind("d/f", MINE)
    return Action(Verb.PUSH, after(pair, row), "edited")


def push_again(pair: Pair) -> Action:
    row = synced(pair)
    pair.here.put_behind("d/f", MINE)
    pair.there.remove_behind("d/f")
    return Action(Verb.PUSH, after(pair, row), "the edit wins")


def pull_new(pair: Pair) -> Action:
    pair.there.put_behind("d/f", YOURS)
    return Action(Verb.PULL, observed(pair, "d/f", digest=False), "new")


def pull_edit(pair: Pair) -> Action:
    row = synced(pair)
    pair.there.put_behind("d/f", YOURS)
    return Action(Verb.PULL, after(pair, row), "edited")


def pull_again(pair: Pair) -> Action:
    row = synced(pair)
    pair.here.remove_behind("d/f")
    pair.there.put_behind("d/f", YOURS)
    return Action(Verb.PULL, after(pair, row), "the edit wins")


def delete_here(pair: Pair) -> Action:
    row = synced(pair)
    pair.there.remove_behind("d/f")
    return Action(Verb.DELETE_LOCAL, after(pair, row), "deleted")


def delete_there(pair: Pair) -> Action:
    row = synced(pair)
    pair.here.remove_behind("d/f")
    return Action(Verb.DELETE_REMOTE, after(pair, row), "deleted")


def apply_here(pair: Pair) -> Action:
    row = synced(pair)
    assert row.remote is not None
    return Action(Verb.APPLY_LOCAL, replace(row, remote=replace(row.remote, mode=0o755)), "mode")


def apply_there(pair: Pair) -> Action:
    row = synced(pair)
    assert row.local is not None
    return Action(Verb.APPLY_REMOTE, replace(row, local=replace(row.local, mode=0o755)), "mode")


def conflict(pair: Pair) -> Action:
    row = synced(pair)
    pair.here.put_behind("d/f", MINE)
    pair.there.put_behind("d/f", YOURS)
    return Action(Verb.CONFLICT, after(pair, row), "both")


@dataclass(frozen=True)
class Case:
    """An action with the side that it changes and the side whose content it reads."""

    make: Callable[[Pair], Action]
    target: str
    source: str | None
    outcome: dict[str, bytes | None]

    def __str__(self) -> str:
        return self.make.__name__


CASES = [
    Case(push_new, "there", "here", {"here": MINE, "there": MINE}),
    Case(push_edit, "there", "here", {"here": MINE, "there": MINE}),
    Case(push_again, "there", "here", {"here": MINE, "there": MINE}),
    Case(pull_new, "here", "there", {"here": YOURS, "there": YOURS}),
    Case(pull_edit, "here", "there", {"here": YOURS, "there": YOURS}),
    Case(pull_again, "here", "there", {"here": YOURS, "there": YOURS}),
    Case(delete_here, "here", None, {"here": None, "there": None}),
    Case(delete_there, "there", None, {"here": None, "there": None}),
    Case(apply_here, "here", None, {"here": OLD, "there": OLD}),
    Case(apply_there, "there", None, {"here": OLD, "there": OLD}),
    Case(conflict, "here", None, {"here": None, "there": YOURS}),
]
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def carry_out(
    executor: Executor, action: Action, between: Callable[[], None] = lambda: None
) -> Result:
    """Both steps of an action, with the engine's care for what was prepared."""
    prepared = executor.prepare(action, OP)
    between()
    if isinstance(prepared, Result):
        return prepared
    try:
        result = executor.commit(prepared)
    except Stale:
        executor.release(prepared, discard=True)
        raise
    executor.release(prepared, discard=False)
    return result


def require_true(pair: Pair, row: Row) -> None:
    """Every tag of base names the content of base, or is gone, so that the change is noticed."""
    if row.base is None:
        return
    for world, tag in ((pair.here, row.base.local_tag), (pair.there, row.base.remote_tag)):
        entry = world.side.look(row.path)
        if entry is not None and entry.tag == tag:
            assert world.side.identify(row.path, entry).sha256 == row.base.sha256


def seen_again(pair: Pair, row: Row) -> Row:
    """The row after a scan and a listing that show what there is."""
    for world, observe in ((pair.here, here), (pair.there, there)):
        shown = {item.path: item for item in world.side.entries(row.path.rstrip("/"))}
        item = shown.get(row.path)
        row = observe(row, getattr(item, "entry", None))
    return row


class TestDone:
    @each_case
    def test_an_action_does_what_it_says(self, case: Case, pair: Pair, executor: Executor) -> None:
        action = case.make(pair)
        result = carry_out(executor, action)
        assert {
            side: pair.world(side).read_behind("d/f") for side in ("here", "there")
        } == case.outcome
        moved = case.outcome["here"] if case.source is not None else b""
        assert result.sent == len(moved or b"")

    @each_case
    def test_then_base_is_true_and_nothing_is_left_to_do(
        self, case: Case, pair: Pair, executor: Executor
    ) -> None:
        result = carry_out(executor, case.make(pair))
        require_true(pair, result.row)
        row = seen_again(pair, result.row)
        if case.make is conflict:
            assert (row.local, row.base) == (None, None)
            assert row.remote is not None
            return
        assert row.local == result.row.local
        assert (row.base is None) == (case.outcome["here"] is None)
        assert decide(row) is None
        if row.base is not None and row.local is not None and row.remote is not None:
            assert row.local.sha256 == row.remote.sha256 == row.base.sha256

    def test_a_conflict_keeps_the_version_from_here(self, pair: Pair, executor: Executor) -> None:
        result = carry_out(executor, conflict(pair))
        assert result.kept is not None
        assert pair.here.read_behind(result.kept) == MINE

    @pytest.mark.parametrize("make", [apply_here, apply_there])
    def test_metadata_travel(
        self, make: Callable[[Pair], Action], pair: Pair, executor: Executor
    ) -> None:
        result = carry_out(executor, make(pair))
        assert result.row.base is not None
        world = pair.here if make is apply_here else pair.there
        entry = world.side.look("d/f")
        assert entry is not None
        assert entry.mode is not None
        assert entry.mode & 0o100

    def test_a_push_carries_its_ancestors(self, pair: Pair, executor: Executor) -> None:
        row = carry_out(executor, push_new(pair)).row
        assert row.base is not None
        assert row.base.ops == (OP,)
        for number in range(10):
            pair.here.put_behind("d/f", b"edit %d" % number)
            action = Action(Verb.PUSH, after(pair, row), "edited")
            prepared = executor.prepare(action, f"op-{number}")
            assert isinstance(prepared, Prepared)
            row = executor.commit(prepared).row
            executor.release(prepared, discard=False)
        found = pair.there.side.look("d/f")
        assert found is not None
        assert row.base is not None
        assert found.ops == row.base.ops == tuple(f"op-{n}" for n in range(9, 1, -1))

    def test_ancestors_are_known_from_base_where_a_listing_does_not_tell(
        self, pair: Pair, executor: Executor
    ) -> None:
        action = push_edit(pair)
        assert action.row.base is not None
        assert action.row.remote is not None
        row = replace(
            action.row,
            base=replace(action.row.base, ops=("before",)),
            remote=replace(action.row.remote, ops=()),
        )
        result = carry_out(executor, replace(action, row=row))
        assert result.row.base is not None
        assert result.row.base.ops == (OP, "before")

    def test_the_mark_of_a_deletion_ends_with_a_transfer(
        self, pair: Pair, executor: Executor
    ) -> None:
        action = push_edit(pair)
        marked = replace(action, row=replace(action.row, local_gone=True))
        assert not carry_out(executor, marked).row.local_gone

    @pytest.mark.parametrize("make", [push_edit, pull_edit])
    def test_but_not_while_a_request_may_still_arrive(
        self, make: Callable[[Pair], Action], pair: Pair, executor: Executor
    ) -> None:
        action = make(pair)
        marked = replace(action, row=replace(action.row, local_gone=True, intents=("op",)))
        assert carry_out(executor, marked).row.local_gone


INTERFERENCE = ["edit", "remove"]


@each_case
@pytest.mark.parametrize("when", ["before", "between"])
@pytest.mark.parametrize("side", ["here", "there"])
@pytest.mark.parametrize("what", INTERFERENCE)
def test_where_a_side_differs_nothing_changes(
    case: Case, when: str, side: str, what: str, pair: Pair, executor: Executor
) -> None:
    """Stale for the side that changes and for what is read; for the rest, base stays true."""
    action = case.make(pair)
    world = pair.world(side)
    if what == "remove" and world.read_behind("d/f") is None:
        pytest.skip("there is nothing to remove")
    shown: dict[str, Any] = {}

    def interfere() -> None:
        if what == "edit":
            world.put_behind("d/f", NEWEST)
        else:
            world.remove_behind("d/f")
        shown.update(pair.shown())

    if when == "before":
        interfere()
    expected = must_be_stale(case, when, side, what)
    try:
        result = carry_out(executor, action, interfere if when == "between" else lambda: None)
    except Stale:
        assert expected is not False
        assert pair.shown() == shown
        return
    assert expected is not True
    require_true(pair, result.row)
    assert world.read_behind("d/f") == (NEWEST if what == "edit" else None)
    row = seen_again(pair, result.row)
    entry = row.local if side == "here" else row.remote
    known = result.row.local if side == "here" else result.row.remote
    if case.make is not conflict and not (action.verb.deletes and what == "remove"):
        assert (entry and entry.tag) != (known and known.tag)  # what was done to it is noticed


def must_be_stale(case: Case, when: str, side: str, what: str) -> bool | None:
    """True for yes, False for no, None where both will do."""
    deletes = case.make in (delete_here, delete_there)
    if side == case.target:
        return not (deletes and what == "remove")  # gone already: done
    if side == case.source:
        return True if when == "before" else None
    return False


class TestFolders:
    def folder(self, pair: Pair, side: str) -> Row:
        pair.world(side).side.make_directory("d/e/")
        return observed(pair, "d/e/")

    def test_push(self, pair: Pair, executor: Executor) -> None:
        row = carry_out(executor, Action(Verb.PUSH, self.folder(pair, "here"), "new")).row
        assert row.remote is not None
        assert row.remote.tag == MARKER
        assert decide(replace(row, path="x")) is None
        assert row == replace(observed(pair, "d/e/"), base=row.base)

    @pytest.mark.parametrize("what", ["filled", "removed"])
    @pytest.mark.parametrize("when", ["before", "between"])
    def test_no_marker_for_one_that_is_not_empty_any_more(
        self, what: str, when: str, pair: Pair, executor: Executor
    ) -> None:
        row = self.folder(pair, "here")
        assert row.local is not None

        def interfere() -> None:
            if what == "filled":
                pair.here.put_behind("d/e/f", MINE)
            else:
                pair.here.side.delete("d/e/", Entry(Kind.DIR, 0, EMPTY))

        if when == "before":
            interfere()
        action = Action(Verb.PUSH, row, "new")
        with pytest.raises(Stale):
            carry_out(executor, action, interfere if when == "between" else lambda: None)
        assert pair.shown()["there"] == []

    def test_pull(self, pair: Pair, executor: Executor) -> None:
        row = carry_out(executor, Action(Verb.PULL, self.folder(pair, "there"), "new")).row
        assert row.local == Entry(Kind.DIR, 0, EMPTY)
        assert row == replace(observed(pair, "d/e/"), base=row.base)

    def test_pull_of_one_that_is_here_already(self, pair: Pair, executor: Executor) -> None:
        action = Action(Verb.PULL, self.folder(pair, "there"), "new")
        pair.here.put_behind("d/e/f", MINE)
        row = carry_out(executor, action).row
        assert row.local == pair.here.side.look("d/e/")
        assert pair.here.read_behind("d/e/f") == MINE

    @pytest.mark.parametrize("verb", [Verb.DELETE_LOCAL, Verb.DELETE_REMOTE])
    def test_delete(self, verb: Verb, pair: Pair, executor: Executor) -> None:
        row = self.folder(pair, "here" if verb is Verb.DELETE_LOCAL else "there")
        assert carry_out(executor, Action(verb, row, "gone")).row == Row("d/e/")
        world = pair.here if verb is Verb.DELETE_LOCAL else pair.there
        assert world.side.look("d/e/") is None

    def test_one_that_holds_something_is_not_deleted(self, pair: Pair, executor: Executor) -> None:
        row = self.folder(pair, "here")
        pair.here.put_behind("d/e/f", MINE)
        with pytest.raises(Stale):
            carry_out(executor, Action(Verb.DELETE_LOCAL, row, "gone"))
        assert pair.here.read_behind("d/e/f") == MINE


class TestInspect:
    def inspect(self, executor: Executor, row: Row) -> Result:
        found = executor.prepare(Action(Verb.INSPECT, row, "?"), OP)
        assert isinstance(found, Result)
        return found

    def test_finds_both_digests(self, pair: Pair, executor: Executor) -> None:
        pair.here.put_behind("d/f", MINE)
        pair.there.put_behind("d/f", YOURS)
        row = observed(pair, "d/f", digest=False)
        before = pair.shown()
        found = self.inspect(executor, row).row
        assert found.local is not None
        assert found.remote is not None
        assert None not in (found.local.sha256, found.remote.sha256)
        assert found.local.sha256 != found.remote.sha256
        assert pair.shown() == before

    def test_finds_that_they_are_equal(self, pair: Pair, executor: Executor) -> None:
        pair.here.put_behind("d/f", MINE)
        pair.there.put_behind("d/f", MINE)
        row = observed(pair, "d/f", digest=False)
        action = decide(self.inspect(executor, row).row)
        assert action is not None
        assert action.verb is Verb.ADOPT

    @pytest.mark.parametrize("side", ["here", "there"])
    def test_one_side_alone(self, side: str, pair: Pair, executor: Executor) -> None:
        pair.world(side).put_behind("d/f", MINE)
        found = self.inspect(executor, observed(pair, "d/f", digest=False)).row
        entry = found.local if side == "here" else found.remote
        assert entry is not None
        assert entry.sha256 is not None

    def test_asks_again_where_an_upload_of_ours_may_have_arrived(
        self, pair: Pair, executor: Executor
    ) -> None:
        row = carry_out(executor, push_new(pair)).row
        assert row.remote is not None
        listed = replace(row.remote, ops=())
        found = self.inspect(executor, replace(row, remote=listed, intents=(OP,))).row
        assert found.remote is not None
        assert found.remote.ops == (OP,)

    @pytest.mark.parametrize("what", INTERFERENCE)
    @pytest.mark.parametrize("side", ["here", "there"])
    def test_stale(self, side: str, what: str, pair: Pair, executor: Executor) -> None:
        pair.here.put_behind("d/f", MINE)
        pair.there.put_behind("d/f", YOURS)
        row = observed(pair, "d/f", digest=False)
        world = pair.world(side)
        if row.remote is not None:
            row = replace(row, remote=replace(row.remote, sha256=None))
        if what == "edit":
            world.put_behind("d/f", NEWEST)
        else:
            world.remove_behind("d/f")
        before = pair.shown()
        with pytest.raises(Stale):
            self.inspect(executor, row)
        assert pair.shown() == before


class TestNothingToTransfer:
    def test_a_touch_is_no_push(self, pair: Pair, executor: Executor) -> None:
        row = synced(pair)
        pair.here.put_behind("d/f", OLD)
        row = replace(row, local=pair.here.side.look("d/f"))
        before = pair.shown()
        found = executor.prepare(Action(Verb.PUSH, row, "changed?"), OP)
        assert isinstance(found, Result)
        action = decide(found.row)
        assert action is not None
        assert action.verb is Verb.ADOPT
        assert pair.shown() == before

    def test_content_stored_anew_is_no_pull(self, pair: Pair, executor: Executor) -> None:
        row = synced(pair)
        pair.there.put_behind("d/f", OLD)
        row = replace(row, remote=pair.there.side.look("d/f"))
        before = pair.shown()
        found = executor.prepare(Action(Verb.PULL, row, "changed?"), OP)
        assert isinstance(found, Result)
        assert found.row.base is not None
        assert found.row.remote is not None
        assert found.row.base.remote_tag == found.row.remote.tag
        assert decide(seen_again(pair, found.row)) is None
        assert pair.shown() == before


def without_digest(row: Row) -> Row:
    assert row.local is not None
    return replace(row, local=replace(row.local, sha256=None))


class TestDigests:
    """What is taken away from its name is known by its content, not by an identity alone."""

    def test_taken_from_base_where_nothing_changed(self, pair: Pair, executor: Executor) -> None:
        action = delete_here(pair)
        prepared = executor.prepare(replace(action, row=without_digest(action.row)), OP)
        assert isinstance(prepared, Prepared)
        assert prepared.action.row.local == action.row.local

    def test_found_out_where_it_did(self, pair: Pair, executor: Executor) -> None:
        action = conflict(pair)
        prepared = executor.prepare(replace(action, row=without_digest(action.row)), OP)
        assert isinstance(prepared, Prepared)
        assert prepared.action.row.local == action.row.local


class TestRecover:
    @pytest.mark.parametrize("make", [push_new, push_edit, pull_new, pull_edit])
    def test_what_happened_is_recorded(
        self, make: Callable[[Pair], Action], pair: Pair, executor: Executor
    ) -> None:
        action = make(pair)
        prepared = executor.prepare(action, OP)
        assert isinstance(prepared, Prepared)
        operation = prepared.journalled()
        assert operation is not None
        executor.commit(prepared)
        executor.release(prepared, discard=False)
        found = executor.recover(operation, action.row)
        assert found is not None
        require_true(pair, found.row)
        assert decide(seen_again(pair, found.row)) is None
        assert executor.recover(operation, action.row) == found

    @pytest.mark.parametrize("make", [push_new, push_edit, pull_new, pull_edit])
    def test_what_did_not_is_not(
        self, make: Callable[[Pair], Action], pair: Pair, executor: Executor
    ) -> None:
        action = make(pair)
        before = pair.shown()
        prepared = executor.prepare(action, OP)
        assert isinstance(prepared, Prepared)
        operation = prepared.journalled()
        assert operation is not None
        executor.release(prepared, discard=False)
        assert executor.recover(operation, action.row) is None
        assert pair.shown() == before

    def test_what_somebody_built_upon_is_a_change_in_the_vault(
        self, pair: Pair, executor: Executor
    ) -> None:
        action = push_new(pair)
        prepared = executor.prepare(action, OP)
        assert isinstance(prepared, Prepared)
        operation = prepared.journalled()
        assert operation is not None
        first = executor.commit(prepared)
        executor.release(prepared, discard=False)
        pair.here.put_behind("d/f", YOURS)
        edit = executor.prepare(Action(Verb.PUSH, after(pair, first.row), "edited"), "op-2")
        assert isinstance(edit, Prepared)
        executor.commit(edit)
        executor.release(edit, discard=False)
        found = executor.recover(operation, first.row)
        assert found is not None
        next_one = decide(found.row)
        assert next_one is not None
        assert next_one.verb is Verb.PULL

    def test_actions_without_content_need_no_journal(self, pair: Pair, executor: Executor) -> None:
        prepared = executor.prepare(delete_here(pair), OP)
        assert isinstance(prepared, Prepared)
        assert prepared.journalled() is None
        executor.release(prepared, discard=True)


class TestRelease:
    @pytest.mark.parametrize("make", [push_edit, pull_edit])
    def test_what_was_staged_leaves_no_trace(
        self, make: Callable[[Pair], Action], pair: Pair, executor: Executor
    ) -> None:
        action = make(pair)
        before = pair.shown()
        prepared = executor.prepare(action, OP)
        assert isinstance(prepared, Prepared)
        executor.release(prepared, discard=True)
        executor.release(prepared, discard=True)
        assert pair.shown() == before
        assert after(pair, action.row) == action.row


class TestLook:
    def test_sees_both_sides_and_keeps_what_is_known(self, pair: Pair, executor: Executor) -> None:
        row = synced(pair)
        assert executor.look(row).row == row

    def test_sees_what_changed(self, pair: Pair, executor: Executor) -> None:
        row = synced(pair)
        pair.here.put_behind("d/f", MINE)
        pair.there.remove_behind("d/f")
        found = executor.look(row).row
        assert found.local == pair.here.side.look("d/f")
        assert (found.remote, found.remote_absence) == (None, Absence.ONCE)
        assert found.base == row.base

    def test_a_look_at_one_path_confirms_no_absence(self, pair: Pair, executor: Executor) -> None:
        row = synced(pair)
        pair.here.remove_behind("d/f")
        once = executor.look(row).row
        assert once.local_absence is Absence.ONCE
        assert executor.look(once).row.local_absence is Absence.ONCE

    def test_without_base_absence_needs_no_confirmation(
        self, pair: Pair, executor: Executor
    ) -> None:
        row = replace(synced(pair), base=None)
        pair.here.remove_behind("d/f")
        assert executor.look(row).row.local_absence is Absence.CONFIRMED


class TestMisuse:
    @pytest.mark.parametrize("verb", [Verb.ADOPT, Verb.FORGET])
    def test_what_touches_no_side_is_not_for_the_executor(
        self, verb: Verb, executor: Executor
    ) -> None:
        with pytest.raises(ValueError, match="not for the executor"):
            carry_out(executor, Action(verb, Row("d/f"), "?"))

    @pytest.mark.parametrize(
        "verb",
        [
            Verb.PUSH,
            Verb.PULL,
            Verb.DELETE_LOCAL,
            Verb.DELETE_REMOTE,
            Verb.CONFLICT,
            Verb.APPLY_LOCAL,
            Verb.APPLY_REMOTE,
        ],
    )
    def test_an_action_needs_what_it_is_about(self, verb: Verb, executor: Executor) -> None:
        with pytest.raises(ValueError, match="need"):
            carry_out(executor, Action(verb, Row("d/f"), "?"))

    @pytest.mark.parametrize("verb", [Verb.PUSH, Verb.PULL])
    def test_a_transfer_needs_content(self, verb: Verb, pair: Pair, executor: Executor) -> None:
        make = push_edit if verb is Verb.PUSH else pull_edit
        prepared = executor.prepare(make(pair), OP)
        assert isinstance(prepared, Prepared)
        with pytest.raises(ValueError, match="needs content"):
            executor.commit(replace(prepared, base=None))
        executor.release(prepared, discard=True)
