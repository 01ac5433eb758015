"""Rows for Hypothesis: all that the model allows, and a small model of two sides behind a row."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from vaultsync.core.model import (
    EMPTY,
    FULL,
    IMPLIED,
    MARKER,
    UNMANAGED,
    Absence,
    Action,
    Base,
    Entry,
    Kind,
    Row,
    Verb,
)
from vaultsync.core.plan import agreed

FILES = st.sampled_from([Kind.FILE, Kind.LINK])
TAGS = st.sampled_from(["t1", "t2", "t3"])
DIGESTS = st.sampled_from(["a" * 64, "b" * 64, "c" * 64])
SIZES = st.sampled_from([0, 7, 1 << 20, (1 << 20) + 1])
MODES = st.sampled_from([None, 0o644, 0o755])
STAMPS = st.sampled_from([None, "monday", "tuesday"])
ABSENCES = st.sampled_from([Absence.ONCE, Absence.CONFIRMED])
OPS = st.lists(st.sampled_from(["op1", "op2"]), unique=True).map(tuple)

ENTRIES = st.builds(
    Entry,
    kind=FILES,
    size=SIZES,
    tag=TAGS,
    sha256=st.none() | DIGESTS,
    mtime_ns=st.sampled_from([None, 1, 2]),
    mode=MODES,
    stamp=STAMPS,
    ops=OPS,
)
BASES = st.builds(
    Base,
    kind=FILES,
    size=SIZES,
    sha256=DIGESTS,
    local_tag=TAGS | st.just(""),
    remote_tag=TAGS | st.just(""),
    mode=MODES,
    stamp=STAMPS,
    ops=OPS,
)


@st.composite
def file_rows(draw: st.DrawFn, path: str = "a") -> Row:
    """Any row of a file or link, also ones that no engine would come to."""
    local, remote = draw(st.none() | ENTRIES), draw(st.none() | ENTRIES)
    return Row(
        path,
        local,
        draw(st.none() | BASES),
        remote,
        draw(ABSENCES) if local is None else Absence.PRESENT,
        draw(ABSENCES) if remote is None else Absence.PRESENT,
        draw(st.booleans()),
        draw(OPS),
    )


@st.composite
def directory_rows(draw: st.DrawFn, path: str = "d/") -> Row:
    """Any row of a directory."""
    here = draw(st.sampled_from([None, EMPTY, FULL, UNMANAGED]))
    there = draw(st.sampled_from([None, MARKER, IMPLIED]))
    return Row(
        path,
        None if here is None else Entry(Kind.DIR, 0, here),
        Base(Kind.DIR, 0, "", EMPTY, MARKER) if draw(st.booleans()) else None,
        None if there is None else Entry(Kind.DIR, 0, there),
        draw(ABSENCES) if here is None else Absence.PRESENT,
        draw(ABSENCES) if there is None else Absence.PRESENT,
        draw(st.booleans()),
    )


@st.composite
def forests(draw: st.DrawFn) -> list[Row]:
    """Rows in path order, each with the rows of the directories above it."""
    segments = st.sampled_from(["a", "b", "b.c", "b-"])
    paths: set[str] = set()
    for parts in draw(st.lists(st.lists(segments, min_size=1, max_size=4), max_size=12)):
        above = ["/".join(parts[:depth]) + "/" for depth in range(1, len(parts))]
        paths.update(above)
        paths.add("/".join(parts) + draw(st.sampled_from(["", "/"])))
    return [
        draw(directory_rows(path) if path.endswith("/") else file_rows(path))
        for path in sorted(paths)
    ]


@dataclass(frozen=True)
class Version:
    """What is really stored on one side."""

    content: str
    runs: bool = False

    @property
    def digest(self) -> str:
        return self.content * 64


@dataclass
class Pair:
    """Two sides that hold one file, the row that is known of them, and ideal actions on them.

    Attributes:
        row: What the planner sees.
        local: What is really here.
        remote: What is really in the vault.
        aside: Versions kept as conflict copies.
    """

    row: Row
    local: Version | None
    remote: Version | None
    aside: list[Version] = field(default_factory=list)
    _tags: int = 0

    def act(self, action: Action) -> None:
        """Carry an action out as if nothing ever went wrong, and know what it did."""
        row = self.row
        match action.verb:
            case Verb.PULL:
                self.local = self.remote
                self._agree()
            case Verb.PUSH:
                self.remote = self.local
                self._agree()
            case Verb.DELETE_LOCAL:
                self.local, self.row = None, Row(row.path)
            case Verb.DELETE_REMOTE:
                self.remote, self.row = None, Row(row.path)
            case Verb.APPLY_LOCAL | Verb.APPLY_REMOTE:
                self._apply(action.verb)
            case Verb.CONFLICT:
                assert self.local is not None
                self.aside.append(self.local)
                self.local = None
                self.row = replace(row, local=None, base=None, local_absence=Absence.CONFIRMED)
            case Verb.INSPECT:
                self._inspect()
            case Verb.ADOPT:
                self.row = replace(row, base=agreed(row), local_gone=False)
            case Verb.FORGET:
                self.row = replace(row, base=None, local_gone=False)

    def look_again(self) -> bool:
        """See a second time what was absent once; whether there was such a thing."""
        row = self.row
        self.row = replace(
            row,
            local_absence=Absence.CONFIRMED if row.local is None else Absence.PRESENT,
            remote_absence=Absence.CONFIRMED if row.remote is None else Absence.PRESENT,
        )
        return self.row != row

    def _tag(self) -> str:
        self._tags += 1
        return f"new{self._tags}"

    def _show(self, version: Version) -> Entry:
        mode = 0o755 if version.runs else 0o644
        return Entry(Kind.FILE, 7, self._tag(), version.digest, mode=mode)

    def _agree(self) -> None:
        """Both sides hold the same version now; each has a tag of its own for it."""
        assert self.local is not None
        assert self.remote is not None
        local, remote = self._show(self.local), self._show(self.remote)
        gone = self.row.local_gone and bool(self.row.intents)
        row = Row(self.row.path, local, None, remote, Absence.PRESENT, Absence.PRESENT, gone)
        self.row = replace(row, base=agreed(row), intents=self.row.intents)

    def _apply(self, verb: Verb) -> None:
        assert self.local is not None
        assert self.remote is not None
        if verb is Verb.APPLY_LOCAL:
            self.local = replace(self.local, runs=self.remote.runs)
        else:
            self.remote = replace(self.remote, runs=self.local.runs)
        self._agree()

    def _inspect(self) -> None:
        """Learn the digests, as the executor does, of these very tags."""
        row = self.row
        if row.local is not None and self.local is not None:
            row = replace(row, local=replace(row.local, sha256=self.local.digest))
        if row.remote is not None and self.remote is not None:
            mode = 0o755 if self.remote.runs else 0o644
            remote = replace(row.remote, sha256=self.remote.digest, mode=mode)
            row = replace(row, remote=remote)
        assert row != self.row, "an inspection that learns nothing would be repeated for ever"
        self.row = row


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Two sides after any edits since they were equal, and any true knowledge of them."""
    versions = st.builds(Version, st.sampled_from("abc"), st.booleans())
    old = draw(st.none() | versions)
    local, remote = draw(st.none() | versions), draw(st.none() | versions)
    here = _shown(draw, local, old, "l")
    there = _shown(draw, remote, old, "r")
    if there is not None:
        listed = draw(st.booleans())
        there = replace(
            there, stamp=draw(STAMPS), mode=None if listed else there.mode, ops=draw(OPS)
        )
        if listed:
            there = replace(there, sha256=None)
    base = None
    if old is not None:
        mode = 0o755 if old.runs else 0o644
        base = Base(Kind.FILE, 7, old.digest, "l", "r", mode=mode, stamp=draw(STAMPS))
    row = Row(
        "a",
        here,
        base,
        there,
        draw(ABSENCES) if here is None else Absence.PRESENT,
        draw(ABSENCES) if there is None else Absence.PRESENT,
        base is not None and draw(st.booleans()),
        draw(OPS),
    )
    return Pair(row, local, remote)


def _shown(draw: st.DrawFn, version: Version | None, old: Version | None, tag: str) -> Entry | None:
    """A version as its side shows it: under the old tag only if nothing was done to it."""
    if version is None:
        return None
    untouched = version == old and draw(st.booleans())
    digest = version.digest if draw(st.booleans()) else None
    mode = 0o755 if version.runs else 0o644
    return Entry(Kind.FILE, 7, tag if untouched else tag + "'", digest, mode=mode)
