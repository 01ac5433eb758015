"""The table for people: `docs/rules.md`, written from the one that is run."""

from __future__ import annotations

from tests.rules.table import CHAPTERS

FILE = "docs/rules.md"
_HEAD = """# The rules, and what proves them

Each row is a rule without which a file could be lost, a conflict copy made for nothing, or a guard
be passed. `python -m tests.rules` takes them out of a copy of the sources, one at a time, and runs
the tests named here: each has to turn red. `python -m tests.rules --write` writes this page from
`tests/rules`. Rules that others mask have
[their own ways](decisions/0016-rules-that-others-mask.md).
"""


def written() -> str:
    """The page."""
    parts = [_HEAD]
    for title, rules in CHAPTERS.items():
        lines = [f"## {title}", "", "| rule | what holds | where | test |", "|---|---|---|---|"]
        for rule in rules:
            where = ", ".join(f"`{file}`" for file in dict.fromkeys(e.file for e in rule.edits))
            tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in rule.tests)
            lines.append(f"| {rule.name} | {rule.sentence} | {where} | {tests} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)
