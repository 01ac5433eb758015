"""Files that never hold still, between two real daemons."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.conftest import Household

pytestmark = pytest.mark.timeout(240)

LINE = b"line %08d\n"


@contextmanager
def appending(path: Path, rate: float, burst: int = 1) -> Iterator[None]:
    """A program that appends to a log, so many times a second, and never closes it."""
    ending = threading.Event()

    def write() -> None:
        number = 0
        with path.open("ab", buffering=0) as log:
            while not ending.wait(1 / rate):
                log.write(b"".join(LINE % (number + k) for k in range(burst)))
                number += burst

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ending.set()
        writer.join()


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"waited in vain for {what}"
        threading.Event().wait(0.1)


def is_log(data: bytes) -> bool:
    """Whether these are the first lines of the log, whole up to the last one."""
    size = len(LINE % 0)
    return data == b"".join(LINE % number for number in range(len(data) // size))


def test_other_files_do_not_wait_for_a_log(household: Household) -> None:
    laptop, desktop = household
    household.up()
    with appending(laptop.folder / "log", 20):
        for number in range(40):
            laptop.write(f"work/{number}.txt", f"{number}\n")
        wait_for(
            lambda: all((desktop.folder / f"work/{number}.txt").exists() for number in range(40)),
            60,
            "the other files",
        )
    files = household.same()
    assert is_log(files["log"])
    assert files["log"]
    assert len(files) == 41, "no conflict copies"


def test_a_log_that_cannot_be_caught_at_rest_arrives_all_the_same(household: Household) -> None:
    """Written to so fast that no reading of it is undisturbed."""
    laptop, desktop = household
    household.up()
    with appending(laptop.folder / "log", 400, burst=300):
        copy = desktop.folder / "log"
        wait_for(lambda: copy.exists() and copy.stat().st_size > 0, 120, "a snapshot of the log")
        assert is_log(copy.read_bytes())
    files = household.same()
    assert is_log(files["log"])
    assert files.keys() == {"log"}
