"""A short campaign in each run: real daemons, people, every trouble that needs no privilege."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.mount.kernel.mounted import needs_fuse

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(420)
@pytest.mark.parametrize(
    "words",
    [
        "--minutes 0.6 --forget 20 --seed 7",
        pytest.param("--minutes 0.25 --forget 0 --seed 7 --rest 3 --drives 1", marks=needs_fuse),
    ],
    ids=["folders", "drive"],
)
def test_a_short_campaign_breaks_no_rule(tmp_path: Path, words: str) -> None:
    more = ("--patience", "150", "--keep", tmp_path)
    campaign = subprocess.run(
        (sys.executable, "-m", "tests.campaign", *words.split(), *more),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert campaign.returncode == 0, (campaign.stdout + campaign.stderr)[-6000:]
