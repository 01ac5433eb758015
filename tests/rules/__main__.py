"""Take each rule out of the code and see its tests turn red: `python -m tests.rules [NAME ...]`."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.rules.document import FILE, written
from tests.rules.rule import ROOT, Rule
from tests.rules.table import RULES

LIMIT = 600
"""Seconds for the tests of one rule."""
_FAILED = re.compile(r"^FAILED (\S+?)(?:\[.*)?(?: - .*)?$", re.MULTILINE)


def main() -> int:
    """Judge the rules that were named, or all; exit code 1 if one can go unnoticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.rules", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="the beginning of a rule's name")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="print what the tests print")
    parser.add_argument("--write", action="store_true", help=f"write {FILE} anew, test nothing")
    given = parser.parse_args()
    if given.write:
        (ROOT / FILE).write_text(written())
        return 0
    rules = [
        rule
        for rule in RULES
        if not given.names or any(rule.name.startswith(name) for name in given.names)
    ]
    unnoticed = 0
    with ThreadPoolExecutor(given.processes) as pool:
        for rule, (green, output) in zip(rules, pool.map(without, rules), strict=True):
            print("green" if green else "red  ", rule.name, *green, sep="  ", flush=True)
            if given.show:
                print(output, flush=True)
            unnoticed += bool(green)
    print(f"{len(rules)} rules were taken out, {unnoticed} of them unnoticed")
    return 1 if unnoticed or not rules else 0


def without(rule: Rule) -> tuple[list[str], str]:
    """Run a rule's tests on a copy of the sources without it.

    Returns:
        The tests that did not fail, and what pytest printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "src"
        shutil.copytree(ROOT / "src", sources, ignore=shutil.ignore_patterns("__pycache__"))
        for edit in rule.edits:
            edit.apply(sources)
        command = [sys.executable, "-m", "pytest", "-q", "-rf", "--tb=short", "--timeout=120"]
        environment = os.environ | {
            "PYTHONPATH": str(sources),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": folder,
            "COLUMNS": "1000",
        }
        try:
            done = subprocess.run(
                [*command, "-p", "no:cacheprovider", *rule.tests],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=False,
            )
            output = done.stdout + done.stderr
        except subprocess.TimeoutExpired as slow:
            output = f"no end within {slow.timeout} s"
    failed = set(_FAILED.findall(output))
    return [test for test in rule.tests if test.partition("[")[0] not in failed], output


if __name__ == "__main__":
    sys.exit(main())
