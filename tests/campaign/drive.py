"""A device whose files are in a drive: mounted for real, its daemon killed below who uses it."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from tests.campaign.device import Device
from vaultsync.config import DEFAULT
from vaultsync.mount.kernel import holder
from vaultsync.paths import places

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.campaign.nursery import Child

CACHE_GB = 0.01
"""The least there can be, so that much has to be evicted and fetched again."""
_UP = 90.0
"""Seconds for a daemon to answer when nothing goes wrong."""


class DriveDevice(Device):
    """An installation with a drive. Its holder lives as long as the campaign, whatever dies."""

    drive = True
    _holder: Child | None = None

    def keep_on(self, disk: Path) -> None:
        """Have database and contents on a disk of their own; before it joins."""
        self.config_dir = disk / "config"

    def join(self, url: str, poll_seconds: float, **settings: object) -> None:
        """Make the profile; the person is signed in already."""
        kind = {"folder.kind": "drive", "drive.cache_gb": CACHE_GB}
        super().join(url, poll_seconds, **kind, **settings)

    def mount(self) -> None:
        """Mount it once the daemon answers; at a calm moment."""
        self._until(lambda: self.status() is not None)
        self.ledger.note(self.name, "drive is mounted")
        self._holder = self._run("mount", "--foreground")
        if not self._until(lambda: self._at() is not None):
            self.ledger.broke("not mounted", "", f"{self.name}: {self._last_words()}")

    def unmount(self) -> None:
        """Unmount it, sent or not; at a calm moment."""
        self.ledger.note(self.name, "drive is unmounted")
        done = self.command("--json", "unmount")
        if done.returncode or self._holder is None or self._holder.wait(_UP):
            told = f"{done.stdout} {done.stderr} {self._last_words()}"
            self.ledger.broke("not unmounted", "", f"{self.name}: {told}")
        self._holder = None

    def empty_cache(self) -> None:
        """Begin anew without any content; everything must be in the vault."""
        self.unmount()
        self.stop()
        self.ledger.note(self.name, "cache is emptied")
        shutil.rmtree(places(DEFAULT, self.config_dir).cache_dir / "content")
        self.start()
        self.mount()

    def close(self) -> None:
        """End daemon and holder; what waits for an answer gets an error then."""
        self.kill()
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait()
            self._holder = None
        if holder.mounted(self.folder) == holder.FSTYPE:
            holder.unmount(self.folder, lazy=True)

    def watch(self) -> None:
        """A holder must not end by itself."""
        code = None if self._holder is None else self._holder.poll()
        if code is not None:
            self._holder = None
            self.ledger.broke("died", "", f"holder of {self.name}: {code}: {self._last_words()}")

    def _until(self, holds: Callable[[], bool]) -> bool:
        ends = time.monotonic() + _UP
        while not holds():
            if time.monotonic() > ends:
                return False
            time.sleep(0.1)
        return True

    def _at(self) -> str | None:
        status = self.status()
        return None if status is None or status.drive is None else status.drive.at

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-600:]
