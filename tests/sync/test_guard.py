"""The guards between two sides in memory: what is held, what is not, and what a person can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vaultsync.core import names
from vaultsync.core.safety import Guard
from vaultsync.sync import sweep

if TYPE_CHECKING:
    from tests.fakes import FakeClock
    from tests.sync.device import Device


def fill(device: Device, count: int, folder: str = "") -> list[str]:
    """Let a device have files, in sync."""
    paths = [f"{folder}{number:04}.txt" for number in range(count)]
    for path in paths:
        device.local.write(path, f"first {path}".encode())
    device.settle()
    assert device.vault.files.keys() >= set(paths)
    return paths


def kinds(device: Device) -> dict[str, int]:
    return {item.guard: item.count for item in device.engine.guards.held}


def decide(device: Device, what: str) -> None:
    device.engine.decide(what, None)
    device.settle()


def test_a_mass_deletion_here_is_held_whole_and_all_else_goes_on(device: Device) -> None:
    paths = fill(device, 100)
    for path in paths[:30]:
        device.local.remove(path)
    device.local.write("new.txt", b"new")
    device.local.write(paths[99], b"edited")
    device.settle()
    assert kinds(device) == {Guard.DELETIONS_THERE: 30}
    assert device.vault.files.keys() == {*paths, "new.txt"}
    assert device.vault.files[paths[99]].data == b"edited"
    assert device.engine.status.held == 30


def test_a_mass_deletion_in_the_vault_is_held_whole(device: Device) -> None:
    paths = fill(device, 100)
    for path in paths[:30]:
        device.vault.remove(path)
    device.settle()
    assert kinds(device) == {Guard.DELETIONS_HERE: 30}
    assert device.local.files.keys() == set(paths)


def test_a_deletion_below_the_threshold_goes_through(device: Device) -> None:
    paths = fill(device, 100)
    for path in paths[:25]:
        device.local.remove(path)
    device.settle()
    assert not kinds(device)
    assert device.vault.files.keys() == set(paths[25:])


def test_a_fifth_of_many_files_goes_through(device: Device) -> None:
    paths = fill(device, 200)
    for path in paths[:40]:
        device.local.remove(path)
    device.settle()
    assert not kinds(device)
    device.local.remove(paths[40])
    device.settle()
    assert kinds(device) == {Guard.DELETIONS_THERE: 1}


def test_every_file_of_a_small_vault_is_held(device: Device) -> None:
    paths = fill(device, 4)
    for path in paths:
        device.local.remove(path)
    device.settle()
    assert kinds(device) == {Guard.DELETIONS_THERE: 4}
    assert device.vault.files.keys() == set(paths)


def test_a_vault_of_three_files_may_be_emptied(device: Device) -> None:
    for path in fill(device, 3):
        device.local.remove(path)
    device.settle()
    assert not device.vault.files


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("here", [False, True])
def test_pieces_and_restarts_do_not_slip_through(device: Device, here: bool, crash: bool) -> None:
    paths = fill(device, 100)
    side, other = (device.vault, device.local) if here else (device.local, device.vault)
    for path in paths[:60]:
        side.remove(path)
        device.settle()
        if crash:
            device.crash()
    device.settle()
    assert other.files.keys() == set(paths[25:])
    assert kinds(device) == {Guard.DELETIONS_HERE if here else Guard.DELETIONS_THERE: 35}


def test_slices_do_not_slip_through(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = fill(device, 100)
    monkeypatch.setattr(sweep, "SLICE", 3)
    for path in paths[:60]:
        device.vault.remove(path)
    device.settle()
    assert device.local.files.keys() == set(paths)
    assert kinds(device) == {Guard.DELETIONS_HERE: 60}


def test_a_hold_does_not_end_with_the_day(device: Device, clock: FakeClock) -> None:
    paths = fill(device, 100)
    for path in paths[:20]:
        device.local.remove(path)
    device.settle()
    for path in paths[20:30]:
        device.local.remove(path)
    device.settle()
    assert kinds(device) == {Guard.DELETIONS_THERE: 10}
    clock.time += 3 * 24 * 3600
    device.settle()
    device.crash()
    device.settle()
    assert kinds(device) == {Guard.DELETIONS_THERE: 10}


def test_a_hold_does_not_end_because_the_vault_grows(device: Device) -> None:
    paths = fill(device, 100)
    for path in paths[:30]:
        device.local.remove(path)
    device.settle()
    fill(device, 300, "more/")
    assert kinds(device) == {Guard.DELETIONS_THERE: 30}


def test_deletions_of_yesterday_do_not_count(device: Device, clock: FakeClock) -> None:
    paths = fill(device, 100)
    for path in paths[:20]:
        device.local.remove(path)
    device.settle()
    clock.time += 25 * 3600
    for path in paths[20:40]:
        device.local.remove(path)
    device.settle()
    assert not kinds(device)


@pytest.mark.parametrize("back", [False, True])
def test_a_clock_that_was_set_ahead_lets_no_more_through(
    device: Device, clock: FakeClock, back: bool
) -> None:
    paths = fill(device, 100)
    for path in paths[:20]:
        device.local.remove(path)
    device.settle()
    clock.wrong += 40 * 24 * 3600
    for path in paths[20:25]:
        device.local.remove(path)
    device.settle()
    assert not kinds(device)
    if back:
        clock.wrong -= 40 * 24 * 3600
    device.local.remove(paths[25])
    device.settle()
    assert kinds(device) == {Guard.DELETIONS_THERE: 1}


def test_a_day_after_a_step_of_the_clock_all_counts_as_before(
    device: Device, clock: FakeClock
) -> None:
    paths = fill(device, 100)
    device.settle()
    clock.wrong += 24 * 3600
    for path in paths[:20]:
        device.local.remove(path)
    device.settle()
    clock.time += 25 * 3600
    for path in paths[20:40]:
        device.local.remove(path)
    device.settle()
    assert not kinds(device)


def test_a_clock_that_begins_behind_what_it_knew_counts_no_more_than_a_day_before_that(
    device: Device, clock: FakeClock
) -> None:
    paths = fill(device, 100)
    for path in paths[:20]:
        device.local.remove(path)
    device.settle()
    clock.time += 25 * 3600
    device.local.remove(paths[20])
    device.settle()
    clock.wrong -= 500_000  # as on a machine whose clock stands still when it is off
    device.crash()
    device.settle()
    clock.wrong += 500_000
    for path in paths[21:40]:
        device.local.remove(path)
    device.settle()
    assert not kinds(device)


def test_a_word_given_while_the_clock_was_ahead_does_not_blind_the_guard(
    device: Device, clock: FakeClock
) -> None:
    paths = fill(device, 100)
    clock.time += 10 * 24 * 3600
    for path in paths[:30]:
        device.local.remove(path)
    device.settle()
    decide(device, "allow")
    clock.time -= 10 * 24 * 3600
    for path in paths[30:50]:
        device.local.remove(path)
    device.settle()
    for path in paths[50:70]:
        device.local.remove(path)
    device.settle()
    assert kinds(device) == {Guard.DELETIONS_THERE: 20}


def test_what_comes_back_is_not_held_any_more(device: Device) -> None:
    paths = fill(device, 100)
    for path in paths[:30]:
        device.local.remove(path)
    device.settle()
    for path in paths[:20]:
        device.local.write(path, f"first {path}".encode())
    device.settle()
    assert not kinds(device)
    assert device.vault.files.keys() == {*paths[:20], *paths[30:]}


def test_what_was_moved_is_not_deleted(device: Device) -> None:
    paths = fill(device, 100, "old/")
    for path in paths:
        data = device.local.files[path].data
        device.local.remove(path)
        device.local.write(path.replace("old/", "new/"), data)
    device.local.directories.discard("old/")
    device.settle()
    assert not kinds(device)
    assert device.vault.tree() == device.local.tree()
    new = sorted(device.local.files)
    for path in new[:25]:
        device.local.remove(path)
    device.settle()
    assert not kinds(device)


def test_allowed_deletions_go_through_and_later_ones_do_not(device: Device) -> None:
    paths = fill(device, 200)
    for path in paths[:60]:
        device.local.remove(path)
    device.settle()
    device.engine.decide("allow", None)
    device.step()
    device.crash()
    device.settle()
    assert not kinds(device)
    assert device.vault.files.keys() == set(paths[60:])
    for path in paths[60:86]:
        device.local.remove(path)
    device.settle()
    assert not kinds(device)
    for path in paths[86:92]:
        device.local.remove(path)
    device.settle()
    assert kinds(device) == {Guard.DELETIONS_THERE: 6}


def test_what_comes_after_the_word_is_held_although_some_is_let_through(device: Device) -> None:
    paths = fill(device, 200)
    for path in paths[:60]:
        device.local.remove(path)
    device.settle()
    device.engine.decide("allow", None)
    device.engine.turn(0)
    for path in paths[60:130]:
        device.local.remove(path)
    device.settle()
    assert device.vault.files.keys() == set(paths[60:])
    assert kinds(device) == {Guard.DELETIONS_THERE: 70}


def test_an_allowance_ends_when_the_file_comes_back(device: Device) -> None:
    paths = fill(device, 100)
    for path in paths[:30]:
        device.local.remove(path)
    device.settle()
    device.engine.pause()
    device.engine.decide("allow", None)
    device.engine.turn(0)
    for path in paths[:30]:
        device.local.write(path, f"first {path}".encode())
    device.engine.resume()
    device.settle()
    for path in paths[:30]:
        device.local.remove(path)
    device.settle()
    assert kinds(device) == {Guard.DELETIONS_THERE: 30}


@pytest.mark.parametrize("here", [False, True])
def test_restore_brings_the_files_back(device: Device, here: bool) -> None:
    paths = fill(device, 60, "d/")
    side = device.vault if here else device.local
    for path in paths:
        side.remove(path)
    if not here:
        side.directories.clear()
    device.settle()
    assert list(kinds(device).values()) == [60]
    decide(device, "restore")
    assert not kinds(device)
    assert device.local.files.keys() == device.vault.files.keys() == set(paths)
    for path in paths[:5]:
        device.local.remove(path)
    device.settle()
    assert device.vault.files.keys() == set(paths[5:])


def test_a_mass_change_is_held_and_new_files_are_not(device: Device) -> None:
    paths = fill(device, 100)
    for path in paths[:60]:
        device.local.write(path, b"encrypted " + path.encode())
    device.local.write("new.txt", b"new")
    device.settle()
    assert kinds(device) == {Guard.CHANGES: 60}
    assert all(device.vault.files[path].data.startswith(b"first") for path in paths)
    assert "new.txt" in device.vault.files


def test_a_change_of_half_the_files_goes_through(device: Device) -> None:
    paths = fill(device, 120)
    for path in paths[:60]:
        device.local.write(path, b"edited " + path.encode())
    device.settle()
    assert not kinds(device)
    assert device.vault.tree() == device.local.tree()


def test_touching_everything_changes_nothing(device: Device) -> None:
    paths = fill(device, 100)
    for path in paths:
        device.local.write(path, device.local.files[path].data)
    device.vault.mutations.clear()
    device.settle()
    assert not kinds(device)
    assert not device.vault.mutations


def test_changes_one_by_one_are_held_at_the_threshold(device: Device) -> None:
    paths = fill(device, 60)
    for path in paths:
        device.local.write(path, b"encrypted " + path.encode())
        device.settle()
    changed = [path for path in paths if device.vault.files[path].data.startswith(b"encrypted")]
    assert len(changed) <= 49
    assert kinds(device) == {Guard.CHANGES: 60 - len(changed)}


def test_saving_one_file_over_and_over_is_no_mass_change(device: Device) -> None:
    paths = fill(device, 60)
    for number in range(70):
        device.local.write(paths[0], f"version {number}".encode())
        device.settle()
    assert not kinds(device)


def test_a_file_that_comes_and_goes_is_one_file(device: Device) -> None:
    fill(device, 10)
    for number in range(40):
        device.local.write("temporary", f"{number}".encode())
        device.settle()
        device.local.remove("temporary")
        device.settle()
    assert not kinds(device)


def test_allowed_changes_go_through(device: Device) -> None:
    paths = fill(device, 60)
    for path in paths:
        device.local.write(path, b"edited " + path.encode())
    device.settle()
    decide(device, "allow")
    assert not kinds(device)
    assert device.vault.tree() == device.local.tree()
    device.local.write(paths[0], b"once more")
    device.settle()
    assert device.vault.files[paths[0]].data == b"once more"


def test_restored_changes_are_kept_beside_the_versions_of_the_vault(device: Device) -> None:
    paths = fill(device, 60)
    for path in paths:
        device.local.write(path, b"encrypted " + path.encode())
    device.settle()
    decide(device, "restore")
    assert not kinds(device)
    for path in paths:
        assert device.local.files[path].data == f"first {path}".encode()
    assert len(device.store.conflicts()) == 60


def test_a_flood_of_conflicts_is_held_and_all_else_goes_on(
    device: Device, clock: FakeClock
) -> None:
    for number in range(30):
        device.local.write(f"{number}.txt", b"mine")
        device.vault.write(f"{number}.txt", b"yours!")
    device.local.write("other.txt", b"x")
    device.settle()
    assert kinds(device) == {Guard.CONFLICTS: 20}
    assert len(device.store.conflicts()) == 10
    assert "other.txt" in device.vault.files
    clock.time += 3600
    device.crash()
    device.settle()
    assert len(device.store.conflicts()) == 10
    decide(device, "allow")
    assert not kinds(device)
    assert len(device.store.conflicts()) == 30
    assert all(names.is_conflict(path) for path in device.store.conflicts())


def test_a_flood_of_conflicts_that_people_end_themselves_is_held_no_more(device: Device) -> None:
    for number in range(12):
        device.local.write(f"{number}.txt", b"mine")
        device.vault.write(f"{number}.txt", b"yours!")
    device.settle()
    assert kinds(device) == {Guard.CONFLICTS: 2}
    for path in device.engine.guards.conflicts:
        device.local.remove(path)
    device.settle()
    assert not kinds(device)
    assert len(device.store.conflicts()) == 10
    assert device.vault.tree() == device.local.tree()


def test_a_file_and_a_folder_of_one_name_part_by_themselves(device: Device) -> None:
    device.local.write("d", b"the file")
    device.settle()
    device.vault.write("d/a", b"inside")
    for _ in range(90):
        device.settle()
        device.clock.time += 30
    assert device.local.tree() == device.vault.tree()
    assert device.local.files["d/a"].data == b"inside"
    (copy,) = device.store.conflicts()
    assert names.original_name(copy) == "d"
    assert device.local.files[copy].data == b"the file"
