"""The loop, with a socket in the kernel's place."""

from __future__ import annotations

import errno
import os
import random
import socket
import stat
import subprocess
import threading
from struct import pack, unpack_from
from typing import TYPE_CHECKING, Any

import pytest

from tests.mount.kernel.memory import NOBODY, MemoryFiles
from vaultsync.core.errors import MachineRefused
from vaultsync.mount.kernel import kernel, wire
from vaultsync.mount.kernel.kernel import Kernel
from vaultsync.mount.ports import ROOT, Caller, Node, WouldBlock

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 20.0
AGREED = wire.Agreed(minor=40, flags=wire.HAS_RESEND, max_write=1 << 20, readahead=1 << 20)
GONE = (1 << 22) + 1
"""No process has this number: it is above what Linux gives."""


class Kept:
    def __init__(self, agreed: wire.Agreed | None = None) -> None:
        self.agreed = agreed

    def load(self) -> wire.Agreed | None:
        return self.agreed

    def save(self, agreed: wire.Agreed) -> None:
        self.agreed = agreed


class Wire:
    """A Kernel that serves, and what the kernel would do."""

    def __init__(
        self, files: MemoryFiles, kept: Kept | None = None, *, fresh: bool = True, threads: int = 4
    ) -> None:
        self.files = files
        self.kept = kept or Kept()
        self.kernel = Kernel(files, self.kept, threads=threads)
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.settimeout(LIMIT)
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._serve, args=(fresh,), daemon=True)
        self._thread.start()
        self._unique = 0

    def _serve(self, fresh: bool) -> None:
        try:
            self.kernel.serve(self.theirs.fileno(), fresh=fresh)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def send(
        self,
        opcode: int,
        body: bytes = b"",
        *,
        node: int = ROOT,
        unique: int | None = None,
        pid: int = GONE,
    ) -> int:
        if unique is None:
            self._unique += 2
            unique = self._unique
        header = pack("<IIQQIIII", 40 + len(body), opcode, unique, node, 0, 0, pid, 0)
        self.ours.send(header + body)
        return unique

    def answer(self) -> tuple[int, int, bytes]:
        """The next message: its number, its errno, its body."""
        said = self.ours.recv(1 << 21)
        length, number, unique = unpack_from("<IiQ", said)
        assert length == len(said)
        return unique, -number, said[16:]

    def ask(self, opcode: int, body: bytes = b"", **options: Any) -> tuple[int, bytes]:
        unique = self.send(opcode, body, **options)
        answered, number, said = self.answer()
        assert answered == unique
        return number, said

    def ended(self) -> None:
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self.files.gate.set()
        self.kernel.close()
        self.ended()
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def files() -> MemoryFiles:
    return MemoryFiles()


@pytest.fixture
def wired(files: MemoryFiles) -> Iterator[Wire]:
    wired = Wire(files)
    yield wired
    wired.close()


def a_file(files: MemoryFiles, name: bytes = b"file", content: bytes = b"content") -> Node:
    node, handle = files.create(NOBODY, ROOT, name, 0o644, os.O_EXCL)
    files.write(node.id, handle, 0, memoryview(content), wait=True)
    return node


def reading(size: int = 100) -> bytes:
    return pack("<QQIIQII", 5, 0, size, 0, 0, 0, 0)


def test_answers(wired: Wire, files: MemoryFiles) -> None:
    node = a_file(files)

    number, said = wired.ask(wire.LOOKUP, b"file\0")

    assert number == 0
    assert unpack_from("<Q", said) == (node.id,)
    assert wired.ask(wire.READ, reading(), node=node.id) == (0, b"content")


def test_error_is_answered(wired: Wire) -> None:
    assert wired.ask(wire.UNLINK, b"nothing\0") == (errno.ENOENT, b"")
    assert wired.ask(wire.GETATTR, bytes(16), node=99) == (errno.ENOENT, b"")


@pytest.mark.parametrize("opcode", [wire.STATX, 31, 32, 34, 37, 40, 48, 50, 51, 4096, 1 << 31])
def test_what_is_not_known_is_refused(wired: Wire, opcode: int) -> None:
    assert wired.ask(opcode, bytes(64)) == (errno.ENOSYS, b"")


@pytest.mark.parametrize(
    "raised", [KeyError("a fault of ours"), OSError("no number"), OSError(524, "too large")]
)
def test_any_fault_is_eio_and_the_loop_lives_on(
    wired: Wire, files: MemoryFiles, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    def fail(_node: int) -> Node:
        raise raised

    monkeypatch.setattr(files, "getattr", fail)

    assert wired.ask(wire.GETATTR, bytes(16)) == (errno.EIO, b"")
    assert wired.ask(wire.LOOKUP, b"nothing\0")[0] == 0


def test_fault_of_ours_is_logged(
    wired: Wire,
    files: MemoryFiles,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_node: int) -> Node:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(files, "getattr", fail)
    wired.ask(wire.GETATTR, bytes(16))

    assert caplog.records[0].exc_info is not None
    assert "a fault of ours" in caplog.text


@pytest.mark.parametrize("seed", range(3))
def test_nothing_that_comes_ends_the_loop(wired: Wire, seed: int) -> None:
    chance = random.Random(seed)
    ends = {wire.INIT, wire.DESTROY}
    # These move as many bytes as they are told to.
    heavy = {wire.WRITE, wire.SETATTR, wire.FALLOCATE, wire.COPY_FILE_RANGE, wire.READ}
    silent = {wire.INTERRUPT, wire.FORGET, wire.BATCH_FORGET}
    for opcode in set(range(60)) - ends - heavy - silent:
        for _ in range(20):
            body = chance.randbytes(chance.randrange(200)) + bytes(chance.randrange(2))
            wired.ask(opcode, body, node=chance.randrange(4))
    for opcode in silent - {wire.BATCH_FORGET}:
        wired.send(opcode, chance.randbytes(8))

    assert wired.ask(wire.LOOKUP, b"nothing\0")[0] == 0


def test_who_waits_holds_nobody_up(wired: Wire, files: MemoryFiles) -> None:
    node = a_file(files)
    files.cold.add(node.id)

    waits = wired.send(wire.READ, reading(), node=node.id)
    assert files.entered.wait(LIMIT)
    assert wired.ask(wire.LOOKUP, b"nothing\0")[0] == 0
    files.gate.set()

    assert wired.answer() == (waits, 0, b"content")


def test_fault_in_the_pool_is_answered(
    wired: Wire, files: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any, wait: bool) -> bytes:
        if wait:
            raise KeyError("a fault of ours")
        raise WouldBlock

    monkeypatch.setattr(files, "read", fail)

    assert wired.ask(wire.READ, reading()) == (errno.EIO, b"")


def test_long_messages_that_wait_keep_their_bytes(wired: Wire, files: MemoryFiles) -> None:
    nodes = [a_file(files, b"%d" % index, b"") for index in range(8)]
    files.cold.update(node.id for node in nodes)
    for _ in range(3):
        content = [os.urandom(60_000) for _ in nodes]
        for node, data in zip(nodes, content, strict=True):
            head = pack("<QQIIQII", 5, 0, len(data), 0, 0, 0, 0)
            wired.send(wire.WRITE, head + data, node=node.id)
        answers = [wired.answer() for _ in nodes]
        assert all(number == 0 for _, number, _ in answers)
        written = [bytes(files._bytes[node.id]) for node in nodes]
        assert written == content


def test_setuid_is_taken_away_when_the_kernel_says_so(wired: Wire, files: MemoryFiles) -> None:
    node = a_file(files, b"name", b"")
    files.kills.clear()
    for how in (0, wire.WRITE_KILL_SUIDGID):
        head = pack("<QQIIQII", 5, 0, 3, how, 0, 0, 0)
        assert wired.ask(wire.WRITE, head + b"abc", node=node.id)[0] == 0
    for how in (0, wire.OPEN_KILL_SUIDGID):
        assert wired.ask(wire.OPEN, pack("<II", os.O_RDWR, how), node=node.id)[0] == 0

    assert files.kills == [False, True, False, True]


def test_more_wait_than_there_are_threads(files: MemoryFiles) -> None:
    wired = Wire(files, threads=1)
    node = a_file(files)
    files.cold.add(node.id)

    sent = [wired.send(wire.READ, reading(), node=node.id) for _ in range(5)]
    assert files.entered.wait(LIMIT)
    files.gate.set()

    assert [wired.answer() for _ in sent] == [(unique, 0, b"content") for unique in sent]
    wired.close()


def test_fsync(wired: Wire, files: MemoryFiles) -> None:
    assert wired.ask(wire.FSYNC, pack("<QII", 5, 0, 0), node=ROOT) == (0, b"")
    assert files.synced == [ROOT]


# Interrupts


def interrupt(wired: Wire, unique: int) -> None:
    wired.send(wire.INTERRUPT, pack("<Q", unique), unique=unique | 1)


def test_who_is_killed_need_not_wait(files: MemoryFiles) -> None:
    wired = Wire(files, threads=1)
    node = a_file(files)
    files.cold.add(node.id)
    runs = wired.send(wire.READ, reading(), node=node.id)
    assert files.entered.wait(LIMIT)
    waits = wired.send(wire.FSYNC, pack("<QII", 5, 0, 0), node=node.id)

    interrupt(wired, waits)
    assert wired.answer() == (waits, errno.EINTR, b"")
    interrupt(wired, runs)
    assert wired.answer() == (runs, errno.EINTR, b"")

    # The end of the read is answered to nobody, and the sync has never begun.
    files.gate.set()
    assert wired.ask(wire.FSYNC, pack("<QII", 5, 0, 0), node=ROOT) == (0, b"")
    assert files.synced == [ROOT]
    wired.close()


def test_signal_that_does_not_kill_breaks_nothing_off(wired: Wire, files: MemoryFiles) -> None:
    node = a_file(files)
    files.cold.add(node.id)
    waits = wired.send(wire.READ, reading(), node=node.id, pid=os.getpid())
    assert files.entered.wait(LIMIT)

    interrupt(wired, waits)
    assert wired.ask(wire.LOOKUP, b"nothing\0")[0] == 0
    files.gate.set()

    assert wired.answer() == (waits, 0, b"content")


def test_write_that_has_begun_is_not_broken_off(
    wired: Wire, files: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Event(), threading.Event()

    def write(*_arguments: Any, wait: bool, kill: bool) -> int:
        if not wait:
            raise WouldBlock
        begun.set()
        assert go.wait(LIMIT)
        return 3

    monkeypatch.setattr(files, "write", write)
    sent = wired.send(wire.WRITE, pack("<QQIIQII", 5, 0, 3, 0, 0, 0, 0) + b"abc")
    assert begun.wait(LIMIT)
    interrupt(wired, sent)
    assert wired.ask(wire.LOOKUP, b"nothing\0")[0] == 0
    go.set()

    assert wired.answer() == (sent, 0, pack("<II", 3, 0))


def test_interrupt_of_what_is_answered_is_ignored(wired: Wire) -> None:
    interrupt(wired, 2)

    assert wired.ask(wire.LOOKUP, b"nothing\0")[0] == 0


# Requests that come again

AGAIN: dict[str, tuple[int, bytes]] = {
    "symlink": (wire.SYMLINK, b"new\0target\0"),
    "mknod": (wire.MKNOD, pack("<IIII", stat.S_IFREG | 0o600, 0, 0, 0) + b"new\0"),
    "mkdir": (wire.MKDIR, pack("<II", 0o700, 0) + b"new\0"),
    "link": (wire.LINK, pack("<Q", 2) + b"new\0"),
    "create": (
        wire.CREATE,
        pack("<IIII", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600, 0, 0) + b"new\0",
    ),
    "unlink": (wire.UNLINK, b"file\0"),
    "rmdir": (wire.RMDIR, b"dir\0"),
    "rename": (wire.RENAME, pack("<Q", ROOT) + b"file\0new\0"),
    "rename2": (wire.RENAME2, pack("<QII", ROOT, 1, 0) + b"file\0new\0"),
    "setxattr": (wire.SETXATTR, pack("<II", 1, 0) + b"user.a\0b"),
    "removexattr": (wire.REMOVEXATTR, b"user.gone\0"),
}
UNIQUE = 1000


@pytest.mark.parametrize(("opcode", "body"), AGAIN.values(), ids=AGAIN.keys())
def test_what_was_done_is_not_done_twice(
    wired: Wire, files: MemoryFiles, opcode: int, body: bytes
) -> None:
    assert a_file(files).id == 2
    files.mkdir(NOBODY, ROOT, b"dir", 0o755)
    files.setxattr(NOBODY, ROOT, b"user.gone", b"", 0)
    first = wired.ask(opcode, body, unique=UNIQUE)
    names = dict(files._names[ROOT])

    again = wired.ask(opcode, body, unique=UNIQUE | wire.RESEND)

    assert first[0] == 0
    if opcode == wire.CREATE:
        # The handle is another one.
        assert (again[0], again[1][:128]) == (0, first[1][:128])
    else:
        assert again == first
    assert files._names[ROOT] == names


@pytest.mark.parametrize(("opcode", "body"), AGAIN.values(), ids=AGAIN.keys())
def test_what_was_never_done_is_done(
    wired: Wire, files: MemoryFiles, opcode: int, body: bytes
) -> None:
    a_file(files)
    files.mkdir(NOBODY, ROOT, b"dir", 0o755)
    files.setxattr(NOBODY, ROOT, b"user.gone", b"", 0)

    assert wired.ask(opcode, body, unique=UNIQUE | wire.RESEND)[0] == 0
    assert files.remembered(UNIQUE) is not None


def test_what_was_made_may_be_elsewhere_by_now(wired: Wire, files: MemoryFiles) -> None:
    body = pack("<II", 0o700, 0) + b"new\0"
    first = wired.ask(wire.MKDIR, body, unique=UNIQUE)
    files.rename(NOBODY, ROOT, b"new", ROOT, b"moved", 0)
    assert wired.ask(wire.MKDIR, body, unique=UNIQUE | wire.RESEND)[1][:8] == first[1][:8]

    other = files.mkdir(NOBODY, ROOT, b"new", 0o755)
    assert wired.ask(wire.MKDIR, body, unique=UNIQUE | wire.RESEND)[1][:8] == first[1][:8]
    assert files.forgotten == [(other.id, 1)]


def test_caller_carries_the_number_without_the_mark(
    wired: Wire, files: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Caller] = []
    monkeypatch.setattr(files, "unlink", lambda caller, *_: seen.append(caller))

    wired.ask(wire.UNLINK, b"file\0", unique=UNIQUE, pid=77)
    wired.ask(wire.UNLINK, b"file\0", unique=UNIQUE | wire.RESEND, pid=77)

    assert seen == [Caller(0, 0, 77, UNIQUE)] * 2


# Sessions


def init(minor: int = 45) -> bytes:
    return pack("<IIIII", 7, minor, 131_072, 0xFFFF_FFFF, 0xFFFF_FFFF) + bytes(44)


def test_agreement_is_kept(wired: Wire) -> None:
    number, said = wired.ask(wire.INIT, init())

    assert (number, len(said)) == (0, 64)
    assert wired.kept.agreed is not None
    assert wired.kept.agreed.resend


def test_old_kernel_is_refused(files: MemoryFiles) -> None:
    wired = Wire(files)

    assert wired.ask(wire.INIT, init(minor=27)) == (errno.EPROTO, b"")

    wired.ended()
    assert isinstance(wired.error, MachineRefused)
    assert "7.27" in wired.error.message
    assert wired.kept.agreed is None
    wired.close()


def test_successor_asks_for_what_is_not_answered(files: MemoryFiles) -> None:
    wired = Wire(files, Kept(AGREED), fresh=False)

    assert wired.answer() == (0, -7, b"")
    assert wired.answer() == (0, -8, b"")
    assert wired.ask(wire.LOOKUP, b"nothing\0", unique=8 | wire.RESEND)[0] == 0
    wired.close()


def test_successor_needs_a_kernel_that_sends_again(files: MemoryFiles) -> None:
    wired = Wire(files, Kept(wire.Agreed(32, 0, 1 << 20, 1 << 20)), fresh=False)

    wired.ended()

    assert isinstance(wired.error, MachineRefused)
    wired.close()


def test_destroy_ends_it(wired: Wire) -> None:
    assert wired.ask(wire.DESTROY) == (0, b"")
    wired.ended()
    assert wired.error is None


def test_end_of_the_connection_ends_it(wired: Wire) -> None:
    wired.ours.close()
    wired.ended()
    assert wired.error is None


def test_close_waits_for_what_is_being_done(files: MemoryFiles) -> None:
    wired = Wire(files)
    node = a_file(files)
    files.cold.add(node.id)
    waits = wired.send(wire.READ, reading(), node=node.id)
    assert files.entered.wait(LIMIT)

    wired.kernel.close()
    # The loop has ended once it takes no request any more.
    while wired.kernel.ready.is_set():
        pass
    files.gate.set()
    wired.ended()

    assert wired.answer() == (waits, 0, b"content")
    wired.close()


def test_who_has_waited_too_long_is_not_answered_behind_the_end(
    files: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of the descriptor may be another file's by then; and a successor answers."""
    monkeypatch.setattr(kernel, "_PATIENCE", 0.01)
    wired = Wire(files)
    node = a_file(files)
    files.cold.add(node.id)
    wired.send(wire.READ, reading(), node=node.id)
    assert files.entered.wait(LIMIT)
    wired.kernel.close()
    wired.ended()

    files.gate.set()
    pool = wired.kernel._pool
    with pool._changed:
        assert pool._changed.wait_for(lambda: not pool._busy, LIMIT)
    wired.ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        wired.answer()
    wired.close()


# Invalidations


def test_invalidations(wired: Wire) -> None:
    assert wired.kernel.ready.wait(LIMIT)

    wired.kernel.inode(7, content=True)
    wired.kernel.entry(7, b"name")

    assert wired.answer() == (0, -2, pack("<Qqq", 7, 0, 0))
    assert wired.answer() == (0, -3, pack("<QII", 7, 4, 0) + b"name\0")


def test_invalidation_from_within_a_request_comes_from_another_thread(
    wired: Wire, files: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = files.getattr(ROOT)
    writers: dict[int, str] = {}
    write = os.write

    def watched(fd: int, data: bytes) -> int:
        writers[int.from_bytes(data[4:8], "little")] = threading.current_thread().name
        return write(fd, data)

    def tell(_node: int) -> Node:
        wired.kernel.inode(ROOT, content=True)
        return node

    monkeypatch.setattr(files, "getattr", tell)
    monkeypatch.setattr(os, "write", watched)
    wired.send(wire.GETATTR, bytes(16))
    assert {wired.answer()[1], wired.answer()[1]} == {0, -2}

    assert writers == {2: "drive-notify"}


def test_nobody_is_told_where_nobody_listens(files: MemoryFiles) -> None:
    kernel = Kernel(files, Kept())

    kernel.inode(7, content=True)
    kernel.entry(7, b"name")

    assert kernel._notices.empty()
    kernel.close()


def test_thread_that_is_being_killed_is_seen() -> None:
    from vaultsync.mount.kernel.kernel import _dying

    assert _dying(GONE)
    assert not _dying(os.getpid())
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        assert not _dying(sleeper.pid)
        sleeper.kill()
        sleeper.wait()
        assert _dying(sleeper.pid)
