"""What the engine needs from the world, as Protocols.

`Side` is implemented by the folder (`local.disk`), by the prefix (`remote.bucket`) and by the
memory side of the tests; one contract suite runs on all of them. The comments here are the law.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from vaultsync.core.model import (
        Emptied,
        Entry,
        Event,
        Held,
        Seen,
        Status,
        Trashed,
        Unseen,
        Version,
        Waiting,
    )


class Content(Protocol):
    """The bytes of exactly one version of one file, readable until closed.

    `entry` describes the version that is being read, as completely as opening it could tell.
    Any read raises Stale once the side can no longer give that version.
    """

    @property
    def entry(self) -> Entry:
        """The version that is being read."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly the bytes [offset, offset+length) cut at the end of the file."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """Yield the whole content in order, in bounded pieces. May be called more than once."""
        ...

    def sha256(self) -> str:
        """Return the hex digest of the whole content; read at most once, then remembered.

        A local file is flushed to disk first (a store through mmap changes neither mtime nor ctime
        until it is written back) and examined before and after; Stale when it moved meanwhile.
        """
        ...

    def md5(self) -> str:
        """Return the hex MD5 of the whole content: only to be compared with a single-part ETag."""
        ...

    def close(self) -> None:
        """Release what reading needs. Idempotent."""
        ...

    def __enter__(self) -> Self:
        """Return self."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        ...


class Staged(Protocol):
    """New bytes that a side holds but does not show yet.

    Between `stage` and `commit` the engine journals `path`, `op` and `token` durably, so that after
    a crash `recover` can tell whether the commit happened.
    """

    @property
    def path(self) -> str:
        """Where the bytes are going to be."""
        ...

    @property
    def op(self) -> str:
        """The operation id, made by the engine, unique for ever."""
        ...

    @property
    def sha256(self) -> str:
        """Hex digest of the staged content."""
        ...

    @property
    def size(self) -> int:
        """Bytes of the staged content."""
        ...

    @property
    def token(self) -> str:
        """Opaque: all that `recover` and `discard` need after a restart."""
        ...


class Committed(Protocol):
    """What a commit did."""

    @property
    def entry(self) -> Entry:
        """The version now shown, with the side's new tag, and mtime and mode as read back."""
        ...

    @property
    def kept(self) -> str | None:
        """Path of the conflict copy under which an unexpected local version was kept, if any."""
        ...


class Side(Protocol):
    """One side of the mirror: a folder, a drive, a prefix, or a memory twin in tests.

    Every method may raise Retry, SignIn, Blocked or Fatal. Every method that changes something is
    a compare-and-set: when the side does not show `expected` any more it raises Stale and has
    changed nothing that a person could see. `expected is None` means "nothing is there".
    Methods are called from several threads at once, for different paths.
    """

    def entries(self, at: str = "", after: str = "") -> Iterator[Seen | Unseen]:
        """Yield what is at and below a path, in byte order of the full path, as a stream.

        Args:
            at: A path without a trailing `/`. If a file is there, just it; if a directory, it
                (with `/`) and everything below; if nothing, nothing. Empty: everything, without
                the root itself.
            after: Leave out every path that is not greater than this one.

        Control objects (`.vaultsync` at any depth) and ignored paths are never yielded. An error
        on a directory yields Unseen for it and goes on; an error that concerns the whole side
        (root missing, no access to the bucket, offline) raises, also in the middle of the stream:
        then nothing may be concluded from what had not been yielded yet.
        """
        ...

    def look(self, path: str) -> Entry | None:
        """Observe one path afresh and as completely as one request can tell, or None if absent.

        Raises Blocked for a thing that cannot be synced (device, FIFO, archived object).
        """
        ...

    def identify(self, path: str, entry: Entry, like: Content | None = None) -> Entry:
        """Return `entry` as it is now, with its sha256, reading as little as possible.

        Args:
            path: The path of a file or link.
            entry: What is expected to be there. Stale when its tag has changed.
            like: Content of the other side that this one might equal; a side that can prove
                equality more cheaply than by reading (ETag against MD5) uses it.
        """
        ...

    def open(self, path: str, entry: Entry) -> Content:
        """Open this very version for reading. Stale when it is not there any more."""
        ...

    def snapshot(self, path: str, entry: Entry) -> Content:
        """Open a file that is being written all the time, as it is at one moment of this call.

        Args:
            path: The path of a file.
            entry: A version of it that was seen before. Stale when it is no file any more, or is
                rewritten so that no moment can be had: nothing torn is ever given.

        The content's entry has the tag that the file had at that moment, so that it counts as
        changed when it was written to since. Only the local side can be asked.
        """
        ...

    def stage(self, path: str, content: Content, op: str, parents: tuple[str, ...] = ()) -> Staged:
        """Bring all bytes of `content` to this side, durable but not visible under `path`.

        Verifies size and digest against what `content` says of itself. Takes mtime and mode from
        `content.entry`. A side may defer the transfer of small content to `commit`, as long as it
        then sends exactly the bytes whose digest `Staged.sha256` gives. `content` must stay open
        until commit or discard.

        Args:
            path: Where the bytes are going to be.
            content: The version to copy.
            op: The operation id to be recognisable by (rule R1).
            parents: Operation ids of the version it replaces, newest first (at most 7 are kept).
        """
        ...

    def borrow(self, path: str, source: str, entry: Entry, like: Entry, op: str) -> Staged:
        """Stage content that this side holds under another path, neither fetching nor sending it.

        Staged as by `stage`, to be committed where nothing is. What is known to be gone raises
        Stale at once, what turns out to be gone raises it at the commit.

        Args:
            path: Where the content is going to be as well.
            source: Where it is.
            entry: The version there, a file or link with its sha256 and at least one byte.
            like: The times and mode that the new version is to have. A remote side that carries
                those of the source along leaves them so; what is committed tells.
            op: The operation id to be recognisable by. A copy on the server carries the operation
                ids of its source along: `Staged.op` is then the newest of those, `recover` is to
                be asked for that one, and believes it only together with the content.
        """
        ...

    def commit(self, staged: Staged, expected: Entry | None) -> Committed:
        """Show the staged bytes under their path iff the side still shows `expected`, atomically.

        Missing parent directories are created. Retry with `unknown_outcome` when it cannot be
        known whether it happened: `recover` will tell.
        """
        ...

    def discard(self, token: str) -> None:
        """Drop staged bytes that will not be committed. Idempotent; never touches visible data."""
        ...

    def recover(self, path: str, op: str, token: str) -> Entry | None:
        """Tell whether a commit happened, after a crash or a lost answer; finish a half-done one.

        Returns the entry now at `path` if it is what that commit made (compare by operation id or
        staged inode), else None after having discarded the staged bytes. Idempotent.
        """
        ...

    def make_directory(self, path: str) -> Entry:
        """Make an (empty) directory visible; no error if it is there already.

        Args:
            path: With trailing `/`. Blocked when a file is in the way.
        """
        ...

    def delete(self, path: str, expected: Entry) -> None:
        """Remove one file, link or directory iff the side still shows `expected`.

        Gone already counts as done. A local file goes to the trash. A directory is removed only
        when it holds nothing at all (else Stale); for a remote directory this removes its marker.
        """
        ...

    def apply(
        self, path: str, expected: Entry, mtime_ns: int | None, mode: int | None, op: str = ""
    ) -> Entry:
        """Set mtime and permission bits; return the entry as it is then.

        Args:
            path: Where.
            expected: The version to change; Stale when another one is there.
            mtime_ns: None to leave it as it is.
            mode: None to leave them as they are.
            op: The operation id, which the remote side puts before those that the version carries;
                `recover` finds it. The local side, which leaves no doubt, does not need one.
        """
        ...

    def set_aside(self, path: str, expected: Entry) -> str:
        """Rename a version to its conflict name (`core.names.conflict_name`), never replacing.

        Returns the new path; if a copy with the same content and stem exists already, that one's
        path, and the version goes to the trash. The remote side takes the same name for the same
        version whoever asks, and leaves out the trash.
        """
        ...

    def check(self) -> None:
        """Raise unless the side is the one it was bound to and usable.

        The local side: root present, marker right, writable. The remote side: bucket reachable.
        """
        ...


class VaultMark(Protocol):
    """The object by which a vault is recognised. Called by the engine's thread."""

    def shown(self) -> str | None:
        """Its tag in the last listing of everything; None when that did not show it."""
        ...

    def read(self) -> tuple[str, str] | None:
        """What it says and its tag; None when it is not there."""
        ...

    def put(self, identity: str) -> str:
        """Put it where none is, and return its tag.

        Raises Stale when there is one; Retry, SignIn, Blocked and Fatal as a Side does.
        """
        ...


class Watcher(Protocol):
    """Marks paths dirty; never says what happened to them."""

    def start(self, dirty: Callable[[str, bool], None]) -> None:
        """Begin.

        Args:
            dirty: Called from any thread with a path without a trailing `/`, and with whether
                somebody still has that file open and writes to it. The empty path means: look
                at everything.
        """
        ...

    def stop(self) -> None:
        """End, and release all resources."""
        ...


class Clock(Protocol):
    """Time, injected so that tests can own it."""

    def now(self) -> float:
        """Seconds since the epoch. For people and file names, never to decide anything."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow, but not while the machine is suspended."""
        ...

    def asleep(self) -> float:
        """Seconds that the machine has been suspended so far; only their growth means anything."""
        ...


class Past(Protocol):
    """What was: the history, the trash, and the versions that the bucket keeps.

    Nothing here replaces anything unseen or rewrites history: what is brought back is a local edit
    like any other. Called from any thread.
    """

    def events(
        self, path: str = "", *, before: int = 0, since: float = 0, limit: int = 100
    ) -> list[Event]:
        """What was done, newest first.

        Args:
            path: Only what concerns this file, or this folder and all below it; empty: everything.
            before: Only events with a smaller number; 0: from the newest on. To page with.
            since: Only what was done after that, seconds since the epoch.
            limit: How many at most.
        """
        ...

    def follow(self, after: int, wait: float, limit: int = 1000) -> list[Event]:
        """What was done after the event `after`, oldest first; waits `wait` seconds for it."""
        ...

    def trashed(self, path: str = "") -> list[Trashed]:
        """What is in the trash, newest first: of a file, or of a folder; empty: everything."""
        ...

    def put_back(self, item: str, to: str = "") -> str:
        """Move an item of the trash back into the folder, never replacing anything.

        Args:
            item: Its id.
            to: Where to; empty: where it was.

        Returns:
            The path it has now: another one than asked for when that name is taken.

        Raises NotFound when it is not there, Blocked when it cannot be put there.
        """
        ...

    def empty_trash(self, before: float) -> Emptied:
        """Remove for good what went to the trash before a time (seconds since the epoch).

        What a program has open, or has changed there, stays.
        """
        ...

    def versions(self, path: str) -> list[Version]:
        """The versions of one file, newest first; NotFound when the bucket has none."""
        ...

    def versions_below(self, path: str, at: float | None = None) -> list[Version]:
        """The versions that bringing a folder back means, one a path at most, in path order.

        Args:
            path: The folder; empty: everything.
            at: How things were then, without what still is that way; None: what is deleted now.
        """
        ...

    def bring_back(self, path: str, version: str, to: str = "") -> str:
        """Bring an old version back into the folder; what it replaces goes to the trash.

        Args:
            path: The file.
            version: The version's id.
            to: Where to, never replacing anything; empty: to the file itself.

        Returns:
            The path it has now: another one than `to` when that name is taken.

        Raises NotFound when there is no such version, Blocked when it cannot be put there.
        """
        ...


class Vault(Protocol):
    """What a view (API, page, command) may ask of a running vault. Called from any thread."""

    @property
    def past(self) -> Past:
        """History, trash and old versions."""
        ...

    def status(self) -> Status:
        """The state of the whole."""
        ...

    def waiting(self, limit: int = 1000) -> list[Waiting]:
        """Items that are not in sync, with reasons, in path order."""
        ...

    def conflicts(self) -> list[tuple[str, str]]:
        """Conflict copies as (path of the copy, path of the original), in path order."""
        ...

    def held(self) -> list[Held]:
        """What the guards hold until a person decides."""
        ...

    def allow_held(self, guard: str | None = None) -> int:
        """Let through what a guard (None: any) holds now; how many files that are."""
        ...

    def restore_held(self, guard: str | None = None) -> int:
        """Undo what a guard (None: any) holds, from the other side; how many files that are."""
        ...

    def why(self, path: str) -> dict[str, object]:
        """Everything that decides about one path, as JSON-ready values.

        Keys: path, decision (a verb or `nothing`), reason, ignored (the rule or null), local, base,
        remote (each an object or null), waiting (an object or null).
        """
        ...

    def pin(self, path: str, *, pinned: bool) -> None:
        """Keep a file of the drive, or all below a folder of it, on this machine, or no longer.

        Raises NotFound when there is nothing there, Usage when there is no drive.
        """
        ...

    def sync(self) -> None:
        """Look at everything on both sides now. Returns at once."""
        ...

    def pause(self) -> None:
        """Start no new work until resumed."""
        ...

    def resume(self) -> None:
        """Go on after a pause."""
        ...

    def wait_at_rest(self, timeout: float) -> None:
        """Return once nothing is pending and both sides were observed after this call began.

        Raises TimedOut after `timeout` seconds; GuardRefused when all is done but what a guard
        holds; SignIn, Retry (offline) or Fatal when the engine
        is in a state that it will not leave by itself.
        """
        ...
