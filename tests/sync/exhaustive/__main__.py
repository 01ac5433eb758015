"""Go through all states: `python -m tests.sync.exhaustive --paths 3`."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

from tests.sync.exhaustive.states import one_path, three_paths, two_paths
from tests.sync.exhaustive.verdicts import described, judge

STATES = {1: one_path, 2: two_paths, 3: three_paths}
CHUNK = 100


def main() -> int:
    """Judge all states; exit code 1 if one ends otherwise than it must."""
    parser = argparse.ArgumentParser(prog="python -m tests.sync.exhaustive", description=__doc__)
    parser.add_argument("--paths", type=int, choices=STATES, default=2)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="only each n-th state")
    parser.add_argument("--show", type=int, default=10, help="how many broken states to print")
    given = parser.parse_args()
    logging.disable()  # each conflict copy is worth a warning, elsewhere
    began, judged, broken = time.monotonic(), 0, 0
    with ProcessPoolExecutor(given.processes) as pool:
        states = islice(STATES[given.paths](), 0, None, given.every)
        # A part at a time: the states are more than one would hold.
        while part := list(islice(states, 20 * CHUNK)):
            for nodes, found in zip(part, pool.map(judge, part, chunksize=CHUNK), strict=True):
                judged += 1
                broken += bool(found)
                if found and broken <= given.show:
                    print(described(nodes, found))
            print(f"{judged} states so far", file=sys.stderr)
    seconds = time.monotonic() - began
    print(f"{judged} states in {seconds:.0f} s, {broken} of them end otherwise than they must")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
