"""A disk that gets full and read-only on command: a tmpfs whose limit is moved."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.campaign.nursery import Nursery

ROOMY = "4g"
NAMESPACE = "CAMPAIGN_MOUNTS"
"""Set in the environment of a campaign that may mount, out of sight of all others."""


def may_mount() -> bool:
    """Whether this process is in a mount namespace that was made for the campaign."""
    return os.environ.get(NAMESPACE) == "own"


class Disk:
    """A file system of its own.

    Args:
        place: Where it is mounted; it vanishes with the mount namespace.
        nursery: Runs the commands.
    """

    def __init__(self, place: Path, nursery: Nursery) -> None:
        self.place = place
        self._nursery = nursery
        place.mkdir(parents=True, exist_ok=True)
        self._mount("-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", str(place))

    def fill(self) -> bool:
        """Leave a few kilobytes; whether that worked."""
        room = os.statvfs(self.place)
        used = (room.f_blocks - room.f_bfree) * room.f_frsize
        return self._mount("-o", f"remount,size={used + 8192}", str(self.place))

    def empty(self) -> bool:
        """Leave a lot of room again."""
        return self._mount("-o", f"remount,size={ROOMY}", str(self.place))

    def protect(self) -> bool:
        """Make it read-only; refused while a file is open for writing."""
        return self._mount("-o", "remount,ro", str(self.place))

    def unprotect(self) -> bool:
        """Make it writable again."""
        return self._mount("-o", "remount,rw", str(self.place))

    def away(self) -> None:
        """Unmount it."""
        self._nursery.run("umount", "--lazy", str(self.place))

    def _mount(self, *words: str) -> bool:
        return self._nursery.run("mount", *words)
