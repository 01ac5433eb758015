"""History, activity, trash, versions and restore: on a terminal, in a pipe and with --json."""

from __future__ import annotations

import json
import subprocess
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from vaultsync.core.errors import Blocked, Refused
from vaultsync.core.model import Deed, Event, State, Status, Transfer, Trashed, Verb, Version

if TYPE_CHECKING:
    from tests.cli.conftest import Program
    from tests.served import PlainVault

NASTY = "evil\x1b[2J\u202egnp.\n\t.txt"
WHEN = datetime(2026, 11, 23, 14, 30, 5).timestamp()  # noqa: DTZ001 - people read local time
SHOWN = "2026-11-23 14:30:05"
ROWS = [0, 1, 120]


def events(rows: int) -> list[Event]:
    return [
        Event(WHEN + n, f"a/{n:03}.txt", Verb.PULL, "it is new there", 2_000, id=n + 1)
        for n in range(rows)
    ]


def items(rows: int, folder: str = "a") -> list[Trashed]:
    return [
        Trashed(f"2026-11-23/{folder}/{n:03}.txt", f"{folder}/{n:03}.txt", 2_000, WHEN)
        for n in range(rows)
    ]


def kept(rows: int) -> list[Version]:
    return [
        Version("a.txt", f"v{n}", WHEN - n * 60, 2_000, "tag", current=n == 0, deleted=n == 1)
        for n in range(rows)
    ]


def table(out: str) -> list[list[str]]:
    return [line.split("\t") for line in out.splitlines()]


@pytest.mark.parametrize("rows", ROWS)
def test_history_three_ways(program: Program, vault: PlainVault, rows: int) -> None:
    vault.past.happened = events(rows)
    newest = [event.path for event in reversed(events(rows))]
    piped = program("history", "--limit", "500")
    assert [row[2] for row in table(piped.out)] == newest
    assert all(row[1] == "received" and row[3] == "2.0 kB" for row in table(piped.out))
    assert ("Nothing is known" in piped.err) == (rows == 0)
    on_terminal = program.on_terminal("history", "--limit", "500").out
    assert ("WHY" in on_terminal) == (rows > 0)
    assert on_terminal.count("received") == rows
    told = program("history", "--limit", "500", "--json").json["result"]
    assert [event["path"] for event in told] == newest
    assert all(event["at"].endswith("Z") and event["verb"] == "pull" for event in told)


def test_history_is_cut_at_its_limit_and_asked_for_in_pages(
    program: Program, vault: PlainVault
) -> None:
    vault.past.happened = events(2_500)
    assert len(table(program("history").out)) == 50
    rows = table(program("history", "--limit", "2200").out)
    assert [row[2] for row in rows] == [f"a/{n:03}.txt" for n in range(2_499, 299, -1)]


def test_history_of_a_path_and_since_a_time(program: Program, vault: PlainVault) -> None:
    vault.past.happened = events(3)
    words = ("history", str(program.folder / "a/001.txt"), "--since", SHOWN)
    assert [row[2] for row in table(program(*words).out)] == ["a/001.txt"]
    assert vault.past.told[-1] == ("events", "a/001.txt", WHEN)
    assert program("history", "--since", "yesterday").code == 2
    program("history", "--since", "2h")
    assert abs(vault.past.told[-1][2] - (time.time() - 7_200)) < 60


def test_history_tells_of_copies_and_of_what_people_did(
    program: Program, vault: PlainVault
) -> None:
    vault.past.happened = [
        Event(WHEN, "f", Verb.CONFLICT, "both changed", kept="f (conflict)", id=1),
        *(Event(WHEN, "f", deed, "why", id=2 + n) for n, deed in enumerate(Deed)),
    ]
    rows = table(program("history").out)
    assert {row[1] for row in rows} == {
        "both kept", "put back", "brought back", "trash emptied", "came back",
    }  # fmt: skip
    assert rows[-1][4] == "both changed; kept as f (conflict)"


def test_history_without_a_daemon_is_read_from_the_database(program: Program) -> None:
    assert program("history", "--json").json["result"] == []


@pytest.mark.parametrize("rows", [0, 1, 12])
def test_activity_shows_what_is_under_way_and_the_last_events(
    program: Program, vault: PlainVault, rows: int
) -> None:
    vault.past.happened = events(rows)
    if rows:
        vault.now = Status(State.SYNCING, transfers=(Transfer(Verb.PUSH, "film", 7_000, 1.0),))
    lines = program("activity").out.splitlines()
    if rows:
        assert lines[-1].endswith("push film (7.0 kB)")
        assert lines[-2].startswith("2026-11-23 14:30:")
        assert lines[-2].endswith(f"received a/{rows - 1:03}.txt (2.0 kB): it is new there")
    assert len(lines) == min(rows, 10) + bool(rows)
    told = program("activity", "--json").json["result"]
    assert len(told["events"]) == min(rows, 10)
    assert len(told["transfers"]) == bool(rows)
    assert program.on_terminal("activity").out.count("received") == min(rows, 10)


@pytest.mark.parametrize("as_json", [False, True])
def test_activity_follows(program: Program, vault: PlainVault, as_json: bool) -> None:
    vault.past.happened = events(1)
    words = program.command("activity", "--follow", *(["--json"] if as_json else []))
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for number in range(3):
            line = process.stdout.readline()
            path = json.loads(line)["result"]["path"] if as_json else line.split()[3]
            assert path == f"a/{number:03}.txt"
            vault.past.happen(events(number + 2)[-1])
        process.terminate()
    assert next(each for each in vault.past.told if each[0] == "follow") == ("follow", 1)


def test_activity_needs_a_daemon(program: Program) -> None:
    assert program("activity").code == 3


@pytest.mark.parametrize("rows", ROWS)
def test_the_trash_three_ways(program: Program, vault: PlainVault, rows: int) -> None:
    vault.past.bin = items(rows)
    piped = program("trash", "list")
    assert table(piped.out) == [[SHOWN, item.path, "2.0 kB", item.id] for item in vault.past.bin]
    assert ("The trash is empty." in piped.err) == (rows == 0)
    on_terminal = program.on_terminal("trash", "list").out
    assert ("WHEN" in on_terminal) == (rows > 0)
    assert on_terminal.count("2.0 kB") == rows
    told = program("trash", "list", "--json").json["result"]
    assert [item["id"] for item in told] == [item.id for item in vault.past.bin]


def test_the_trash_of_a_folder(program: Program, vault: PlainVault) -> None:
    vault.past.bin = items(2) + items(3, "b")
    assert len(table(program("trash", "list", "b/").out)) == 3
    assert "nothing of that" in program("trash", "list", "c").err


def test_putting_back_one_by_path_or_id(program: Program, vault: PlainVault) -> None:
    old = Trashed("2020-01-01/a/000.txt", "a/000.txt", 1, 0.0)
    vault.past.bin = [*items(2), old]
    assert program("trash", "restore", "a/000.txt").out == "a/000.txt\n"
    assert program("trash", "restore", old.id, "--to", "else/where.txt").code == 0
    assert vault.past.told == [
        ("put back", "2026-11-23/a/000.txt", ""),
        ("put back", old.id, "else/where.txt"),
    ]
    said = program("trash", "restore", "a/00.txt")
    assert (said.code, said.out) == (11, "")


def test_putting_back_a_folder_asks(program: Program, vault: PlainVault) -> None:
    vault.past.bin = [*items(3), Trashed("2020-01-01/a/000.txt", "a/000.txt", 1, 0.0)]
    assert program("trash", "restore", "a").code == 2
    refused = program.on_terminal("trash", "restore", "a", answers=(("3 files", "n\n"),))
    assert refused.code == 130
    assert vault.past.told == []
    told = program("trash", "restore", "a", "--to", "b", "--yes", "--json").json["result"]
    assert [item["path"] for item in told] == ["b/000.txt", "b/001.txt", "b/002.txt"]
    assert vault.past.told[0] == ("put back", "2026-11-23/a/000.txt", "b/000.txt")


def test_what_cannot_be_put_back_says_why(program: Program, vault: PlainVault) -> None:
    vault.past.bin = items(1)
    vault.past.problem = Blocked("A file is in the way.", "Say where to.")
    said = program("trash", "restore", "a/000.txt")
    assert said.code == 6
    assert said.err.splitlines() == ["Error: A file is in the way.", "Say where to."]


def test_emptying_asks_unless_told_not_to(program: Program, vault: PlainVault) -> None:
    vault.past.bin = items(3)
    assert program("trash", "empty").code == 2
    asked = program.on_terminal("trash", "empty", answers=(("3 files (6.0 kB)", "n\n"),))
    assert asked.code == 130
    assert vault.past.told == []
    said = program("trash", "empty", "--older-than", "7d", "--yes")
    assert said.out == "Removed 2 files (3.0 kB).\n"
    assert "1 stay" in said.err
    ((_, before),) = vault.past.told
    assert abs(before - (time.time() - 7 * 86_400)) < 60  # type: ignore[operator]
    told = program("trash", "empty", "--yes", "--json").json["result"]
    assert told == {"files": 2, "bytes": 3_000, "kept": 1}
    assert program("trash", "empty", "--older-than", "soon", "--yes").code == 2


@pytest.mark.parametrize("rows", [1, 120])
def test_versions_three_ways(program: Program, vault: PlainVault, rows: int) -> None:
    vault.past.kept = kept(rows)
    found = table(program("versions", "a.txt").out)
    assert found[0] == [SHOWN, "2.0 kB", "current", "v0"]
    assert len(found) == rows
    if rows > 1:
        assert found[1][1:] == ["", "deleted", "v1"]
        assert found[2][2] == "old"
    shown = program.on_terminal("versions", "a.txt").out
    assert "VERSION" in shown
    assert shown.count("2026-11-23") == rows
    told = program("versions", "a.txt", "--json").json["result"]
    assert [version["id"] for version in told] == [version.id for version in vault.past.kept]


def test_no_versions_are_an_error(program: Program, vault: PlainVault) -> None:
    said = program("versions", "a.txt", "--json")
    assert said.code == 11
    assert said.json["error"]["code"] == "not-found"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--version", "v2"], "v2"),
        (["--at", "2026-11-23 14:30:05"], "v0"),
        (["--at", "2026-11-23 14:28:30"], "v2"),
        (["--version", "v9"], 11),
        (["--version", "v1"], 11),
        (["--at", "2026-11-23 14:29:30"], 11),
        (["--at", "2020-01-01"], 11),
        (["--at", "noon"], 2),
        (["--version", "v2", "--at", "2h"], 2),
        (["--version", "v2", "-r"], 2),
        ([], 2),
    ],
)
def test_which_version_is_meant(
    program: Program, vault: PlainVault, words: list[str], wanted: str | int
) -> None:
    vault.past.kept = kept(5)
    said = program("restore", "a.txt", *words)
    if isinstance(wanted, int):
        assert (said.code, said.out, vault.past.told) == (wanted, "", [])
    else:
        assert said.out == "a.txt\n"
        assert vault.past.told == [("bring back", "a.txt", wanted, "")]


def test_a_deleted_file_gets_its_last_version(program: Program, vault: PlainVault) -> None:
    vault.past.kept = kept(4)[1:]
    told = program("restore", "a.txt", "--to", "b.txt", "--json").json["result"]
    assert (told["path"], told["version"]["id"]) == ("b.txt", "v2")


def test_a_folder_is_brought_back_when_asked(program: Program, vault: PlainVault) -> None:
    vault.past.kept = [Version(f"a/{n}.txt", f"v{n}", WHEN, 2_000) for n in range(3)]
    assert program("restore", "-r", "a").code == 2
    refused = program.on_terminal("restore", "-r", "a", answers=(("3 files (6.0 kB)", "n\n"),))
    assert refused.code == 130
    words = ("restore", "-r", "a", "--at", SHOWN, "--to", "b", "--yes")
    assert program(*words).out.splitlines() == ["b/0.txt", "b/1.txt", "b/2.txt"]
    assert vault.past.told[-4:] == [
        ("below", "a", WHEN),
        *(("bring back", f"a/{n}.txt", f"v{n}", f"b/{n}.txt") for n in range(3)),
    ]
    told = program(*words, "--json").json["result"]
    assert [item["path"] for item in told["restored"]] == ["b/0.txt", "b/1.txt", "b/2.txt"]
    said = program("restore", "-r", ".", "--yes", "--json").json["result"]
    assert len(said["restored"]) == 3
    assert program("restore", "-r", "c", "--yes").code == 0


@pytest.mark.parametrize(("problem", "code"), [(Blocked("a", "b"), 6), (Refused("a", "b"), 10)])
def test_what_cannot_be_brought_back_stops_no_other_unless_none_can(
    program: Program, vault: PlainVault, problem: Any, code: int
) -> None:
    vault.past.kept = [Version(f"a/{n}.txt", f"v{n}", WHEN, 2_000) for n in range(3)]
    vault.past.problem = problem
    assert program("restore", "-r", "a", "--yes").code == code
    tried = [each for each in vault.past.told if each[0] == "bring back"]
    assert len(tried) == (3 if code == 6 else 1)


def test_names_cannot_steer_the_terminal(program: Program, vault: PlainVault) -> None:
    vault.past.happened = [Event(WHEN, NASTY, Verb.PULL, NASTY, id=1, kept=NASTY)]
    vault.past.bin = [Trashed(f"2026-11-23/{NASTY}", NASTY, 1, WHEN)]
    vault.past.kept = [Version(NASTY, NASTY, WHEN)]
    for words in (
        ("history",),
        ("activity",),
        ("trash", "list"),
        ("trash", "restore", NASTY),
        ("versions", NASTY),
        ("restore", NASTY, "--version", NASTY),
    ):
        for said in (program(*words), program.on_terminal(*words)):
            assert "\x1b[2J" not in said.out
            assert "\u202e" not in said.out
            assert "\\x1b[2J" in said.out, words
