"""Says yes to what a device's guards hold: people do mean to delete and change that much."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from vaultsync.core.errors import VaultsyncError

if TYPE_CHECKING:
    from tests.campaign.device import Device


class Guardian(threading.Thread):
    """Looks every two seconds until told to end.

    Args:
        device: Whose guards.

    Attributes:
        allowed: Files that were let through.
    """

    def __init__(self, device: Device) -> None:
        super().__init__(name=f"guardian {device.name}", daemon=True)
        self.allowed = 0
        self._device = device
        self._ending = threading.Event()

    def run(self) -> None:
        """Look until told to end."""
        while not self._ending.wait(2.0):
            status = self._device.status()
            if status is not None and status.held:
                with contextlib.suppress(VaultsyncError, OSError):
                    items = self._device.client.held()
                    held = ", ".join(f"{one.guard}: {one.count}" for one in items)
                    files = self._device.client.allow_held()
                    self._device.ledger.note(self._device.name, f"lets {files} through ({held})")
                    self.allowed += files

    def end(self) -> None:
        """Look no more."""
        self._ending.set()
