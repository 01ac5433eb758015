"""Dirty paths: each is looked at once it is quiet, and however many there are, none is lost."""

from __future__ import annotations

import random
import threading
import time

import pytest

from vaultsync.sync import schedule
from vaultsync.sync.schedule import Dirty


class Marks:
    """Marks under a clock that stands still between two steps."""

    def __init__(self) -> None:
        self.time = 100.0
        self.woken = 0
        self.dirty = Dirty(lambda: self.time, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def after(self, seconds: float) -> list[str]:
        self.time += seconds
        return self.dirty.take()


@pytest.fixture
def marks() -> Marks:
    return Marks()


def test_a_path_is_due_after_it_was_quiet(marks: Marks) -> None:
    marks.dirty.mark("a")
    assert marks.dirty.next() == pytest.approx(marks.time + schedule.QUIET)
    assert marks.after(0.1) == []
    marks.dirty.mark("a")
    assert marks.after(0.15) == []
    assert marks.after(0.1) == ["a"]
    assert marks.dirty.next() is None


def test_a_file_that_is_being_written_is_given_more_time(marks: Marks) -> None:
    marks.dirty.mark("a", writing=True)
    assert marks.after(0.9) == []
    marks.dirty.mark("a", writing=True)
    assert marks.after(0.9) == []
    marks.dirty.mark("a")
    assert marks.after(0.1) == []
    assert marks.after(0.11) == ["a"], "closed: there is nothing more to wait for"


def test_a_path_that_is_never_quiet_is_looked_at_all_the_same(marks: Marks) -> None:
    looks = 0
    for _ in range(100):
        marks.dirty.mark("log", writing=True)
        looks += len(marks.after(0.1))
    assert looks == pytest.approx(10 / schedule.LONGEST_QUIET, abs=1)


def test_a_mark_below_another_one_adds_none(marks: Marks) -> None:
    marks.dirty.mark("d")
    for number in range(5000):
        marks.dirty.mark(f"d/{number}")
    assert len(marks.dirty) == 1
    assert marks.after(schedule.LONGEST_QUIET) == ["d"]


def test_none_below_another_one_is_taken(marks: Marks) -> None:
    for path in ("d/e/f", "d/e", "d!", "d/a"):
        marks.dirty.mark(path)
    assert marks.after(1) == ["d!", "d/a", "d/e"]


def test_everything_swallows_all(marks: Marks) -> None:
    marks.dirty.mark("d/e")
    marks.dirty.mark("")
    marks.dirty.mark("f")
    assert marks.after(schedule.LONGEST_QUIET) == [""]


def test_a_crowd_becomes_its_directory(marks: Marks) -> None:
    marks.dirty.mark("elsewhere/x")
    for number in range(schedule.CROWD + 50):
        marks.dirty.mark(f"a/b/{number}")
    assert len(marks.dirty) == 2
    assert marks.after(schedule.QUIET) == ["elsewhere/x"]
    assert marks.after(schedule.QUIET_CROWD) == ["a/b"]


def test_many_scattered_marks_become_what_they_have_in_common(marks: Marks) -> None:
    for number in range(schedule.MANY + 50):
        marks.dirty.mark(f"a/b/{number}/x")
    assert marks.after(schedule.QUIET_CROWD) == ["a/b"]
    for number in range(schedule.MANY + 50):
        marks.dirty.mark(f"{number}/x")
    assert marks.after(schedule.QUIET_CROWD) == [""]


def test_a_crowd_that_is_never_quiet_is_looked_at_now_and_then(marks: Marks) -> None:
    looks = []
    for number in range(600):
        for file in range(schedule.CROWD + 1):
            marks.dirty.mark(f"burst/{number}-{file}")
        looks += marks.after(0.1)
        assert len(marks.dirty) <= schedule.MANY
    assert looks
    assert set(looks) == {"burst"}
    assert len(looks) <= 60 / schedule.LONGEST_CROWD


def test_the_engine_is_woken_when_something_is_due_sooner_than_it_was_told(marks: Marks) -> None:
    marks.dirty.mark("slow", writing=True)
    assert marks.woken == 1
    marks.dirty.next()
    marks.dirty.mark("slow too", writing=True)
    assert marks.woken == 1
    marks.dirty.mark("quick")
    assert marks.woken == 2


@pytest.mark.parametrize("seed", range(30))
def test_each_marked_path_is_covered_by_a_later_look(seed: int, marks: Marks) -> None:
    rng = random.Random(seed)
    waiting: set[str] = set()
    for _ in range(4000):
        path = "/".join(str(rng.randrange(rng.choice((3, 1000)))) for _ in range(rng.randint(1, 4)))
        marks.dirty.mark(path, writing=rng.random() < 0.3)
        waiting.add(path)
        assert len(marks.dirty) <= schedule.MANY + 1
        if rng.random() < 0.02:
            _cover(waiting, marks.after(rng.random()))
    _cover(waiting, marks.after(schedule.LONGEST_CROWD))
    assert not waiting


def test_a_burst_of_100_000_files_loses_none() -> None:
    """Threads mark as fast as they can while another one takes."""
    dirty = Dirty(time.monotonic, lambda: None)
    names = [[f"{top}/{n % 500}/{n}" for n in range(25_000)] for top in "abcd"]
    most = 0
    taken: list[str] = []

    def burst(paths: list[str]) -> None:
        for path in paths:
            dirty.mark(path)

    threads = [threading.Thread(target=burst, args=(paths,)) for paths in names]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or len(dirty):
        most = max(most, len(dirty))
        taken += dirty.take()
        due = dirty.next()
        if due is not None:
            threading.Event().wait(max(0.0, min(0.05, due - time.monotonic())))
    waiting = {path for paths in names for path in paths}
    _cover(waiting, taken)
    assert not waiting
    assert most <= schedule.MANY


def _cover(waiting: set[str], looks: list[str]) -> None:
    """Take away what the looks cover."""
    covered = set(looks)
    for path in list(waiting):
        segments = path.split("/")
        if any("/".join(segments[:depth]) in covered for depth in range(len(segments) + 1)):
            waiting.discard(path)
