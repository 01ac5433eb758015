"""A device whose files are in a drive: mounted for real, its daemon killed below whoever uses it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.campaign.device import Device
from vaultsync.config import DEFAULT
from vaultsync.mount.kernel import holder
from vaultsync.paths import places

if TYPE_CHECKING:
    from pathlib import Path

CACHE_GB = 0.01
"""The least there can be, so that much has to be evicted and fetched again."""
_UP = 90.0
"""Seconds for a daemon to answer when nothing goes wrong."""


class DriveDevice(Device):
    """An installation with a drive. Its holder lives as long as the campaign, whatever dies."""

    drive = True
    _holder: subprocess.Popen[str] | None = None

    def keep_on(self, disk: Path) -> None:
        """Have database and contents on a disk of their own; before it joins."""
        self.config_dir = disk / "config"

    def join(self, url: str, poll_seconds: float, **settings: object) -> None:
        """Make the profile; the person is signed in already."""
        kind = {"folder.kind": "drive", "drive.cache_gb": CACHE_GB}
        super().join(url, poll_seconds, **kind, **settings)

    def mount(self) -> None:
        """Mount it once the daemon answers; at a calm moment."""
        self._answers()
        self.ledger.note(self.name, "drive is mounted")
        with self.log.open("ab") as log:
            self._holder = subprocess.Popen(
                self._command("--json", "mount", "--foreground"),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                text=True,
            )
        assert self._holder.stdout is not None
        said = self._holder.stdout.readline()
        if not said or not json.loads(said)["ok"]:
            self.ledger.broke("not mounted", "", f"{self.name}: {said or self._last_words()}")

    def unmount(self) -> None:
        """Unmount it, sent or not; at a calm moment."""
        self.ledger.note(self.name, "drive is unmounted")
        done = self.command("--json", "unmount")
        if done.returncode or self._holder is None or self._holder.wait(_UP):
            told = f"{done.stdout} {done.stderr} {self._last_words()}"
            self.ledger.broke("not unmounted", "", f"{self.name}: {told}")
        self._drop_holder()

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
            self._drop_holder()
        if holder.mounted(self.folder) == holder.FSTYPE:
            holder.unmount(self.folder, lazy=True)

    def watch(self) -> None:
        """A holder must not end by itself."""
        if self._holder is not None and self._holder.poll() is not None:
            code = self._holder.returncode
            self._drop_holder()
            self.ledger.broke("died", "", f"holder of {self.name}: {code}: {self._last_words()}")

    def _answers(self) -> None:
        ends = time.monotonic() + _UP
        while self.status() is None and time.monotonic() < ends:
            time.sleep(0.1)

    def _drop_holder(self) -> None:
        gone, self._holder = self._holder, None
        if gone is not None and gone.stdout is not None:
            gone.stdout.close()

    def _command(self, *words: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "vaultsync.cli", "--config-dir", str(self.config_dir), *words)

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-600:]
