"""A short campaign in each run: real daemons, people, every trouble that needs no privilege."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(420)
def test_a_short_campaign_breaks_no_rule(tmp_path: Path) -> None:
    words = ("--minutes", "0.6", "--forget", "20", "--seed", "7", "--patience", "150")
    campaign = subprocess.run(
        (sys.executable, "-m", "tests.campaign", *words, "--keep", tmp_path),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert campaign.returncode == 0, (campaign.stdout + campaign.stderr)[-6000:]
