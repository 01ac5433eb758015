"""Real daemons, real processes, real trouble: `python -m tests.campaign --minutes 60 --seed 7`.

Exit code 1 when any rule was broken. As root, it moves into a mount namespace of its own, so that
disks can be filled without anybody else's noticing; otherwise those troubles are left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

from tests.campaign.disk import NAMESPACE, may_mount
from tests.campaign.report import timeline, written
from tests.campaign.scenarios import SCENARIOS, ScenarioError
from tests.campaign.verdict import Verdict
from tests.campaign.world import NAMES, Plan, World


def main() -> int:
    """Play one campaign."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    if not may_mount() and _unshares():
        os.environ[NAMESPACE] = "own"
        command = ("unshare", "-m", "--propagation", "private", sys.executable, "-m")
        words = [*command, "tests.campaign", *sys.argv[1:]]
        os.execvp("unshare", words)  # noqa: S606
    home = Path(given.keep or tempfile.mkdtemp(prefix="vaultsync-campaign-")).absolute()
    home.mkdir(parents=True, exist_ok=True)
    broken = scenario(given, home) if given.scenario else campaign(_plan(given), home)
    if not broken and not given.keep:
        shutil.rmtree(home)
    return 1 if broken else 0


def campaign(plan: Plan, home: Path) -> bool:
    """Play it, judge it, tell of it; whether a rule was broken."""
    began = time.monotonic()
    with World(plan, home) as world:
        threading.excepthook = partial(_told, world)
        world.play()
        rested = not world.ledger.broken and world.settle()
        if rested:
            world.quiet()
            world.reread()
        verdict = Verdict(world)
        verdict.judge(rested=rested)
        report = written(world, verdict.totals(), (time.monotonic() - began) / 60)
    (home / "report.txt").write_text(report + "\n")
    (home / "timeline.txt").write_text(timeline(world) + "\n")
    print(report, flush=True)
    return bool(world.ledger.broken)


def _told(world: World, failed: threading.ExceptHookArgs) -> None:
    """A person or a trouble-maker must not end unseen."""
    detail = f"{failed.thread}: {failed.exc_type.__name__}: {failed.exc_value}"
    world.ledger.broke("the campaign itself", "", detail)


def scenario(given: argparse.Namespace, home: Path) -> bool:
    """Play one directed scenario; whether it ended otherwise than it must."""
    act, usual = SCENARIOS[given.scenario]
    plan = Plan(given.seed, 0, calm=True, foreign=False, poll=given.poll, patience=given.patience)
    began = time.monotonic()
    with World(plan, home) as world:
        world.start()
        try:
            act(world, given.size or usual)
            failed = ""
        except ScenarioError as error:
            failed = str(error)
        print(written(world, Verdict(world).totals(), (time.monotonic() - began) / 60), flush=True)
        (home / "timeline.txt").write_text(timeline(world) + "\n")
    print(f"FAILED: {failed}" if failed else "as it must be")
    return bool(failed)


def _plan(given: argparse.Namespace) -> Plan:
    return Plan(
        seed=given.seed,
        seconds=given.minutes * 60,
        devices=given.devices,
        drives=given.drives,
        calm=given.calm,
        pace=given.pace,
        poll=given.poll,
        forget=given.forget,
        patience=given.patience,
        rest=given.rest,
        stale=given.stale,
        foreign=not given.no_foreign,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="for which people work")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), help="instead of a campaign")
    parser.add_argument("--size", type=int, help="of the scenario: files, turns, saves or seconds")
    parser.add_argument("--devices", type=int, default=2, choices=range(1, len(NAMES) + 1))
    parser.add_argument("--drives", type=int, default=0, help="how many of them are drives")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", metavar="DIR", help="where all files are, and stay")
    parser.add_argument("--calm", action="store_true", help="nothing goes wrong")
    parser.add_argument("--stale", action="store_true", help="listings may be seconds old")
    parser.add_argument("--no-foreign", action="store_true", help="no foreign writer")
    parser.add_argument("--pace", type=float, default=3.0, help="deeds of a person in a second")
    parser.add_argument("--poll", type=float, default=0.5, help="folder.poll_seconds")
    parser.add_argument("--forget", type=float, default=300.0, metavar="SECONDS",
                        help="between two losses of a state database; 0: never")  # fmt: skip
    parser.add_argument("--patience", type=float, default=900.0, metavar="SECONDS",
                        help="within which all must be equal at the end")  # fmt: skip
    parser.add_argument("--rest", type=float, default=12.0, metavar="SECONDS",
                        help="for which nothing may happen then")  # fmt: skip
    return parser.parse_args()


def _unshares() -> bool:
    """Whether mounts of our own are possible."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    script = "mount -t tmpfs -o size=1m tmpfs /mnt"
    command = ("unshare", "-m", "--propagation", "private", "sh", "-c", script)
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
