"""Who only looks into files, told by the name of its process."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING

import pytest

from vaultsync.mount.onlookers import Onlookers

if TYPE_CHECKING:
    from pathlib import Path

_SET_NAME = 15


def told(proc: Path, comm: str, *names: str, thread: str = "") -> bool:
    """Whether a process of that name, or a thread of it with a name of its own, is one."""
    for pid, name in ((7, comm), (8, thread or comm)):
        (proc / str(pid)).mkdir(parents=True)
        (proc / str(pid) / "comm").write_text(name + "\n")
        (proc / str(pid) / "status").write_text(f"Name:\t{name}\nTgid:\t7\nPid:\t{pid}\n")
    return Onlookers(names, proc)(8 if thread else 7)


@pytest.mark.parametrize(
    ("comm", "names", "looks"),
    [
        ("tumblerd", (), True),
        ("tracker-miner-f", (), True),
        ("ffmpegthumbnail", (), True),
        ("gnome-thumbnail", (), True),
        ("baloo_file_extr", (), True),
        ("cat", (), False),
        ("", (), False),
        ("my-indexer", ("my-indexer",), True),
        ("my-indexer-of-p", ("my-indexer-of-pictures",), True),
        ("my-indexer", ("my-*",), True),
        ("tumblerd", ("!tumblerd",), False),
        ("tracker-miner-f", ("!tracker-*",), False),
    ],
)
def test_names(tmp_path: Path, comm: str, names: tuple[str, ...], looks: bool) -> None:
    assert told(tmp_path, comm, *names) == looks


def test_a_thread_is_known_by_its_process(tmp_path: Path) -> None:
    assert told(tmp_path, "tumblerd", thread="pool-1")


def test_a_thread_may_be_known_by_its_own_name(tmp_path: Path) -> None:
    assert told(tmp_path, "desktop", thread="tumblerd")


def test_who_is_gone_or_unknown_is_none(tmp_path: Path) -> None:
    assert not Onlookers((), tmp_path)(7)
    assert not Onlookers((), tmp_path)(0)


def test_a_real_thread() -> None:
    found: list[bool] = []

    def run() -> None:
        ctypes.CDLL(None).prctl(_SET_NAME, b"looks-in", 0, 0, 0)
        found.append(Onlookers(["looks-in"])(threading.get_native_id()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [True]
    assert not Onlookers(["looks-in"])(os.getpid())
