from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vaultsync.core.errors import GuardRefused
from vaultsync.core.model import Held, State, Status

if TYPE_CHECKING:
    from tests.cli.conftest import Program
    from tests.served import PlainVault

MANY = tuple(f"photos/{number:02}\x1b.jpg" for number in range(60))
DELETED = Held("deletions-in-vault", "60 files would be deleted.", 60, 1_700_000_000.0, MANY)
CHANGED = Held("changes", "1 file changed.", 1, 1_700_000_000.0, ("a.txt",))


def test_nothing_is_held(program: Program, vault: PlainVault) -> None:
    said = program("held", "list")
    assert (said.code, said.err) == (0, "Nothing is held.\n")
    assert program("held", "list", "--json").json["result"] == []
    assert program("held", "allow").err == "Nothing is held.\n"


def test_what_is_held_is_listed_with_reason_and_examples(
    program: Program, vault: PlainVault
) -> None:
    vault.holds = [DELETED, CHANGED]
    said = program("held", "list")
    assert "60 files would be deleted." in said.out
    assert "1 file changed." in said.out
    assert "and 50 more" in said.err
    assert "vaultsync held restore" in said.err
    assert "\x1b" not in said.out + said.err
    told = program("held", "list", "--json").json["result"]
    assert [item["guard"] for item in told] == ["deletions-in-vault", "changes"]
    assert told[0]["since"] == "2023-11-14T22:13:20.000Z"
    assert len(told[0]["paths"]) == 60


@pytest.mark.parametrize("word", ["allow", "restore"])
@pytest.mark.parametrize("guard", [None, "changes"])
def test_a_person_decides(
    program: Program, vault: PlainVault, word: str, guard: str | None
) -> None:
    vault.holds = [DELETED]
    words = ("held", word) if guard is None else ("held", word, guard)
    assert "60 files are" in program(*words).err
    assert program(*words, "--json").json["result"] == {"files": 60}
    assert vault.told == [(word, guard)] * 2


def test_a_guard_that_does_not_exist(program: Program, vault: PlainVault) -> None:
    said = program("held", "allow", "everything")
    assert said.code == 2
    assert not vault.told


def test_status_names_the_next_step(program: Program, vault: PlainVault) -> None:
    vault.now = Status(State.IDLE, held=60, pending=60)
    assert "Held       60  (`vaultsync held list`)" in program("status").out
    assert program("status", "--check").code == 7
    assert "vaultsync held list" in program().err


def test_waiting_for_what_is_held_ends_with_its_own_code(
    program: Program, vault: PlainVault
) -> None:
    vault.problem = GuardRefused("60 files would be deleted.", "See `vaultsync held list`.")
    said = program("status", "--wait")
    assert said.code == 7
    assert "60 files would be deleted." in said.err
