"""The trash of a drive: there is none. What is deleted is in the bucket's history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaultsync.core.errors import NotFound
from vaultsync.core.model import Emptied

if TYPE_CHECKING:
    from vaultsync.core.model import Trashed
    from vaultsync.local.bin import Returned


class NoBin:
    """Does what `local.bin.Bin` does, with nothing in it."""

    def items(self, path: str = "") -> list[Trashed]:  # noqa: ARG002
        """What is in it."""
        return []

    def put_back(self, item: str, to: str = "") -> str:  # noqa: ARG002
        """Put an item back: there is none."""
        raise NotFound(
            f"'{item}' is not in the trash: a drive has none.",
            "`vaultsync versions` lists what the bucket has kept.",
        )

    def empty(self, before: float) -> Emptied:  # noqa: ARG002
        """Remove what is older than a time."""
        return Emptied()

    def age(self, days: float, share: float) -> Emptied:  # noqa: ARG002
        """Remove what is too old, or takes too much of the disk."""
        return Emptied()

    def returns(self) -> list[Returned]:
        """What came back out of it."""
        return []
