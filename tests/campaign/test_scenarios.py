"""What people and their programs are known to do, on two real devices, in small."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.campaign import scenarios
from tests.campaign.world import Plan, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    plan = Plan(seed=1, seconds=0, calm=True, foreign=False, patience=90)
    with World(plan, tmp_path) as made:
        made.start()
        yield made


def test_a_directory_is_moved_while_files_in_it_are_edited_elsewhere(world: World) -> None:
    scenarios.big_move(world, 200)
    assert not any(guardian.allowed for guardian in world.guardians), "a move is no deletion"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_repository_is_worked_in_on_both_devices_in_turn(world: World) -> None:
    scenarios.git(world, 4)


def test_documents_are_saved_as_editors_save_them(world: World) -> None:
    scenarios.editors(world, 5)


def test_files_arrive_while_others_never_rest(world: World) -> None:
    scenarios.slow_files(world, 8)
