"""Requests and answers to the byte, as <linux/fuse.h> has them."""

from __future__ import annotations

import errno
import os
import stat
import sys
from struct import pack
from typing import Any

import pytest

from vaultsync.mount.kernel import replies, wire
from vaultsync.mount.kernel.operations import Operations
from vaultsync.mount.kernel.replies import Timeouts
from vaultsync.mount.ports import NOW, Caller, Changes, Node, NodeKind, Space, WouldBlock

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the bytes are of a small end")

SECOND = 1_000_000_000
NODE = Node(
    id=0x11,
    kind=NodeKind.FILE,
    mode=0o644,
    uid=0x21,
    gid=0x22,
    nlink=3,
    atime=1 * SECOND + 4,
    mtime=2 * SECOND + 5,
    ctime=3 * SECOND + 6,
    born=0,
    size=0x1201,
    rdev=0x44,
)
ATTR = bytes.fromhex(
    "1100000000000000 0112000000000000 0a00000000000000"  # ino, size, blocks
    "0100000000000000 0200000000000000 0300000000000000"  # seconds of atime, mtime, ctime
    "04000000 05000000 06000000"  # and nanoseconds
    "a4810000 03000000 21000000 22000000 44000000 00100000 00000000"
)
ENTRY = (
    bytes.fromhex("1100000000000000 0000000000000000 3c00000000000000 3c00000000000000")
    + bytes(8)
    + ATTR
)
UNIQUE = 0x0102030405060708
UNIQUE_BYTES = "0807060504030201"
WHO = Caller(uid=1000, gid=100, pid=77, request=UNIQUE)
LIVE = Timeouts()


def message(opcode: int, body: bytes, *, node: int = 9, unique: int = UNIQUE) -> bytes:
    header = pack("<IIQQIIII", 40 + len(body), opcode, unique, node, 1000, 100, 77, 0)
    assert len(header) == wire.HEADER_SIZE
    return header + body


class Recorder:
    """Takes down what is asked, and answers what it is told to."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            taken = tuple(
                bytes(argument) if isinstance(argument, memoryview) else argument
                for argument in arguments
            )
            self.calls.append((name, *taken, *options.values()))
            return self.answer

        return call


def ask(
    opcode: int, body: bytes, answer: Any = None, *, wait: bool = False
) -> tuple[list[tuple[Any, ...]], bytes]:
    """What the file system is asked for a message, and the body of the answer."""
    recorder = Recorder(answer)
    handler = Operations(recorder, LIVE).table[opcode]
    whole = message(opcode, body)
    # As it is in the buffer: old bytes follow.
    said = handler(memoryview(whole + b"\xff" * 64), len(whole), UNIQUE, 9, wait)
    if said is None:
        return recorder.calls, b""
    answered = b"".join(said)
    assert answered[:16] == pack("<IiQ", len(answered), 0, UNIQUE)
    return recorder.calls, answered[16:]


OPENED = bytes.fromhex("0500000000000000 00000000 00000000")
CASES: dict[str, tuple[int, bytes, Any, tuple[Any, ...], bytes]] = {
    "lookup": (wire.LOOKUP, b"name\0", NODE, ("lookup", 9, b"name"), ENTRY),
    "getattr": (
        wire.GETATTR,
        bytes(16),
        NODE,
        ("getattr", 9),
        bytes.fromhex("3c00000000000000 00000000 00000000") + ATTR,
    ),
    "readlink": (wire.READLINK, b"", b"to/there", ("readlink", 9), b"to/there"),
    "symlink": (
        wire.SYMLINK,
        b"name\0to/there\0",
        NODE,
        ("symlink", WHO, 9, b"name", b"to/there"),
        ENTRY,
    ),
    "mknod": (
        wire.MKNOD,
        pack("<IIII", stat.S_IFIFO | 0o640, 0x0801, 0o22, 0) + b"name\0",
        NODE,
        ("mknod", WHO, 9, b"name", stat.S_IFIFO | 0o640, 0x0801),
        ENTRY,
    ),
    "mkdir": (
        wire.MKDIR,
        pack("<II", 0o755, 0o22) + b"name\0",
        NODE,
        ("mkdir", WHO, 9, b"name", 0o755),
        ENTRY,
    ),
    "unlink": (wire.UNLINK, b"name\0", None, ("unlink", WHO, 9, b"name"), b""),
    "rmdir": (wire.RMDIR, b"name\0", None, ("rmdir", WHO, 9, b"name"), b""),
    "rename": (
        wire.RENAME,
        pack("<Q", 12) + b"old\0newer\0",
        None,
        ("rename", WHO, 9, b"old", 12, b"newer", 0),
        b"",
    ),
    "rename2": (
        wire.RENAME2,
        pack("<QII", 12, 2, 0) + b"old\0newer\0",
        None,
        ("rename", WHO, 9, b"old", 12, b"newer", 2),
        b"",
    ),
    "link": (wire.LINK, pack("<Q", 12) + b"name\0", NODE, ("link", WHO, 12, 9, b"name"), ENTRY),
    "create": (
        wire.CREATE,
        pack("<IIII", os.O_CREAT | os.O_RDWR, stat.S_IFREG | 0o600, 0o22, 0) + b"name\0",
        (NODE, 5),
        ("create", WHO, 9, b"name", 0o600, os.O_CREAT | os.O_RDWR),
        ENTRY + OPENED,
    ),
    "open": (
        wire.OPEN,
        pack("<II", os.O_RDWR, 0),
        (5, True),
        ("open", 9, os.O_RDWR, False, False),
        bytes.fromhex("0500000000000000 02000000 00000000"),
    ),
    "open to read": (
        wire.OPEN,
        pack("<II", os.O_RDONLY, 0),
        (5, False),
        ("open", 9, os.O_RDONLY, False, False),
        bytes.fromhex("0500000000000000 20000000 00000000"),
    ),
    "read": (
        wire.READ,
        pack("<QQIIQII", 5, 4096, 100, 0, 0, 0, 0),
        b"content",
        ("read", 9, 5, 4096, 100, False, 77),
        b"content",
    ),
    "write": (
        wire.WRITE,
        pack("<QQIIQII", 5, 4096, 7, 0, 0, 0, 0) + b"content",
        7,
        ("write", 9, 5, 4096, b"content", False, False),
        bytes.fromhex("07000000 00000000"),
    ),
    "statfs": (
        wire.STATFS,
        b"",
        Space(block=4096, blocks=5, free=4, available=3, files=2, files_free=1),
        ("statfs",),
        pack("<QQQQQIIII", 5, 4, 3, 2, 1, 4096, 255, 4096, 0) + bytes(24),
    ),
    "flush": (wire.FLUSH, pack("<QIIQ", 5, 0, 0, 0), None, ("flush", 9, 5), b""),
    "release": (wire.RELEASE, pack("<QIIQ", 5, 0, 0, 0), None, ("release", 9, 5), b""),
    "opendir": (wire.OPENDIR, bytes(8), 5, ("opendir", 9), OPENED),
    "releasedir": (wire.RELEASEDIR, pack("<QIIQ", 5, 0, 0, 0), None, ("releasedir", 9, 5), b""),
    "fallocate": (
        wire.FALLOCATE,
        pack("<QQQII", 5, 10, 20, 3, 0),
        None,
        ("fallocate", 9, 5, 3, 10, 20, False, True),
        b"",
    ),
    "lseek": (
        wire.LSEEK,
        pack("<QQII", 5, 10, os.SEEK_HOLE, 0),
        0x1201,
        ("lseek", 9, 5, 10, os.SEEK_HOLE),
        bytes.fromhex("0112000000000000"),
    ),
    "copy_file_range": (
        wire.COPY_FILE_RANGE,
        pack("<QQQQQQQ", 5, 10, 12, 6, 20, 1 << 40, 0),
        7,
        ("copy_file_range", 9, 10, 12, 20, 1 << 30, False, True),
        bytes.fromhex("07000000 00000000"),
    ),
    "getxattr": (
        wire.GETXATTR,
        pack("<II", 100, 0) + b"user.name\0",
        b"value",
        ("getxattr", 9, b"user.name"),
        b"value",
    ),
    "getxattr's size": (
        wire.GETXATTR,
        pack("<II", 0, 0) + b"user.name\0",
        b"value",
        ("getxattr", 9, b"user.name"),
        bytes.fromhex("05000000 00000000"),
    ),
    "setxattr": (
        wire.SETXATTR,
        pack("<II", 5, 1) + b"user.name\0v\0lue",
        None,
        ("setxattr", WHO, 9, b"user.name", b"v\0lue", 1),
        b"",
    ),
    "listxattr": (
        wire.LISTXATTR,
        pack("<II", 100, 0),
        [b"user.a", b"user.bc"],
        ("listxattr", 9),
        b"user.a\0user.bc\0",
    ),
    "removexattr": (
        wire.REMOVEXATTR,
        b"user.name\0",
        None,
        ("removexattr", WHO, 9, b"user.name"),
        b"",
    ),
    "forget": (wire.FORGET, pack("<Q", 3), None, ("forget", 9, 3), b""),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_request_and_answer(case: tuple[int, bytes, Any, tuple[Any, ...], bytes]) -> None:
    opcode, body, answer, call, said = case

    assert ask(opcode, body, answer) == ([call], said)


@pytest.mark.parametrize(("flags", "data_only"), [(0, False), (1, True)])
@pytest.mark.parametrize("opcode", [wire.FSYNC, wire.FSYNCDIR])
def test_fsync_always_waits(opcode: int, flags: int, data_only: bool) -> None:
    body = pack("<QII", 5, flags, 0)

    with pytest.raises(WouldBlock):
        ask(opcode, body)
    assert ask(opcode, body, wait=True) == ([("fsync", 9, 5, data_only)], b"")


def test_batch_forget_forgets_each() -> None:
    body = pack("<II", 2, 0) + pack("<QQQQ", 21, 1, 22, 300)

    assert ask(wire.BATCH_FORGET, body) == ([("forget", 21, 1), ("forget", 22, 300)], b"")


SETATTR = {
    "nothing": (0, Changes()),
    "mode": (1 << 0, Changes(mode=0o4755)),
    "uid": (1 << 1, Changes(uid=71)),
    "gid": (1 << 2, Changes(gid=72)),
    "size": (1 << 3 | 1 << 6, Changes(size=4097)),
    "atime": (1 << 4, Changes(atime=-1 * SECOND + 5)),
    "mtime": (1 << 5, Changes(mtime=2 * SECOND + 6)),
    "atime now": (1 << 4 | 1 << 7, Changes(atime=NOW)),
    "mtime now": (1 << 5 | 1 << 8, Changes(mtime=NOW)),
    "ctime": (1 << 10, Changes(ctime=3 * SECOND + 7)),
    "owner and lock": (1 << 1 | 1 << 2 | 1 << 9, Changes(uid=71, gid=72)),
}


@pytest.mark.parametrize(("valid", "changes"), SETATTR.values(), ids=SETATTR.keys())
def test_setattr_takes_what_is_valid(valid: int, changes: Changes) -> None:
    body = pack("<IIQQQqqq", valid, 0, 5, 4097, 0, -1, 2, 3)
    body += pack("<IIIIIIII", 5, 6, 7, stat.S_IFREG | 0o4755, 0, 71, 72, 0)
    assert len(body) == 88

    calls, said = ask(wire.SETATTR, body, NODE)

    assert calls == [("setattr", WHO, 9, changes, False)]
    assert said == pack("<QII", 60, 0, 0) + ATTR


@pytest.mark.parametrize(("seconds", "kept"), [(1 << 40, (1 << 63) - 1), (-(1 << 40), -(1 << 63))])
def test_a_time_beyond_64_bits_is_the_nearest_that_can_be_kept(seconds: int, kept: int) -> None:
    body = pack("<IIQQQqqq", 1 << 5, 0, 5, 0, 0, 0, seconds, 0) + bytes(32)

    calls, _ = ask(wire.SETATTR, body, NODE)

    assert calls == [("setattr", WHO, 9, Changes(mtime=kept), False)]


def test_the_moment_before_the_epoch_is_not_now() -> None:
    body = pack("<IIQQQqqq", 1 << 4, 0, 5, 0, 0, -1, 0, 0)
    body += pack("<IIIIIIII", SECOND - 1, 0, 0, 0, 0, 0, 0, 0)

    calls, _ = ask(wire.SETATTR, body, NODE)

    assert calls == [("setattr", WHO, 9, Changes(atime=-1), False)]
    assert NOW != -1


def test_unknown_name_may_be_believed_for_two_seconds() -> None:
    said = b"".join(replies.nothing(UNIQUE, LIVE))

    assert said == pack("<IiQ", 144, 0, UNIQUE) + pack("<QQQQ", 0, 0, 2, 0) + bytes(96)


def test_error() -> None:
    said = b"".join(replies.error(UNIQUE, errno.ENOTEMPTY))

    assert said == bytes.fromhex(f"10000000 d9ffffff {UNIQUE_BYTES}")


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (NodeKind.FILE, "a4810000"),
        (NodeKind.DIR, "a4410000"),
        (NodeKind.LINK, "a4a10000"),
        (NodeKind.FIFO, "a4110000"),
        (NodeKind.SOCKET, "a4c10000"),
        (NodeKind.CHAR, "a4210000"),
        (NodeKind.BLOCK, "a4610000"),
    ],
)
def test_mode_has_the_type(kind: NodeKind, form: str) -> None:
    node = Node(1, kind, 0o644, 0, 0, 1, 0, 0, 0, 0)

    said = b"".join(replies.attr(UNIQUE, node, LIVE))

    assert said[16 + 16 + 60 :][:4] == bytes.fromhex(form)


# Directories


def names(*given: bytes) -> list[tuple[bytes, Node, int]]:
    return [(name, NODE, index + 1) for index, name in enumerate(given)]


def test_names_are_padded_to_eight() -> None:
    said = replies.page(iter(names(b"a", b"12345678", b"123456789")), 1000)

    node = "1100000000000000"
    assert said == (
        bytes.fromhex(f"{node} 0100000000000000 01000000 08000000")
        + b"a"
        + bytes(7)
        + bytes.fromhex(f"{node} 0200000000000000 08000000 08000000")
        + b"12345678"
        + bytes.fromhex(f"{node} 0300000000000000 09000000 08000000")
        + b"123456789"
        + bytes(7)
    )


def test_page_ends_where_the_room_does() -> None:
    entries = names(b"a", b"b", b"c")

    assert len(replies.page(iter(entries), 64)) == 64
    assert len(replies.page(iter(entries), 95)) == 64
    assert len(replies.page(iter(entries), 96)) == 96


def test_names_with_attributes() -> None:
    forgotten: list[tuple[int, int]] = []

    said = replies.page_plus(
        iter(names(b".", b"abc", b"left out")), 330, LIVE, lambda *call: forgotten.append(call)
    )

    # Of `.` no reference was taken: node 0.
    own = bytes(8) + ENTRY[8:]
    assert said == (
        own
        + bytes.fromhex("1100000000000000 0100000000000000 01000000 08000000 2e")
        + bytes(7)
        + ENTRY
        + bytes.fromhex("1100000000000000 0200000000000000 03000000 08000000")
        + b"abc"
        + bytes(5)
    )
    assert forgotten == [(0x11, 1)]


def test_error_after_a_name_ends_the_page() -> None:
    def entries() -> Any:
        yield from names(b"a")
        raise OSError(errno.EIO, "worn out")

    assert len(replies.page(entries(), 1000)) == 32
    assert len(replies.page_plus(entries(), 1000, LIVE, lambda *_: None)) == 160


# INIT


def init(major: int, minor: int, flags: int, flags2: int) -> memoryview:
    body = pack("<IIIII", major, minor, 131_072, flags, flags2) + bytes(44)
    return memoryview(message(wire.INIT, body))


ALL = 0xFFFF_FFFF


def test_init_agrees() -> None:
    agreed = wire.agree(init(7, 45, ALL, ALL))

    said = b"".join(replies.init(UNIQUE, agreed))

    assert len(said) == 16 + 64
    assert said[16:] == pack(
        "<IIIIHHIIHHI", 7, 40, 1 << 20, 0x50EC_6029, 64, 48, 1 << 20, 1, 256, 0, 1 << 7
    ) + bytes(28)
    assert agreed.resend
    assert not agreed.flags & (1 << 16), "write-back would be on"


def test_init_leaves_out_what_the_kernel_has_not() -> None:
    agreed = wire.agree(init(7, 31, ALL & ~(1 << 30), ALL))

    assert agreed.minor == 31
    assert not agreed.flags >> 30
    assert not agreed.resend


@pytest.mark.parametrize(
    ("major", "minor", "flags"), [(6, 45, ALL), (7, 27, ALL), (8, 1, ALL), (7, 45, 0)]
)
def test_init_refuses_old_kernels(major: int, minor: int, flags: int) -> None:
    with pytest.raises(wire.TooOld, match=rf"version {major}\.{minor}, flags "):
        wire.agree(init(major, minor, flags, 0))


# Notifications


def test_notifications() -> None:
    whole = "ffffffffffffffff"
    assert replies.invalidate_inode(0x11, content=False) == bytes.fromhex(
        f"28000000 02000000 0000000000000000 1100000000000000 {whole} 0000000000000000"
    )
    assert replies.invalidate_inode(0x11, content=True) == bytes.fromhex(
        "28000000 02000000 0000000000000000 1100000000000000" + "00" * 16
    )
    assert (
        replies.invalidate_entry(0x11, b"name")
        == bytes.fromhex("25000000 03000000 0000000000000000 1100000000000000 04000000 00000000")
        + b"name\0"
    )
    assert (
        replies.deleted(0x11, 0x12, b"name")
        == bytes.fromhex(
            "2d000000 06000000 00000000000000001100000000000000 1200000000000000 04000000 00000000"
        )
        + b"name\0"
    )
    assert replies.resend() == bytes.fromhex("10000000 07000000 0000000000000000")
    assert replies.new_epoch() == bytes.fromhex("10000000 08000000 0000000000000000")


# Names


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b"])
def test_what_can_be_no_name_is_invalid(name: bytes) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        ask(wire.LOOKUP, name + b"\0", NODE)


def test_name_without_its_end_is_invalid() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        ask(wire.LOOKUP, b"name", NODE)
    with pytest.raises(OSError, match="Invalid argument"):
        ask(wire.RENAME, bytes(8) + b"name", None)
    with pytest.raises(OSError, match="Invalid argument"):
        ask(wire.RENAME, bytes(8) + b"name\0other", None)


def test_longest_name() -> None:
    longest = b"x" * 255
    assert ask(wire.LOOKUP, longest + b"\0", NODE)[0] == [("lookup", 9, longest)]
    with pytest.raises(OSError, match="File name too long"):
        ask(wire.LOOKUP, longest + b"x\0", NODE)
    with pytest.raises(OSError, match="File name too long"):
        ask(wire.RENAME2, bytes(16) + b"a\0" + longest + b"x\0", None)
    with pytest.raises(OSError, match="File name too long"):
        ask(wire.SYMLINK, longest + b"x\0target\0", NODE)


def test_data_that_is_cut_is_invalid() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        ask(wire.WRITE, pack("<QQIIQII", 5, 0, 8, 0, 0, 0, 0) + b"content", 8)
    with pytest.raises(OSError, match="Invalid argument"):
        ask(wire.SETXATTR, pack("<II", 9, 0) + b"user.name\0value", None)


# What there is not


def refused(opcode: int, body: bytes, answer: Any = None) -> tuple[list[tuple[Any, ...]], int]:
    recorder = Recorder(answer)
    whole = message(opcode, body)
    handler = Operations(recorder, LIVE).table[opcode]
    said = handler(memoryview(whole), len(whole), UNIQUE, 9, False)
    assert said is not None
    assert len(said[0]) == 16
    return recorder.calls, -int.from_bytes(said[0][4:8], "little", signed=True)


def test_nothing_is_a_terminal() -> None:
    assert refused(wire.IOCTL, bytes(32)) == ([], errno.ENOTTY)


@pytest.mark.parametrize("name", [b"security.capability", b"system.posix_acl_access"])
def test_attributes_of_the_system_are_not_asked_for(name: bytes) -> None:
    body = pack("<II", 100, 0) + name + b"\0"

    assert refused(wire.GETXATTR, body) == ([], errno.EOPNOTSUPP)


def test_attribute_that_finds_no_room() -> None:
    body = pack("<II", 4, 0) + b"user.name\0"

    assert refused(wire.GETXATTR, body, b"value")[1] == errno.ERANGE


def test_copy_with_flags_is_invalid() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        ask(wire.COPY_FILE_RANGE, pack("<QQQQQQQ", 5, 10, 12, 6, 20, 1, 1), 1)


def test_statx_is_left_to_the_kernel() -> None:
    assert wire.STATX not in Operations(Recorder(None), LIVE).table
