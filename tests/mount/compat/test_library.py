"""Which libfuse is taken."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.mount.kernel.memory import MemoryFiles
from tests.mount.kernel.mounted import HERE, needs_fuse
from tests.mount.kernel.server import FileKeeper
from vaultsync.core.errors import MachineRefused, Misconfigured
from vaultsync.mount.compat import library
from vaultsync.mount.serving import MFUSEPY, outlives, serving


@pytest.fixture(autouse=True)
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FUSE_LIBRARY_PATH", raising=False)


def test_a_machine_without_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_NAMES", ("libnothing.so.3",))
    with pytest.raises(MachineRefused) as caught:
        serving(MFUSEPY, MemoryFiles(), FileKeeper(HERE / "nowhere"))
    assert "libfuse3-3" in caught.value.hint


def test_another_library_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSE_LIBRARY_PATH", "libc.so.6")
    with pytest.raises(MachineRefused, match=r"libc\.so\.6"):
        library.Library()


@needs_fuse
def test_libfuse3_is_taken_whatever_mfusepy_would_take() -> None:
    program = (
        "import ctypes.util, os; from vaultsync.mount.compat.library import Library;"
        "ctypes.util.find_library = lambda name: None if name == 'fuse3' else 'libc.so.6';"
        "found = Library().session.mfusepy;"
        "print(found.fuse_version_major, os.environ.get('FUSE_LIBRARY_PATH'))"
    )
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, cwd=HERE, check=True).stdout
    assert said == "3 None\n"


def test_only_the_kernel_backend_outlives_a_process() -> None:
    assert [outlives(name) for name in ("kernel", "mfusepy")] == [True, False]
    with pytest.raises(Misconfigured):
        serving("other", MemoryFiles(), FileKeeper(HERE / "nowhere"))
    assert "FUSE_LIBRARY_PATH" not in os.environ
