"""The guards as pure rules: what must hold of every number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsync.core.model import Action, Base, Entry, Kind, Row, Verb
from vaultsync.core.safety import DAY, Guard, Hold, Limits, Tally, guard_of, judge, sentence, window

DELETIONS = st.sampled_from([Guard.DELETIONS_HERE, Guard.DELETIONS_THERE])
NUMBERS = st.integers(0, 100_000)
NOW = 1_000_000_000.0


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    """Pending files are among those that are known."""
    known = draw(NUMBERS)
    return Tally(known, draw(NUMBERS), draw(st.integers(0, known)))


@given(DELETIONS, tallies())
def test_never_more_goes_than_the_rule_allows(guard: Guard, tally: Tally) -> None:
    files = tally.known + tally.done
    gone = tally.done + tally.pending
    if tally.pending and judge(guard, tally, None, NOW) is None:
        assert gone <= max(25, files * 0.2)
        assert files <= 3 or gone < files


@given(DELETIONS, tallies())
def test_what_the_rule_allows_is_not_held(guard: Guard, tally: Tally) -> None:
    files = tally.known + tally.done
    gone = tally.done + tally.pending
    if gone <= 25 and (files <= 3 or gone < files):
        assert judge(guard, tally, None, NOW) is None


@given(DELETIONS, st.integers(1, 2000), st.lists(st.integers(1, 300), max_size=30), st.data())
def test_pieces_never_add_up_to_more_than_the_rule_allows(
    guard: Guard, files: int, pieces: list[int], data: st.DataObject
) -> None:
    done = pending = 0
    hold: Hold | None = None
    for piece in pieces:
        pending = min(files - done, pending + piece)
        hold = judge(guard, Tally(files - done, done, pending), hold, NOW)
        if hold is None:
            done, pending = done + pending, 0
    assert done <= max(25, files * 0.2)
    assert files <= 3 or done < files


@given(DELETIONS, tallies(), st.integers(0, 100_000), st.floats(0, 30 * DAY))
def test_neither_growth_nor_time_ends_a_hold(
    guard: Guard, tally: Tally, more: int, later: float
) -> None:
    hold = judge(guard, tally, None, NOW)
    if hold is not None:
        grown = Tally(tally.known + more, tally.done, tally.pending)
        kept = judge(guard, grown, hold, NOW + later)
        assert kept == hold
        assert window(guard, hold, NOW + later) == NOW - DAY


@given(st.sampled_from(list(Guard)), tallies())
def test_with_nothing_pending_nothing_is_held(guard: Guard, tally: Tally) -> None:
    empty = Tally(tally.known, tally.done, 0)
    assert judge(guard, empty, Hold(NOW, 0), NOW) is None


@given(tallies())
def test_changes_are_held_from_fifty_files_and_over_half_of_all(tally: Tally) -> None:
    changed = tally.done + tally.pending
    too_much = changed >= 50 and changed > tally.known // 2
    if tally.pending:
        assert (judge(Guard.CHANGES, tally, None, NOW) is not None) == too_much


def test_limits_can_be_given() -> None:
    tally = Tally(100, 0, 2)
    assert judge(Guard.DELETIONS_HERE, tally, None, NOW) is None
    tight = Limits(deletions=1, deleted_share=0.0)
    assert judge(Guard.DELETIONS_HERE, tally, None, NOW, tight) == Hold(NOW, 1)


def _row(*, base: bool, remote: bool) -> Row:
    entry = Entry(Kind.FILE, 1, "t")
    return Row(
        "a",
        entry,
        Base(Kind.FILE, 1, "s", "t", "t") if base else None,
        entry if remote else None,
    )


@pytest.mark.parametrize(
    ("verb", "base", "remote", "guard"),
    [
        (Verb.DELETE_LOCAL, True, False, Guard.DELETIONS_HERE),
        (Verb.DELETE_REMOTE, True, True, Guard.DELETIONS_THERE),
        (Verb.PUSH, True, True, Guard.CHANGES),
        (Verb.PUSH, False, False, None),
        (Verb.PUSH, True, False, None),
        (Verb.PULL, True, True, None),
        (Verb.CONFLICT, True, True, Guard.CONFLICTS),
        (Verb.FORGET, True, False, None),
        (Verb.ADOPT, True, True, None),
    ],
)
def test_which_guard_an_action_has_to_pass(
    verb: Verb, base: bool, remote: bool, guard: Guard | None
) -> None:
    assert guard_of(Action(verb, _row(base=base, remote=remote), "")) is guard


@pytest.mark.parametrize("guard", list(Guard))
def test_each_guard_has_a_sentence(guard: Guard) -> None:
    assert sentence(guard, 1).endswith(".")
    assert sentence(guard, 1_234) != sentence(guard, 1) or guard is Guard.VAULT


def test_a_link_passes_every_guard() -> None:
    base = Base(Kind.LINK, 3, "a" * 64, "here", "there")
    link = Entry(Kind.LINK, 4, "new", "b" * 64)
    there = Entry(Kind.LINK, 3, "there")
    for verb, row in (
        (Verb.PUSH, Row("l", link, base, there)),
        (Verb.DELETE_REMOTE, Row("l", None, base, there)),
        (Verb.DELETE_LOCAL, Row("l", link, base, None)),
    ):
        assert guard_of(Action(verb, row, "test")) is None
