"""A directory that is renamed while the folder is scanned is not deleted on the other side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.worlds import DiskWorld
from tests.fakes import FakeClock, MemorySide
from tests.sync.device import Device

if TYPE_CHECKING:
    from pathlib import Path

    from tests.local.hooked import Hooked


@pytest.mark.parametrize("number", range(14))
@pytest.mark.parametrize(("old", "new"), [("m", "a"), ("m", "z")])
def test_its_files_are_never_missing_from_the_vault(
    tmp_path: Path, hooked: Hooked, number: int, old: str, new: str
) -> None:
    root = tmp_path / "folder"
    root.mkdir()
    world = DiskWorld(root, lambda: hooked.files)
    for name in ("m/1", "m/deep/2", "n/3"):
        world.put_behind(name, name.encode())
    vault = MemorySide(FakeClock(), remote=True)
    device = Device(vault, tmp_path)
    device.local = world.side  # type: ignore[assignment]
    device.crash()
    contents = {b"m/1", b"m/deep/2", b"n/3"}
    try:
        device.settle()
        assert {version.data for version in vault.files.values()} == contents

        def check(_name: str, _path: str) -> None:
            assert contents <= {version.data for version in vault.files.values()}

        vault.fault = check
        left = number

        def rename() -> None:
            nonlocal left
            if left:
                left -= 1
                hooked.before("enter", rename)
            else:
                (root / old).rename(root / new)

        hooked.before("enter", rename)
        device.settle()
        hooked.forget()
        device.settle()
    finally:
        device.close()
    assert contents <= {version.data for version in vault.files.values()}
