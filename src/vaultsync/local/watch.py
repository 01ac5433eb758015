"""Marks paths dirty as the kernel reports changes; never says what happened to them.

Rests on watchdog's inotify threads, with these differences from its default: only events that can
mean a change are asked for (with the default mask opens and closes flood it); what would leave
changes unnoticed (an overflow of the kernel's queue, a root that went away, a thread that died)
makes the watcher unsound, to be replaced by a new one; a directory for which there is no watch left
is polled.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from pathlib import Path
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
from watchdog.observers.inotify import InotifyEmitter, InotifyWatchGroup
from watchdog.observers.inotify_c import InotifyConstants, InotifyFD

from vaultsync.core.errors import Fatal
from vaultsync.core.names import is_control
from vaultsync.local.polled import Polled

if TYPE_CHECKING:
    from collections.abc import Callable

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

_LIMITS = Path("/proc/sys/fs/inotify")
_WATCHES, _INSTANCES = "watches", "instances"
_PLENTY = {_WATCHES: 1 << 20, _INSTANCES: 1 << 10}
"""What to allow; twice as many as now where that is more."""

_LOG = logging.getLogger(__name__)


class FolderWatcher:
    """`core.ports.Watcher` over inotify.

    Args:
        root: The folder.
        ignored: Whether to leave a path alone; directories end with `/`. Ignored directories take
            no watches, so start a new watcher when the rules change.
        now: Seconds that only grow.
    """

    def __init__(
        self,
        root: Path,
        ignored: Callable[[str], bool] = lambda _: False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = root
        self._root = os.path.realpath(root)
        self._ignored = ignored
        self._observer: _Observer | None = None
        self._dirty: Callable[[str, bool], None] = lambda _path, _writing: None
        self._lost = False
        self._lacking = _WATCHES
        self._polled = Polled(now)
        self._identity: tuple[int, int] | None = None

    def start(self, dirty: Callable[[str, bool], None]) -> None:
        """Begin; returns once every directory is watched, or is known to be polled.

        Args:
            dirty: Called from any thread with a path relative to the root, without a trailing
                `/`, or with "" when everything has to be looked at; and with whether it is a file
                that is being written to.

        Raises:
            Fatal: When the folder is not there.
        """
        self._dirty = dirty
        self._identity = self._identify()
        try:
            descriptor = _Inotify(self)
        except OSError as fault:
            if fault.errno != errno.EMFILE:
                raise
            self._poll_everything(_INSTANCES)
            return
        observer = _Observer(descriptor)
        self._observer = observer
        observer.schedule(_Handler(self), self._root, recursive=True, event_filter=_EVENTS)
        try:
            observer.start()
        except OSError as fault:
            self.stop()
            if fault.errno == errno.ENOSPC:
                self._poll_everything(_WATCHES)
                return
            raise Fatal(
                f"The folder '{self._root}' cannot be watched: {fault.strerror}.",
                "Check that it is there and readable.",
            ) from fault
        if self._polled:
            _LOG.warning(self.degraded)

    def stop(self) -> None:
        """End, and release all resources."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.close()

    def is_sound(self) -> bool:
        """Whether changes will be noticed; if not, only a new watcher helps.

        False when events were lost, when the folder was moved away, replaced or unmounted, or when
        a thread has died.
        """
        if self._lost or self._identity != self._identify():
            return False
        return self._observer is None or self._observer.is_whole()

    def polls(self) -> list[str]:
        """Directories without a watch whose turn it is to be looked at; call it now and then.

        A watch is asked for again first: they are watched from then on if there is one now.
        """
        due = self._polled.take()
        for path in due:
            self._watch_again(path)
        return due

    def next_poll(self) -> float | None:
        """When `polls` will have something, in seconds of the clock; None for never."""
        return self._polled.next()

    @property
    def degraded(self) -> str:
        """Why some changes are only found by polling, and what helps; empty while none are."""
        count = len(self._polled)
        if not count:
            return ""
        folders = f"{count} folders are" if count > 1 else "1 folder is"
        return (
            f"{folders} not watched, because the system allows too few inotify {self._lacking}: "
            f"changes there are found by a look every {self._polled.slowest:.0f} seconds. Allow "
            f"more: sudo sysctl -w {_setting(self._lacking)}"
        )

    def touched(self, path: str, *, directory: bool, writing: bool = False) -> None:
        """Pass on that something happened at an absolute path."""
        if path == self._root:
            self._dirty("", False)
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
        self._dirty(relative, writing)

    def lose(self, why: str) -> None:
        """Pass on that events were lost, or will be: everything has to be looked at."""
        if not self._lost:
            _LOG.warning("%s; the whole folder will be scanned", why)
        self._lost = True
        self._dirty("", False)

    def may_watch(self, path: str) -> bool:
        """Whether a directory, given by its absolute path, deserves a watch."""
        if path == self._root:
            return True
        relative = path.removeprefix(self._root.rstrip("/") + "/")
        return not is_control(relative) and not self._ignored(relative + "/")

    def ran_out(self, path: str) -> None:
        """Note that there was no watch left for a directory, given by its absolute path."""
        if path != self._root:
            self._polled.add(path.removeprefix(self._root.rstrip("/") + "/"))

    def _poll_everything(self, lacking: str) -> None:
        self._lacking = lacking
        self._polled.add("")
        for above, names, _ in os.walk(self._root):
            names[:] = [name for name in names if self.may_watch(f"{above}/{name}")]
            for name in names:
                self.ran_out(f"{above}/{name}")
        _LOG.warning(self.degraded)

    def _watch_again(self, path: str) -> None:
        if self._observer is None:
            self._lost = True  # of everything: a new watcher may fare better
            return
        self._polled.drop(path)  # comes back if it, or a part of it, is refused again
        self._observer.watch(f"{self._root}/{path}")

    def _identify(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _setting(lacking: str) -> str:
    """What to tell sysctl so that there are enough of what is lacking."""
    name, plenty = f"max_user_{lacking}", _PLENTY[lacking]
    try:
        plenty = max(plenty, 2 * int((_LIMITS / name).read_text()))
    except (OSError, ValueError):
        _LOG.debug("%s cannot be read", _LIMITS / name)
    return f"fs.inotify.{name}={plenty}"


class _Handler(FileSystemEventHandler):
    """Hands both ends of each event to the watcher."""

    def __init__(self, watcher: FolderWatcher) -> None:
        self._watcher = watcher

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Pass an event on."""
        writing = isinstance(event, FileModifiedEvent)
        for path in (event.src_path, event.dest_path):
            if path:
                self._watcher.touched(
                    os.fsdecode(path), directory=event.is_directory, writing=writing
                )


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
            if fault.errno == errno.ENOSPC:
                self._watcher.ran_out(os.fsdecode(path))
            raise

    def handle_event(self, event: InotifyEvent) -> None:
        """Handle one event of the kernel.

        After an overflow, watchdog would give all watches back and ask for them anew. The kernel
        confirms each one given back with an event: with many directories, the next overflow.
        """
        if event.is_queue_overflow:
            self._watcher.lose("the kernel dropped change events")
            return
        super().handle_event(event)
        if event.mask & InotifyConstants.IN_UNMOUNT:
            self._watcher.lose("a file system was unmounted")


class _Group(InotifyWatchGroup):
    """watchdog's book of watches and paths, that can hold two watches of one path.

    A directory that was moved out of the folder keeps its watch, under its old path, which another
    directory may be renamed to.
    """

    def _remove_watch_internally(self, wd: WatchDescriptor) -> None:
        """Forget a watch; watchdog would fail at the second one of a path."""
        path = self._active_callbacks_by_watch.pop(wd, None)
        if path is not None and self._active_callbacks_by_path.get(path) == wd:
            del self._active_callbacks_by_path[path]


class _Emitter(InotifyEmitter):
    """watchdog's InotifyEmitter, with a book of our own."""

    def on_thread_start(self) -> None:
        """Begin to watch."""
        self._inotify = _Group(
            self._inotify_fd,
            os.fsencode(self.watch.path),
            is_recursive=self.watch.is_recursive,
            event_mask=self.get_event_mask_from_filter(),
            follow_symlink=self.watch.follow_symlink,
        )


class _Observer(BaseObserver):
    """watchdog's InotifyObserver, with a reader of our own."""

    def __init__(self, descriptor: _Inotify) -> None:
        self._descriptor = descriptor
        descriptor.start()
        super().__init__(_Emitter, inotify_fd=descriptor)

    def is_whole(self) -> bool:
        """Whether all threads are at work."""
        threads = [self, self._descriptor, *self.emitters]
        return len(threads) > 2 and all(thread.is_alive() for thread in threads)

    def watch(self, path: str) -> None:
        """Watch a directory, given by its absolute path, and what it holds; refusals are told."""
        for emitter in self.emitters:
            group: InotifyWatchGroup | None = getattr(emitter, "_inotify", None)
            if group is not None:
                with group._lock:  # noqa: SLF001 - watchdog offers no way to widen a watch
                    if group.is_active:
                        group._add_all_callbacks(os.fsencode(path))  # noqa: SLF001

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
