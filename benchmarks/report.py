"""The table that is printed and published."""

from __future__ import annotations

import os
import platform
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.operations import LITTLE, SOME, Spent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

BEGIN = "<!-- benchmarks.drive: from here on written by the command -->"
END = "<!-- benchmarks.drive: until here -->"


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        key: What the measurements call it.
        title: What people do.
        goal: What we want of ours.
        show: Makes a cell of what several runs took.
    """

    key: str
    title: str
    goal: str
    show: Callable[[Sequence[Spent]], str]


def _operation(spent: Sequence[Spent]) -> str:
    cpu = median(each.cpu / each.count for each in spent) * 1e6
    wall = median(each.wall / each.count for each in spent) * 1e6
    return f"{cpu:,.0f} / {wall:,.0f} µs"


def _rate(spent: Sequence[Spent]) -> str:
    """Bytes a second, and what a MiB costs."""
    rate = median(each.count / each.wall for each in spent)
    cpu = median(each.cpu / each.count for each in spent) * (1 << 20) * 1e6
    return f"{_a_second(rate)} ({cpu:,.0f} µs per MiB)"


def _random(spent: Sequence[Spent]) -> str:
    rate = median(SOME * each.count / each.wall for each in spent)
    cpu = median(each.cpu / each.count for each in spent) * 1e6
    return f"{_a_second(rate)} ({cpu:,.0f} µs per read)"


def _far(spent: Sequence[Spent]) -> str:
    return _a_second(median(each.count / each.wall for each in spent))


def _milliseconds(spent: Sequence[Spent]) -> str:
    return f"{median(each.wall / each.count for each in spent) * 1e3:,.0f} ms"


def _seconds(spent: Sequence[Spent]) -> str:
    return f"{median(each.wall for each in spent):.2f} s"


def _a_second(rate: float) -> str:
    return f"{rate / 1e9:.2f} GB/s" if rate >= 1e9 / 2 else f"{rate / 1e6:.0f} MB/s"


ROWS = (
    Row("create", "make a file, write 4 KiB, close it", "600 µs of CPU", _operation),
    Row("lookup", "look a name up (`stat`)", "40 µs of CPU", _operation),
    Row("list", "an entry of `ls -l`", "25 µs of CPU", _operation),
    Row("open", "open a file, read 4 KiB, close it", "120 µs of CPU", _operation),
    Row("sequential", "read a cached file from its beginning to its end", "1 GB/s", _rate),
    Row("random", f"read {SOME >> 10} KiB of it here and there", "", _random),
    Row("cold sequential", "read a file that is not here from its beginning to its end", "", _far),
    Row("cold random", f"read {LITTLE >> 10} KiB of one here and there", "", _milliseconds),
    Row("start", "mount and look inside, the daemon runs", "", _seconds),
    Row("cold start", "the same, nothing runs", "", _seconds),
    Row("offline start", "the same, without a network", "under 1 s", _seconds),
    Row("news", "until an edit elsewhere is read here", "poll + 0.5 s", _seconds),
    Row("unmount", "unmount 1 s after a write", "", _seconds),
    Row("sent", "from then on until it is in the vault", "it is sent", _seconds),
    Row("killed", "`kill -9` of the server in the middle of a copy", "the copy goes on", _seconds),
)

Results = dict[str, dict[str, list[Spent | str]]]
"""By a row's key and a rival's name."""


def table(results: Results, names: Sequence[str]) -> str:
    """The table in Markdown."""
    lines = [
        f"| | {' | '.join(names)} | goal |",
        f"|---|{'---|' * len(names)}---|",
    ]
    for row in ROWS:
        found = results.get(row.key, {})
        cells = [_cell(row, found.get(name, [])) for name in names]
        lines.append(f"| {row.title} | {' | '.join(cells)} | {row.goal} |")
    return "\n".join(lines)


def _cell(row: Row, found: Sequence[Spent | str]) -> str:
    if not found:
        return ""
    spent = [each for each in found if isinstance(each, Spent)]
    if len(spent) == len(found):
        return row.show(spent)
    words = Counter(each if isinstance(each, str) else row.show([each]) for each in found)
    return "; ".join(
        word if len(words) == 1 else f"{word} ({count} of {len(found)})"
        for word, count in words.most_common()
    )


def machine(rclone: str, load: Sequence[float]) -> str:
    """On what it was measured, in general words.

    Args:
        rclone: Its version.
        load: Load averages, at the beginning and at the end.
    """
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    return (
        f"{os.cpu_count()} processors, Linux {kernel}, Python {platform.python_version()}, "
        f"rclone {rclone}; load {min(load):.0f} to {max(load):.0f}"
    )


def publish(file: Path, text: str) -> None:
    """Put the text between the marks of a document."""
    before, begin, rest = file.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{file} lacks the marks")
    file.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
