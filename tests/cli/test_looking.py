from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from vaultsync.core.errors import Refused, Retry, SignIn, TimedOut
from vaultsync.core.model import State, Status, Transfer, Verb, Waiting
from vaultsync.core.standing import Condition, Standing

if TYPE_CHECKING:
    from tests.cli.conftest import Program
    from tests.served import PlainVault
    from vaultsync.core.errors import VaultsyncError

BUSY = Status(
    State.SYNCING,
    files=1_234,
    bytes=3_400_000_000,
    pending=2,
    blocked=1,
    conflicts=1,
    transfers=(Transfer(Verb.PULL, "a/film.mkv", 700_000_000, 1.0),),
)
NASTY = "evil\x1b[2J\u202egnp.\n\t.txt"


def test_status_in_a_pipe_is_plain_text(program: Program, vault: PlainVault) -> None:
    vault.now = BUSY
    said = program("status")
    assert said.code == 0
    assert "1,234 (3.4 GB)" in said.out
    assert "a/film.mkv" in said.out
    assert "\x1b" not in said.out
    assert said.err == ""


def test_status_on_a_terminal_is_coloured_unless_asked_not_to(
    program: Program, vault: PlainVault
) -> None:
    assert "\x1b[" in program.on_terminal("status").out
    assert "\x1b[" not in program.on_terminal("status", NO_COLOR="1").out
    assert "\x1b[" not in program.on_terminal("status", "--no-color").out


def test_status_as_json(program: Program, vault: PlainVault) -> None:
    vault.now = BUSY
    told = program("status", "--json").json
    assert told["schema"] == 1
    assert (told["ok"], told["command"], told["warnings"]) == (True, "status", [])
    assert told["result"]["bytes"] == 3_400_000_000
    assert told["result"]["state"] == "syncing"
    assert told["result"]["folder"] == str(program.folder)


def test_status_tells_what_is_not_as_it_should_be(program: Program, vault: PlainVault) -> None:
    vault.now = Status(State.IDLE, warnings=("The bucket keeps no versions.", "Too few watches."))
    said = program("status")
    assert "Warning    The bucket keeps no versions." in said.out
    assert "Warning    Too few watches." in said.out
    assert program("status", "--json").json["result"]["warnings"] == [*vault.now.warnings]


@pytest.mark.parametrize("order", [("--json", "status"), ("status", "--json")])
def test_global_options_stand_on_either_side(
    program: Program, vault: PlainVault, order: tuple[str, ...]
) -> None:
    assert program(*order).json["ok"] is True


def test_the_last_profile_given_counts(program: Program) -> None:
    said = program("--profile", "one", "status", "--profile", "two")
    assert said.code == 78
    assert "'two'" in said.err
    assert "default" in said.err


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status(State.IDLE), 0),
        (Status(State.IDLE, pending=3), 0),
        (Status(State.IDLE, conflicts=1), 5),
        (Status(State.IDLE, blocked=1), 5),
        (Status(State.SIGN_IN_NEEDED, conflicts=1), 4),
        (Status(State.OFFLINE), 8),
        (Status(State.STOPPED), 1),
    ],
)
def test_check_tells_by_its_exit_code(
    program: Program, vault: PlainVault, status: Status, code: int
) -> None:
    vault.now = status
    assert program("status", "--check").code == code


def test_status_waits_for_rest(program: Program, vault: PlainVault) -> None:
    vault.rest.set()
    assert program("status", "--wait", "--timeout", "7").code == 0
    assert vault.told == [("wait", 7.0)]


@pytest.mark.parametrize(
    ("problem", "code"),
    [(TimedOut("late", "wait"), 12), (SignIn("who"), 4), (Retry("off"), 8), (Refused("no"), 10)],
)
def test_waiting_ends_with_the_reason(
    program: Program, vault: PlainVault, problem: VaultsyncError, code: int
) -> None:
    vault.problem = problem
    said = program("status", "--wait")
    assert said.code == code
    assert said.out == ""
    assert problem.message in said.err.lower()


def waiting(rows: int) -> list[Waiting]:
    return [
        Waiting(f"dir/file {n:03}.txt", "retry", "The cloud is slow.", "", time.time() + 90)
        for n in range(rows)
    ]


@pytest.mark.parametrize("rows", [0, 1, 120])
def test_pending_in_a_pipe_is_one_line_a_row(
    program: Program, vault: PlainVault, rows: int
) -> None:
    vault.items = waiting(rows)
    said = program("status", "--pending")
    table = [line.split("\t") for line in said.out.splitlines() if "\t" in line]
    assert [row[0] for row in table] == [item.path for item in vault.items]
    assert all(row[1:3] == ["retry", "The cloud is slow."] for row in table)
    assert all(row[3] in ("in 1 min", "in 2 min") for row in table)
    assert ("Nothing is waiting." in said.err) == (rows == 0)


@pytest.mark.parametrize("rows", [0, 1, 120])
def test_pending_on_a_terminal_has_a_head(program: Program, vault: PlainVault, rows: int) -> None:
    vault.items = waiting(rows)
    said = program.on_terminal("status", "--pending")
    assert said.code == 0
    assert ("NEXT TRY" in said.out) == (rows > 0)
    assert said.out.count("retry") == rows


@pytest.mark.parametrize("rows", [0, 1, 120])
def test_pending_as_json(program: Program, vault: PlainVault, rows: int) -> None:
    vault.items = waiting(rows)
    told = program("status", "--pending", "--json").json["result"]["waiting"]
    assert [item["path"] for item in told] == [item.path for item in vault.items]
    assert all(item["next_try"].endswith("Z") for item in told)


STANDINGS = [
    Standing("a.txt", Condition.SYNCED),
    Standing("new.txt", Condition.PENDING, "Offline.", "Look.", 1.0),
    Standing("d", None, counts={"error": 1, "synced": 1_200}),
    Standing("empty", None, counts={}),
    Standing("c.txt", Condition.CONFLICT, "It is a copy."),
    Standing("h.txt", Condition.HELD, "Too many."),
]


def test_how_paths_stand_in_a_pipe(program: Program, vault: PlainVault) -> None:
    vault.standings = STANDINGS
    said = program("status", str(program.folder / "a.txt"), "./new.txt", "d", "empty")
    assert [line.split("\t") for line in said.out.splitlines()] == [
        ["a.txt", "synced", "", ""],
        ["new.txt", "pending", "Offline. Look.", "now"],
        ["d", "1 error, 1,200 synced", "", ""],
        ["empty", "no files", "", ""],
    ]
    assert [path for _, path in vault.told] == ["a.txt", "new.txt", "d", "empty"]


def test_how_paths_stand_on_a_terminal(program: Program, vault: PlainVault) -> None:
    vault.standings = STANDINGS
    said = program.on_terminal("status", "new.txt")
    assert "NEXT TRY" in said.out
    assert "pending" in said.out


def test_how_paths_stand_as_json(program: Program, vault: PlainVault) -> None:
    vault.standings = STANDINGS
    for count in (1, 6):
        paths = [each.path for each in STANDINGS[:count]]
        told = program("status", "--json", *paths).json["result"]["paths"]
        assert [(each["path"], each["condition"]) for each in told] == [
            (each.path, each.condition) for each in STANDINGS[:count]
        ]
    assert told[1]["next_try"].endswith("Z")
    assert told[2]["counts"] == {"error": 1, "synced": 1_200}


def test_a_path_nobody_knows_ends_with_11(program: Program, vault: PlainVault) -> None:
    said = program("status", "nowhere", "--json")
    assert said.code == 11
    assert said.json["error"]["code"] == "not-found"


@pytest.mark.parametrize(
    ("path", "code"), [("a.txt", 0), ("new.txt", 0), ("d", 5), ("c.txt", 5), ("h.txt", 7)]
)
def test_check_of_a_path(program: Program, vault: PlainVault, path: str, code: int) -> None:
    vault.standings = STANDINGS
    assert program("status", "--check", path).code == code


def test_what_waits_is_not_listed_for_a_path(program: Program, vault: PlainVault) -> None:
    assert program("status", "--pending", "a.txt").code == 2


def test_paths_are_relative_to_where_one_is_in_the_folder(
    program: Program, vault: PlainVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = program.folder / "sub"
    inside.mkdir()
    monkeypatch.chdir(inside)
    vault.standings = [Standing(path, Condition.SYNCED) for path in ("sub/a", "b", "")]
    assert program("status", "a", "../b", "..").code == 0
    assert [path for _, path in vault.told] == ["sub/a", "b", ""]


PAIRS = [(f"a/n{n} (conflict x).txt", f"a/n{n}.txt") for n in range(100)]


@pytest.mark.parametrize("rows", [0, 1, 100])
def test_conflicts_three_ways(program: Program, vault: PlainVault, rows: int) -> None:
    vault.pairs = PAIRS[:rows]
    piped = program("conflicts", "list")
    assert [tuple(line.split("\t")) for line in piped.out.splitlines()] == vault.pairs
    assert ("There are no conflicts." in piped.err) == (rows == 0)
    shown = program.on_terminal("conflicts", "list").out
    assert ("COPY OF" in shown) == (rows > 0)
    assert shown.count("(conflict x)") == rows
    told = program("conflicts", "list", "--json").json
    assert told["command"] == "conflicts list"
    assert told["result"] == [{"copy": copy, "original": name} for copy, name in vault.pairs]


def test_names_cannot_steer_the_terminal(program: Program, vault: PlainVault) -> None:
    vault.pairs = [(NASTY, "[red]plain[/red]")]
    vault.now = Status(State.SYNCING, transfers=(Transfer(Verb.PUSH, NASTY, 1, 1.0),))
    for said in (
        program("conflicts", "list"),
        program.on_terminal("conflicts", "list"),
        program.on_terminal("status"),
        program("why", NASTY),
    ):
        assert "\x1b[2J" not in said.out
        assert "\u202e" not in said.out
        assert "\\x1b[2J" in said.out
    assert "[red]plain[/red]" in program.on_terminal("conflicts", "list").out
    assert program("conflicts", "list", "--json").json["result"][0]["copy"] == NASTY


def test_why_tells_what_decides(program: Program, vault: PlainVault) -> None:
    said = program("why", str(program.folder / "a b.txt"))
    assert vault.told == [("why", "a b.txt")]
    assert said.out.startswith("a b.txt: push\nThe file is new here.\n")
    assert "2.0 kB" in said.out
    assert program("why", "x", "--json").json["result"]["decision"] == "push"


def test_without_a_daemon_status_says_so(program: Program) -> None:
    said = program("status")
    assert (said.code, said.out) == (3, "")
    assert said.err.splitlines() == [
        "Error: The daemon of this profile is not running.",
        "Start it with `vaultsync start`.",
    ]
    told = program("status", "--json")
    assert told.code == 3
    assert told.json["ok"] is False
    assert told.json["error"]["code"] == "not-running"


def test_alone_it_tells_the_next_step(bare: Program) -> None:
    said = bare()
    assert (said.code, said.out) == (0, "Not set up yet.\n")
    assert "vaultsync init" in said.err
    assert bare("--json").json["result"] == {"state": "not set up", "next": "vaultsync init"}


def test_alone_with_a_profile(program: Program) -> None:
    assert "vaultsync login" in program().err


@pytest.mark.parametrize(
    ("status", "step"),
    [
        (Status(State.IDLE), ""),
        (Status(State.SIGN_IN_NEEDED), "vaultsync login"),
        (Status(State.PAUSED), "vaultsync resume"),
        (Status(State.IDLE, conflicts=2), "vaultsync conflicts list"),
        (Status(State.IDLE, blocked=2), "vaultsync status --pending"),
    ],
)
def test_alone_with_a_daemon(
    program: Program, vault: PlainVault, status: Status, step: str
) -> None:
    vault.now = status
    assert program("--json").json["result"]["next"] == step


def test_status_imports_nothing_slow(program: Program, vault: PlainVault) -> None:
    code = (
        "import sys; from vaultsync.cli.main import run; code = run(sys.argv[1:]);"
        "slow = {'boto3', 'botocore', 'rich', 'keyring', 'starlette', 'uvicorn', 'tomlkit',"
        " 'asyncio', 'pathspec', 'sqlite3', 'watchdog'};"
        "print(sorted(slow & sys.modules.keys()), code, file=sys.stderr)"
    )
    words = [sys.executable, "-c", code, *program.command("status")[3:]]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stderr == "[] 0\n"


def test_a_reader_that_has_enough_is_no_error(program: Program, vault: PlainVault) -> None:
    vault.pairs = [(f"copy {n} {'x' * 200}", "original") for n in range(5_000)]
    command = program.command("conflicts", "list")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
