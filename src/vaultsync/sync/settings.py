"""How the engine behaves."""

from __future__ import annotations

from dataclasses import dataclass, field

from vaultsync.core.safety import Limits


@dataclass(frozen=True, slots=True)
class Settings:
    """Intervals and widths.

    Attributes:
        poll_seconds: Seconds between two listings of the vault.
        rescan_seconds: Seconds between two scans of the whole local side.
        delete_quiet: Seconds that a local absence must last before it is believed.
        lanes: Actions that run at once.
        limits: How much may be deleted or changed at once without a person's word.
    """

    poll_seconds: float = 30.0
    rescan_seconds: float = 3600.0
    delete_quiet: float = 5.0
    lanes: int = 16
    limits: Limits = field(default_factory=Limits)
