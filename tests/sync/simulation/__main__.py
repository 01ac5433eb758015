"""Play many seeds: `python -m tests.sync.simulation --seeds 20000`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from tests.sync.simulation.scenario import Scenario, described
from tests.sync.simulation.world import Outcome, run


def main() -> int:
    """Play seeds until one breaks a rule, or Ctrl-C; exit code 1 when any was broken."""
    given = _arguments()
    leave = frozenset(given.leave.split(",")) - {""}
    changes = dict(_setting(text) for text in given.set)
    seeds = range(given.first, given.first + given.seeds)
    play = partial(_play, leave=leave, changes=changes, whole=given.trace)
    began, played, broken = time.monotonic(), 0, Counter[str]()
    with ProcessPoolExecutor(given.processes) as pool:
        try:
            for seed, outcome in zip(seeds, pool.map(play, seeds, chunksize=8), strict=True):
                played += 1
                if isinstance(outcome, str) or outcome.broken:
                    broken[outcome if isinstance(outcome, str) else outcome.broken] += 1
                    _show(seed, outcome, given)
                    if not given.go_on:
                        pool.shutdown(wait=False, cancel_futures=True)
                        break
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
    seconds = time.monotonic() - began
    print(f"{played} runs in {seconds:.0f} s, {sum(broken.values())} broken: {dict(broken)}")
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sync.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--leave", default="untouched", help="rules not to judge, by commas")
    parser.add_argument("--trace", type=int, default=60, help="lines of a broken run's trace")
    parser.add_argument("--go-on", action="store_true", help="do not stop at the first broken run")
    return parser.parse_args()


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    kind = type(getattr(Scenario(seed=0), name))
    return name, value in ("1", "True", "true") if kind is bool else kind(value)


def _play(seed: int, leave: frozenset[str], changes: dict[str, Any], whole: int) -> Outcome | str:
    try:
        outcome = run(seed, leave, **changes)
    except Exception as error:  # noqa: BLE001 - whatever it is, the seed must be named
        return f"{type(error).__name__}: {error}"
    kept = outcome.trace[-whole:] if outcome.broken and whole else []
    return Outcome(outcome.scenario, outcome.broken, outcome.detail, kept)


def _show(seed: int, outcome: Outcome | str, given: argparse.Namespace) -> None:
    print(f"seed {seed}: {outcome if isinstance(outcome, str) else outcome.detail}")
    if isinstance(outcome, Outcome) and not given.go_on:
        print("\n".join(outcome.trace))
        print(described(outcome.scenario))
    words = " ".join(f"--set {text}" for text in given.set)
    print(f"again: python -m tests.sync.simulation --seeds 1 --first {seed} --trace 100000 {words}")


if __name__ == "__main__":
    sys.exit(main())
