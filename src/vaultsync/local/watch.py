"""Marks paths dirty as the kernel reports changes; never says what happened to them.

Rests on watchdog's inotify threads, with three differences from its default: only events that can
mean a change are asked for (with the default mask opens and closes flood it), a queue overflow
reaches us, and a directory that could not be watched is told about instead of passed over.
"""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING

from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import InotifyFD

from vaultsync.core.errors import Fatal
from vaultsync.core.names import is_control

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from watchdog.observers.inotify_c import (
        CallbackId,
        InotifyEvent,
        Mask,
        WatchCallback,
        WatchDescriptor,
    )

_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileModifiedEvent,
    FileAttribEvent,
    FileDeletedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirAttribEvent,
    DirDeletedEvent,
    DirMovedEvent,
]
"""FileModifiedEvent is also what makes the kernel report chmod and appends to an open file."""

_TOO_FEW = (
    "The system allows too few inotify {what}, so some changes are only found by scanning. Allow "
    "more: sudo sysctl -w {setting}"
)
_WATCHES = _TOO_FEW.format(what="watches", setting="fs.inotify.max_user_watches=1048576")
_INSTANCES = _TOO_FEW.format(what="instances", setting="fs.inotify.max_user_instances=1024")

_LOG = logging.getLogger(__name__)


class FolderWatcher:
    """`core.ports.Watcher` over inotify.

    Args:
        root: The folder.
        ignored: Whether to leave a path alone; directories end with `/`. Ignored directories take
            no watches, so start a new watcher when the rules change.
        on_degraded: Called, from any thread, with the reason when some changes can only be found by
            scanning. Must return soon and not stop the watcher.

    Attributes:
        degraded: That reason, with the command that helps; empty while everything is watched.
    """

    def __init__(
        self,
        root: Path,
        ignored: Callable[[str], bool] = lambda _: False,
        on_degraded: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.degraded = ""
        self._root = os.path.realpath(root)
        self._ignored = ignored
        self._on_degraded = on_degraded
        self._observer: _Observer | None = None
        self._dirty: Callable[[str], None] = lambda _: None

    def start(self, dirty: Callable[[str], None]) -> None:
        """Begin; returns once every directory is watched.

        Args:
            dirty: Called from any thread with a path relative to the root, without a trailing
                `/`, or with "" when everything has to be looked at.

        Raises:
            Fatal: When the folder is not there.
        """
        self._dirty = dirty
        try:
            descriptor = _Inotify(self)
        except OSError as fault:  # no instance left: scanning goes on
            self._degrade(_INSTANCES if fault.errno == errno.EMFILE else str(fault))
            return
        observer = _Observer(descriptor)
        self._observer = observer
        observer.schedule(_Handler(self), self._root, recursive=True, event_filter=_EVENTS)
        try:
            observer.start()
        except OSError as fault:
            self.stop()
            if fault.errno == errno.ENOSPC:
                self._degrade(_WATCHES)
                return
            raise Fatal(
                f"The folder '{self._root}' cannot be watched: {fault.strerror}.",
                "Check that it is there and readable.",
            ) from fault

    def stop(self) -> None:
        """End, and release all resources."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.close()

    def touched(self, path: str, *, directory: bool) -> None:
        """Pass on that something happened at an absolute path."""
        if path == self._root:
            self._dirty("")
            return
        relative = path.removeprefix(self._root.rstrip("/") + "/")
        if relative == path or is_control(relative):
            return
        if self._ignored(relative + "/" if directory else relative):
            return
        try:
            relative.encode()
        except UnicodeEncodeError:  # cannot be named; a look at its directory tells about it
            relative = relative.rpartition("/")[0]
            self.touched(f"{self._root}/{relative}" if relative else self._root, directory=True)
            return
        self._dirty(relative)

    def overflowed(self) -> None:
        """Pass on that the kernel dropped events."""
        _LOG.warning("The kernel dropped change events; the whole folder will be scanned.")
        self._dirty("")

    def may_watch(self, path: str) -> bool:
        """Whether a directory, given by its absolute path, deserves a watch."""
        if path == self._root:
            return True
        relative = path.removeprefix(self._root.rstrip("/") + "/")
        return not is_control(relative) and not self._ignored(relative + "/")

    def ran_out(self, fault: OSError) -> None:
        """Note that a directory could not be watched."""
        if fault.errno == errno.ENOSPC:
            self._degrade(_WATCHES)

    def _degrade(self, reason: str) -> None:
        if self.degraded != reason:
            self.degraded = reason
            _LOG.warning(reason)
            self._on_degraded(reason)


class _Handler(FileSystemEventHandler):
    """Hands both ends of each event to the watcher."""

    def __init__(self, watcher: FolderWatcher) -> None:
        self._watcher = watcher

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Pass an event on."""
        for path in (event.src_path, event.dest_path):
            if path:
                self._watcher.touched(os.fsdecode(path), directory=event.is_directory)


class _Inotify(InotifyFD):
    """watchdog's reader of one inotify instance, telling what it would keep to itself."""

    def __init__(self, watcher: FolderWatcher) -> None:
        super().__init__()
        self._watcher = watcher

    def add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        """Watch a directory, unless nothing in it is of interest."""
        if not self._watcher.may_watch(os.fsdecode(path)):
            raise PermissionError(errno.EPERM, "not watched")
        if not os.access(path, os.R_OK):
            # watchdog would take the refusal for a watch of number -1.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        try:
            with self._lock:
                # A directory may be reported while it is being walked; asking for its watch again
                # gives the same one, which watchdog itself would warn about.
                watch = self._get_or_create_watch(path, mask)
                watch.callbacks[id_] = callback
                return watch.wd
        except OSError as fault:
            self._watcher.ran_out(fault)
            raise

    def handle_event(self, event: InotifyEvent) -> None:
        """Handle one event of the kernel; after an overflow everything is dirty."""
        super().handle_event(event)
        if event.is_queue_overflow:
            self._watcher.overflowed()


class _Observer(BaseObserver):
    """watchdog's InotifyObserver, with a reader of our own."""

    def __init__(self, descriptor: _Inotify) -> None:
        self._descriptor = descriptor
        descriptor.start()
        super().__init__(InotifyEmitter, inotify_fd=descriptor)

    def close(self) -> None:
        """Stop all threads, also when they never got to run."""
        if self.is_alive():
            self.stop()
            self.join()
        else:
            self.on_thread_stop()

    def on_thread_stop(self) -> None:
        """Stop the emitters, then the reader."""
        super().on_thread_stop()
        self._descriptor.stop()
        self._descriptor.join()
