"""The table of rules holds together; that it is true is seen by `python -m tests.rules`."""

from __future__ import annotations

import ast
import functools

import pytest

from tests.rules.document import FILE, written
from tests.rules.rule import PACKAGE, ROOT, Rule
from tests.rules.table import RULES

REQUIRED = """
R1
R2
R3
R4
R5
R6
R7
zombies
star: fsync before hash
star: stat before and after
star: unknown is neither equal nor different
star: vs-* only when bound
star: zombies kept 20 minutes
star: LOCAL_GONE does not end early
star: LOCAL_GONE does not live for ever
star: R6 looks after the source's DELETE
star: the marker comes before the last child's DELETE
star: a marker stays while something is in the folder
star: a marker goes only with its folder
star: unmanaged folders get no marker
star: an inode only nominates
star: multipart copies drop metadata
star: no link is followed
star: a parent that moved
star: what came out of EXCHANGE is compared without ctime
star: becoming ignored drops base
star: modified events
UNKNOWN subtree
a page that failed proves nothing
mass delete
mass delete: by slices
mass delete: by pieces
mass delete: by restarts
marker object
root marker
disk reserve
probed conditions
conflict storms
absence here is seen twice
absence there is seen twice
deletions are conditional
writes are conditional
a torn read is not sent
a checksum goes with the body
an edit here beats a deletion there
an edit there beats a deletion here
two edits are both kept
without base nothing is replaced
without base nothing is deleted
"""


@functools.cache
def names_in(file: str) -> set[str]:
    """Names of the tests of a file, those in a class with its name."""
    found = set()
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{it.name}" for it in node.body if hasattr(it, "name")}
    return found


def test_every_rule_is_there_once() -> None:
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))
    assert set(REQUIRED.strip().splitlines()) <= set(names)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_can_be_taken_out(rule: Rule) -> None:
    assert rule.edits
    for edit in rule.edits:
        assert (ROOT / PACKAGE / edit.file).read_text().count(edit.old) == 1, edit
        assert edit.new != edit.old


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_names_tests_that_exist(rule: Rule) -> None:
    assert rule.tests
    for test in rule.tests:
        file, _, name = test.partition("[")[0].partition("::")
        assert name in names_in(file), test


def test_the_page_says_what_the_table_says() -> None:
    assert (ROOT / FILE).read_text() == written(), "run `python -m tests.rules --write`"
