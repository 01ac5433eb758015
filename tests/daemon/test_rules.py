"""The rules follow the file, and never let out what was meant to stay."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.fakes import FakeClock
from vaultsync.daemon.rules import LONGEST, SETTLING, FolderFile, Rules

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rules(tmp_path: Path, clock: FakeClock) -> Rules:
    (tmp_path / ".vaultsyncignore").write_text("*.log\n")
    return Rules(FolderFile(tmp_path), ["given"], clock.monotonic)


def test_both_kinds_of_rules_hold(rules: Rules) -> None:
    assert rules("a.log")
    assert rules("given")
    assert rules.rule("a.log") == "*.log"
    assert not rules("a.txt")
    assert not rules.reload()


def test_a_new_rule_holds_at_once_and_an_old_one_a_moment_longer(
    rules: Rules, tmp_path: Path, clock: FakeClock
) -> None:
    (tmp_path / ".vaultsyncignore").write_text("*.tmp\n")
    assert rules.reload()
    assert rules("a.tmp")
    assert rules("a.log")
    assert not rules.reload()
    clock.time += SETTLING
    assert rules.reload()
    assert not rules("a.log")
    assert rules("a.tmp")
    assert not rules.reload()


@pytest.mark.parametrize("emptied", [True, False])
def test_a_file_that_is_half_written_lets_nothing_out(
    rules: Rules, tmp_path: Path, clock: FakeClock, emptied: bool
) -> None:
    file = tmp_path / ".vaultsyncignore"
    if emptied:
        file.write_text("")
    else:
        file.unlink()
    rules.reload()
    assert rules("a.log")
    file.write_text("*.log\n*.tmp\n")
    clock.time += SETTLING
    rules.reload()
    assert rules("a.log")
    assert rules("a.tmp")


def test_what_is_no_ordinary_file_is_not_read(rules: Rules, tmp_path: Path) -> None:
    file = tmp_path / ".vaultsyncignore"
    file.unlink()
    os.mkfifo(file)
    assert not rules.reload()  # and does not wait for a writer
    assert rules("a.log")
    file.unlink()
    (tmp_path / "elsewhere").write_text("*.txt\n")
    file.symlink_to(tmp_path / "elsewhere")
    assert not rules.reload()
    assert not rules("a.txt")
    assert rules("a.log")


def test_a_pipe_at_the_start_does_no_harm(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".vaultsyncignore")
    assert Rules(FolderFile(tmp_path), ["given"])("given")


def test_an_endless_file_is_cut(tmp_path: Path) -> None:
    (tmp_path / ".vaultsyncignore").write_bytes(b"#" * LONGEST + b"\n*.log\n")
    assert not Rules(FolderFile(tmp_path), [])("a.log")
