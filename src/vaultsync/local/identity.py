"""Local tags: when a file counts as unchanged.

A tag is `inode:size:mtime_ns:ctime_ns`. A write moves both times to the clock's current tick, so an
equal tag means equal content, with one gap: a second write in the very tick of the first one
moves nothing. A tag observed while its mtime is as young as one tick (`Grain`) is therefore
*racy*; it ends in `~`, so it equals no later tag and the file is hashed again at the next look.

Youth is judged by mtime alone. A write into a file whose mtime is old moves that mtime, so the gap
cannot hide it, and what `stage` placed with the sender's old mtime is not racy although its ctime
is new: a pulled file need not be hashed again. What this cannot see is a program that, in the
tick of our own commit, writes other bytes of the same length *and* sets the old mtime back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from vaultsync.core.model import Entry, Kind

if TYPE_CHECKING:
    from vaultsync.local.files import Files, Node

FINEST_NS = 20_000_000
"""Nanoseconds within which two writes may carry the same time even on a good file system."""
RACY = "~"
_PAUSE_NS = 2_000_000_000
"""For how long the scheduler may stop us between reading the clock and looking at the file."""


class Match(Enum):
    """How an observation compares with what was expected."""

    YES = "yes"
    NO = "no"
    DOUBT = "doubt"
    """The identity is equal but was racy: only the content can tell."""


@dataclass(frozen=True, slots=True)
class Grain:
    """How finely a file system keeps time.

    Attributes:
        width_ns: Two writes within so many nanoseconds may carry the same time.
        skew_ns: The file system's clock minus ours (a file server has its own).
    """

    width_ns: int = FINEST_NS
    skew_ns: int = 0

    def is_racy(self, mtime_ns: int, now_ns: int) -> bool:
        """Whether a write after a look that began at `now_ns` could leave `mtime_ns` as it is.

        The look may take a while, so that times a little after its beginning count too.
        """
        return -_PAUSE_NS <= now_ns + self.skew_ns - mtime_ns <= self.width_ns


def measure_grain(files: Files, directory: int, name: str) -> Grain:
    """Find out how finely times are kept, with a file made and removed for it.

    Raises:
        OSError: When the file cannot be made.
    """
    odd = 1_000_000_001_123_456_789
    descriptor = files.create(directory, name)
    try:
        files.write(descriptor, b".")
        skew = files.fstat(descriptor).mtime_ns - files.now_ns()
        files.utime(descriptor, odd)
        lost = abs(odd - files.fstat(descriptor).mtime_ns)
    finally:
        files.close(descriptor)
        files.unlink(directory, name)
    second = 1_000_000_000
    if lost < FINEST_NS:
        width = FINEST_NS
    elif lost < second:
        width = second
    else:
        width = 2 * second
    # A skew below the width is only the clock's tick.
    return Grain(width, skew if abs(skew) > width else 0)


def tag(node: Node, grain: Grain, now_ns: int) -> str:
    """The tag of a file or link; `now_ns` is the time right *before* it was looked at."""
    plain = f"{node.ino}:{node.size}:{node.mtime_ns}:{node.ctime_ns}"
    return plain + RACY if grain.is_racy(node.mtime_ns, now_ns) else plain


def compare(expected: Entry, node: Node, *, moved: bool = False) -> Match:
    """Compare a name with the version that is expected there.

    Args:
        expected: The version.
        node: What is there.
        moved: Leave ctime out, which a rename changes.
    """
    kind_is_right = node.is_link if expected.kind is Kind.LINK else node.is_file
    if not kind_is_right:
        return Match.NO
    fields = expected.tag.removesuffix(RACY).split(":")
    seen = [str(node.ino), str(node.size), str(node.mtime_ns), str(node.ctime_ns)]
    if moved:
        fields, seen = fields[:3], seen[:3]
    if fields != seen:
        return Match.NO
    return Match.DOUBT if expected.tag.endswith(RACY) else Match.YES
