"""One enumerated state, built on two sides in memory and a real database, and carried to rest."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from tests.fakes import FakeClock, MemorySide
from tests.sync.exhaustive.states import AGAIN, DELETION, NOTHING, File, Folder, Sight
from tests.sync.simulation.database import BoundaryStore, Database
from vaultsync.core import names
from vaultsync.core.model import EMPTY, MARKER, Absence, Base, Entry, Kind, Row, Verb
from vaultsync.state.store import Journalled
from vaultsync.sync.engine import Engine
from vaultsync.sync.observe import INTENT_LIFETIME
from vaultsync.sync.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sync.exhaustive.states import Nodes

TURNS = 250
"""Turns after which an engine that is not at rest is taken for one that never will be."""
SOON = 150
"""Turns within which nearly all come to rest; only names that have to part take longer."""
STEP = 0.3
"""Seconds that pass between two turns."""
FOLDER_BASE = Base(Kind.DIR, 0, "", EMPTY, MARKER)


def data(content: str) -> bytes:
    """The bytes of a content: of one size, so that only reading tells them apart."""
    return {"1": b"one", "2": b"two"}[content.removesuffix(AGAIN)]


def digest(content: str) -> str:
    """Its hex digest."""
    return hashlib.sha256(data(content)).hexdigest()


class Inline:
    """A pool that runs each task at once."""

    def submit(self, task: Callable[[], None]) -> None:
        task()


class World:
    """A state of the world with an engine on it.

    Attributes:
        nodes: What it was built from.
        taken: Names of files that the vault held at first.
        false_bases: Bases that were recorded although one side had never shown that content.
    """

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.clock = FakeClock()
        self.local = MemorySide(self.clock)
        self.vault = MemorySide(self.clock, remote=True)
        self.false_bases: list[str] = []
        self._shown: dict[str, set[str]] = {}
        self._database = Database(remember=False)
        self.store = BoundaryStore(self._database, lambda _: None, self._saved)
        self._build()
        self.taken = set(self.vault.files)
        ops = count()
        self.engine = Engine(
            self.store,
            self.local,
            self.vault,
            Inline(),
            self.clock,
            lambda: f"new-{next(ops)}",
            lambda _: False,
            Settings(poll_seconds=1.0, delete_quiet=0.2, lanes=4),
        )

    def close(self) -> None:
        """Drop the database."""
        self._database.close()

    def settle(self) -> bool:
        """Run until at rest after a look at both sides; whether it came to that."""
        ticket = self.engine.request_sync()
        for turn in range(TURNS):
            self.engine.turn(0)
            if self.engine.at_rest and self.engine.served >= ticket:
                return True
            self.clock.time += STEP * (1 + turn // 20) if turn < SOON else 100 * STEP
        return False

    def later(self) -> None:
        """Let so much time pass that nothing of unknown outcome can arrive any more."""
        self.clock.time += INTENT_LIFETIME + 1

    def sides(self) -> tuple[object, ...]:
        """All that the two sides show, down to tags and times, to be compared."""
        return tuple((dict(side.files), set(side.directories)) for side in (self.local, self.vault))

    # Building

    def _build(self) -> None:
        rows = {path: Row(path) for path, _ in self.nodes}
        files = [(path, node) for path, node in self.nodes if isinstance(node, File)]
        for path, node in files:
            self._shown[path] = {digest(each) for each in (node.base, node.unknown)
                                 if each not in (NOTHING, DELETION)}  # fmt: skip
            if node.base != NOTHING:
                rows[path] = self._agreed(path, node)
        for path, node in files:
            _bring(self.local, path, node.base, node.here)
            _bring(self.vault, path, node.base, node.there)
            if node.arrived:
                version = self.vault.files[path]
                self.vault.files[path] = replace(version, ops=(_op(path),))
        self._make_folders()
        for path, state in self.nodes:
            rows[path] = self._seen(rows[path], state)
        above = {directory for path, _ in files for directory in names.parents(path)}
        rows |= {directory: self._above(directory) for directory in above - rows.keys()}
        with self.store.transaction():
            self.store.save(rows.values())
            for path, node in files:
                if node.unknown != NOTHING:
                    self.store.intend(self._intent(rows[path], node), self.clock.now())

    def _make_folders(self) -> None:
        """Emptied folders stay only where the state says so."""
        for side in (self.local, self.vault):
            side.directories = set()
        for path, node in self.nodes:
            if isinstance(node, Folder):
                for side, wanted in ((self.local, node.here), (self.vault, node.there)):
                    side.directories |= {path} if wanted else set()
        for path in self.local.files:
            self.local.directories.update(names.parents(path))

    def _agreed(self, path: str, node: File) -> Row:
        """The row when both sides were equal, which they are made for a moment."""
        for side in (self.local, self.vault):
            side.write(path, data(node.base))
        local, remote = _shown(self.local, path), _shown(self.vault, path)
        assert local is not None
        assert remote is not None
        base = Base(
            Kind.FILE,
            local.size,
            digest(node.base),
            local.tag,
            remote.tag,
            local.mtime_ns,
            local.mode,
            remote.stamp,
        )
        return Row(path, local, base, remote, Absence.PRESENT, Absence.PRESENT)

    def _seen(self, row: Row, node: File | Folder) -> Row:
        """The row with what was seen last."""
        if isinstance(node, Folder) and node.base:
            row = replace(row, base=FOLDER_BASE)
        local, here = _sight(node.seen_here, row.local, _shown(self.local, row.path))
        remote, there = _sight(node.seen_there, row.remote, _shown(self.vault, row.path))
        return replace(
            row,
            local=local,
            remote=remote,
            local_absence=here,
            remote_absence=there,
            local_gone=node.gone,
        )

    def _above(self, path: str) -> Row:
        """The row of a directory that is there, and was, because of what is in it."""
        base = any(
            isinstance(node, File) and below.startswith(path) and node.base != NOTHING
            for below, node in self.nodes
        )
        folder = Folder(base=base, seen_here=Sight.NOW, seen_there=Sight.NOW)
        return self._seen(Row(path), folder)

    def _intent(self, row: Row, node: File) -> Journalled:
        if node.unknown == DELETION:
            assert row.base is not None
            return Journalled(row.path, _op(row.path), Verb.DELETE_REMOTE, "", row.base)
        local = _shown(self.local, row.path)
        still = local is not None and node.here == node.unknown
        base = Base(
            Kind.FILE,
            len(data(node.unknown)),
            digest(node.unknown),
            local.tag if local is not None and still else "earlier",
            "",
            mode=0o644,
            ops=(_op(row.path),),
        )
        return Journalled(row.path, _op(row.path), Verb.PUSH, "", base)

    # Watching

    def _saved(self, row: Row) -> None:
        if row.base is None or not row.base.sha256:
            return
        for side, name in ((self.local, "the folder"), (self.vault, "the vault")):
            version = side.files.get(row.path)
            now = "" if version is None else hashlib.sha256(version.data).hexdigest()
            if row.base.sha256 not in {now, *self._shown.get(row.path, ())}:
                self.false_bases.append(f"{name} never showed the base of {row.path}")


def _bring(side: MemorySide, path: str, base: str, content: str) -> None:
    """Let the side's file be as it is now."""
    if content == NOTHING:
        if base != NOTHING:
            side.clock.time += 1
            side.remove(path)
    elif content != base:
        side.clock.time += 1
        side.write(path, data(content))


def _shown(side: MemorySide, path: str) -> Entry | None:
    """What a scan or a listing says of a path."""
    return side._directory(path) if path.endswith("/") else side._file(path)


def _sight(sight: Sight, before: Entry | None, now: Entry | None) -> tuple[Entry | None, Absence]:
    if sight is Sight.ONCE:
        return None, Absence.ONCE
    if sight is Sight.TWICE:
        return None, Absence.CONFIRMED
    entry = before if sight is Sight.BEFORE else now
    return entry, Absence.CONFIRMED if entry is None else Absence.PRESENT


def _op(path: str) -> str:
    return f"earlier-{path}"
