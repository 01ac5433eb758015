"""The twin against the real thing: the same calls, the same answers, the same errors."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.memfs.files import MemoryFiles
from tests.memfs.tree import Tree
from tests.profiles import at_most
from vaultsync.local.files import Node, SystemFiles

if TYPE_CHECKING:
    from collections.abc import Callable

YOUNG = 1_700_000_000_000_000_000
"""Times from here on are the clock's, those before it were set."""
NAMES = st.sampled_from(["a", "b", "c", "\udcff", "x" * 255, "x" * 256])
USUAL = st.sampled_from(["a", "b", "c"])
PATHS = st.sampled_from(
    [
        "",
        ".",
        "a",
        "a/",
        "a/b",
        "a/b/c",
        "b/a",
        "b//a",
        "./a",
        "a/..",
        "a/../b",
        "..",
        "b/.",
        "/",
        "a/../../x",
        "/tmp",
        "x" * 256,
        "a/" * 2048,
    ]
)


class Same(RuleBasedStateMachine):
    """Both file systems, and descriptors of either in step."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="twin-"))
        self.place.chmod(0o755)
        self.real = SystemFiles()
        self.twin = MemoryFiles(Tree(lambda: 2 * YOUNG))
        self.twin.mask = self.real.umask()
        self.numbers: dict[int, int] = {}
        top = self.real.top(self.place), self.twin.top(Path("/"))
        self.directories = [top]
        self.files: list[tuple[int, int]] = []

    def teardown(self) -> None:
        for real, twin in self.directories + self.files:
            self.real.close(real)
            self.twin.close(twin)
        assert self.twin.open_descriptors == 0
        shutil.rmtree(self.place)

    def both(self, call: Callable[[SystemFiles | MemoryFiles, int], Any]) -> tuple[Any, Any] | None:
        """The two results; None when both failed in the same way."""
        results: list[Any] = []
        codes: list[int | None] = []
        sides: list[SystemFiles | MemoryFiles] = [self.real, self.twin]
        for index, files in enumerate(sides):
            try:
                results.append(call(files, index))
                codes.append(None)
            except OSError as fault:
                codes.append(fault.errno)
        assert codes[0] == codes[1], [code and errno.errorcode[code] for code in codes]
        return None if codes[0] is not None else (results[0], results[1])

    def directory(self, data: st.DataObject) -> tuple[int, int]:
        return data.draw(st.sampled_from(self.directories))

    def anything(self, data: st.DataObject) -> tuple[int, int]:
        return data.draw(st.sampled_from(self.directories + self.files))

    def same_node(self, one: Node, other: Node) -> None:
        assert one.mode == other.mode
        assert one.is_directory or (one.size, one.links) == (other.size, other.links)
        assert _time(one.mtime_ns) == _time(other.mtime_ns)
        assert self.numbers.setdefault(one.ino, other.ino) == other.ino

    def forget_numbers(self) -> None:
        """A number may be given out again from now on."""
        self.numbers.clear()

    @rule(data=st.data(), path=PATHS)
    def enter(self, data: st.DataObject, path: str) -> None:
        at = self.anything(data)
        found = self.both(lambda files, index: files.enter(at[index], path))
        if found is not None:
            self.directories.append(found)

    @rule(data=st.data(), name=NAMES)
    def open(self, data: st.DataObject, name: str) -> None:
        at = self.anything(data)
        found = self.both(lambda files, index: files.open(at[index], name))
        if found is not None:
            kinds = self.real.fstat(found[0]), self.twin.fstat(found[1])
            (self.directories if kinds[0].is_directory else self.files).append(found)

    @rule(data=st.data(), name=NAMES)
    def create(self, data: st.DataObject, name: str) -> None:
        at = self.anything(data)
        found = self.both(lambda files, index: files.create(at[index], name))
        if found is not None:
            self.files.append(found)

    @rule(data=st.data(), name=NAMES)
    def append(self, data: st.DataObject, name: str) -> None:
        at = self.anything(data)
        found = self.both(lambda files, index: files.append(at[index], name))
        if found is not None:
            self.files.append(found)

    @precondition(lambda self: len(self.directories + self.files) > 1)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        pair = data.draw(st.sampled_from((self.directories + self.files)[1:]))
        (self.directories if pair in self.directories else self.files).remove(pair)
        self.both(lambda files, index: files.close(pair[index]))
        self.forget_numbers()
        if not self.directories:
            self.directories.append((self.real.top(self.place), self.twin.top(Path("/"))))

    @rule(data=st.data(), offset=st.integers(0, 5), length=st.integers(0, 20))
    def read(self, data: st.DataObject, offset: int, length: int) -> None:
        at = self.anything(data)
        found = self.both(lambda files, index: files.read(at[index], offset, length))
        assert found is None or found[0] == found[1]

    @rule(data=st.data(), what=st.binary(max_size=6))
    def write(self, data: st.DataObject, what: bytes) -> None:
        at = self.anything(data)
        if what:
            self.both(lambda files, index: files.write(at[index], what))

    @rule(data=st.data())
    def sync(self, data: st.DataObject) -> None:
        at = self.anything(data)
        self.both(lambda files, index: files.sync(at[index]))

    @rule(data=st.data(), name=NAMES)
    def stat(self, data: st.DataObject, name: str) -> None:
        at = self.anything(data)
        found = self.both(lambda files, index: files.stat(at[index], name))
        if found is not None:
            self.same_node(*found)

    @rule(data=st.data())
    def fstat(self, data: st.DataObject) -> None:
        at = self.anything(data)
        found = self.both(lambda files, index: files.fstat(at[index]))
        assert found is not None
        self.same_node(*found)

    @rule(data=st.data())
    def names(self, data: st.DataObject) -> None:
        at = self.anything(data)
        found = self.both(lambda files, index: files.names(at[index]))
        if found is not None:
            for one, other in zip(*found, strict=True):
                assert sorted(one) == sorted(other)

    @rule(
        data=st.data(),
        how=st.sampled_from(["move", "rename", "exchange", "link"]),
        name=NAMES,
        new=NAMES,
    )
    def odd_pair(self, data: st.DataObject, how: str, name: str, new: str) -> None:
        self.pair(data, how, name, new)

    @rule(
        data=st.data(),
        how=st.sampled_from(["move", "rename", "exchange", "link"]),
        name=USUAL,
        new=USUAL,
    )
    def pair(self, data: st.DataObject, how: str, name: str, new: str) -> None:
        one, other = self.directory(data), self.directory(data)
        self.both(lambda files, index: getattr(files, how)(one[index], name, other[index], new))
        self.forget_numbers()

    @rule(data=st.data(), how=st.sampled_from(["unlink", "rmdir"]), name=NAMES)
    def remove(self, data: st.DataObject, how: str, name: str) -> None:
        at = self.anything(data)
        self.both(lambda files, index: getattr(files, how)(at[index], name))
        self.forget_numbers()

    @rule(data=st.data(), name=NAMES, mode=st.sampled_from([0o777, 0o700, 0o1750]))
    def mkdir(self, data: st.DataObject, name: str, mode: int) -> None:
        at = self.anything(data)
        self.both(lambda files, index: files.mkdir(at[index], name, mode))

    @rule(data=st.data(), name=USUAL)
    def populate(self, data: st.DataObject, name: str) -> None:
        """A directory that is held open: what most errors need."""
        at = self.directory(data)
        self.both(lambda files, index: files.mkdir(at[index], name, 0o755))
        self.enter_one(at, name)

    def enter_one(self, at: tuple[int, int], name: str) -> None:
        found = self.both(lambda files, index: files.enter(at[index], name))
        if found is not None:
            self.directories.append(found)

    @rule(
        data=st.data(),
        name=NAMES,
        says=st.sampled_from([b"a", b"..", b"/", b"\xff", b"", b"t" * 4095, b"t" * 4096]),
    )
    def symlink(self, data: st.DataObject, name: str, says: bytes) -> None:
        at = self.anything(data)
        self.both(lambda files, index: files.symlink(at[index], name, says))

    @rule(data=st.data(), name=NAMES)
    def readlink(self, data: st.DataObject, name: str) -> None:
        at = self.anything(data)
        found = self.both(lambda files, index: files.readlink(at[index], name))
        assert found is None or found[0] == found[1]

    @rule(data=st.data(), mode=st.sampled_from([0o600, 0o755, 0o4755]))
    def chmod(self, data: st.DataObject, mode: int) -> None:
        at = self.anything(data)
        self.both(lambda files, index: files.chmod(at[index], mode))

    @rule(data=st.data(), when=st.integers(-1_000_000_000, YOUNG - 1))
    def utime(self, data: st.DataObject, when: int) -> None:
        at = self.anything(data)
        self.both(lambda files, index: files.utime(at[index], when))

    @rule(data=st.data(), name=NAMES, when=st.integers(0, YOUNG - 1))
    def utime_link(self, data: st.DataObject, name: str, when: int) -> None:
        at = self.anything(data)
        self.both(lambda files, index: files.utime_link(at[index], name, when))

    @invariant()
    def trees_are_equal(self) -> None:
        seen = {os.path.relpath(path, self.place) for path, _, _ in os.walk(self.place)} - {"."}
        played = set()
        left = [("", self.twin.tree.root)]
        while left:
            path, inode = left.pop()
            for name, below in inode.entries.items():
                if below.is_directory:
                    played.add(path + name)
                    left.append((f"{path}{name}/", below))
        assert seen == played


def _time(mtime_ns: int) -> int:
    return min(mtime_ns, YOUNG)


TestSame = Same.TestCase
TestSame.settings = at_most(300)
