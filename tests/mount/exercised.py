"""The exerciser on a drive, whose content is taken away whenever nobody has it open.

    python -m tests.mount.exercised --seeds 10 --operations 2000

plays seed after seed in a drive that it mounts: once on a new file, and once on one of which
nothing is here at first, that counts as sent and is evicted each time the exerciser closes it.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mount.live import Mounted

LIMIT = 300.0
"""Seconds for one seed."""
_HERE = Path(__file__).parents[2]
_BEGUN = 200_000
_EVICTED = 30.0


def exercise(mounted: Mounted, seed: int, operations: int) -> str:
    """Exercise a new file; returns what was said of it, which ends in `no difference.`"""
    done = subprocess.run(
        _command(mounted, f"new-{seed}", seed, operations),
        cwd=_HERE,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    return (done.stdout + done.stderr).strip()


def exercise_cold(mounted: Mounted, home: Path, seed: int, operations: int) -> tuple[str, int]:
    """Exercise a file that comes from the vault, and goes there each time it is closed.

    Args:
        mounted: The drive.
        home: A folder for what the file holds first.
        seed: Of the operations.
        operations: How many.

    Returns:
        What was said of it, and how often it was evicted.
    """
    name = f"cold-{seed}"
    start = home / name
    start.write_bytes(random.Random(seed).randbytes(_BEGUN))
    mounted.joint.graft(name, start.read_bytes())
    command = [*_command(mounted, name, seed, operations), "--pause", "--start", str(start)]
    evicted = 0
    with subprocess.Popen(
        command,
        cwd=_HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        said = program.stdout.readline()
        while said == "closed\n":
            evicted += _taken_away(mounted, name)
            program.stdin.write("\n")
            program.stdin.flush()
            said = program.stdout.readline()
        return (said + program.stdout.read()).strip(), evicted


def _command(mounted: Mounted, name: str, seed: int, operations: int) -> list[str]:
    program = [sys.executable, "-m", "tests.mount.exerciser", str(mounted.point / name)]
    return [*program, "--seed", str(seed), "--operations", str(operations)]


def _taken_away(mounted: Mounted, name: str) -> bool:
    """Let it be in the vault, and nothing of it here; returns whether there was anything."""
    joint = mounted.joint
    node = joint.node(name)
    if not node.size:
        return False
    end = time.monotonic() + _EVICTED
    while node.dirty and not joint.land(name):
        assert time.monotonic() < end
    while node.here:  # who closed it tells the drive so a moment later
        limit, joint.cache.limit = joint.cache.limit, 0
        joint.cache.limit = limit
        assert time.monotonic() < end, "it is not evicted"
        time.sleep(0.001)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--operations", type=int, default=2000)
    asked = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        mounted = Mounted(home)
        try:
            for seed in range(asked.first, asked.first + asked.seeds):
                said = exercise(mounted, seed, asked.operations)
                cold, evicted = exercise_cold(mounted, home, seed, asked.operations)
                print(f"{said}\n{cold} Evicted {evicted} times.", flush=True)
                failed += not said.endswith("no difference.")
                failed += not cold.endswith("no difference.")
        finally:
            mounted.close()
    sys.exit(f"{failed} failed." if failed else 0)


if __name__ == "__main__":
    main()
