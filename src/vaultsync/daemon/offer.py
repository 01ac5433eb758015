"""What a holder of a mount says of it. Only the standard library: holders are small."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Offer:
    """What a holder says of the mount that it hands over.

    Attributes:
        mount: Names this mount, and no other one.
        at: The mount point.
        pid: The holder's process.
        served: Whether any daemon has said that it serves the mount.
        cache: Gigabytes that the cache may take as long as it is mounted; None: as is set.
        backend: What is to speak with the kernel, one of `mount.serving.BACKENDS`.
    """

    mount: str
    at: str
    pid: int
    served: bool = False
    cache: float | None = None
    backend: str = "kernel"

    def described(self) -> dict[str, Any]:
        """As it travels."""
        return {item.name: getattr(self, item.name) for item in fields(self)}
