"""The demonstration is a program that people run first; it must not be the one that fails."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(300)
def test_every_line_of_the_checklist_holds() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vaultsync.cli", "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    answer = json.loads(done.stdout)
    steps = answer["result"]["steps"]
    assert {step["name"]: step["detail"] for step in steps if not step["ok"]} == {}
    assert done.returncode == 0
    assert len(steps) == 16
