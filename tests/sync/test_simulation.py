"""Whole devices on a faulty cloud: a sample; `python -m tests.sync.simulation` plays many more."""

from __future__ import annotations

import pytest

from tests.sync.simulation.world import run

SEEDS = 500
CHUNK = 20
LEFT = frozenset({"untouched"})
"""Not judged here: a person who edits a conflict copy takes it away himself."""


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_nothing_is_lost_and_nobody_is_in_conflict_with_himself(first: int) -> None:
    for seed in range(first, first + CHUNK):
        outcome = run(seed, LEFT)
        assert not outcome.broken, f"seed {seed}: {outcome.detail}"


def test_one_seed_is_one_story() -> None:
    first, second = (run(7, LEFT) for _ in range(2))
    assert first.trace == second.trace
