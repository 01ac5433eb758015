"""Nothing is lost, and a person can see it: history, trash and old versions of real daemons."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from vaultsync.cli.demo.world import CommandFailed

if TYPE_CHECKING:
    from tests.e2e.conftest import Household, Machine

pytestmark = pytest.mark.timeout(240)


def history(machine: Machine, path: str = "") -> list[tuple[str, str]]:
    """What was done and to what, oldest first."""
    return [(event["verb"], event["path"]) for event in machine.run("history", path)[::-1]]


def trashed(machine: Machine) -> list[str]:
    return [item["path"] for item in machine.run("trash", "list")]


def test_history_tells_what_was_done_and_why(household: Household) -> None:
    laptop, desktop = household
    household.up()
    laptop.write("a/report.txt", "first\n")
    household.same()
    desktop.write("a/report.txt", "second\n")
    household.same()
    (desktop.folder / "a/report.txt").unlink()
    household.same()

    assert history(desktop, "a/report.txt") == [
        ("pull", "a/report.txt"),
        ("push", "a/report.txt"),
        ("delete-remote", "a/report.txt"),
    ]
    assert history(laptop, str(laptop.folder / "a/report.txt")) == [
        ("push", "a/report.txt"),
        ("pull", "a/report.txt"),
        ("delete-local", "a/report.txt"),
    ]
    assert set(history(laptop, "a/report.txt")) <= set(history(laptop, "a"))
    events = laptop.run("history", "--limit", "2", "a/report.txt")
    assert len(events) == 2
    assert all(event["reason"] and event["version"] for event in events)
    household.down()
    assert history(laptop, "a/report.txt")[-1] == ("delete-local", "a/report.txt")


def test_what_was_deleted_elsewhere_is_put_back_from_the_trash(household: Household) -> None:
    laptop, desktop = household
    household.up()
    laptop.write("keep.txt", "keep\n")
    laptop.write("gone/letter.txt", "dear\n")
    household.same()
    (laptop.folder / "gone/letter.txt").unlink()
    (laptop.folder / "gone").rmdir()
    assert household.same() == {"keep.txt": b"keep\n"}

    assert trashed(laptop) == []
    assert trashed(desktop) == ["gone/letter.txt"]
    done = desktop.run("trash", "restore", "gone/letter.txt")
    assert [item["path"] for item in done] == ["gone/letter.txt"]
    assert household.same() == {"keep.txt": b"keep\n", "gone/letter.txt": b"dear\n"}
    assert trashed(desktop) == []
    assert ("put-back", "gone/letter.txt") in history(desktop, "gone")


def test_the_trash_can_be_used_without_a_daemon(household: Household) -> None:
    laptop, desktop = household
    household.up()
    for name in ("one.txt", "two.txt"):
        laptop.write(name, name)
    household.same()
    laptop.write("one.txt", "new\n")
    (laptop.folder / "two.txt").unlink()
    household.same()
    household.down()

    assert sorted(trashed(desktop)) == ["one.txt", "two.txt"]
    (done,) = desktop.run("trash", "restore", "one.txt")
    assert done["path"] == "one (restored).txt"
    assert desktop.run("trash", "empty", "--older-than", "1h", "--yes")["files"] == 0
    assert desktop.run("trash", "empty", "--yes")["files"] == 1
    assert trashed(desktop) == []
    household.up()
    files = household.same()
    assert files == {"one.txt": b"new\n", "one (restored).txt": b"one.txt"}
    assert {("put-back", "one (restored).txt"), ("empty", "")} <= set(history(desktop))


def test_an_old_version_is_brought_back_as_an_edit(household: Household) -> None:
    laptop, desktop = household
    household.up()
    for text in ("first\n", "second, longer\n", "third, longer still\n"):
        laptop.write("report.txt", text)
        household.same()
    rows = desktop.run("versions", "report.txt")
    assert [(row["size"], row["current"]) for row in rows] == [(20, True), (15, False), (6, False)]

    desktop.run("restore", "report.txt", "--version", rows[2]["id"])
    assert household.same() == {"report.txt": b"first\n"}
    assert "report.txt" in trashed(desktop)
    assert len(desktop.run("versions", "report.txt")) == 4
    laptop.run("restore", "report.txt", "--version", rows[1]["id"], "--to", "old/report.txt")
    assert household.same() == {
        "report.txt": b"first\n",
        "old/report.txt": b"second, longer\n",
    }
    assert ("bring-back", "old/report.txt") in history(laptop)


def test_what_was_deleted_is_brought_back_also_without_a_daemon(household: Household) -> None:
    laptop, desktop = household
    household.up()
    laptop.write("a/b.txt", "here\n")
    laptop.write("a/c/d.txt", "there\n")
    laptop.write("a/stays.txt", "stays\n")
    household.same()
    for name in ("a/b.txt", "a/c/d.txt"):
        (desktop.folder / name).unlink()
    assert household.same() == {"a/stays.txt": b"stays\n"}
    laptop.run("restore", "a/b.txt")
    assert household.same() == {"a/stays.txt": b"stays\n", "a/b.txt": b"here\n"}
    household.down()

    done = laptop.run("restore", "-r", "a", "--yes")
    assert [item["path"] for item in done["restored"]] == ["a/c/d.txt"]
    assert laptop.files()["a/c/d.txt"] == b"there\n"
    household.up()
    assert set(household.same()) == {"a/stays.txt", "a/b.txt", "a/c/d.txt"}


def test_a_folder_is_brought_back_as_it_was(household: Household) -> None:
    laptop, _ = household
    household.up()
    laptop.write("work/changed.txt", "as it was\n")
    laptop.write("work/deleted.txt", "as it was\n")
    household.same()
    last = max(
        laptop.run("versions", f"work/{name}.txt")[0]["at"] for name in ("changed", "deleted")
    )
    while laptop.run("versions", "work/changed.txt")[0]["at"] <= last:
        # S3 tells times in whole seconds.
        laptop.write("work/changed.txt", "as it is now\n" * len(laptop.run("history")))
        household.same()
    (laptop.folder / "work/deleted.txt").unlink()
    laptop.write("work/new.txt", "new\n")
    household.same()

    laptop.run("restore", "-r", "work", "--at", last, "--yes")
    assert household.same() == {
        "work/changed.txt": b"as it was\n",
        "work/deleted.txt": b"as it was\n",
        "work/new.txt": b"new\n",
    }


def test_what_never_was_is_not_found(household: Household) -> None:
    household.up()
    for words in (("versions", "never"), ("restore", "never"), ("trash", "restore", "never")):
        assert household.laptop.refusal(*words)[0] == 11
    household.laptop.write("there.txt", "there\n")
    household.same()
    code, said = household.laptop.refusal("restore", "there.txt")
    assert code == 2
    assert "--version" in said


def test_activity_follows_what_happens(household: Household) -> None:
    laptop, _ = household
    laptop.up()
    with laptop.process("activity", "--follow", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for name in ("one.txt", "two.txt"):
            laptop.write(name, name)
            line = process.stdout.readline()
            assert f"sent {name} (7 B)" in line
        process.terminate()


def test_an_editor_that_goes_on_writing_to_a_deleted_file_loses_nothing(
    household: Household,
) -> None:
    laptop, desktop = household
    household.up()
    laptop.write("letter.txt", "dear\n")
    household.same()
    with (desktop.folder / "letter.txt").open("ab") as editor:
        (laptop.folder / "letter.txt").unlink()
        assert household.same() == {}
        editor.write(b"friend\n")
    household.down()
    household.up()  # the trash is looked at when a daemon starts, and each minute
    files: dict[str, Any] = {}
    while not files:
        files = household.same()
    (copy,) = files
    assert copy.startswith("letter (conflict desktop ")
    assert files == {copy: b"dear\nfriend\n"}
    assert history(desktop)[-1][0] in ("push", "return")
    assert ("return", "letter.txt") in history(desktop)


def test_a_command_that_fails_says_why(household: Household) -> None:
    household.laptop.up()
    with pytest.raises(CommandFailed, match="no 'x' in the trash"):
        household.laptop.run("trash", "restore", "x")
