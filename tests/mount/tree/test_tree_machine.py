"""The tree and a plain directory go through the same operations and must not differ."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from tests.mount.tree.world import ME, TYPES, World
from tests.profiles import at_most
from vaultsync.mount.ports import ROOT, Changes, Node, NodeKind

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")

NAMES = st.sampled_from([b"a", b"b", b"c", b"d", "é".encode(), b"\xff"])
ANY_NAMES = st.one_of(NAMES, st.sampled_from([b"n" * 255, b"n" * 256]))
WHERE = st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=2)
# Few places, so that most operations meet something.
PLACES = st.one_of(
    st.sampled_from([[b"a"], [b"d"], [b"e"], [b"a", b"b"], [b"a", b"d"], [b"b", b"c"]]),
    st.builds(lambda folders, name: [*folders, name], WHERE, NAMES),
)
ANY_PLACES = st.builds(lambda folders, name: [*folders, name], WHERE, ANY_NAMES)
MODES = st.sampled_from([0o644, 0o755, 0o600, 0o4755, 0o2755, 0o2745, 0o6777, 0o1777])
OWNERS = st.sampled_from([None, 0, 1, 1000])
SIZES = st.sampled_from([0, 1, 5, 100, 4095, 4096, 4097, 20_000])
DATA = st.binary(min_size=0, max_size=20)
TIMES = st.sampled_from([0, 1, 10**18 + 1, 1_700_000_000_123_456_789, 2_100_000_000 * 10**9])
_libc = ctypes.CDLL(None, use_errno=True)


def _renameat2(old: bytes, new: bytes, flags: int) -> None:
    if _libc.renameat2(-100, old, -100, new, flags):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    call = _libc.fallocate
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    if call(descriptor, mode, offset, length):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _outcome(do: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "ok", do()
    except OSError as error:
        return "error", error.errno


class Twins(RuleBasedStateMachine):
    """One operation at a time, on both."""

    opened = Bundle("opened")

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="twins-"))
        self.real = os.fsencode(self.base / "real")
        os.mkdir(self.real)
        os.chmod(self.real, 0o755)
        self.world = World(self.base / "drive")
        self.tree = self.world.tree
        self.counts: dict[int, int] = {}
        self.open: dict[int, int] = {}
        self.descriptors: set[int] = set()
        self.umask = os.umask(0)
        # Directories count their directories, except on some file systems.
        self.links = os.stat(self.real).st_nlink == 2

        for place in ([b"a"], [b"b"], [b"a", b"b"], [b"b", b"c"]):
            os.mkdir(self._path(place), 0o755)
            self._held(self.tree.mkdir(ME, *self._place(place), 0o755))

    def teardown(self) -> None:
        os.umask(self.umask)
        self.world.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        shutil.rmtree(self.base)

    # Both ways to name a thing

    def _path(self, place: list[bytes]) -> bytes:
        """The real path; links in it are not followed: that is the kernel's, above both."""
        path = self.real
        for name in place[:-1]:
            path += b"/" + name
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return path + b"/" + place[-1]

    def _look(self, parent: int, name: bytes) -> Node:
        node = self.tree.lookup(parent, name)
        self.counts[node.id] = self.counts.get(node.id, 0) + 1
        return node

    def _walk(self, place: list[bytes]) -> int:
        number = ROOT
        for name in place:
            number = self._look(number, name).id
        return number

    def _place(self, place: list[bytes]) -> tuple[int, bytes]:
        parent = self._walk(place[:-1])
        if self.tree.getattr(parent).kind is not NodeKind.DIR:  # as the kernel finds on its way
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return parent, place[-1]

    def _held(self, node: Node) -> None:
        self.counts[node.id] = self.counts.get(node.id, 0) + 1

    def _same(self, ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[str, Any]:
        mine, other = _outcome(ours), _outcome(theirs)
        assert mine[0] == other[0], (mine, other)
        if mine[0] == "error":
            assert mine == other, (mine, other)
        return mine

    @initialize(target=opened)
    def start(self) -> tuple[int, int, int] | None:
        """There is a file with two names, and it is open."""
        file = self._created([b"d"], 0, 0o6755)
        self._linked([b"d"], [b"e"])
        return file

    # Names

    @rule(place=ANY_PLACES, mode=MODES)
    def mkdir(self, place: list[bytes], mode: int) -> None:
        def theirs() -> None:
            os.mkdir(self._path(place), mode & 0o1777)

        self._same(
            lambda: self._held(self.tree.mkdir(ME, *self._place(place), mode & 0o1777)), theirs
        )

    @rule(place=PLACES, kind=st.sampled_from([stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK]))
    def mknod(self, place: list[bytes], kind: int) -> None:
        self._same(
            lambda: self._held(self.tree.mknod(ME, *self._place(place), kind | 0o640, 0)),
            lambda: os.mknod(self._path(place), kind | 0o640),
        )

    @rule(place=PLACES, words=st.sampled_from([b"a", b"x/y", b"\xff"]))
    def symlink(self, place: list[bytes], words: bytes) -> None:
        self._same(
            lambda: self._held(self.tree.symlink(ME, *self._place(place), words)),
            lambda: os.symlink(words, self._path(place)),
        )

    @rule(old=PLACES, new=PLACES)
    def link(self, old: list[bytes], new: list[bytes]) -> None:
        self._linked(old, new)

    def _linked(self, old: list[bytes], new: list[bytes]) -> None:
        def ours() -> None:
            self._held(self.tree.link(ME, self._walk(old), *self._place(new)))

        def theirs() -> None:
            os.lstat(self._path(old))
            os.link(self._path(old), self._path(new), follow_symlinks=False)

        self._same(ours, theirs)

    @rule(place=ANY_PLACES)
    def unlink(self, place: list[bytes]) -> None:
        self._same(
            lambda: self.tree.unlink(ME, *self._place(place)),
            lambda: os.unlink(self._path(place)),
        )

    @rule(place=PLACES)
    def rmdir(self, place: list[bytes]) -> None:
        self._same(
            lambda: self.tree.rmdir(ME, *self._place(place)), lambda: os.rmdir(self._path(place))
        )

    @rule(old=PLACES, new=PLACES, flags=st.sampled_from([0, 0, 1, 2]))
    def rename(self, old: list[bytes], new: list[bytes], flags: int) -> None:
        def ours() -> None:
            parent, name = self._place(old)
            new_parent, new_name = self._place(new)
            self.tree.rename(ME, parent, name, new_parent, new_name, flags)

        self._same(ours, lambda: _renameat2(self._path(old), self._path(new), flags))

    # Files

    @rule(
        target=opened,
        place=PLACES,
        extra=st.sampled_from([0, os.O_EXCL, os.O_TRUNC]),
        mode=MODES,
    )
    def create(self, place: list[bytes], extra: int, mode: int) -> tuple[int, int, int] | None:
        return self._created(place, extra, mode)

    def _created(self, place: list[bytes], extra: int, mode: int) -> tuple[int, int, int] | None:
        flags = os.O_RDWR | os.O_CREAT | extra
        with suppress(OSError):
            if not stat.S_ISREG(os.lstat(self._path(place)).st_mode):
                return None  # the kernel knows by itself what to do with these
        descriptors: list[int] = []

        def ours() -> tuple[int, int]:
            node, handle = self.tree.create(ME, *self._place(place), mode, flags)
            self._held(node)
            return node.id, handle

        def theirs() -> None:
            descriptors.append(os.open(self._path(place), flags, mode))

        verdict, made = self._same(ours, theirs)
        if verdict != "ok":
            return None
        node, handle = made
        self.open[node] = self.open.get(node, 0) + 1
        self.descriptors.add(descriptors[0])
        return node, handle, descriptors[0]

    @rule(file=consumes(opened))
    def close(self, file: tuple[int, int, int] | None) -> None:
        if file:
            node, handle, descriptor = file
            self.tree.flush(node, handle)
            self.tree.release(node, handle)
            os.close(descriptor)
            self.descriptors.discard(descriptor)
            self.open[node] -= 1

    @rule(file=opened, offset=SIZES, data=DATA)
    def write(self, file: tuple[int, int, int] | None, offset: int, data: bytes) -> None:
        if file:
            node, handle, descriptor = file
            self._same(
                lambda: self.tree.write(
                    node, handle, offset, memoryview(data), wait=False, kill=False
                ),
                lambda: os.pwrite(descriptor, data, offset),
            )

    @rule(file=opened, offset=SIZES, size=SIZES)
    def read(self, file: tuple[int, int, int] | None, offset: int, size: int) -> None:
        if file:
            node, handle, descriptor = file
            assert self.tree.read(node, handle, offset, size, wait=False) == os.pread(
                descriptor, size, offset
            )

    @rule(
        file=opened,
        mode=st.sampled_from([0, 1, 2, 3, 16, 17, 8]),
        offset=st.sampled_from([-1, 0, 10, 4096, 8192]),
        length=st.sampled_from([0, 1, 4096, 9000]),
    )
    def fallocate(
        self, file: tuple[int, int, int] | None, mode: int, offset: int, length: int
    ) -> None:
        if file and mode != 8:
            node, handle, descriptor = file
            self._same(
                lambda: self.tree.fallocate(
                    node, handle, mode, offset, length, wait=False, kill=False
                ),
                lambda: _fallocate(descriptor, mode, offset, length),
            )

    @rule(file=opened, whence=st.sampled_from([os.SEEK_DATA, os.SEEK_HOLE]), offset=SIZES)
    def seek(self, file: tuple[int, int, int] | None, whence: int, offset: int) -> None:
        if file:
            node, handle, descriptor = file
            mine = _outcome(lambda: self.tree.lseek(node, handle, offset, whence))
            other = _outcome(lambda: os.lseek(descriptor, offset, whence))
            if offset >= os.fstat(descriptor).st_size:
                assert mine == other
            elif mine[0] == "ok":  # where holes are is the file system's to choose
                assert offset <= mine[1] <= os.fstat(descriptor).st_size

    @rule(source=opened, other=opened, offset=SIZES, to=SIZES, length=SIZES)
    def copy(
        self,
        source: tuple[int, int, int] | None,
        other: tuple[int, int, int] | None,
        offset: int,
        to: int,
        length: int,
    ) -> None:
        if source and other:
            data = os.pread(source[2], length, offset)
            if source[0] == other[0] and offset < to + len(data) and to < offset + len(data):
                return
            copied = self.tree.copy_file_range(
                source[0], offset, other[0], to, length, wait=False, kill=False
            )
            assert copied == len(data)
            if data:
                os.pwrite(other[2], data, to)

    @rule(file=opened, size=SIZES)
    def ftruncate(self, file: tuple[int, int, int] | None, size: int) -> None:
        if file:
            node, _, descriptor = file
            self.tree.setattr(ME, node, Changes(size=size), wait=False)
            os.ftruncate(descriptor, size)

    @rule(file=opened)
    def same_open(self, file: tuple[int, int, int] | None) -> None:
        if file:
            node, handle, descriptor = file
            self._compare(self.tree.getattr(node), os.fstat(descriptor))
            size = os.fstat(descriptor).st_size
            assert self.tree.read(node, handle, 0, size + 1, wait=False) == os.pread(
                descriptor, size + 1, 0
            )

    # Attributes

    @rule(place=PLACES, mode=st.integers(0, 0o7777))
    def chmod(self, place: list[bytes], mode: int) -> None:
        def ours() -> None:
            node = self._walk(place)
            if self.tree.getattr(node).target is None:
                self.tree.setattr(ME, node, Changes(mode=mode), wait=False)

        def theirs() -> None:
            if not stat.S_ISLNK(os.lstat(self._path(place)).st_mode):
                os.chmod(self._path(place), mode)

        self._same(ours, theirs)

    @rule(place=PLACES, uid=OWNERS, gid=OWNERS)
    def chown(self, place: list[bytes], uid: int | None, gid: int | None) -> None:
        self._same(
            lambda: self.tree.setattr(ME, self._walk(place), Changes(uid=uid, gid=gid), wait=False),
            lambda: os.lchown(
                self._path(place), -1 if uid is None else uid, -1 if gid is None else gid
            ),
        )

    @rule(place=PLACES, atime=TIMES, mtime=TIMES)
    def utimens(self, place: list[bytes], atime: int, mtime: int) -> None:
        self._same(
            lambda: self.tree.setattr(
                ME, self._walk(place), Changes(atime=atime, mtime=mtime), wait=False
            ),
            lambda: os.utime(self._path(place), ns=(atime, mtime), follow_symlinks=False),
        )

    # The kernel and the process

    @rule()
    def forget(self) -> None:
        """The kernel forgets all but what is open."""
        for number in list(self.counts):
            if not self.open.get(number):
                self.tree.forget(number, self.counts.pop(number))

    @rule(file=opened)
    def flush(self, file: tuple[int, int, int] | None) -> None:
        if file:
            self.tree.flush(file[0], file[1])

    @rule()
    def restart(self) -> None:
        """A new process goes on, with the handles of the old one."""
        self.world.kill()
        self.tree = self.world.tree

    @invariant()
    def same(self) -> None:
        self._level(ROOT, self.real)

    def _level(self, number: int, path: bytes) -> None:
        handle = self.tree.opendir(number)
        mine = {
            name: node
            for name, node, _ in self.tree.readdir(number, handle, 0, plus=False)
            if name not in (b".", b"..")
        }
        self.tree.releasedir(number, handle)
        assert set(mine) == set(os.listdir(path))
        self._compare(self.tree.getattr(number), os.lstat(path))
        for name, node in mine.items():
            place = path + b"/" + name
            real = os.lstat(place)
            self._compare(node, real)
            if stat.S_ISDIR(real.st_mode):
                self._level(node.id, place)
            elif stat.S_ISLNK(real.st_mode):
                assert self.tree.readlink(node.id) == os.readlink(place)
            elif stat.S_ISREG(real.st_mode):
                with open(place, "rb") as file:
                    assert self.tree.read(node.id, 0, 0, 1 << 20, wait=False) == file.read()

    def _compare(self, mine: Node, real: os.stat_result) -> None:
        assert TYPES[mine.kind] == stat.S_IFMT(real.st_mode)
        assert oct(mine.mode) == oct(stat.S_IMODE(real.st_mode))
        assert (mine.uid, mine.gid) == (real.st_uid, real.st_gid)
        if self.links or not stat.S_ISDIR(real.st_mode):
            assert mine.nlink == real.st_nlink
        if not stat.S_ISDIR(real.st_mode):
            assert mine.size == real.st_size
        # Both happened at nearly the same moment, or somebody set the same moment.
        for ours, theirs in ((mine.mtime, real.st_mtime_ns), (mine.ctime, real.st_ctime_ns)):
            assert abs(ours - theirs) < 10 * 10**9


TestTwins = Twins.TestCase
TestTwins.settings = at_most(200)
