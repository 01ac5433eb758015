"""The power fails at every single call to the system; recovery must find everything."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.contract.twin_worlds import TwinWorld
from tests.contract.worlds import BytesContent
from tests.local.hooked import Crash, Hooked
from vaultsync.core.errors import Stale
from vaultsync.core.names import is_conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vaultsync.core.model import Entry

MANY = 200
CUTS = 4
"""How many ways of losing things are tried at each call."""
ORDERED = pytest.mark.parametrize("ordered", [True, False])


def look(world: TwinWorld, path: str) -> Entry:
    entry = world.disk.look(path)
    assert entry is not None
    return world.disk.identify(path, entry)


def leftovers(world: TwinWorld) -> list[bytes]:
    """What a start leaves in staging, where files of a probe may have survived."""
    before = world.hidden("trash")
    world.disk.clear_staging()
    assert world.hidden("trash") == before
    return world.hidden("staging")


def cuts(
    ordered: bool, prepare: Callable[[TwinWorld, Hooked], Callable[[], object]]
) -> Iterator[tuple[TwinWorld, bool]]:
    """The world after a cut at each call of what `prepare` returns, and whether it was over then.

    The last ones come after its end: what it has done must last.
    """
    for call in range(MANY):
        done = False
        for seed in range(CUTS):
            world = TwinWorld(ordered=ordered)
            hooked = Hooked(world.files)
            world.use(hooked.files)
            action = prepare(world, hooked)
            hooked.crash_at(call)
            with suppress(Crash):
                with suppress(Stale):  # somebody came in between, and nothing was done
                    action()
                done = True
            world.cut_power(random.Random(f"{call} {seed}"))
            yield world, done
        if done:
            return
    pytest.fail("it never came to its end")


@ORDERED
def test_replacement(ordered: bool) -> None:
    tokens = []

    def prepare(world: TwinWorld, _: Hooked) -> Callable[[], object]:
        world.put_behind("d/f", b"old")
        world.settle()
        old = look(world, "d/f")
        staged = world.disk.stage("d/f", BytesContent(b"new"), "op")
        tokens.append(staged.token)
        return lambda: world.disk.commit(staged, old)

    for world, done in cuts(ordered, prepare):
        entry = world.disk.recover("d/f", "op", tokens[-1])
        assert world.disk.recover("d/f", "op", tokens[-1]) == entry
        if entry is None:
            assert not done
            assert world.shown() == {"d/f": b"old"}
            assert world.hidden("trash") == []
        else:
            assert entry == look(world, "d/f")
            assert world.shown() == {"d/f": b"new"}
            assert world.hidden("trash") == [b"old"]
        assert leftovers(world) == []


@ORDERED
def test_new_file(ordered: bool) -> None:
    tokens = []

    def prepare(world: TwinWorld, _: Hooked) -> Callable[[], object]:
        staged = world.disk.stage("d/e/f", BytesContent(b"new"), "op")
        tokens.append(staged.token)
        return lambda: world.disk.commit(staged, None)

    for world, done in cuts(ordered, prepare):
        entry = world.disk.recover("d/e/f", "op", tokens[-1])
        assert entry is not None or not done
        assert world.shown() == ({} if entry is None else {"d/e/f": b"new"})
        assert leftovers(world) == []


@ORDERED
@pytest.mark.parametrize("operation", ["exchange", "stat", "sync"])
def test_replacement_with_an_edit_at_the_worst_moment(ordered: bool, operation: str) -> None:
    tokens = []

    def prepare(world: TwinWorld, hooked: Hooked) -> Callable[[], object]:
        world.put_behind("f", b"old")
        world.put_behind("edited", b"edit")
        world.settle()
        old = look(world, "f")
        staged = world.disk.stage("f", BytesContent(b"new"), "op")
        tokens.append(staged.token)
        hooked.before(operation, lambda: world.hands.rename("edited", "f"))
        return lambda: world.disk.commit(staged, old)

    for world, _ in cuts(ordered, prepare):
        world.disk.recover("f", "op", tokens[-1])
        seen = world.shown()
        everywhere = [*seen.values(), *world.hidden("trash")]
        assert b"edit" in seen.values()
        assert b"old" in everywhere or seen.get("f") in (b"edit", b"new")
        assert all(path in ("f", "edited") or is_conflict(path) for path in seen)
        assert leftovers(world) == []


@ORDERED
def test_delete(ordered: bool) -> None:
    def prepare(world: TwinWorld, _: Hooked) -> Callable[[], object]:
        world.put_behind("d/f", b"old")
        world.settle()
        old = look(world, "d/f")
        return lambda: world.disk.delete("d/f", old)

    for world, done in cuts(ordered, prepare):
        trashed = world.hidden("trash")
        assert [*world.shown().values(), *trashed] == [b"old"]
        assert trashed == [b"old"] or not done


@ORDERED
def test_set_aside(ordered: bool) -> None:
    def prepare(world: TwinWorld, _: Hooked) -> Callable[[], object]:
        world.put_behind("f", b"mine")
        world.settle()
        entry = look(world, "f")
        return lambda: world.disk.set_aside("f", entry)

    for world, done in cuts(ordered, prepare):
        assert list(world.shown().values()) == [b"mine"]
        assert "f" not in world.shown() or not done


@ORDERED
def test_staging(ordered: bool) -> None:
    def prepare(world: TwinWorld, _: Hooked) -> Callable[[], object]:
        world.disk.check()
        return lambda: world.disk.stage("f", BytesContent(b"new"), "op")

    for world, _ in cuts(ordered, prepare):
        world.disk.clear_staging()
        assert world.shown() == {}
        assert world.hidden("staging") == []


@ORDERED
def test_a_file_in_a_new_folder_lasts_once_committed(ordered: bool) -> None:
    """Also when everything above it is new."""

    def prepare(world: TwinWorld, _: Hooked) -> Callable[[], object]:
        staged = world.disk.stage("a/b/c/f", BytesContent(b"new"), "op")
        return lambda: world.disk.commit(staged, None)

    for world, done in cuts(ordered, prepare):
        assert world.shown() in ({"a/b/c/f": b"new"}, {} if not done else {"a/b/c/f": b"new"})


@ORDERED
def test_binding(ordered: bool) -> None:
    """A marker is there as a whole or not at all, and there for good once `bind` returned it."""

    def prepare(world: TwinWorld, hooked: Hooked) -> Callable[[], object]:
        world.hands.remove_tree(".vaultsync")
        world.settle()
        return lambda: markers.append(world.disk.bind())

    markers: list[str] = []
    for world, done in cuts(ordered, prepare):
        again = world.disk.bind()
        assert len(again) == 32
        assert not done or again == markers[-1]
