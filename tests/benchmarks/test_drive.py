"""The benchmark does what it says, at its smallest; how long anything takes is not looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report
from tests.mount.kernel.mounted import needs_fuse

ROOT = Path(__file__).parents[2]

pytestmark = [needs_fuse, pytest.mark.timeout(240)]


def test_everybody_is_measured(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{report.BEGIN}\n{report.END}\n")
    command = [sys.executable, "-m", "benchmarks.drive", "--smallest", "--rounds", "1"]
    command += ["--event-rounds", "0", "--write", str(page)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == 0, ended.stderr
    for row in report.ROWS[:8]:
        (line,) = [each for each in page.read_text().splitlines() if f"| {row.title} |" in each]
        _, _, folder, ours, rclone, _, _ = line.split("|")
        assert ours.strip(), row.title
        assert rclone.strip(), row.title
        assert folder.strip() or row.key.startswith("cold"), row.title
