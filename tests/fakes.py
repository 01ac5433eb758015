"""Deterministic twins of the world: sides in memory, a clock, a pool that runs when told to."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from vaultsync.core import names
from vaultsync.core.errors import Retry, Stale, VaultsyncError
from vaultsync.core.model import EMPTY, FULL, IMPLIED, MARKER, Entry, Kind, Seen, Unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from vaultsync.core.ports import Content, Staged


class FakeClock:
    """Time that moves only when told to.

    Attributes:
        time: Seconds that only grow.
        suspended: Seconds of a suspended machine.
        wrong: How far the wall clock is ahead of what it was.
    """

    def __init__(self) -> None:
        self.time = 1_000_000.0
        self.suspended = 0.0
        self.wrong = 0.0

    def now(self) -> float:
        return self.time + self.suspended + self.wrong

    def monotonic(self) -> float:
        return self.time

    def asleep(self) -> float:
        return self.suspended


class SeededPool:
    """Runs tasks one at a time, in an order drawn from a seed, when `run` is called."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.tasks: list[Callable[[], None]] = []

    def submit(self, task: Callable[[], None]) -> None:
        self.tasks.append(task)

    def run(self) -> bool:
        """Run one waiting task; whether there was one."""
        if not self.tasks:
            return False
        self.tasks.pop(self.random.randrange(len(self.tasks)))()
        return True


@dataclass(frozen=True)
class Version:
    """One stored version of a file."""

    data: bytes
    tag: str
    mtime_ns: int = 0
    mode: int = 0o644
    ops: tuple[str, ...] = ()
    stamp: str | None = None


class MemoryContent:
    def __init__(self, side: MemorySide, path: str, entry: Entry, data: bytes) -> None:
        self._side, self._path, self._data = side, path, data
        self.entry = entry

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]

    def chunks(self) -> Iterator[bytes]:
        yield self._data

    def sha256(self) -> str:
        return hashlib.sha256(self._data).hexdigest()

    def md5(self) -> str:
        return hashlib.md5(self._data).hexdigest()  # noqa: S324 - compared with ETags

    def close(self) -> None:
        self._data = self._data[:]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True)
class MemoryStaged:
    path: str
    op: str
    data: bytes
    entry: Entry
    parents: tuple[str, ...]
    source: tuple[str, Entry] | None = None
    """Of borrowed content in the vault: where it is copied from, when it is committed."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def token(self) -> str:
        return f"{self.op} {self.sha256}"


@dataclass(frozen=True)
class MemoryCommitted:
    entry: Entry
    kept: str | None = None


@dataclass
class MemorySide:
    """A side in memory: files, and directories that exist by themselves or by what they hold.

    Attributes:
        remote: Whether it behaves like a prefix (ETags, markers, listings that tell little) or like
            a folder (identities, real directories, conflict names).
        fault: Called with the name of each operation and its path before it is carried out, and
            with `after <name>` when it was; whatever it raises is what the caller gets.
        ever: All contents that were ever visible, by digest: what must not be lost.
        trash: Contents that were set aside when something replaced or deleted them.
    """

    clock: FakeClock
    remote: bool = False
    device: str = "laptop"
    files: dict[str, Version] = field(default_factory=dict)
    directories: set[str] = field(default_factory=set)
    trash: list[bytes] = field(default_factory=list)
    history: list[bytes] = field(default_factory=list)
    fault: Callable[[str, str], None] = lambda _name, _path: None
    ignored: Callable[[str], bool] = lambda _path: False
    mutations: list[tuple[str, str]] = field(default_factory=list)
    _count: int = 0
    _made: dict[str, str] = field(default_factory=dict)

    # What a person or a foreign program does

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Create or replace a file behind the engine's back."""
        self._put(path, data, int(self.clock.time * 1e9), mode, ())

    def remove(self, path: str) -> None:
        """Remove a file behind the engine's back; the directory it was in stays (locally)."""
        self.history.append(self.files.pop(path).data)

    def make(self, path: str) -> None:
        """Make a directory behind the engine's back."""
        self.directories.add(path)
        if not self.remote:
            self.directories.update(names.parents(path))

    def tree(self) -> dict[str, bytes]:
        """All files; with a local side's or a marked directory as an empty value of its path."""
        found = {path: version.data for path, version in self.files.items()}
        return {**found, **dict.fromkeys(self._all_directories(), b"")}

    # Side

    def entries(self, at: str = "", after: str = "") -> Iterator[Seen | Unseen]:
        self.fault("entries", at)
        for path in sorted([*self.files, *self._all_directories()]):
            inside = not at or path == at or path.startswith(at + "/")
            if not inside or path <= after or names.is_control(path) or self.ignored(path):
                continue
            entry = self._directory(path) if path.endswith("/") else self._file(path)
            if entry is not None:
                yield Seen(path, entry)

    def look(self, path: str) -> Entry | None:
        self.fault("look", path)
        if path.endswith("/"):
            return self._directory(path)
        return self._file(path, fully=True)

    def identify(self, path: str, entry: Entry, like: Content | None = None) -> Entry:
        self.fault("identify", path)
        now = self._expect(path, entry)
        return replace(now, sha256=hashlib.sha256(self.files[path].data).hexdigest())

    def open(self, path: str, entry: Entry) -> MemoryContent:
        self.fault("open", path)
        now = self._expect(path, entry)
        return MemoryContent(self, path, now, self.files[path].data)

    def snapshot(self, path: str, entry: Entry) -> MemoryContent:
        self.fault("snapshot", path)
        now = self._file(path, fully=True)
        if now is None:
            raise Stale(f"{path} is gone")
        return MemoryContent(self, path, now, self.files[path].data)

    def stage(
        self, path: str, content: Content, op: str, parents: tuple[str, ...] = ()
    ) -> MemoryStaged:
        self.fault("stage", path)
        return MemoryStaged(path, op, b"".join(content.chunks()), content.entry, parents)

    def borrow(self, path: str, source: str, entry: Entry, like: Entry, op: str) -> MemoryStaged:
        self.fault("borrow", path)
        assert entry.sha256 is not None
        assert entry.size
        self._expect(source, entry)
        held = self.files[source]
        if not self.remote:
            return MemoryStaged(path, op, held.data, like, ())
        first, *parents = held.ops or (op,)
        entry = replace(entry, mtime_ns=held.mtime_ns, mode=held.mode)
        return MemoryStaged(path, first, held.data, entry, tuple(parents), (source, entry))

    def commit(self, staged: Staged, expected: Entry | None) -> MemoryCommitted:
        path = staged.path
        assert isinstance(staged, MemoryStaged)
        self.fault("commit", path)
        if staged.source is not None:
            self._expect(*staged.source)
        if not self.remote:
            if path + "/" in self._all_directories():
                raise Stale("a directory is in the way")
            if any(directory[:-1] in self.files for directory in names.parents(path)):
                raise Stale("a file is in the way")
        if (expected is None) != (path not in self.files):
            raise Stale(f"{path} is not as expected")
        if expected is not None:
            self._expect(path, expected)
            self.trash.append(self.files[path].data)
        self.mutations.append(("commit", path))
        ops = (staged.op, *staged.parents) if self.remote else ()
        entry = staged.entry
        self._put(path, staged.data, entry.mtime_ns or 0, entry.mode or 0o644, ops)
        self._made[staged.op] = self.files[path].tag
        now = self._file(path, fully=True)
        assert now is not None
        self.fault("after commit", path)
        return MemoryCommitted(replace(now, stamp=None))

    def discard(self, token: str) -> None:
        self.fault("discard", token)

    def recover(self, path: str, op: str, token: str) -> Entry | None:
        self.fault("recover", path)
        version = self.files.get(path)
        if version is None:
            return None
        same = token.rpartition(" ")[2] in ("", token, hashlib.sha256(version.data).hexdigest())
        if op in version.ops[1:] or (same and op in version.ops):
            return self._file(path, fully=True)
        if not self.remote and self._made.get(op) == version.tag:
            return self._file(path, fully=True)
        return None

    def make_directory(self, path: str) -> Entry:
        self.fault("make_directory", path)
        if not self.remote and path[:-1] in self.files:
            raise Stale("a file is in the way")
        self.mutations.append(("make_directory", path))
        self.make(path)
        entry = self._directory(path)
        assert entry is not None
        return entry

    def delete(self, path: str, expected: Entry) -> None:
        self.fault("delete", path)
        if path.endswith("/"):
            if not self.remote and self._holds(path):
                raise Stale("not empty")
            self.directories.discard(path)
        elif path in self.files:
            self._expect(path, expected)
            data = self.files.pop(path).data
            self.trash.append(data)
        self.mutations.append(("delete", path))
        self.fault("after delete", path)

    def apply(
        self, path: str, expected: Entry, mtime_ns: int | None, mode: int | None, op: str = ""
    ) -> Entry:
        self.fault("apply", path)
        self._expect(path, expected)
        old = self.files[path]
        self.mutations.append(("apply", path))
        ops = (op, *old.ops) if self.remote and op else old.ops
        self._put(path, old.data, mtime_ns or old.mtime_ns, mode or old.mode, ops)
        entry = self._file(path, fully=True)
        assert entry is not None
        self.fault("after apply", path)
        return entry

    def set_aside(self, path: str, expected: Entry) -> str:
        self.fault("set_aside", path)
        self._expect(path, expected)
        version = self.files.pop(path)
        digest = hashlib.sha256(version.data).hexdigest()
        when = datetime.fromtimestamp(self.clock.now(), UTC)
        kept = names.conflict_name(path, self.device, when, digest)
        self.mutations.append(("set_aside", kept))
        if kept in self.files:
            self.trash.append(version.data)
        else:
            self.files[kept] = version
        return kept

    def check(self) -> None:
        self.fault("check", "")

    # Inside

    def _put(self, path: str, data: bytes, mtime: int, mode: int, ops: tuple[str, ...]) -> None:
        self._count += 1
        if path in self.files:
            self.history.append(self.files[path].data)
        digest = hashlib.md5(data).hexdigest()  # noqa: S324 - what an ETag is
        tag = digest if self.remote else str(self._count)
        stamp = str(self._count) if self.remote else None
        self.files[path] = Version(data, tag, mtime, mode, ops, stamp)
        if not self.remote:
            self.directories.update(names.parents(path))

    def _expect(self, path: str, expected: Entry) -> Entry:
        now = self._file(path, fully=True)
        if now is None or now.tag != expected.tag:
            raise Stale(f"{path} is not as expected")
        return now

    def _file(self, path: str, *, fully: bool = False) -> Entry | None:
        version = self.files.get(path)
        if version is None:
            return None
        entry = Entry(Kind.FILE, len(version.data), version.tag)
        if not self.remote:
            return replace(entry, mtime_ns=version.mtime_ns, mode=version.mode)
        if not fully:
            return replace(entry, stamp=version.stamp)
        return replace(
            entry,
            stamp=version.stamp,
            sha256=hashlib.sha256(version.data).hexdigest(),
            mtime_ns=version.mtime_ns,
            mode=version.mode,
            ops=version.ops,
        )

    def _all_directories(self) -> set[str]:
        implied = {above for path in self.files for above in names.parents(path)}
        deep = {above for path in self.directories for above in names.parents(path)}
        return self.directories | implied | deep

    def _holds(self, path: str) -> bool:
        return any(
            other != path and other.startswith(path)
            for other in [*self.files, *self._all_directories()]
        )

    def _directory(self, path: str) -> Entry | None:
        if path not in self._all_directories():
            return None
        if self.remote:
            return Entry(Kind.DIR, 0, MARKER if path in self.directories else IMPLIED)
        return Entry(Kind.DIR, 0, FULL if self._holds(path) else EMPTY)


class MemoryLedger:
    """A `remote.unfinished.UploadLedger` that outlives whoever writes into it."""

    def __init__(self) -> None:
        self.records: dict[str, str] = {}

    def remember(self, path: str, record: str, since: float) -> None:
        assert since > 0
        self.records[path] = record

    def recall(self, path: str) -> str | None:
        return self.records.get(path)

    def forget(self, path: str, record: str) -> None:
        if self.records.get(path) == record:
            del self.records[path]

    def all(self) -> list[tuple[str, str]]:
        return sorted(self.records.items())


class Faults:
    """Raises faults from a seed, at a rate, at the operations of a side."""

    def __init__(self, seed: int, rate: float, *, lost_answers: bool) -> None:
        self.random = random.Random(seed)
        self.rate = rate
        self.lost_answers = lost_answers

    def __call__(self, name: str, path: str) -> None:
        if name in ("check", "discard") or self.random.random() >= self.rate:
            return
        error: VaultsyncError = Retry(f"{name} {path}: connection lost")
        if name.startswith("after "):
            if not self.lost_answers:
                return
            error = Retry(f"{name} {path}: no answer", unknown_outcome=True)
        raise error
