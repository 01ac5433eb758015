"""The drive against `rclone mount` and a plain folder: `python -m benchmarks.drive`.

All of them work on the same vault, a model server on this machine, and take turns, so that whatever
else the machine does meanwhile happens to all. Needs FUSE, and the extra `dev`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import events, operations, report
from benchmarks.operations import SMALLEST, Sizes
from benchmarks.rivals import Drive, Folder, Rclone
from benchmarks.vault import FAR, NEAR, Vault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.operations import Spent
    from benchmarks.report import Results
    from benchmarks.rivals import Rival

TUNED = (
    "--dir-cache-time=1000h",
    "--attr-timeout=60s",
    "--vfs-fast-fingerprint",
    "--no-checksum",
    "--use-server-modtime",
    "--buffer-size=0",
    "--vfs-read-ahead=128M",
    "--vfs-read-chunk-size=4M",
    "--vfs-read-chunk-streams=16",
    "--max-read-ahead=1M",
)
"""What rclone's manual recommends for speed; news are not seen then."""
QUICK = ("--vfs-write-back=100ms",)
"""For who only wants to see whether it works."""
_PATIENCE = 120.0


class Run:
    """One run.

    Args:
        home: A folder for everything.
        vault: What is mounted.
        sizes: How much is done.
    """

    def __init__(self, home: Path, vault: Vault, sizes: Sizes) -> None:
        self.vault = vault
        self.sizes = sizes
        self.drive = Drive(home, vault)
        quick = sizes is SMALLEST
        self.rclone = Rclone(home, vault, "rclone", *(QUICK if quick else ()))
        self.rivals: list[Rival] = [Folder(home), self.drive, self.rclone]
        if not quick:
            self.rivals.append(Rclone(home, vault, "rclone, tuned", *TUNED))
        self.results: Results = defaultdict(lambda: defaultdict(list))

    def prepare(self) -> None:
        """Fill the vault, and have all that is read from the cache there."""
        sizes = self.sizes
        seeds = {"look": sizes.files, "open": sizes.files, "list": sizes.entries}
        block = os.urandom(1 << 20)
        large = b"".join(number.to_bytes(8) + block[8:] for number in range(sizes.large >> 20))
        self.vault.put("large.bin", large)
        self.vault.put("cold.bin", large[-sizes.cold :])
        for rival in self.rivals:
            if rival.prefix:
                for name, count in seeds.items():
                    self.vault.seed(f"{rival.prefix}{name}/", count, operations.LITTLE)
                self.vault.copy("large.bin", rival.prefix + "large.bin")
            else:
                (rival.point / "large.bin").write_bytes(large)
            rival.prepare(seeds, operations.LITTLE)
            rival.mount()
            for path in (rival.point / "large.bin", *(rival.point / "open/00000").iterdir()):
                path.read_bytes()
            rival.unmount()

    def once(self, mark: str) -> None:
        """Each operation once on everybody."""
        for rival in self.rivals:
            if rival.prefix:
                for name in ("cold", "here-and-there"):
                    self.vault.copy("cold.bin", f"{rival.prefix}{name}-{mark}")
                rival.news()
            rival.mount()
            try:
                self._note(rival, operations.local(rival, self.sizes, mark))
                if rival.prefix:
                    made = f"{rival.prefix}made-{mark}/"
                    self.vault.arrived(made, self.sizes.files, _PATIENCE)
                    self.vault.away(FAR)
                    try:
                        self._note(rival, operations.far(rival, self.sizes, mark))
                    finally:
                        self.vault.away(NEAR)
            finally:
                rival.unmount()

    def events(self, mark: str) -> None:
        """Each event once, on our drive and rclone as it comes."""
        size = self.sizes.large // 4
        self._note(self.drive, events.of_drive(self.drive, self.vault, mark, size))
        self._note(self.rclone, events.of_rclone(self.rclone, self.vault, mark, size))

    def _note(self, rival: Rival, found: Iterable[tuple[str, Spent | str]]) -> None:
        for key, value in found:
            self.results[key][rival.name].append(value)
            shown = next(row for row in report.ROWS if row.key == key)
            cell = value if isinstance(value, str) else shown.show([value])
            print(f"{rival.name:16} {key:16} {cell}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave neither mount nor process."""
        for rival in self.rivals:
            with suppress(OSError):
                rival.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, and publish it if that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drive", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each operation (5)")
    parser.add_argument("--event-rounds", type=int, default=3, help="runs of starts and ends (3)")
    parser.add_argument("--smallest", action="store_true", help="only see whether it works")
    parser.add_argument("--write", type=Path, metavar="FILE", help="publish the table there")
    given = parser.parse_args(arguments)
    load = list(os.getloadavg())
    sizes = SMALLEST if given.smallest else Sizes()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))  # and leave nothing
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        vault = stack.enter_context(Vault())
        run = Run(home, vault, sizes)
        stack.callback(run.close)
        run.prepare()
        for number in range(given.rounds):
            run.once(str(number))
        for number in range(given.event_rounds):
            run.events(f"event-{number}")
    table = report.table(run.results, [rival.name for rival in run.rivals])
    rounds = f"{given.rounds} runs of each operation, {given.event_rounds} of each start and end"
    load += os.getloadavg()
    text = f"{report.machine(run.rclone.version(), load)}; {rounds}.\n\n{table}"
    print(text)
    if given.write is not None:
        report.publish(given.write, text)


if __name__ == "__main__":
    main()
