"""What is in a folder, visible or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.worlds import DiskWorld
    from vaultsync.core.model import Entry


def look(world: DiskWorld, path: str) -> Entry:
    """The entry at a path, with its digest."""
    entry = world.disk.look(path)
    assert entry is not None
    return world.disk.identify(path, entry)


def shown(root: Path) -> dict[str, bytes]:
    """The files that a person sees."""
    return {
        str(file.relative_to(root)): file.read_bytes()
        for file in sorted(root.rglob("*"))
        if file.is_file() and ".vaultsync" not in file.parts
    }


def hidden(root: Path, place: str) -> list[bytes]:
    """Contents of the files in `.vaultsync/<place>`."""
    return sorted(
        file.read_bytes() for file in (root / ".vaultsync" / place).rglob("*") if file.is_file()
    )
