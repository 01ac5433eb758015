"""How the engine behaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vaultsync.core.safety import Limits

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Settings:
    """Intervals and widths.

    Attributes:
        poll_seconds: Seconds between two listings of the vault.
        rescan_seconds: Seconds between two scans of the whole local side, a tenth more or less.
        delete_quiet: Seconds that a local absence must last before it is believed.
        lanes: Actions that run at once.
        limits: How much may be deleted or changed at once without a person's word.
        lazy: The local side fetches content when it is read: nothing is read from the vault only to
            find out whether it is new.
        chance: Drawn from 0 to 1 to spread the scans of many devices over time.
    """

    poll_seconds: float = 30.0
    rescan_seconds: float = 3600.0
    delete_quiet: float = 5.0
    lanes: int = 16
    limits: Limits = field(default_factory=Limits)
    lazy: bool = False
    chance: Callable[[], float] = lambda: 0.5

    def rescan_after(self) -> float:
        """Seconds until the next scan of the whole local side."""
        return self.rescan_seconds * (0.9 + 0.2 * self.chance())
