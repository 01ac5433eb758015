"""Does seeded random things to one file, and compares it with what they must have made of it.

    python -m tests.mount.exerciser FILE --seed 7 --operations 2000

Reads, writes, appends, maps, cuts, punches, copies, closes and opens again, on any file system;
what one lacks (EOPNOTSUPP) is not tried again. The first difference ends it, with the operations
that led there. With `--pause` it says so each time the file is closed, and waits for a line before
it goes on, so that somebody else can do things to a file that nobody has open.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import mmap
import os
import random
import sys
from collections import deque
from pathlib import Path

LONGEST_FILE = 256 * 1024
LONGEST_PIECE = 64 * 1024
_PAGE = mmap.PAGESIZE
_KEEP_SIZE = 1
_PUNCH_HOLE = 2
_COLLAPSE = 8
_ZERO_RANGE = 16
_INSERT = 32
_TOLD = 40
_LIBC = ctypes.CDLL(None, use_errno=True)


class Differs(AssertionError):  # noqa: N818 - a verdict
    """The file is not what it must be."""


class Exerciser:
    """One file and what it must hold.

    Args:
        path: The file.
        seed: Of the operations.
        start: What it holds already; None: it is made.
        pause: Whether to wait for a line each time the file is closed.
    """

    def __init__(self, path: Path, seed: int, start: bytes | None, *, pause: bool) -> None:
        self._path = path
        self._dice = random.Random(seed)
        self._content = bytearray(start or b"")
        self._pause = pause
        self._lacking: set[str] = set()
        self._log: deque[str] = deque(maxlen=_TOLD)
        self._done = 0
        flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if start is None else 0)
        self._fd = os.open(path, flags)

    def run(self, operations: int) -> None:
        """Do so many things. Raises Differs."""
        weighted = (
            [self.read] * 4
            + [self.write] * 4
            + [self.map_read] * 2
            + [self.map_write] * 3
            + [self.truncate] * 2
            + [self.punch, self.zero, self.allocate, self.copy, self.append, self.data_and_holes]
            + [self.sync, self.drop, self.reopen, self.collapse, self.insert, self.second]
        )
        for self._done in range(operations):
            act = self._dice.choice(weighted)
            if act.__name__ in self._lacking:
                continue
            try:
                self._log.append(act.__name__)
                act()
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise self._differs(f"it failed: {error}") from error
                self._lacking.add(act.__name__)
            size = os.fstat(self._fd).st_size
            if size != len(self._content):
                raise self._differs(f"its size is {size}, not {len(self._content)}")
        self._compare(0, os.pread(self._fd, 2 * LONGEST_FILE, 0), len(self._content))
        os.close(self._fd)

    # What is done

    def read(self) -> None:
        offset, size = self._piece()
        self._note(offset, size)
        self._compare(offset, os.pread(self._fd, size, offset), size)

    def write(self) -> None:
        offset, size = self._piece(beyond=True)
        self._note(offset, size)
        data = self._dice.randbytes(size)
        self._all_written(os.pwrite(self._fd, data, offset), size)
        self._put(offset, data)

    def append(self) -> None:
        size = self._dice.randrange(1, 4096)
        if len(self._content) + size > LONGEST_FILE:
            return
        self._note(len(self._content), size)
        data = self._dice.randbytes(size)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            self._all_written(os.write(descriptor, data), size)
        finally:
            os.close(descriptor)
        self._put(len(self._content), data)

    def map_read(self) -> None:
        offset, size = self._piece()
        size = min(size, len(self._content) - offset)
        if size <= 0:
            return
        self._note(offset, size)
        start = offset // _PAGE * _PAGE
        with mmap.mmap(self._fd, offset + size - start, offset=start, prot=mmap.PROT_READ) as view:
            self._compare(offset, view[offset - start :], size)
        self._beyond()

    def map_write(self) -> None:
        offset, size = self._piece(beyond=True)
        if not size:
            return
        self._note(offset, size)
        if offset + size > len(self._content):
            os.ftruncate(self._fd, offset + size)
            self._size(offset + size)
        data = self._dice.randbytes(size)
        start = offset // _PAGE * _PAGE
        with mmap.mmap(self._fd, offset + size - start, offset=start) as view:
            view[offset - start :] = data
            if self._dice.random() < 0.5:
                view.flush()
        self._put(offset, data)
        self._beyond()

    def truncate(self) -> None:
        size = self._dice.randrange(LONGEST_FILE)
        if self._dice.random() < 0.1:
            size = 0
        self._note(size, 0)
        if self._dice.random() < 0.5:
            os.ftruncate(self._fd, size)
        else:
            os.truncate(self._path, size)
        self._size(size)

    def punch(self) -> None:
        offset, size = self._piece()
        if not size:
            return
        self._note(offset, size)
        self._fallocate(_PUNCH_HOLE | _KEEP_SIZE, offset, size)
        self._put(offset, bytes(max(0, min(size, len(self._content) - offset))))

    def zero(self) -> None:
        offset, size = self._piece(beyond=True)
        if not size:
            return
        keep = self._dice.random() < 0.5
        self._note(offset, size, "keep" if keep else "")
        self._fallocate(_ZERO_RANGE | (_KEEP_SIZE if keep else 0), offset, size)
        if keep:
            size = max(0, min(size, len(self._content) - offset))
        self._put(offset, bytes(size))

    def allocate(self) -> None:
        offset, size = self._piece(beyond=True)
        if not size:
            return
        keep = self._dice.random() < 0.5
        self._note(offset, size, "keep" if keep else "")
        self._fallocate(_KEEP_SIZE if keep else 0, offset, size)
        if not keep:
            self._size(max(len(self._content), offset + size))

    def collapse(self) -> None:
        offset, size = (part // _PAGE * _PAGE for part in self._piece())
        if not size or offset + size >= len(self._content):
            return
        self._note(offset, size)
        self._fallocate(_COLLAPSE, offset, size)
        del self._content[offset : offset + size]

    def insert(self) -> None:
        offset, size = (part // _PAGE * _PAGE for part in self._piece())
        if not size or offset >= len(self._content) or len(self._content) + size > LONGEST_FILE:
            return
        self._note(offset, size)
        self._fallocate(_INSERT, offset, size)
        self._content[offset:offset] = bytes(size)

    def copy(self) -> None:
        offset, size = self._piece()
        size = min(size, len(self._content) - offset)
        target = self._dice.randrange(LONGEST_FILE)
        size = min(size, LONGEST_FILE - target)
        if size <= 0 or (offset < target + size and target < offset + size):
            return
        self._note(offset, size, f"to {target:#x}")
        data = bytes(self._content[offset : offset + size])
        self._all_written(os.copy_file_range(self._fd, self._fd, size, offset, target), size)
        self._put(target, data)

    def data_and_holes(self) -> None:
        """What is said to be a hole holds zeros."""
        at = 0
        self._note(0, len(self._content))
        while at < len(self._content):
            hole = os.lseek(self._fd, at, os.SEEK_HOLE)
            try:
                at = os.lseek(self._fd, hole, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                at = len(self._content)
            if any(self._content[hole:at]):
                raise self._differs(f"there is no hole from {hole:#x} to {at:#x}")

    def sync(self) -> None:
        os.fsync(self._fd)

    def drop(self) -> None:
        """Have the kernel forget what it knows of the content."""
        os.fsync(self._fd)
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def reopen(self) -> None:
        os.close(self._fd)
        if self._pause:
            print("closed", flush=True)
            sys.stdin.readline()
        self._fd = os.open(self._path, os.O_RDWR)
        if self._pause:
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def second(self) -> None:
        """Look at it through another descriptor."""
        offset, size = self._piece()
        self._note(offset, size)
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            self._compare(offset, os.pread(descriptor, size, offset), size)
        finally:
            os.close(descriptor)

    # What it must hold

    def _piece(self, *, beyond: bool = False) -> tuple[int, int]:
        size = self._dice.randrange(LONGEST_PIECE)
        if self._dice.random() < 0.2:
            size = self._dice.randrange(16)
        most = LONGEST_FILE - size if beyond else max(len(self._content), 1)
        offset = self._dice.randrange(most)
        if self._dice.random() < 0.3:
            offset, size = offset // _PAGE * _PAGE, size // _PAGE * _PAGE
        return offset, size

    def _fallocate(self, mode: int, offset: int, size: int) -> None:
        if _LIBC.fallocate(self._fd, mode, ctypes.c_int64(offset), ctypes.c_int64(size)):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def _all_written(self, done: int, size: int) -> None:
        if done != size:
            raise self._differs(f"only {done} bytes of {size} were written")

    def _put(self, offset: int, data: bytes) -> None:
        if data:
            self._size(max(len(self._content), offset + len(data)))
            self._content[offset : offset + len(data)] = data

    def _size(self, size: int) -> None:
        del self._content[size:]
        self._content.extend(bytes(size - len(self._content)))

    def _beyond(self) -> None:
        """What a mapping shows behind the end of the file is zeros."""
        size = len(self._content)
        if size % _PAGE:
            start = size // _PAGE * _PAGE
            with mmap.mmap(self._fd, size - start, offset=start, prot=mmap.PROT_READ) as view:
                whole = (ctypes.c_char * _PAGE).from_address(_address(view))
                if any(whole.raw[size - start :]):
                    raise self._differs("the page of its end does not end in zeros")

    def _compare(self, offset: int, found: bytes, size: int) -> None:
        expected = self._content[offset : offset + size]
        if found == expected:
            return
        if len(found) != len(expected):
            raise self._differs(f"{len(found)} bytes were read, not {len(expected)}")
        pairs = enumerate(zip(found, expected, strict=True))
        first = next(at for at, (one, other) in pairs if one != other)
        wrong = sum(one != other for one, other in zip(found, expected, strict=True))
        raise self._differs(
            f"at {offset + first:#x} is {found[first]:#x}, not {expected[first]:#x};"
            f" {wrong} bytes differ"
        )

    def _note(self, offset: int, size: int, more: str = "") -> None:
        self._log[-1] += f" {offset:#x} {size:#x} {more} (of {len(self._content):#x})"

    def _differs(self, what: str) -> Differs:
        log = "\n".join(self._log)
        return Differs(f"operation {self._done}: {what}\nThe last ones were\n{log}")


def _address(view: mmap.mmap) -> int:
    """Where a mapping that cannot be written to begins."""
    pointer = ctypes.pythonapi.PyObject_GetBuffer
    pointer.argtypes = [ctypes.py_object, ctypes.c_void_p, ctypes.c_int]
    buffer = (ctypes.c_void_p * 16)()
    pointer(view, buffer, 0)
    address = buffer[0]
    ctypes.pythonapi.PyBuffer_Release.argtypes = [ctypes.c_void_p]
    ctypes.pythonapi.PyBuffer_Release(buffer)
    assert address is not None
    return address


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--operations", type=int, default=2000)
    parser.add_argument("--start", type=Path, help="a file elsewhere with what FILE holds already")
    parser.add_argument("--pause", action="store_true", help="wait for a line after each close")
    asked = parser.parse_args()
    start = asked.start.read_bytes() if asked.start else None
    try:
        Exerciser(asked.file, asked.seed, start, pause=asked.pause).run(asked.operations)
    except Differs as difference:
        sys.exit(f"Seed {asked.seed}, {difference}")
    print(f"Seed {asked.seed}: {asked.operations} operations, no difference.")


if __name__ == "__main__":
    main()
