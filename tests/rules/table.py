"""All rules, by chapter."""

from __future__ import annotations

from tests.rules import decisions, guards, seven, sides

CHAPTERS = {
    "The seven rules": seven.RULES,
    "The decision table": decisions.RULES,
    "How a file is written": sides.RULES,
    "Guards": guards.RULES,
}
RULES = [rule for rules in CHAPTERS.values() for rule in rules]
