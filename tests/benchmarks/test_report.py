from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmarks.operations import Spent

from benchmarks import report

if TYPE_CHECKING:
    from pathlib import Path


def line(title: str, table: str) -> str:
    (found,) = [each for each in table.splitlines() if each.startswith(f"| {title} |")]
    return found


def test_a_cell_is_the_median_of_each_figure() -> None:
    runs: list[Spent | str] = [Spent(0.1, 9, 100), Spent(0.4, 0.2, 100), Spent(0.2, 0.3, 100)]
    table = report.table({"lookup": {"ours": runs}}, ["ours", "theirs"])
    wanted = "| look a name up (`stat`) | 2,000 / 3,000 µs |  | 40 µs of CPU |"
    assert line("look a name up (`stat`)", table) == wanted


def test_a_rate_is_in_what_can_be_read() -> None:
    table = report.table({"sequential": {"ours": [Spent(0.5, 1, 2_000_000_000)]}}, ["ours"])
    assert "| 2.00 GB/s (262 µs per MiB) |" in table
    table = report.table({"cold sequential": {"ours": [Spent(0.5, 1, 40_000_000)]}}, ["ours"])
    assert "| 40 MB/s |" in table


def test_words_are_counted_where_they_differ() -> None:
    same = report.table({"killed": {"ours": ["it hangs", "it hangs"]}}, ["ours"])
    assert "| it hangs |" in same
    mixed = report.table({"news": {"ours": [Spent(0, 2, 1), "never", "never"]}}, ["ours"])
    assert "| never (2 of 3); 2.00 s (1 of 3) |" in mixed


def test_a_table_is_published_between_the_marks(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.publish(file, "new")
    assert file.read_text() == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    file.write_text("no marks\n")
    with pytest.raises(ValueError, match="lacks the marks"):
        report.publish(file, "new")
    assert file.read_text() == "no marks\n"
