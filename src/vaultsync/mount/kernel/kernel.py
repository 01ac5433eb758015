"""The kernel's side of a mount: requests read from /dev/fuse, and answered.

One thread reads and answers. What would have to wait goes to a pool and answers from there, later;
invalidations have a thread of their own, for the kernel may hold one back until a request has been
answered that only the reading thread can answer.

A connection outlives the process that serves it as long as somebody keeps its descriptor. The next
process serves it with `fresh=False`: it asks for all requests that were read and not answered once
more, and those among them that must not be done twice are looked up in what is remembered.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from vaultsync.core.errors import MachineRefused
from vaultsync.mount.kernel import replies, wire
from vaultsync.mount.kernel.operations import Operations
from vaultsync.mount.kernel.pipe import Pipe
from vaultsync.mount.kernel.pool import Job, Pool
from vaultsync.mount.kernel.replies import Reply, Timeouts
from vaultsync.mount.ports import WouldBlock

if TYPE_CHECKING:
    from vaultsync.mount.kernel.operations import Handler
    from vaultsync.mount.ports import FileSystem

_log = logging.getLogger(__name__)

_THREADS = 32
_PATIENCE = 5.0
"""Seconds that `serve` waits at its end for what the pool does."""
_SPARE_BUFFERS = 4
_SMALL = 8192
"""Up to so many bytes a message is copied for the pool; a longer one takes its buffer along."""
_LARGEST_ERRNO = 511
"""The kernel takes an answer with a larger one for no answer at all."""
_UNMOUNTED = frozenset({errno.ENODEV, errno.ECONNABORTED, errno.ENOTCONN, errno.EBADF})
_UNKNOWN = frozenset({errno.ENOENT, errno.ENOTDIR})
"""Answers to an invalidation of what the kernel does not know (any more)."""
_SIGKILL_BIT = 1 << 8
_UNHEARD = frozenset({wire.READ, wire.FSYNC, wire.FSYNCDIR})
"""Operations that may end with nobody to hear of it."""


class Keeper(Protocol):
    """Keeps what INIT agreed on for the next process, at least as long as the mount lasts."""

    def load(self) -> wire.Agreed | None:
        """What was saved last; None for nothing."""
        ...

    def save(self, agreed: wire.Agreed) -> None:
        """Keep it. Called once for each mount, before its first request.

        The kernel numbers the requests of a new mount from the beginning: what is remembered of
        earlier ones is to be forgotten now.
        """
        ...


class Kernel:
    """Serves a connection; implements `ports.Invalidate`.

    Args:
        files: The file system.
        keeper: Keeps what has to survive this process.
        live: How long the kernel may believe what it is told.
        threads: Requests that may wait at the same time.

    Attributes:
        ready: Set while requests are being served.
    """

    def __init__(
        self,
        files: FileSystem,
        keeper: Keeper,
        *,
        live: Timeouts | None = None,
        threads: int = _THREADS,
    ) -> None:
        self.ready = threading.Event()
        self._files = files
        self._keeper = keeper
        self._operations = operations = Operations(files, live or Timeouts())
        self._again = operations.again
        self._table: dict[int, Handler] = operations.table | {
            wire.INIT: self._init,
            wire.INTERRUPT: self._interrupt,
            wire.DESTROY: self._destroy,
        }
        self._threads = threads
        self._fd = -1
        self._ended = False
        self._refusal: MachineRefused | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._waking = threading.Lock()
        self._notices: SimpleQueue[bytes | None] = SimpleQueue()
        self._spare: list[memoryview] = []
        self._pool = Pool(self._work, threads)

    def serve(self, fd: int, *, fresh: bool) -> None:
        """Serve until the mount is gone or `close` is called. Once for each Kernel.

        Args:
            fd: Of /dev/fuse. It is made non-blocking and stays open: it is the caller's.
            fresh: Whether nobody has served this connection yet.

        Raises MachineRefused when the kernel's protocol is too old, or when it does not send
        requests again and `fresh` is False: then the mount has to be given up and made afresh.
        """
        os.set_blocking(fd, False)
        self._fd = fd
        if not fresh and not self._take_over():
            return
        notifier = threading.Thread(target=self._notify, name="drive-notify", daemon=True)
        notifier.start()
        self._operations.pipe = pipe = Pipe(fd)
        self.ready.set()
        try:
            self._loop(fd)
        finally:
            self.ready.clear()
            pipe.close()
            self._notices.put(None)
            self._pool.close(_PATIENCE)
            notifier.join(_PATIENCE)
            with self._waking:
                os.close(self._wake)
                self._wake = -1
        if self._refusal is not None:
            raise self._refusal

    def close(self) -> None:
        """Have `serve` return soon; from any thread. Requests not answered wait for a successor."""
        self._ended = True
        with self._waking:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    # Invalidate

    def inode(self, node: int, *, content: bool) -> None:
        """See `ports.Invalidate`. Returns at once; the kernel is told from another thread."""
        if self.ready.is_set():
            self._notices.put(replies.invalidate_inode(node, content=content))

    def entry(self, parent: int, name: bytes) -> None:
        """See `ports.Invalidate`. Returns at once; the kernel is told from another thread."""
        if self.ready.is_set():
            self._notices.put(replies.invalidate_entry(parent, name))

    def _notify(self) -> None:
        while (notice := self._notices.get()) is not None:
            try:
                os.write(self._fd, notice)
            except OSError as error:
                if error.errno in _UNMOUNTED:
                    return
                if error.errno not in _UNKNOWN:
                    _log.warning("The kernel refused an invalidation: %s", error)

    # The loop

    def _take_over(self) -> bool:
        """Ask for the requests that a predecessor left; False: the mount is gone."""
        agreed = self._keeper.load()
        refusal = MachineRefused(
            "The drive cannot go on where it was: this kernel does not send requests again.",
            "Unmount it and mount it afresh. Linux 6.9 and newer can do it.",
        )
        if agreed is not None and not agreed.resend:
            raise refusal
        try:
            os.write(self._fd, replies.resend())
        except OSError as error:
            if error.errno in _UNMOUNTED:
                return False
            raise refusal from error
        try:
            # What changed while nobody served has not been invalidated.
            os.write(self._fd, replies.new_epoch())
        except OSError as error:
            _log.debug("The kernel has no epochs: %s", error)
        return True

    def _loop(self, fd: int) -> None:
        readv = os.readv
        unpack = wire.HEADER.unpack_from
        find = self._table.get
        resent = wire.RESEND
        message = self._buffer()
        buffers = [message]
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        wait = poll.poll
        while not self._ended:
            try:
                wait()
                size = readv(fd, buffers)
            except OSError as error:
                if error.errno in _UNMOUNTED:
                    return
                # ENOENT: its process was killed between the two calls.
                if error.errno in (errno.EAGAIN, errno.ENOENT, errno.EINTR):
                    continue
                raise
            if size < wire.HEADER_SIZE:
                return
            _, opcode, unique, node = unpack(message)
            handler = find(opcode)
            if handler is None:
                self._write(replies.error(unique, errno.ENOSYS))
                continue
            try:
                if unique >= resent:
                    answer = self._resent(opcode, handler, message, size, unique, node)
                else:
                    answer = handler(message, size, unique, node, False)
            except WouldBlock:
                lent = size > _SMALL
                job_message = message if lent else memoryview(message[:size].tobytes())
                self._pool.put(Job(unique, opcode, node, size, job_message, handler, lent))
                if lent:
                    message = self._buffer()
                    buffers = [message]
                continue
            except Exception as error:  # noqa: BLE001 - one request must not end all others
                answer = _failed(unique, opcode, error)
            if answer is not None:
                self._write(answer)

    def _resent(
        self, opcode: int, handler: Handler, message: memoryview, size: int, unique: int, node: int
    ) -> Reply | None:
        again = self._again.get(opcode)
        if again is not None:
            made = self._files.remembered(unique & ~wire.RESEND)
            if made is not None:
                return again(message, size, unique, node, made)
        return handler(message, size, unique, node, False)

    def _work(self, job: Job) -> None:
        """What a thread of the pool does."""
        unique = job.unique
        answer: Reply | None
        try:
            answer = job.handler(job.message, job.size, unique, job.node, True)
        except Exception as error:  # noqa: BLE001 - see `_loop`
            answer = _failed(unique, job.opcode, error)
        if self._pool.claim(job) and answer is not None:
            self._write(answer)
        if job.lent and len(self._spare) < _SPARE_BUFFERS:
            self._spare.append(job.message)

    def _buffer(self) -> memoryview:
        try:
            return self._spare.pop()
        except IndexError:
            return memoryview(bytearray(wire.BUFFER_SIZE))

    def _write(self, answer: Reply) -> None:
        """Answer; from any thread."""
        try:
            os.writev(self._fd, answer)
        except OSError as error:
            # ENOENT: nobody waits for it any more.
            if error.errno != errno.ENOENT and error.errno not in _UNMOUNTED:
                _log.exception("The kernel refused an answer of %d bytes.", sum(map(len, answer)))

    # What is not the file system's

    def _init(self, m: memoryview, _size: int, unique: int, _node: int, _wait: bool) -> Reply:
        try:
            agreed = wire.agree(m)
        except wire.TooOld as error:
            self._refusal = MachineRefused(
                f"This kernel's FUSE is too old for a drive: {error}.",
                f"Linux 4.20 or newer speaks {wire.MAJOR}.{wire.OLDEST_MINOR}, which is needed.",
            )
            self._ended = True
            return replies.error(unique, errno.EPROTO)
        self._keeper.save(agreed)
        return replies.init(unique, agreed)

    def _destroy(self, _m: memoryview, _size: int, unique: int, _node: int, _wait: bool) -> Reply:
        self._ended = True
        return replies.done(unique)

    def _interrupt(self, m: memoryview, _size: int, _unique: int, _node: int, _wait: bool) -> None:
        """A signal came for who waits for a request.

        Of a disk, nobody expects that a signal with a handler breaks off a call: programs with a
        timer would fail. So only those are let go who are being killed, where the call has not
        begun, or is a read or a sync and so changes nothing.
        """
        (unique,) = wire.INTERRUPT_IN.unpack_from(m, wire.HEADER_SIZE)
        job = self._pool.find(unique)
        if job is None:
            return
        _, _, pid = wire.CALLER.unpack_from(job.message, 24)
        if _dying(pid) and self._pool.withdraw(job, running=job.opcode in _UNHEARD):
            self._write(replies.error(unique, errno.EINTR))


def _failed(unique: int, opcode: int, error: Exception) -> Reply:
    """The answer to a request that raised something."""
    if isinstance(error, OSError):
        number = error.errno or errno.EIO
        return replies.error(unique, number if 0 < number <= _LARGEST_ERRNO else errno.EIO)
    _log.error("Operation %d of the drive failed.", opcode, exc_info=error)
    return replies.error(unique, errno.EIO)


def _dying(pid: int) -> bool:
    """Whether a thread has gone or is being killed (has SIGKILL pending); True if unknown."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return True
    _, found, rest = status.partition(b"\nSigPnd:")
    return not found or bool(int(rest.split(None, 1)[0], 16) & _SIGKILL_BIT)
