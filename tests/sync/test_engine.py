"""The engine between two sides in memory: what a person would see."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.fakes import FakeClock, Faults, MemoryCommitted, MemorySide
from tests.sync.device import Device
from vaultsync.core import names
from vaultsync.core.errors import Retry, Stale
from vaultsync.core.model import Entry, Kind, Row, Verb
from vaultsync.state.store import Journalled

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from vaultsync.core.ports import Staged


def test_what_is_here_goes_to_the_vault_and_back_again(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"one")
    device.local.write("deep/er/b.txt", b"two", 0o755)
    device.local.make("hollow/")
    device.settle()
    assert device.vault.tree() == device.local.tree()
    other.settle()
    assert other.local.tree() == device.local.tree()
    assert other.local.files["deep/er/b.txt"].mode & 0o111


def test_an_edit_travels_and_replaces_what_was_there(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"one")
    device.settle()
    other.settle()
    other.local.write("a.txt", b"two, longer")
    other.settle()
    device.settle()
    assert device.local.files["a.txt"].data == b"two, longer"
    assert device.local.trash == [b"one"]


def test_a_deletion_travels_in_both_directions(device: Device, other: Device) -> None:
    for path in ("a.txt", "b.txt", "d/c.txt"):
        device.local.write(path, path.encode())
    device.settle()
    other.settle()
    other.local.remove("a.txt")
    other.settle()
    device.settle()
    assert "a.txt" not in device.local.files
    assert device.local.trash == [b"a.txt"]
    device.vault.remove("b.txt")
    device.settle()
    assert "b.txt" not in device.local.files


def test_the_last_file_goes_and_its_folder_stays(device: Device, other: Device) -> None:
    device.local.write("d/c.txt", b"x")
    device.settle()
    other.settle()
    device.local.remove("d/c.txt")
    device.settle()
    assert device.vault.tree() == {"d/": b""}
    other.settle()
    assert other.local.tree() == {"d/": b""}


def test_a_folder_removed_here_goes_there(device: Device, other: Device) -> None:
    device.local.write("d/e/c.txt", b"x")
    device.local.make("d/f/")
    device.settle()
    other.settle()
    assert other.local.tree() == device.local.tree()
    device.local.remove("d/e/c.txt")
    device.local.directories.clear()
    device.settle()
    assert device.vault.tree() == {}
    other.settle()
    assert other.local.tree() == {}


def test_a_conflict_keeps_both_versions_everywhere(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"one")
    device.settle()
    other.settle()
    device.local.write("a.txt", b"mine")
    other.local.write("a.txt", b"yours")
    device.settle()
    other.settle()
    device.settle()
    for side in (device.local, other.local, device.vault):
        assert sorted(side.tree().values()) == [b"mine", b"yours"]
        assert side.files["a.txt"].data == b"mine"
    assert [names.original_name(path) for path in other.store.conflicts()] == ["a.txt"]


def test_the_same_edit_twice_is_no_conflict(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"same")
    other.local.write("a.txt", b"same")
    device.settle()
    other.settle()
    assert list(other.local.tree()) == ["a.txt"]
    assert not other.store.conflicts()


def test_an_edit_beats_a_deletion(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"one")
    device.settle()
    other.settle()
    device.local.remove("a.txt")
    other.local.write("a.txt", b"edited!")
    device.settle()
    other.settle()
    device.settle()
    assert device.local.files["a.txt"].data == b"edited!"


def test_an_edit_there_beats_a_deletion_here(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"one")
    device.settle()
    other.settle()
    other.local.write("a.txt", b"edited!")
    other.settle()
    device.local.remove("a.txt")
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"a.txt": b"edited!"}


def test_nothing_moves_at_rest(device: Device) -> None:
    device.local.write("a.txt", b"one")
    device.local.make("d/")
    device.settle()
    device.settle()
    device.vault.mutations.clear()
    device.local.mutations.clear()
    before = device.store.row("a.txt")
    device.settle()
    device.settle()
    assert not device.vault.mutations
    assert not device.local.mutations
    assert device.store.row("a.txt") == before


def test_a_touch_sends_nothing(device: Device) -> None:
    device.local.write("a.txt", b"one")
    device.settle()
    device.vault.mutations.clear()
    device.local.write("a.txt", b"one")
    device.settle()
    assert not device.vault.mutations


def test_the_executable_bit_travels(device: Device, other: Device) -> None:
    device.local.write("run", b"#!")
    device.settle()
    other.settle()
    device.local.write("run", b"#!", 0o755)
    device.settle()
    other.settle()
    assert other.local.files["run"].mode & 0o111


def test_a_file_becomes_a_folder_and_a_folder_a_file(device: Device, other: Device) -> None:
    device.local.write("a", b"file")
    device.local.write("b/x", b"inside")
    device.settle()
    other.settle()
    device.local.remove("a")
    device.local.write("a/y", b"in the new folder")
    device.local.remove("b/x")
    device.local.directories.discard("b/")
    device.local.write("b", b"new file")
    device.settle()
    other.settle()
    assert other.local.tree() == device.local.tree()
    assert device.local.files["a/y"].data == b"in the new folder"
    assert not other.store.conflicts()


def test_a_file_goes_first_though_only_what_is_in_the_new_folder_was_seen(device: Device) -> None:
    device.local.write("a", b"file")
    device.settle()
    device.vault.mutations.clear()
    device.local.remove("a")
    device.local.write("a/y", b"in the new folder")
    device.engine.mark("a/y")
    for _ in range(50):
        device.clock.time += 0.1
        device.step()
    device.settle()
    assert device.vault.mutations == [("delete", "a"), ("commit", "a/y")]


def test_an_emptied_folder_stays_though_its_marker_is_late(device: Device, other: Device) -> None:
    device.local.make("d/")
    device.local.write("d/x", b"the last one")
    device.settle()
    other.settle()
    unanswered = [1, 2, 3]

    def fault(_name: str, path: str) -> None:
        if path == "d/" and unanswered:
            unanswered.pop()
            raise Retry("no answer", unknown_outcome=True)

    device.vault.fault = fault
    device.local.remove("d/x")
    device.settle()
    other.settle()
    assert not unanswered
    assert device.local.tree() == other.local.tree() == device.vault.tree() == {"d/": b""}


def test_a_folder_that_is_emptied_from_below_stays_though_its_marker_is_late(
    device: Device, other: Device
) -> None:
    device.local.make("d/")
    device.local.write("d/e/f/x", b"the last one")
    device.settle()
    other.settle()
    refused = [1, 2, 3]

    def fault(name: str, path: str) -> None:
        if name == "make_directory" and path == "d/" and refused:
            refused.pop()
            raise Stale("somebody may have been faster")

    device.vault.fault = fault
    device.local.remove("d/e/f/x")
    device.local.directories.intersection_update({"d/"})
    device.settle()
    other.settle()
    assert not refused
    assert device.local.tree() == other.local.tree() == device.vault.tree() == {"d/": b""}


def test_a_folder_stays_though_those_in_it_go_while_their_marker_is_late(
    device: Device, other: Device
) -> None:
    device.local.make("d/")
    device.local.make("d/e/")
    device.local.write("d/e/f/x", b"the last one")
    device.local.make("d/e/f/")
    device.settle()
    other.settle()
    unanswered = [1, 2]

    def fault(name: str, path: str) -> None:
        if name == "make_directory" and path == "d/e/f/" and unanswered:
            unanswered.pop()
            if not unanswered:  # nobody has told the engine yet when it asks again
                device.local.directories.difference_update({"d/e/", "d/e/f/"})
            raise Retry("no answer", unknown_outcome=True)

    device.vault.fault = fault
    device.local.remove("d/e/f/x")
    device.engine.mark("d/e/f/x")
    for _ in range(200):
        device.clock.time += 0.1
        device.step()
    assert not unanswered
    device.settle()
    other.settle()
    assert device.local.tree() == other.local.tree() == device.vault.tree() == {"d/": b""}


def test_a_folder_made_again_while_what_was_in_it_is_deleted_stays(
    device: Device, other: Device
) -> None:
    device.local.make("d/e/")
    device.settle()
    other.settle()
    assert "d/" in other.local.directories
    device.local.directories.clear()
    made: list[str] = []

    def make_again(name: str, path: str) -> None:
        if name == "delete" and path == "d/e/" and not made:
            made.append(path)
            device.local.make("d/")
            device.engine.mark("d")

    device.vault.fault = make_again
    device.settle()
    other.settle()
    device.settle()
    assert made
    assert device.local.tree() == other.local.tree() == device.vault.tree() == {"d/": b""}
    other.local.directories.clear()
    other.settle()
    device.settle()
    assert device.local.tree() == other.local.tree() == device.vault.tree() == {}


def test_what_waited_for_a_pass_goes_on_before_the_next_one(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "bcdefgh":
        device.vault.write(name, name.encode())
    device.settle()
    monkeypatch.setattr("vaultsync.sync.sweep.SLICE", 2)
    device.vault.write("a", b"new, and nothing else is")
    engine = device.engine
    passes = engine.status.observed
    engine.request_sync()
    for _ in range(50):
        engine.turn(0)
        if engine.status.observed > passes:
            break
    assert "a" not in device.local.files
    assert engine._idle_seconds() == 0.0
    device.settle()
    assert "a" in device.local.files


def test_an_edited_file_meets_a_folder_of_its_name(device: Device, other: Device) -> None:
    device.local.write("a", b"file")
    device.settle()
    other.settle()
    device.local.remove("a")
    device.local.write("a/y", b"inside")
    other.local.write("a", b"edited")
    device.settle()
    other.settle()
    device.settle()
    other.settle()
    assert device.local.tree() == other.local.tree()
    assert device.local.files["a/y"].data == b"inside"
    assert b"edited" in device.local.tree().values()


def test_a_file_in_place_of_a_folder_meets_an_edit_in_that_folder(
    device: Device, other: Device
) -> None:
    device.local.write("a/y", b"inside")
    device.settle()
    other.settle()
    device.local.remove("a/y")
    device.local.directories.discard("a/")
    device.local.write("a", b"a file instead")
    other.local.write("a/y", b"edited")
    other.settle()
    device.settle()
    other.settle()
    assert device.local.tree() == other.local.tree() == device.vault.tree()
    assert device.local.files["a/y"].data == b"edited"
    assert names.original_name(device.store.conflicts()[0]) == "a"
    assert b"a file instead" in device.local.tree().values()


def test_a_new_file_meets_a_new_empty_folder_of_its_name(device: Device, other: Device) -> None:
    other.local.make("a/")
    other.settle()
    device.local.write("a", b"file")
    device.settle()
    other.settle()
    assert device.local.tree() == other.local.tree() == device.vault.tree()
    assert "a/" in device.local.tree()
    assert b"file" in device.local.tree().values()


def test_a_lost_answer_is_no_conflict(device: Device) -> None:
    device.vault.fault = Faults(1, 1.0, lost_answers=True).__call__
    calls = iter([True])

    def once(name: str, path: str) -> None:
        if name == "after commit" and next(calls, False):
            Faults(1, 1.0, lost_answers=True)(name, path)

    device.vault.fault = once
    device.local.write("a.txt", b"one")
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"a.txt": b"one"}
    device.local.write("a.txt", b"two")
    device.settle()
    assert device.vault.tree() == {"a.txt": b"two"}


def test_an_empty_database_only_merges(device: Device, other: Device, tmp_path: Path) -> None:
    device.local.write("a.txt", b"one")
    device.local.write("b.txt", b"two")
    device.settle()
    device.close()
    device.file.unlink()
    device.local.remove("a.txt")
    device.vault.remove("b.txt")
    device.start()
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"a.txt": b"one", "b.txt": b"two"}


@pytest.mark.parametrize("seed", range(60))
def test_two_devices_converge_and_lose_nothing(seed: int, tmp_path: Path) -> None:
    """Random edits, faults, lost answers and crashes; then quiet: equal, and nothing lost."""
    clock = FakeClock()
    vault = MemorySide(clock, remote=True)
    devices = [Device(vault, tmp_path, seed * 2 + k, f"dev{k}") for k in range(2)]
    faults = Faults(seed, 0.05, lost_answers=True)
    rng = faults.random
    vault.fault = faults
    written: set[bytes] = set()
    for step in range(80):
        device = rng.choice(devices)
        local = device.local
        path = rng.choice(["a", "b", "c", "d/a", "d/b", "e/f/g"])
        kind = rng.random()
        if kind < 0.25 and path + "/" not in local.tree():
            if not any(up[:-1] in local.files for up in names.parents(path)):
                data = f"{device.name} {step}".encode()
                written.add(data)
                local.write(path, data)
                device.engine.mark(path)
        elif kind < 0.33 and path in local.files:
            local.remove(path)
            device.engine.mark(path)
        elif kind < 0.36:
            device.crash()
        for _ in range(rng.randrange(12)):
            rng.choice(devices).step()
            clock.time += 0.05
    vault.fault = lambda _name, _path: None
    for _ in range(4):
        for device in devices:
            device.settle()
    assert devices[0].local.tree() == devices[1].local.tree()
    assert vault.tree().keys() == devices[0].local.tree().keys()
    kept = set(vault.tree().values())
    for side in (vault, *(device.local for device in devices)):
        kept |= {*side.history, *side.trash}
    assert written <= kept
    for device in devices:
        device.close()


def test_equal_to_what_was_there_a_while_ago_is_not_common_ground(device: Device) -> None:
    """Rule R7: a new file equal to an old observation of the vault is not deleted with it."""
    device.vault.write("a.txt", b"theirs")
    device.local.write("a.txt", b"mine 6")
    device.local.fault = lambda name, _path: device.engine.pause() if name == "set_aside" else None
    for _ in range(50):
        device.step()
    assert "a.txt" not in device.local.files  # a conflict: what the vault has is known by digest
    device.vault.files.pop("a.txt")  # deleted by its owner, and we have not asked since
    device.local.write("a.txt", b"theirs")  # a person comes by the same bytes
    device.engine.mark("a.txt")
    device.clock.time += 0.3
    device.step()
    assert device.store.row("a.txt").remote is not None
    device.engine.resume()
    for _ in range(50):
        device.step()
    device.settle()
    assert device.local.files["a.txt"].data == b"theirs"
    assert device.vault.files["a.txt"].data == b"theirs"
    assert b"theirs" not in device.local.trash


def test_a_digest_known_without_a_look_is_not_common_ground(device: Device) -> None:
    """Rule R7 where both digests are known already, as a link's is from any scan."""
    device.settle()
    digest = hashlib.sha256(b"same").hexdigest()
    device.local.write("a", b"same")
    here = device.local.look("a")
    assert here is not None
    there = Entry(Kind.FILE, 4, "etag", digest, stamp="a while ago")
    with device.store.transaction():
        device.store.save([Row("a", local=replace(here, sha256=digest), remote=there)])
    device.engine._agenda.changed.add("a")
    for _ in range(5):
        device.step()
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"a": b"same"}
    assert not device.local.trash


def test_an_old_intent_is_no_news_to_a_newer_base(device: Device) -> None:
    """An upload of unknown outcome that we have built upon since: our edit meets nobody's."""
    device.local.write("f.txt", b"one")
    device.settle()
    first = device.store.row("f.txt").base
    assert first is not None
    device.local.write("f.txt", b"two")
    device.settle()
    with device.store.transaction():
        device.store.intend(
            Journalled("f.txt", first.ops[0], Verb.PUSH, "", first), device.clock.now()
        )
    device.local.write("f.txt", b"three")
    refused: list[str] = []

    def refuse_once(name: str, _path: str) -> None:
        if name == "stage" and not refused:
            refused.append(name)
            raise Stale("somebody may have been faster")

    device.vault.fault = refuse_once
    device.settle()
    assert refused
    assert device.local.tree() == device.vault.tree() == {"f.txt": b"three"}


def test_a_crash_after_setting_aside_deletes_nothing(device: Device) -> None:
    """The version here has its conflict name; that its old name is free is no deletion."""
    device.local.write("a", b"old")
    device.settle()
    device.local.write("a", b"here")
    device.vault.write("a", b"there")
    set_aside = device.local.set_aside

    def die(path: str, expected: Entry) -> str:
        set_aside(path, expected)
        raise KeyboardInterrupt

    device.local.set_aside = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        device.settle()
    device.local.set_aside = set_aside  # type: ignore[method-assign]
    device.vault.write("a", b"old")  # its writer takes the edit back meanwhile
    device.crash()
    device.settle()
    assert device.local.files["a"].data == device.vault.files["a"].data == b"old"
    assert b"here" in device.vault.tree().values()


def die_having_made(device: Device, folder: str) -> None:
    """A folder of the vault is made here, and nobody lives to write that down."""
    make_directory = device.local.make_directory

    def die(path: str) -> Entry:
        make_directory(path)
        raise KeyboardInterrupt

    device.vault.make(folder)
    device.local.make_directory = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        device.settle()
    device.local.make_directory = make_directory  # type: ignore[method-assign]
    assert folder in device.local.tree()


def test_a_folder_that_was_made_here_before_a_crash_is_no_new_one(device: Device) -> None:
    """It is deleted in the vault meanwhile: it goes here as well, and does not come back there."""
    die_having_made(device, "d/e/")
    device.vault.directories.clear()
    device.crash()
    device.settle()
    assert device.local.tree() == device.vault.tree() == {}


def test_a_folder_that_was_made_here_for_a_file_before_a_crash_is_no_new_one(
    device: Device,
) -> None:
    commit = device.local.commit

    def die(staged: Staged, expected: Entry | None) -> MemoryCommitted:
        device.local.make("d/e/")
        raise KeyboardInterrupt

    for path in ("d/e/a", "d/e/b"):
        device.vault.write(path, path.encode())
    device.local.commit = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        device.settle()
    device.local.commit = commit  # type: ignore[method-assign]
    device.vault.files.clear()
    device.vault.write("d", b"content")
    device.crash()
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"d": b"content"}
    assert not device.store.journal()


def test_of_a_folder_that_was_not_made_here_nothing_is_kept(device: Device) -> None:
    """A person who makes it later has made a new one."""

    def refuse(name: str, _path: str) -> None:
        if name == "commit":
            device.vault.files.clear()
            raise Stale("something is in the way")

    for path in ("d/a", "d/b"):
        device.vault.write(path, path.encode())
    device.local.fault = refuse
    device.settle()
    assert not device.store.journal()
    device.local.make("d/")
    device.crash()
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"d/": b""}


def test_a_folder_that_was_made_here_before_a_crash_is_in_no_files_way(device: Device) -> None:
    """What became a file in the vault keeps its name."""
    die_having_made(device, "d/")
    device.vault.directories.clear()
    device.vault.write("d", b"content")
    device.crash()
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"d": b"content"}


@pytest.mark.parametrize("path", ["d/e/", "a"])
def test_what_was_removed_here_before_a_crash_was_not_removed_by_a_person(
    device: Device, path: str
) -> None:
    """It is made again in the vault meanwhile, and looks the same: it comes here again."""

    def make() -> None:
        if path.endswith("/"):
            device.vault.make(path)
        else:
            device.vault.write(path, b"content")

    delete = device.local.delete

    def die(path: str, expected: Entry) -> None:
        delete(path, expected)
        raise KeyboardInterrupt

    make()
    device.settle()
    made = device.vault.tree()
    device.vault.files.clear()
    device.vault.directories.clear()
    device.local.delete = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        device.settle()
    device.local.delete = delete  # type: ignore[method-assign]
    assert path not in device.local.tree()
    make()
    device.crash()
    device.settle()
    assert device.local.tree() == device.vault.tree() == made
    assert not device.store.journal()


def test_what_was_not_removed_before_a_crash_is_removed_after_it(device: Device) -> None:
    def die(name: str, _path: str) -> None:
        if name == "delete":
            raise KeyboardInterrupt

    device.vault.write("a", b"content")
    device.settle()
    device.vault.remove("a")
    device.local.fault = die
    with pytest.raises(KeyboardInterrupt):
        device.settle()
    device.local.fault = lambda _name, _path: None
    device.crash()
    device.settle()
    assert device.local.tree() == device.vault.tree() == {}
    assert not device.store.journal()


def test_a_folder_that_was_filled_before_a_crash_could_remove_it_stays(device: Device) -> None:
    def die(name: str, _path: str) -> None:
        if name == "delete":
            raise KeyboardInterrupt

    device.vault.make("d/")
    device.settle()
    device.vault.directories.clear()
    device.local.fault = die
    with pytest.raises(KeyboardInterrupt):
        device.settle()
    device.local.fault = lambda _name, _path: None
    device.local.write("d/a", b"put there meanwhile")
    device.crash()
    device.settle()
    assert device.vault.files.keys() == {"d/a"}
    assert device.local.tree() == {"d/": b"", "d/a": b"put there meanwhile"}
    assert not device.store.journal()


def test_what_a_person_made_again_after_a_crash_stays(device: Device) -> None:
    delete = device.local.delete

    def die(path: str, expected: Entry) -> None:
        delete(path, expected)
        raise KeyboardInterrupt

    device.vault.write("a", b"content")
    device.settle()
    device.vault.remove("a")
    device.local.delete = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        device.settle()
    device.local.delete = delete  # type: ignore[method-assign]
    device.clock.time += 1
    device.local.write("a", b"content")
    device.crash()
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"a": b"content"}


def test_what_came_back_from_the_trash_in_a_crash_is_removed_after_it(device: Device) -> None:
    """Going there and back changes the identity of the file, and nothing else of it."""

    def die(path: str, expected: Entry) -> None:
        device.local.files[path] = replace(device.local.files[path], tag=f"{expected.tag} moved")
        raise KeyboardInterrupt

    delete = device.local.delete
    device.vault.write("a", b"content")
    device.settle()
    device.vault.remove("a")
    device.local.delete = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        device.settle()
    device.local.delete = delete  # type: ignore[method-assign]
    device.crash()
    device.settle()
    assert device.local.tree() == device.vault.tree() == {}


@pytest.mark.parametrize("seed", range(8))
def test_the_marker_is_there_before_the_last_file_goes(seed: int, tmp_path: Path) -> None:
    device = Device(MemorySide(FakeClock(), remote=True), tmp_path, seed)
    device.local.write("d/f", b"last")
    device.settle()
    device.local.remove("d/f")
    device.settle()
    done = device.vault.mutations
    assert done.index(("make_directory", "d/")) < done.index(("delete", "d/f"))
    device.close()


def test_what_precedes_a_request_is_on_the_disk(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before an upload or a deletion can be seen, the journal tells of it after any power cut."""
    transaction, durable = device.store.transaction, [False]

    def note(**how: bool) -> AbstractContextManager[None]:
        durable[0] |= how.get("durable", False)
        return transaction(**how)

    def require(name: str, _path: str) -> None:
        if name in ("commit", "delete"):
            assert durable[0]
            durable[0] = False
            done.append(name)

    done: list[str] = []
    monkeypatch.setattr(device.store, "transaction", note)
    device.vault.fault = require
    device.local.write("a", b"one")
    device.settle()
    device.local.remove("a")
    device.settle()
    assert done == ["commit", "delete"]


def test_a_folder_does_not_come_back_while_what_was_in_it_is_deleted(device: Device) -> None:
    device.local.make("d/")
    device.settle()
    device.local.write("d/a.txt", b"one")
    device.settle()
    assert set(device.vault.tree()) == {"d/", "d/a.txt"}
    device.local.remove("d/a.txt")
    device.local.directories.clear()
    refused: list[str] = []
    made: list[str] = []

    def refuse_once(name: str, path: str) -> None:
        if name == "delete" and path == "d/a.txt" and not refused:
            refused.append(path)
            raise Stale("somebody may have been faster")

    device.vault.fault = refuse_once
    device.local.fault = lambda name, path: made.append(path) if name == "make_directory" else None
    device.settle()
    assert refused
    assert not made
    assert device.local.tree() == device.vault.tree() == {}
