"""Files that change faster than they can be sent: when to wait, and when to send a snapshot.

A file that is being written is sent once it holds still. One that never does is sent as a snapshot
after a while, and a file that is sent again and again is sent less often, so that neither keeps the
others waiting, nor costs a request for every line of a log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vaultsync.core.errors import Stale

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 30.0
"""Seconds that a file is given to hold still before a snapshot of it is sent."""
EAGER = 8
"""Times that a file is sent in quick succession before there are pauses."""
FIRST_PAUSE = 2.0
"""Seconds of the first pause; each one is twice as long as the one before."""
LAST_PAUSE = 60.0
"""Seconds of the longest pause."""
AFTER_SNAPSHOT = EAGER + 3
"""What the first snapshot counts for: the pauses begin at 16 seconds."""
CALM = 10.0
"""Seconds without a change after which a file counts as quiet; longer after pauses."""
FORGOTTEN = 600.0
"""Seconds after which a file that could not be sent counts as quiet; longer than any retry."""


@dataclass(slots=True)
class _File:
    """One file that was sent, or could not be.

    Attributes:
        since: When it was first found to move, or last sent while it held still.
        last: When something last happened to it.
        tag: The version that could not be sent, or was sent as a snapshot; else empty.
        sent: How often it was sent in quick succession.
        torn: Whether not even a snapshot of it could be taken.
    """

    since: float
    last: float
    tag: str = ""
    sent: int = 0
    torn: bool = False

    @property
    def pause(self) -> float:
        if self.sent < EAGER:
            return 0.0
        return min(LAST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.sent - EAGER, 10))

    @property
    def quiet_at(self) -> float:
        return self.last + (FORGOTTEN if self.tag else CALM + 2 * self.pause)


class Restless:
    """What is known of such files, for this run. Used by the engine's thread."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._files: dict[str, _File] = {}
        self._prune_at = 1000

    def failed(self, path: str, tag: str, error: Stale, *, snapshot: bool = False) -> Stale:
        """A push found the file, or the vault, not as it was decided on.

        Args:
            path: Which file.
            tag: The version that was to be sent.
            error: What was found.
            snapshot: Whether it was to be sent as a snapshot.

        Returns:
            What to tell a person.
        """
        file = self._file(path)
        moves = file.tag not in ("", tag)
        if not moves:
            file.since = self._now()  # so far it may as well have been the vault that changed
        file.tag, file.torn = tag, snapshot
        return self.reason(path) if moves else error

    def sent(self, path: str, tag: str, *, snapshot: bool = False) -> None:
        """A version of a file was sent."""
        file = self._file(path)
        file.sent += 1
        file.torn = False
        if snapshot:
            file.sent, file.tag = max(file.sent, AFTER_SNAPSHOT), tag
        else:
            file.since, file.tag = file.last, ""

    def wants_snapshot(self, path: str, tag: str) -> bool:
        """Whether to send a snapshot of a file, whose present version has this tag."""
        file = self._files.get(path)
        now = self._now()
        return (
            file is not None
            and now < file.quiet_at
            and file.tag not in ("", tag)
            and now - file.since >= PATIENCE
        )

    def wait(self, path: str) -> float:
        """Seconds until a file may be sent again."""
        file = self._files.get(path)
        return 0.0 if file is None else max(0.0, file.last + file.pause - self._now())

    def excuse(self, path: str) -> None:
        """Somebody waits for a file to be sent: it has no pause before it."""
        file = self._files.get(path)
        if file is not None:
            file.sent = 0

    def reason(self, path: str) -> Stale:
        """Why a file waits."""
        file = self._files.get(path)
        if file is not None and file.torn:
            return Stale(
                "It is being rewritten all the time: it is sent once it holds still for a moment.",
                "Close the program that writes it, or ignore the file in .vaultsyncignore.",
            )
        if file is not None and file.pause:
            return Stale("It changes all the time, so it is sent once a minute at most.")
        return Stale(
            "It is being written: it is sent once it holds still, "
            f"or as a snapshot after {PATIENCE:.0f} seconds."
        )

    def _file(self, path: str) -> _File:
        """What is known of a file to which something has just happened."""
        now = self._now()
        if len(self._files) >= self._prune_at:
            self._files = {name: file for name, file in self._files.items() if now < file.quiet_at}
            self._prune_at = max(1000, 2 * len(self._files))
        file = self._files.get(path)
        if file is None or now >= file.quiet_at:
            file = self._files[path] = _File(now, now)
        file.last = now
        return file
