"""The nouns: what a side showed, what both sides agreed on, and what to do next.

Paths are `str`, relative to the root, `/` between segments, never starting with one. A directory's
path ends with `/`; so the file `a` and the directory `a/` are different paths, and comparing
strings (code points) gives the same order as comparing their UTF-8 bytes, which is the order in
which S3 lists keys. The root itself is the empty string.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

EMPTY = "empty"
"""Tag of a directory that holds nothing (local), or is kept by a marker object (see MARKER)."""
FULL = "full"
"""Tag of a local directory that holds something that may be synced."""
UNMANAGED = "unmanaged"
"""Tag of a local directory that holds only ignored or unreadable things."""
MARKER = "marker"
"""Tag of a remote directory that a zero-byte `dir/` object keeps in being."""
IMPLIED = "implied"
"""Tag of a remote directory that exists only because keys below it do."""


_STAND_IN = "etag:"


def stand_in(tag: str) -> str:
    """What stands for a digest that nobody has told: it equals itself only, and no real digest.

    A side that fetches content only when it is read has it in `sha256` of entries and of the base.

    Args:
        tag: The remote side's tag of the version.
    """
    return _STAND_IN + tag


def is_stand_in(sha256: str | None) -> bool:
    """Whether what is in the place of a digest only stands for one."""
    return sha256 is not None and sha256.startswith(_STAND_IN)


class Kind(StrEnum):
    """What an entry is."""

    FILE = "file"
    DIR = "dir"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory as one side showed it at one moment.

    Attributes:
        kind: File, directory or symbolic link.
        size: Bytes of content; 0 for a directory.
        tag: Opaque compare-and-set token. Local: the identity (inode, size, mtime_ns, ctime_ns);
            remote: the ETag without quotes; a directory: one of the constants of this module.
            Equal tags mean that nothing changed; different tags mean that something may have.
        sha256: Hex digest of the content, when it is known for this very tag.
        mtime_ns: Modification time in nanoseconds since the epoch, when known. Data to carry,
            never a reason to transfer.
        mode: Permission bits (0 to 0o777), when known.
        stamp: The server's LastModified for this object, as text, when known. Only ever compared
            for equality.
        version: S3 VersionId, when known.
        ops: Operation ids found in the object's metadata, newest first: the write that made this
            version and the ones it was built upon (rule R1).
    """

    kind: Kind
    size: int
    tag: str
    sha256: str | None = None
    mtime_ns: int | None = None
    mode: int | None = None
    stamp: str | None = None
    version: str | None = None
    ops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Base:
    """The last state of a path that was known to be equal on both sides at one moment.

    Attributes:
        kind: File, directory or link.
        size: Bytes of content.
        sha256: Hex digest of the content; empty for a directory.
        local_tag: The local side's tag at that moment; empty when it must be determined afresh.
        remote_tag: The remote side's tag (ETag) at that moment.
        mtime_ns: Modification time as read back after applying it.
        mode: Permission bits as read back after applying them.
        stamp: The server's LastModified, once a listing has shown it.
        version: S3 VersionId, when known.
        ops: Operation ids of the remote version, newest first, at most eight.
    """

    kind: Kind
    size: int
    sha256: str
    local_tag: str
    remote_tag: str
    mtime_ns: int | None = None
    mode: int | None = None
    stamp: str | None = None
    version: str | None = None
    ops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """One item of a scan or a listing: the path is there and looks like this."""

    path: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Unseen:
    r"""One item of a scan or a listing: something is or may be there that cannot be synced.

    It is evidence neither of presence nor of absence. Rows at `path`, and below it when `path`
    ends with `/`, are left as they were.

    Attributes:
        path: The path, printable (bytes that are not UTF-8 are shown as `\xNN`).
        reason: Why, one sentence for a person.
        hint: What to try, or an empty string.
        valid: False when `path` is only a way to print the name, not a name one could use.
    """

    path: str
    reason: str
    hint: str = ""
    valid: bool = True


class Absence(StrEnum):
    """How sure an observation is that a path is gone."""

    PRESENT = "present"
    ONCE = "once"
    """Seen to be absent by one scan or listing."""
    CONFIRMED = "confirmed"
    """Seen to be absent again by another one that began after the first."""


@dataclass(frozen=True, slots=True)
class Row:
    """All that is known about one path; what the planner decides on.

    Attributes:
        path: The path.
        local: The last local observation, or None when the path is not there.
        base: What both sides last agreed on, or None.
        remote: The last remote observation, or None when the path is not there.
        local_absence: How sure `local is None` is; PRESENT when it is not None.
        remote_absence: The same for `remote`.
        local_gone: Mark LOCAL_GONE (rules R2, R5): this device has set out to delete the remote
            version of this path, and no later observation has shown both sides equal.
        intents: Operation ids of our own writes to this path whose outcome is not known (R1): a
            remote version that carries one of them is our own ancestor.
        moved_from: Mark MOVED_HERE (rule R6): the path from which this device moved the content
            here by a copy on the server, as long as the deletion of that path may be under way.
    """

    path: str
    local: Entry | None = None
    base: Base | None = None
    remote: Entry | None = None
    local_absence: Absence = Absence.CONFIRMED
    remote_absence: Absence = Absence.CONFIRMED
    local_gone: bool = False
    intents: tuple[str, ...] = ()
    moved_from: str | None = None


class Verb(StrEnum):
    """What an action does. Each is one compare-and-set, or touches nothing outside the database."""

    PULL = "pull"
    """Bring the remote version (or directory) to the local side."""
    PUSH = "push"
    """Bring the local version (or an empty directory) to the remote side."""
    DELETE_LOCAL = "delete-local"
    """Move the local version to the trash, because the remote one was deleted."""
    DELETE_REMOTE = "delete-remote"
    """Delete the remote version, because the local one was deleted."""
    APPLY_LOCAL = "apply-local"
    """Give the local file the remote one's metadata; the content is the same."""
    APPLY_REMOTE = "apply-remote"
    """Give the remote object the local file's metadata; the content is the same."""
    CONFLICT = "conflict"
    """Forget base and rename the local version aside, so that both travel on."""
    PART = "part"
    """Rename the remote file aside, because the vault has a folder of the same name."""
    INSPECT = "inspect"
    """Find out the content digests that a decision needs."""
    ADOPT = "adopt"
    """Both sides are equal: make that the base. Touches no side."""
    FORGET = "forget"
    """Both sides are gone: drop the base. Touches no side."""

    @property
    def deletes(self) -> bool:
        """Whether the action removes something from a side."""
        return self in (Verb.DELETE_LOCAL, Verb.DELETE_REMOTE)

    @property
    def writes_remote(self) -> bool:
        """Whether the action makes a version in the vault that carries its operation id."""
        return self in (Verb.PUSH, Verb.APPLY_REMOTE)


@dataclass(frozen=True, slots=True)
class Action:
    """A verb, a path, and the row it was decided on: its preconditions.

    Attributes:
        verb: What to do.
        row: What the decision rests on; the executor acts only while it is still true.
        reason: Why, one sentence for a person; what `vaultsync why` prints.
        source: For a PUSH or PULL whose content the target side holds already under another path:
            that path's row.
    """

    verb: Verb
    row: Row
    reason: str = field(compare=False)
    source: Row | None = None

    @property
    def path(self) -> str:
        """The path that the action is about."""
        return self.row.path


class Deed(StrEnum):
    """What was done besides the planner's actions: by a person, or for the trash."""

    PUT_BACK = "put-back"
    """An item of the trash was put back into the folder."""
    BRING_BACK = "bring-back"
    """An old version from the vault was brought back into the folder."""
    EMPTY = "empty"
    """Items of the trash were removed for good."""
    RETURN = "return"
    """What somebody went on writing to in the trash came back as a conflict copy."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done to one of the sides.

    Attributes:
        at: When, seconds since the epoch.
        path: To which path; empty for the trash as a whole.
        verb: What.
        reason: Why, one sentence.
        size: Bytes of the version that it is about: the one that came, or the one that went.
        sha256: Its hex digest, when known.
        version: VersionId of the remote version that was made, read or removed, when known.
        kept: Path of the conflict copy that was made, if any.
        id: Its number in the history, from 1, growing with time; 0 before it is recorded.
    """

    at: float
    path: str
    verb: Verb | Deed
    reason: str
    size: int | None = None
    sha256: str | None = None
    version: str | None = None
    kept: str | None = None
    id: int = 0


@dataclass(frozen=True, slots=True)
class Trashed:
    """Something in the trash.

    Attributes:
        id: What to call it by, unique in the trash.
        path: Where it was.
        size: Bytes of content.
        at: When it went there, seconds since the epoch; to the day when nobody wrote it down.
    """

    id: str
    path: str
    size: int
    at: float


@dataclass(frozen=True, slots=True)
class Emptied:
    """What emptying the trash came to.

    Attributes:
        files: How many items were removed for good.
        bytes: Their content.
        kept: How many stayed although they were meant: a program has them open, or has changed
            them.
    """

    files: int = 0
    bytes: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a path that the vault's bucket keeps.

    Attributes:
        path: The path.
        id: VersionId; `null` for one that was written while the bucket kept no versions.
        at: When it was written, seconds since the epoch, whole seconds.
        size: Bytes of content.
        etag: ETag without quotes; empty for a deletion.
        current: Whether it is the newest one.
        deleted: Whether it says that the path was deleted.
        archived: Whether the content must be restored in S3 before it can be read.
    """

    path: str
    id: str
    at: float
    size: int = 0
    etag: str = ""
    current: bool = False
    deleted: bool = False
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Transfer:
    """An action under way.

    Attributes:
        verb: What is being done.
        path: To which path.
        size: Bytes in all.
        since: When it began, seconds since the epoch.
    """

    verb: Verb
    path: str
    size: int
    since: float


class State(StrEnum):
    """What the engine as a whole is doing."""

    STARTING = "starting"
    IDLE = "idle"
    SYNCING = "syncing"
    PAUSED = "paused"
    OFFLINE = "offline"
    SIGN_IN_NEEDED = "sign-in needed"
    WAITING_FOR_KEYRING = "waiting for the keyring"
    STOPPED = "stopped"
    """The root or the vault is not the one this profile is bound to, or something else that only
    a person can put right; `reason` and `hint` tell."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An item that is not in sync yet, and why.

    Attributes:
        path: Which item.
        code: `pending`, `transfer`, `retry`, `blocked`, `held` or `conflict`.
        reason: Why it waits, one sentence.
        hint: What to try, or empty.
        next_try: Seconds since the epoch of the next try; None when it waits for something else.
    """

    path: str
    code: str
    reason: str
    hint: str = ""
    next_try: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What a guard holds until a person decides.

    Attributes:
        guard: Which: `deletions-here`, `deletions-in-vault`, `changes`, `conflicts` or `vault`.
        reason: What is held and why, one or two sentences.
        count: Files that are held.
        since: Since when, seconds since the epoch.
        paths: The first of them, in order, where they were asked for.
    """

    guard: str
    reason: str
    count: int
    since: float
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    """A drive, and where it is mounted.

    Attributes:
        at: The mount point; None while it is mounted nowhere.
        pid: The process that holds the mount; None when that has ended, or there is no mount.
        cached: Bytes of the disk that contents take.
        limit: Bytes that they may take, but for what is not sent yet, open or pinned.
    """

    at: str | None = None
    pid: int | None = None
    cached: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """One profile at one moment.

    Attributes:
        state: What the engine does.
        reason: Why it is in that state, when it is not a good one.
        hint: What to try.
        files: Files that are in sync.
        bytes: Their content.
        pending: Items known not to be in sync (waiting or under way).
        blocked: Items that cannot be synced until somebody changes something.
        conflicts: Conflict copies in the tree.
        held: Files that a guard holds until a person decides.
        transfers: What is under way.
        observed: Counts finished observations of the whole remote side; never goes down.
        scanned_at: When the last full local scan ended, seconds since the epoch.
        polled_at: When the last remote poll ended.
        requests: Requests sent since the start, by kind.
        warnings: What is not as it should be although everything goes on, a sentence or two each.
        drive: The drive; None where the local side is a folder.
    """

    state: State
    reason: str = ""
    hint: str = ""
    files: int = 0
    bytes: int = 0
    pending: int = 0
    blocked: int = 0
    conflicts: int = 0
    held: int = 0
    transfers: tuple[Transfer, ...] = ()
    observed: int = 0
    scanned_at: float | None = None
    polled_at: float | None = None
    requests: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    drive: Mount | None = None
