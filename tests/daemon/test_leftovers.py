"""Uploads of files that went while nothing was running are given up at the next start."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tests.fakes import FakeClock, MemorySide
from vaultsync.core.errors import Blocked
from vaultsync.daemon import leftovers

if TYPE_CHECKING:
    from vaultsync.core.ports import Side
    from vaultsync.remote.bucket import Bucket


class Begun:
    """A bucket with unfinished uploads of some paths."""

    def __init__(self, *paths: str) -> None:
        self.paths = list(paths)

    def tidy(self, wanted: object) -> None:
        assert callable(wanted)
        self.paths = [path for path in self.paths if wanted(path)]


class Broken:
    def tidy(self, wanted: object) -> None:
        raise Blocked("no")


def folder() -> Side:
    side = MemorySide(FakeClock())
    side.write("here", b"x")
    side.write("ignored", b"x")
    return cast("Side", side)


def test_what_is_gone_or_ignored_is_not_wanted() -> None:
    begun = Begun("gone", "here", "ignored")
    leftovers.give_up(cast("Bucket", begun), folder(), lambda path: path == "ignored")
    assert begun.paths == ["here"]


def test_a_fault_is_left_to_the_next_start() -> None:
    leftovers.give_up(cast("Bucket", Broken()), folder(), lambda _path: False)
