"""The kernel tells whether a file is open elsewhere, and whoever opens it then does not harm us."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from vaultsync.local.lease import claim

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import os, sys
from vaultsync.local.lease import claim
descriptor = os.open(sys.argv[1], os.O_RDONLY)
print(claim(descriptor), flush=True)
sys.stdin.readline()
os.close(descriptor)
print("alive", flush=True)
sys.stdin.readline()
"""


def test_only_a_file_that_nobody_has_open_can_be_claimed(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"data")
    descriptor = os.open(file, os.O_RDONLY)
    try:
        with file.open("rb"):
            assert not claim(descriptor)
        with file.open("ab"):
            assert not claim(descriptor)
        assert claim(descriptor)
    finally:
        os.close(descriptor)


def test_who_opens_a_claimed_file_waits_and_does_not_end_us(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"data")
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=pipe, stdout=pipe, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with pytest.raises(BlockingIOError):
            os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "alive\n"
        os.close(os.open(file, os.O_RDONLY | os.O_NONBLOCK))
        holder.stdin.write("\n")
    assert holder.returncode == 0
