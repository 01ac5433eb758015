"""docs/semantics.md promises nothing that no test holds up."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMISES = ROOT / "docs/semantics.md"
NAMED = re.compile(r"(tests/[\w/]+\.py)::(\w+)")


def promises() -> dict[str, str]:
    """Each promise's title with its text."""
    sections = re.split(r"^### ", PROMISES.read_text(), flags=re.MULTILINE)[1:]
    parts = (re.split(r"\n## ", section)[0].partition("\n") for section in sections)
    return {title: text for title, _, text in parts}


@pytest.mark.parametrize("title", promises())
def test_a_promise_names_tests_that_exist(title: str) -> None:
    _, found, references = promises()[title].partition("\nTests: ")
    assert found, "no line `Tests:`"
    named = NAMED.findall(references)
    assert named
    assert re.sub(r"[\s,]", "", NAMED.sub("", references)) == "", "more than tests"
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text())
        assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_documents_name_exist(document: Path) -> None:
    for name in re.findall(r"`((?:src|tests|tools|docs|systemd)/[\w./@-]+)`", document.read_text()):
        assert (ROOT / name).exists(), name
