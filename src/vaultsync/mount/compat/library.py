"""libfuse3: found, loaded for mfusepy, and its loop, run so that it can be ended.

mfusepy takes libfuse2 where both are installed, which hides names, has no rename flags and other
structures; so it is told which to take.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import os
import select
from contextlib import suppress
from ctypes import POINTER, c_char_p, c_int, c_longlong, c_size_t, c_void_p
from typing import TYPE_CHECKING, Any, Final

from vaultsync.core.errors import MachineRefused

if TYPE_CHECKING:
    from types import ModuleType

_NAMES: Final = ("libfuse3.so.3", "libfuse3.so.4")
_CHOICE: Final = "FUSE_LIBRARY_PATH"
"""Where mfusepy looks which library to take; what a person has set there is taken."""
_MAJOR: Final = 3
_HEAD: Final = 4096
"""Bytes of a request that are looked at: no names are longer than that."""
_AGAIN: Final = frozenset({-errno.EAGAIN, -errno.EINTR, -errno.ENOENT})


class _Arguments(ctypes.Structure):
    """`struct fuse_args`."""

    _fields_ = (("argc", c_int), ("argv", POINTER(c_char_p)), ("allocated", c_int))


class _Buffer(ctypes.Structure):
    """`struct fuse_buf`, with room for what newer versions have at its end."""

    _fields_ = (
        ("size", c_size_t),
        ("flags", c_int),
        ("mem", c_void_p),
        ("fd", c_int),
        ("pos", c_longlong),
        ("more", c_longlong * 8),
    )


class Library:
    """libfuse3, loaded.

    Attributes:
        session: The module `session`, whose mfusepy speaks with this library.

    Raises MachineRefused when it is not there, or is another version.
    """

    def __init__(self) -> None:
        name, self._lib = _loaded()
        before = os.environ.get(_CHOICE)
        os.environ[_CHOICE] = name
        try:
            self.session: ModuleType = importlib.import_module("vaultsync.mount.compat.session")
        except (ImportError, OSError, AttributeError) as error:
            raise MachineRefused(
                f"mfusepy cannot be used: {error}.", "Install it again: `pip install mfusepy`."
            ) from error
        finally:
            if before is None:
                del os.environ[_CHOICE]
        self._declare()

    def _declare(self) -> None:
        """Tell ctypes of the functions that are called."""
        lib = self._lib
        pointers = (
            ("fuse_new", c_void_p, [POINTER(_Arguments), c_void_p, c_size_t, c_void_p]),
            ("fuse_get_session", c_void_p, [c_void_p]),
            ("fuse_mount", c_int, [c_void_p, c_char_p]),
            ("fuse_session_receive_buf", c_int, [c_void_p, POINTER(_Buffer)]),
            ("fuse_session_process_buf", None, [c_void_p, POINTER(_Buffer)]),
            ("fuse_session_exited", c_int, [c_void_p]),
            ("fuse_destroy", None, [c_void_p]),
        )
        for name, result, arguments in pointers:
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments

    def serve(self, session: Any, fd: int, wake: int) -> None:
        """Serve a connection until the mount is gone, `wake` can be read, or the session refuses.

        Args:
            session: A `session.Session`.
            fd: Of /dev/fuse, not blocking. It stays open.
            wake: An eventfd.

        Raises OSError when libfuse refuses, and what the session refuses with.
        """
        words = (c_char_p * 1)(b"vaultsync")
        arguments = _Arguments(1, words, 0)
        calls = session.calls
        fuse = self._lib.fuse_new(
            ctypes.byref(arguments), ctypes.byref(calls), ctypes.sizeof(calls), None
        )
        if not fuse:
            raise OSError(errno.EIO, "libfuse could not begin")
        try:
            own = os.dup(fd)  # libfuse closes it
            if self._lib.fuse_mount(fuse, b"/dev/fd/%d" % own):
                os.close(own)
                raise OSError(errno.EIO, "libfuse did not take the connection")
            self._loop(session, self._lib.fuse_get_session(fuse), fd, wake)
        finally:
            self._lib.fuse_destroy(fuse)
        if session.refusal is not None:
            raise session.refusal

    def _loop(self, session: Any, handle: int, fd: int, wake: int) -> None:
        buffer = _Buffer()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(wake, select.POLLIN)
        try:
            while not self._lib.fuse_session_exited(handle) and session.refusal is None:
                if any(ready == wake for ready, _ in poll.poll()):
                    return
                size = self._lib.fuse_session_receive_buf(handle, ctypes.byref(buffer))
                if size > 0:
                    head = ctypes.string_at(buffer.mem, min(size, _HEAD))
                    session.begin(memoryview(head))
                    self._lib.fuse_session_process_buf(handle, ctypes.byref(buffer))
                elif size not in _AGAIN:
                    return
        finally:
            _free(buffer.mem)


def _loaded() -> tuple[str, ctypes.CDLL]:
    """The library's name, and it."""
    for name in (os.environ.get(_CHOICE), *_NAMES):
        with suppress(OSError):
            if name:
                lib = ctypes.CDLL(name)
                break
    else:
        raise MachineRefused(
            "libfuse3 is missing, which the backend `mfusepy` needs.",
            "Install it: `sudo apt-get install fuse3` brings it, where it is called libfuse3-3 or "
            "libfuse3-4; or mount with `--backend kernel`.",
        )
    # 29 is 2.9, 314 is 3.14.
    version = lib.fuse_version() if hasattr(lib, "fuse_version") else 0
    if version // (100 if version >= 100 else 10) != _MAJOR:
        raise MachineRefused(
            f"{name} is not libfuse3, which the backend `mfusepy` needs.",
            f"Unset {_CHOICE}, or let it name libfuse3.",
        )
    return name, lib


def _free(memory: int | None) -> None:
    if memory:
        release = ctypes.CDLL(None).free
        release.restype, release.argtypes = None, [c_void_p]
        release(memory)
