"""What was: history, trash and old versions of one profile. Implements `core.ports.Past`."""

from __future__ import annotations

import logging
import queue
import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, NotFound, Retry, Stale, VaultsyncError
from vaultsync.core.model import Deed, Event
from vaultsync.core.names import restored_name
from vaultsync.daemon.binding import DATABASE
from vaultsync.state.store import Store

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vaultsync.config import Trash
    from vaultsync.core.model import Emptied, Trashed, Version
    from vaultsync.core.ports import Clock, Content
    from vaultsync.local.disk import Disk
    from vaultsync.mount.drive import Drive
    from vaultsync.remote.bucket import Bucket

log = logging.getLogger(__name__)

HISTORY_DAYS = 90
"""How long events are kept, as long as they are not too many (`state.events.MOST`)."""
PRUNE_EVERY = 3600.0
"""Seconds between two looks at what is too old in the history and in the trash."""
LOOK_EVERY = 60.0
"""Seconds at least between two looks at what was written to in the trash."""
SPARE = 50
"""The trash is looked at for one part in so many of the time."""
OPENING = 5.0
"""Seconds that a request waits for folder and vault to be opened."""
_TRIES = 100
"""How often a place is tried that changes, or is taken, at that very moment."""
MOST_PATHS = 100_000
"""Versions that one answer about a folder holds at most."""


@dataclass(frozen=True, slots=True)
class Sides:
    """What is open while a profile is served.

    Attributes:
        store: The state; used by the engine's thread only.
        disk: The folder, or the drive.
        bucket: The vault; None when it was not asked for.
        mark: Tells the engine that something happened at a local path.
        wake: Ends the engine's wait, so that `keep` is called soon.
        submit: Runs a task on another thread.
    """

    store: Store
    disk: Disk | Drive
    bucket: Bucket | None = None
    mark: Callable[[str], None] = lambda _path: None
    wake: Callable[[], None] = lambda: None
    submit: Callable[[Callable[[], None]], None] = lambda task: task()


class Past:
    """The past of one profile; its methods may be called from any thread.

    Args:
        state_dir: Where the database is.
        trash: How long, and how much, the trash keeps.
        clock: For the times of events.
        turned: Notified whenever something may have been recorded.
    """

    def __init__(
        self, state_dir: Path, trash: Trash, clock: Clock, turned: threading.Condition
    ) -> None:
        self._database = state_dir / DATABASE
        self._limits = trash
        self._clock = clock
        self._turned = turned
        self._sides: Sides | None = None
        self._notes: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._prune_due = self._age_due = self._look_due = 0.0
        self._looking = False

    # Asked by the one who serves the profile

    @contextmanager
    def serving(self, sides: Sides) -> Iterator[None]:
        """Work on these sides while the block runs, then on those of before."""
        before, self._sides = self._sides, sides
        with self._turned:
            self._turned.notify_all()
        try:
            yield
        finally:
            self._sides = before

    def keep(self) -> None:
        """Write down what was done, and let go of what is too old; the engine's thread calls it.

        Raises:
            Blocked: The database cannot be written.
            Damaged: It is broken.
        """
        sides = self._sides
        if sides is None:
            return
        self.record(sides.store)
        now = self._clock.monotonic()
        if now >= self._prune_due:
            before = self._clock.now() - HISTORY_DAYS * 86_400
            with sides.store.transaction():
                more = sides.store.events.prune(before)
            self._prune_due = now if more else now + PRUNE_EVERY
        if now >= self._look_due and not self._looking:
            self._looking = True
            sides.submit(lambda: self._look_after(sides))

    def record(self, store: Store) -> None:
        """Write down what was done; raises what `Store.transaction` raises."""
        if self._notes.empty():
            return
        found = []
        while not self._notes.empty():
            found.append(self._notes.get())
        try:
            with store.transaction():
                for event in found:
                    store.events.record(event)
        except VaultsyncError:
            for event in found:
                self._notes.put(event)
            raise
        with self._turned:
            self._turned.notify_all()

    def _look_after(self, sides: Sides) -> None:
        """See to the trash: what was written to comes back, what is too old or too much goes."""
        begun = self._clock.monotonic()
        try:
            for back in sides.disk.bin.returns():
                log.warning("%s was written to in the trash: kept as %s", back.path, back.kept)
                why = "somebody went on writing to it after it had gone to the trash"
                self._note(Deed.RETURN, back.path, why, size=back.size, kept=back.kept)
                sides.mark(back.kept)
            if begun >= self._age_due:
                done = sides.disk.bin.age(self._limits.days, self._limits.disk_percent / 100)
                self._age_due = begun + PRUNE_EVERY
                self._note_emptied(done, "too old, or too much, for the trash")
        except (VaultsyncError, OSError) as error:
            log.debug("the trash was not looked after: %s", error)
        except Exception:  # nobody else would hear of it
            log.exception("looking after the trash failed")
        now = self._clock.monotonic()
        self._look_due = now + max(LOOK_EVERY, SPARE * (now - begun))
        self._looking = False

    # core.ports.Past

    def events(
        self, path: str = "", *, before: int = 0, since: float = 0, limit: int = 100
    ) -> list[Event]:
        """What was done, newest first."""
        if not self._database.exists():
            return []
        with self._reader() as store:
            return store.events.read(path, before=before, since=since, limit=limit)

    def follow(self, after: int, wait: float, limit: int = 1000) -> list[Event]:
        """What was done after the event `after`, oldest first; waits for it."""
        ends = time.monotonic() + wait
        while True:
            found: list[Event] = []
            if self._database.exists():
                with self._reader() as store:
                    found = store.events.after(after, limit)
            left = ends - time.monotonic()
            if found or left <= 0:
                return found
            with self._turned:
                self._turned.wait(min(left, 0.5))

    def trashed(self, path: str = "") -> list[Trashed]:
        """What is in the trash, newest first."""
        return self._open.disk.bin.items(path)

    def put_back(self, item: str, to: str = "") -> str:
        """Move an item of the trash back into the folder, never replacing anything."""
        sides = self._open
        shown = sides.disk.bin.put_back(item, to)
        self._note(Deed.PUT_BACK, shown, f"put back from the trash of {item.partition('/')[0]}")
        sides.mark(shown)
        return shown

    def empty_trash(self, before: float) -> Emptied:
        """Remove for good what went to the trash before a time."""
        done = self._open.disk.bin.empty(before)
        self._note_emptied(done, "the trash was emptied")
        return done

    def versions(self, path: str) -> list[Version]:
        """The versions of one file, newest first."""
        return self._bucket.versions.of(path.removesuffix("/"))

    def versions_below(self, path: str, at: float | None = None) -> list[Version]:
        """The versions that bringing a folder back means, one a path at most."""
        return list(islice(self._bucket.versions.below(path, at), MOST_PATHS))

    def bring_back(self, path: str, version: str, to: str = "") -> str:
        """Bring an old version back into the folder; what it replaces goes to the trash."""
        sides, bucket = self._open, self._bucket
        wanted = next((each for each in bucket.versions.of(path) if each.id == version), None)
        if wanted is None or wanted.deleted:
            raise NotFound(
                f"There is no version '{version}' of '{path}'.", f"See `vaultsync versions {path}`."
            )
        with bucket.versions.open(wanted) as content:
            shown, kept = _place(sides.disk, content, to or path, replacing=not to)
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wanted.at))
        self._note(
            Deed.BRING_BACK,
            shown,
            f"the version of {when} was brought back",
            size=wanted.size,
            version=version,
            kept=kept,
        )
        sides.mark(shown)
        return shown

    @property
    def _open(self) -> Sides:
        return self._opened(lambda sides: sides is not None, "folder")

    @property
    def _bucket(self) -> Bucket:
        sides = self._opened(lambda sides: sides is not None and sides.bucket is not None, "vault")
        if sides.bucket is None:
            raise Retry("The vault was closed a moment ago.", "Ask again in a moment.")
        return sides.bucket

    def _opened(self, ready: Callable[[Sides | None], bool], what: str) -> Sides:
        """What is open, once it is: a daemon that says it is ready may still be opening it."""
        with self._turned:
            self._turned.wait_for(lambda: ready(self._sides), OPENING)
        sides = self._sides
        if sides is None or not ready(sides):
            raise Retry(f"The {what} cannot be used at the moment.", "See `vaultsync status`.")
        return sides

    def _note_emptied(self, done: Emptied, why: str) -> None:
        if done.files:
            what = "item was" if done.files == 1 else "items were"
            self._note(Deed.EMPTY, "", f"{why}: {done.files} {what} removed", size=done.bytes)

    def _note(
        self,
        deed: Deed,
        path: str,
        reason: str,
        *,
        size: int | None = None,
        version: str | None = None,
        kept: str | None = None,
    ) -> None:
        """Have something written down at the engine's next turn, which begins now."""
        now = self._clock.now()
        self._notes.put(Event(now, path, deed, reason, size, None, version, kept))
        sides = self._sides
        if sides is not None:
            sides.wake()

    def _reader(self) -> Store:
        return Store(self._database, readonly=True)


def _place(
    disk: Disk | Drive, content: Content, target: str, *, replacing: bool
) -> tuple[str, str | None]:
    """Show content in the folder as a pull would: its path, and that of a conflict copy if any.

    Args:
        disk: The folder.
        content: The version.
        target: Where to.
        replacing: Whether what is there now goes to the trash; else a free name is taken.

    Raises:
        Blocked: Something that is no file is in the way, or the file does not come to rest.
    """
    staged = disk.stage(target, content, secrets.token_hex(8))
    number, path = 0, target
    try:
        for _ in range(_TRIES):
            now = disk.look(path)
            if now is None or replacing:
                with suppress(Stale):
                    expected = None if now is None else disk.identify(path, now)
                    if expected is not None and expected.sha256 == staged.sha256:
                        return path, None
                    if expected is not None:
                        disk.remember(staged)
                    return path, disk.commit(replace(staged, path=path), expected).kept
            if not replacing:
                number += 1
                path = restored_name(target, number)
    finally:
        disk.discard(staged.token)
    raise Blocked(
        f"'{target}' cannot be put in place: a folder is there, or it keeps changing.",
        "Say where to with --to.",
    )
