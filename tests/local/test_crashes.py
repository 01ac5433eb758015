"""The process dies at every single call to the system; recovery must find everything."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from tests.contract.worlds import BytesContent, DiskWorld, LinksOnly, WithoutExchange
from tests.local.hooked import Crash, Hooked
from tests.local.seeing import hidden, look, shown
from vaultsync.core.errors import VaultsyncError
from vaultsync.core.names import is_conflict
from vaultsync.local.files import SystemFiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KINDS = [SystemFiles, WithoutExchange, LinksOnly]
MANY = 200


def world_in(root: Path, real: type[SystemFiles]) -> tuple[DiskWorld, Hooked]:
    root.mkdir()
    hooked = Hooked(real())
    return DiskWorld(root, lambda: hooked.files), hooked


def restarted(world: DiskWorld, real: type[SystemFiles]) -> DiskWorld:
    world._files = real
    world.crash()
    return world


def dies(hooked: Hooked, call: int, action: Callable[[], object]) -> bool:
    """Whether `action` came to its end before the fatal call."""
    hooked.crash_at(call)
    try:
        action()
    except Crash:
        return False
    return True


@pytest.mark.parametrize("real", KINDS)
def test_replacement(tmp_path: Path, real: type[SystemFiles]) -> None:
    finished = 0
    for call in range(MANY):
        world, hooked = world_in(tmp_path / str(call), real)
        world.put_behind("d/f", b"old")
        old = look(world, "d/f")
        staged = world.disk.stage("d/f", BytesContent(b"new"), "op")
        done = dies(hooked, call, lambda: world.disk.commit(staged, old))  # noqa: B023
        restarted(world, real)
        entry = world.disk.recover("d/f", "op", staged.token)
        assert world.disk.recover("d/f", "op", staged.token) == entry
        if entry is None:
            assert shown(world.root) == {"d/f": b"old"}
            assert hidden(world.root, "trash") == []
        else:
            assert entry == look(world, "d/f")
            assert shown(world.root) == {"d/f": b"new"}
            assert hidden(world.root, "trash") == [b"old"]
        assert hidden(world.root, "staging") == []
        if done:
            assert entry is not None
            finished += 1
            break
    assert finished


@pytest.mark.parametrize("real", KINDS)
def test_new_file(tmp_path: Path, real: type[SystemFiles]) -> None:
    for call in range(MANY):
        world, hooked = world_in(tmp_path / str(call), real)
        staged = world.disk.stage("d/e/f", BytesContent(b"new"), "op")
        done = dies(hooked, call, lambda: world.disk.commit(staged, None))  # noqa: B023
        restarted(world, real)
        entry = world.disk.recover("d/e/f", "op", staged.token)
        assert shown(world.root) == ({} if entry is None else {"d/e/f": b"new"})
        assert hidden(world.root, "staging") == []
        if done:
            assert entry is not None
            return
    pytest.fail("the commit never came to its end")


def test_replacement_with_an_edit_at_the_worst_moment(tmp_path: Path) -> None:
    for call in range(MANY):
        world, hooked = world_in(tmp_path / str(call), SystemFiles)
        world.put_behind("f", b"old")
        old = look(world, "f")
        staged = world.disk.stage("f", BytesContent(b"new"), "op")
        edited = world.root / "edited"
        edited.write_bytes(b"edit")
        hooked.before("exchange", partial(os.replace, edited, world.root / "f"))
        done = dies(hooked, call, lambda: world.disk.commit(staged, old))  # noqa: B023
        restarted(world, SystemFiles)
        entry = world.disk.recover("f", "op", staged.token)
        seen = shown(world.root)
        if edited.exists():
            assert entry is None
            assert seen == {"f": b"old", "edited": b"edit"}
        elif entry is None:
            assert seen == {"f": b"edit"}
        else:
            assert seen.pop("f") == b"new"
            assert list(seen.values()) == [b"edit"]
            assert all(is_conflict(path) for path in seen)
        assert hidden(world.root, "staging") == []
        if done:
            return
    pytest.fail("the commit never came to its end")


@pytest.mark.parametrize("real", KINDS)
def test_delete(tmp_path: Path, real: type[SystemFiles]) -> None:
    for call in range(MANY):
        world, hooked = world_in(tmp_path / str(call), real)
        world.put_behind("d/f", b"old")
        old = look(world, "d/f")
        done = dies(hooked, call, lambda: world.disk.delete("d/f", old))  # noqa: B023
        visible, trashed = list(shown(world.root).values()), hidden(world.root, "trash")
        assert visible + trashed == [b"old"]
        if done:
            assert trashed == [b"old"]
            return
    pytest.fail("the delete never came to its end")


@pytest.mark.parametrize("real", KINDS)
def test_set_aside(tmp_path: Path, real: type[SystemFiles]) -> None:
    for call in range(MANY):
        world, hooked = world_in(tmp_path / str(call), real)
        world.put_behind("f", b"mine")
        entry = look(world, "f")
        done = dies(hooked, call, lambda: world.disk.set_aside("f", entry))  # noqa: B023
        visible = shown(world.root)
        assert b"mine" in [*visible.values(), *hidden(world.root, "trash")]
        if done:
            assert list(visible.values()) == [b"mine"]
            assert "f" not in visible
            return
    pytest.fail("it never came to its end")


def test_staging(tmp_path: Path) -> None:
    for call in range(MANY):
        world, hooked = world_in(tmp_path / str(call), SystemFiles)
        world.disk.check()
        done = dies(hooked, call, lambda: world.disk.stage("f", BytesContent(b"new"), "op"))  # noqa: B023
        restarted(world, SystemFiles)
        assert shown(world.root) == {}
        world.disk.clear_staging()
        assert hidden(world.root, "staging") == []
        if done:
            return
    pytest.fail("staging never came to its end")


def test_clearing_keeps_what_the_journal_knows(tmp_path: Path) -> None:
    world, _ = world_in(tmp_path / "f", SystemFiles)
    staged = world.disk.stage("f", BytesContent(b"new"), "known")
    world.disk.stage("g", BytesContent(b"other"), "unknown")
    world.disk.clear_staging({"known"})
    assert hidden(world.root, "staging") == [b"new"]
    world.disk.commit(staged, None)
    assert shown(world.root) == {"f": b"new"}


def test_clearing_without_a_journal_loses_no_version(tmp_path: Path) -> None:
    world, hooked = world_in(tmp_path / "f", SystemFiles)
    world.put_behind("f", b"old")
    old = look(world, "f")
    staged = world.disk.stage("f", BytesContent(b"new"), "op")
    hooked.after("exchange", lambda: hooked.crash_at(0))
    with pytest.raises(Crash):
        world.disk.commit(staged, old)
    restarted(world, SystemFiles).disk.clear_staging()
    assert shown(world.root) == {"f": b"new"}
    assert hidden(world.root, "trash") == [b"old"]


@pytest.mark.parametrize("real", KINDS)
def test_replacement_that_no_journal_knows(tmp_path: Path, real: type[SystemFiles]) -> None:
    def replace() -> None:
        world.disk.remember(staged)
        world.disk.commit(staged, old)
        world.disk.discard(staged.token)

    for call in range(MANY):
        world, hooked = world_in(tmp_path / str(call), real)
        world.put_behind("d/f", b"old")
        old = look(world, "d/f")
        staged = world.disk.stage("d/f", BytesContent(b"new"), "op")
        done = dies(hooked, call, replace)
        restarted(world, real).disk.clear_staging()
        seen = shown(world.root)
        assert seen in ({"d/f": b"old"}, {"d/f": b"new"})
        assert hidden(world.root, "trash") == ([b"old"] if seen == {"d/f": b"new"} else [])
        assert all(item.path == "d/f" for item in world.disk.bin.items())
        assert hidden(world.root, "staging") == hidden(world.root, "errands") == []
        if done:
            assert seen == {"d/f": b"new"}
            return
    pytest.fail("the replacement never came to its end")


def test_a_crash_is_never_taken_for_a_deletion(tmp_path: Path) -> None:
    world, hooked = world_in(tmp_path / "f", LinksOnly)
    world.put_behind("f", b"old")
    old = look(world, "f")
    staged = world.disk.stage("f", BytesContent(b"new"), "op")
    hooked.after("link", lambda: hooked.crash_at(0))
    with pytest.raises(Crash):
        world.disk.commit(staged, old)
    # From here on nothing shows that it was there: it could as well have died before the link.
    (world.root / "f").unlink()
    restarted(world, LinksOnly)
    assert world.disk.recover("f", "op", staged.token) is None
    assert shown(world.root) == {"f": b"old"}
    assert hidden(world.root, "staging") == hidden(world.root, "trash") == []


def test_edit_of_the_new_version_before_recovery_shows(tmp_path: Path) -> None:
    world, hooked = world_in(tmp_path / "f", SystemFiles)
    world.put_behind("f", b"old")
    old = look(world, "f")
    staged = world.disk.stage("f", BytesContent(b"new"), "op")
    hooked.after("exchange", lambda: hooked.crash_at(0))
    with pytest.raises(Crash):
        world.disk.commit(staged, old)
    (world.root / "f").write_bytes(b"edited since")
    restarted(world, SystemFiles)
    entry = world.disk.recover("f", "op", staged.token)
    assert entry is not None
    assert entry.sha256 == staged.sha256
    assert entry.tag != look(world, "f").tag
    assert shown(world.root) == {"f": b"edited since"}
    assert hidden(world.root, "trash") == [b"old"]


def test_inode_number_given_out_again_is_not_ours(tmp_path: Path) -> None:
    world, _ = world_in(tmp_path / "f", SystemFiles)
    staged = world.disk.stage("f", BytesContent(b"new"), "op")
    world.put_behind("f", b"theirs")
    token = json.loads(staged.token)
    world.disk.discard(staged.token)
    token[2] = (world.root / "f").stat().st_ino
    assert world.disk.recover("f", "op", json.dumps(token)) is None
    assert shown(world.root) == {"f": b"theirs"}


@pytest.mark.parametrize("exists", [True, False])
def test_edit_of_the_new_version_while_it_is_taken_back(tmp_path: Path, exists: bool) -> None:
    for call in range(MANY):
        world, hooked = world_in(tmp_path / str(call), SystemFiles)
        (world.root / "d").mkdir()
        old = None
        if exists:
            world.put_behind("d/f", b"old")
            old = look(world, "d/f")
        staged = world.disk.stage("d/f", BytesContent(b"new"), "op")
        undo = "exchange" if exists else "rename"
        edit = partial((world.root / "d/f").write_bytes, b"edit")
        dying = partial(_dying, partial(hooked.before, undo, edit))
        hooked.after("exchange" if exists else "move", partial(hooked.before, "sync", dying))
        done = dies(hooked, call, partial(_fails, partial(world.disk.commit, staged, old)))
        edited = b"edit" in everywhere(world)
        restarted(world, SystemFiles)
        world.disk.recover("d/f", "op", staged.token)
        world.disk.clear_staging()
        assert not edited or b"edit" in shown(world.root).values()
        if done:
            assert edited
            return
    pytest.fail("the commit never came to its end")


def test_inodes_numbered_anew_before_recovery(tmp_path: Path) -> None:
    world, hooked = world_in(tmp_path / "f", SystemFiles)
    world.put_behind("f", b"old")
    old = look(world, "f")
    staged = world.disk.stage("f", BytesContent(b"new"), "op")
    hooked.after("rename", lambda: hooked.crash_at(0))  # armed, not yet exchanged
    with pytest.raises(Crash):
        world.disk.commit(staged, old)
    token = json.loads(staged.token)
    token[2] += 1_000_003
    restarted(world, SystemFiles)
    assert world.disk.recover("f", "op", json.dumps(token)) is None
    assert shown(world.root) == {"f": b"old"}


def _dying(then: Callable[[], object]) -> None:
    then()
    raise OSError(errno.EIO, "the disk is dying")


def _fails(action: Callable[[], object]) -> None:
    with pytest.raises(VaultsyncError):
        action()


def everywhere(world: DiskWorld) -> list[bytes]:
    places = (hidden(world.root, place) for place in ("staging", "trash"))
    return [*shown(world.root).values(), *chain.from_iterable(places)]


def test_folder_vanished_before_recovery(tmp_path: Path) -> None:
    world, hooked = world_in(tmp_path / "f", SystemFiles)
    world.put_behind("d/f", b"old")
    old = look(world, "d/f")
    staged = world.disk.stage("d/f", BytesContent(b"new"), "op")
    hooked.after("exchange", lambda: hooked.crash_at(0))
    with pytest.raises(Crash):
        world.disk.commit(staged, old)
    (world.root / "d/f").unlink()
    (world.root / "d").rmdir()
    restarted(world, SystemFiles)
    assert world.disk.recover("d/f", "op", staged.token) is None
    assert hidden(world.root, "trash") == [b"old"]
    assert hidden(world.root, "staging") == []


@pytest.mark.parametrize("edited", ["the old version", "the new version"])
@pytest.mark.parametrize("blocked", [False, True])
def test_folder_vanished_before_an_edit_was_recovered(
    tmp_path: Path, edited: str, blocked: bool
) -> None:
    world, hooked = world_in(tmp_path / "f", SystemFiles)
    world.put_behind("d/f", b"old")
    old = look(world, "d/f")
    staged = world.disk.stage("d/f", BytesContent(b"new"), "op")
    edit = partial((world.root / "d/f").write_bytes, b"edit")

    def edit_and_die() -> None:
        hooked.before("exchange", edit)
        hooked.after("exchange", lambda: hooked.crash_at(0))

    def undo() -> None:
        hooked.fail("sync", errno.EIO)
        edit_and_die()

    if edited == "the old version":
        edit_and_die()
    else:  # it was shown for a moment
        hooked.after("exchange", undo)
    with pytest.raises(Crash):
        world.disk.commit(staged, old)
    (world.root / "d/f").unlink()
    (world.root / "d").rmdir()
    if blocked:
        (world.root / "d").write_bytes(b"a file")
    restarted(world, SystemFiles)
    assert world.disk.recover("d/f", "op", staged.token) is None
    seen = shown(world.root)
    if blocked:
        assert seen == {"d": b"a file"}
        assert hidden(world.root, "trash") == [b"edit"]
    else:
        assert list(seen.values()) == [b"edit"]
        assert all(is_conflict(path) for path in seen)
        assert hidden(world.root, "trash") == []
    assert hidden(world.root, "staging") == []


_VICTIM = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from tests.contract.worlds import BytesContent, DiskWorld
from tests.local.hooked import Hooked
from tests.local.seeing import look

hooked = Hooked()
world = DiskWorld(Path(sys.argv[1]), lambda: hooked.files)
old = look(world, "f")
staged = world.disk.stage("f", BytesContent(b"new"), "op")
Path(sys.argv[5]).write_text(staged.token)

def stop():
    print("stopped", flush=True)
    signal.pause()

getattr(hooked, sys.argv[2])(sys.argv[3], stop)
world.disk.commit(staged, old)
"""


@pytest.mark.parametrize(
    ("when", "operation", "happened"),
    [
        ("before", "exchange", False),
        ("after", "exchange", True),
        ("before", "move", True),
        ("after", "move", True),
    ],
)
def test_kill_9(tmp_path: Path, when: str, operation: str, happened: bool) -> None:
    world, _ = world_in(tmp_path / "folder", SystemFiles)
    world.put_behind("f", b"old")
    token = tmp_path / "token"
    here = os.fspath(tmp_path.cwd())
    victim = subprocess.Popen(
        [sys.executable, "-c", _VICTIM, str(world.root), when, operation, here, str(token)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "stopped\n"
        victim.send_signal(signal.SIGKILL)
    restarted(world, SystemFiles)
    entry = world.disk.recover("f", "op", token.read_text())
    assert (entry is not None) == happened
    assert shown(world.root) == {"f": b"new" if happened else b"old"}
    assert hidden(world.root, "trash") == ([b"old"] if happened else [])
    assert hidden(world.root, "staging") == []
