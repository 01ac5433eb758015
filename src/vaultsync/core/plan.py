r"""The decision table: rows in, actions out. Pure.

`decide` holds the table for files and links, `plan` adds directories, which need to know what
becomes of their children. Neither ever guesses: where equality of two contents is not known and
matters, the answer is INSPECT, and the next plan sees what was found.

The table, in content (rows: local against base; columns: remote against base; metadata that is not
carried, such as a new mtime, is just adopted):

    local \ remote  same           created    modified    deleted        metadata only
    same             -              PULL       PULL        DELETE_LOCAL   APPLY_LOCAL
    created          PUSH           equal: ADOPT, else CONFLICT           -
    modified         PUSH           -          as created  PUSH           PUSH
    deleted          DELETE_REMOTE  -          PULL        FORGET         DELETE_REMOTE
    metadata only    APPLY_REMOTE   -          PULL        DELETE_LOCAL   APPLY_LOCAL
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from vaultsync.core.model import (
    EMPTY,
    FULL,
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHEAP_READ = 1 << 20
"""Bytes up to which reading a remote object is as good as asking for its metadata first."""

EDITED_HERE = "edited here"
"""Reason of a push of new content."""
CHANGED_HERE = "changed here"
"""Reason of a push of what may be new content."""

EXECUTABLE = 0o100
"""The permission bit that is carried; the others follow from the umask."""


class Change(Enum):
    """What happened to one side of a path since base."""

    SAME = auto()
    METADATA = auto()
    MODIFIED = auto()
    DELETED = auto()
    MAYBE = auto()
    """The tag differs and the content is not known: touched or modified."""


def plan(rows: Iterable[Row]) -> Iterator[Action]:
    """Yield what to do about rows given in path order.

    A directory's row must be followed by all rows below it when `needs_children` says so.
    Memory: one frame per level of depth.
    """
    frames: list[_Frame] = []
    for row in rows:
        while frames and not row.path.startswith(frames[-1].row.path):
            yield from _leave(frames)
        if row.path.endswith("/"):
            frames.append(_Frame(row))
            continue
        action = decide(row)
        if frames and row.remote is not None:
            frames[-1].note(action)
        if action is not None:
            yield action
    while frames:
        yield from _leave(frames)


def needs_children(row: Row) -> bool:
    """Whether the decision on a directory depends on what becomes of its children."""
    return (
        row.path.endswith("/")
        and row.base is not None
        and row.remote is not None
        and (row.local is None or (row.local.tag == EMPTY and row.remote.tag != MARKER))
    )


def decide(row: Row) -> Action | None:
    """Decide on one file or link; None when there is nothing to do (yet)."""
    local, base, remote = row.local, row.base, row.remote
    if row.intents and remote is not None and remote.sha256 is None:
        return Action(Verb.INSPECT, row, "an earlier upload of ours may be what is there")
    if base is None:
        return _unrelated(row, local, remote)
    here = _change(local, base, base.local_tag)
    there = _change(remote, base, base.remote_tag)
    if here is there is Change.DELETED:
        return Action(Verb.FORGET, row, "deleted on both sides")
    if there is Change.DELETED:
        return _gone_there(row, here)
    if here is Change.DELETED:
        return _gone_here(row, there)
    return _both_there(row, here, there)


def agreed(row: Row) -> Base:
    """The base that ADOPT records: what both sides show now, whose contents are equal."""
    local, base, remote = row.local, row.base, row.remote
    if local is None or remote is None:
        raise ValueError(f"{row.path!r} is not on both sides")
    known = base.sha256 if base is not None else ""
    same = base is not None and base.remote_tag == remote.tag
    return Base(
        kind=local.kind,
        size=local.size,
        sha256=local.sha256 or remote.sha256 or known,
        local_tag=local.tag,
        remote_tag=remote.tag,
        mtime_ns=local.mtime_ns,
        mode=local.mode,
        stamp=remote.stamp,
        version=remote.version or (base.version if base is not None and same else None),
        ops=remote.ops or (base.ops if base is not None and same else ()),
    )


def contents_equal(one: Entry, other: Entry | Base) -> bool | None:
    """Whether two contents are equal; None when it is not known."""
    if one.size != other.size:
        return False
    if one.kind is not other.kind:
        # A listing shows a link as a file. Only a look tells, and then the digest is known too.
        unseen = any(each.kind is Kind.FILE and each.sha256 is None for each in (one, other))
        return None if unseen else False
    if one.sha256 and other.sha256:
        return one.sha256 == other.sha256
    return None


def _change(entry: Entry | None, base: Base, base_tag: str) -> Change:
    if entry is None:
        return Change.DELETED
    if entry.tag == base_tag and entry.kind is base.kind:
        restamped = base.stamp is not None and entry.stamp not in (None, base.stamp)
        if not restamped:
            return Change.SAME
        return Change.METADATA if entry.sha256 else Change.MAYBE
    equal = contents_equal(entry, base)
    if equal is None:
        return Change.MAYBE
    return Change.METADATA if equal else Change.MODIFIED


def _unrelated(row: Row, local: Entry | None, remote: Entry | None) -> Action | None:
    """No base: two versions that know nothing of each other can only be merged."""
    if local is None and remote is None:
        return None
    if local is None:
        return Action(Verb.PULL, row, "new in the vault")
    if remote is None:
        return Action(Verb.PUSH, row, "new here")
    return _meet(row, local, remote, "it appeared on both sides")


def _meet(row: Row, local: Entry, remote: Entry, how: str) -> Action:
    """Two versions under one name: one if equal, else both are kept."""
    equal = contents_equal(local, remote)
    if equal is None:
        return Action(Verb.INSPECT, row, f"{how}; are the two versions equal?")
    if equal and remote.mode is not None and executable(remote.mode) != executable(local.mode):
        return Action(Verb.APPLY_LOCAL, row, f"{how} with the same content; the vault's mode wins")
    if equal:
        return Action(Verb.ADOPT, row, f"{how} with the same content")
    return Action(Verb.CONFLICT, row, f"{how} with different content; both are kept")


def _gone_there(row: Row, here: Change) -> Action | None:
    if here is Change.MAYBE:
        return Action(Verb.INSPECT, row, "deleted in the vault; was it edited here?")
    if here is Change.MODIFIED:
        return Action(Verb.PUSH, row, "deleted in the vault, but edited here: the edit wins")
    if row.local_gone:
        return Action(Verb.PUSH, row, "it was deleted here and has come back")
    if row.moved_from is not None:
        # Rule R6: a deletion that was decided on before the move may have met our copy.
        return Action(Verb.PUSH, row, f"it was moved here from {row.moved_from}")
    if row.remote_absence is not Absence.CONFIRMED:
        return None
    return Action(Verb.DELETE_LOCAL, row, "deleted in the vault")


def _gone_here(row: Row, there: Change) -> Action | None:
    if there is Change.MAYBE:
        return Action(Verb.INSPECT, row, "deleted here; was it edited in the vault?")
    if there is Change.MODIFIED:
        return Action(Verb.PULL, row, "deleted here, but edited in the vault: the edit wins")
    if row.local_absence is not Absence.CONFIRMED:
        return None
    return Action(Verb.DELETE_REMOTE, row, "deleted here")


def _both_there(row: Row, here: Change, there: Change) -> Action | None:  # noqa: PLR0911 - a table
    local, base, remote = row.local, row.base, row.remote
    if local is None or base is None or remote is None:
        raise ValueError("both sides and base must be there")
    settled = (Change.SAME, Change.METADATA)
    if here is Change.SAME and there is Change.SAME:
        settle = row.local_gone and not row.intents
        return Action(Verb.ADOPT, row, "our deletion cannot arrive any more") if settle else None
    if here in settled and there is Change.METADATA:
        return _follow_metadata(row, local, base, remote)
    if here in settled and there is Change.MODIFIED:
        return Action(Verb.PULL, row, "edited in the vault")
    if here is Change.SAME and there is Change.MAYBE:
        restamped = remote.tag == base.remote_tag
        if restamped or remote.size > CHEAP_READ:
            return Action(Verb.INSPECT, row, "changed in the vault; is the content new?")
        return Action(Verb.PULL, row, "changed in the vault")
    if here is Change.METADATA and there is Change.SAME:
        if executable(local.mode) != executable(base.mode):
            return Action(Verb.APPLY_REMOTE, row, "its executable bit changed here")
        return Action(Verb.ADOPT, row, "touched here; the content is the same")
    if here is Change.MODIFIED and there in settled:
        return Action(Verb.PUSH, row, EDITED_HERE)
    if here is Change.MAYBE and there is Change.SAME:
        return Action(Verb.PUSH, row, CHANGED_HERE)
    if here is Change.MODIFIED and there is Change.MODIFIED:
        return _meet(row, local, remote, "it was edited on both sides")
    return Action(Verb.INSPECT, row, "changed on both sides; are the two versions equal?")


def _follow_metadata(row: Row, local: Entry, base: Base, remote: Entry) -> Action:
    """The remote content is as in base; its metadata wins."""
    if remote.mode is not None and executable(remote.mode) != executable(base.mode):
        return Action(Verb.APPLY_LOCAL, row, "its metadata changed in the vault")
    if executable(local.mode) != executable(base.mode):
        return Action(Verb.APPLY_REMOTE, row, "its executable bit changed here")
    return Action(Verb.ADOPT, row, "stored anew in the vault with the same content")


def executable(mode: int | None) -> bool:
    """Whether permission bits make a file executable; unknown bits do not."""
    return mode is not None and bool(mode & EXECUTABLE)


@dataclass(slots=True)
class _Frame:
    """A directory whose children are being walked."""

    row: Row
    remains: bool = False
    """Something below stays in the vault after this plan."""
    deletes: bool = False
    """Something below is deleted from the vault by this plan."""

    def note(self, action: Action | None) -> None:
        """Take account of a child that the vault holds now."""
        if action is not None and action.verb is Verb.DELETE_REMOTE:
            self.deletes = True
        else:
            self.remains = True


def _leave(frames: list[_Frame]) -> Iterator[Action]:
    frame = frames.pop()
    action = _decide_directory(frame)
    if frames:
        above = frames[-1]
        above.deletes |= frame.deletes
        above.remains |= frame.remains
        if frame.row.remote is not None and frame.row.remote.tag == MARKER:
            above.note(action)
    if action is not None:
        yield action


def _decide_directory(frame: _Frame) -> Action | None:
    """The table for directories. Only an empty one needs a marker object to exist in the vault."""
    row = frame.row
    local, base, remote = row.local, row.base, row.remote
    if local is not None and remote is not None:
        if base is None:
            return Action(Verb.ADOPT, row, "the folder exists on both sides")
        if local.tag == EMPTY and remote.tag != MARKER and frame.deletes and not frame.remains:
            return Action(Verb.PUSH, row, "its last file is deleted, the folder stays")
        return _directory_again(row, local, remote) if row.local_gone else None
    if local is not None:
        return _directory_here_only(row, local)
    if remote is not None:
        return _directory_there_only(row, remote, frame.remains)
    return None if base is None else Action(Verb.FORGET, row, "the folder is gone on both sides")


def _directory_again(row: Row, local: Entry, remote: Entry) -> Action | None:
    """A folder that was deleted here and has come back: what is there may be about to go."""
    if remote.tag == MARKER:
        settled = Action(Verb.ADOPT, row, "our deletion cannot arrive any more")
        return None if row.intents else settled
    if local.tag == EMPTY:
        return Action(Verb.PUSH, row, "the folder was deleted here and has come back")
    return None


def _directory_here_only(row: Row, local: Entry) -> Action | None:
    if row.base is None:
        if local.tag == EMPTY:
            return Action(Verb.PUSH, row, "new empty folder here")
        return None
    if row.remote_absence is not Absence.CONFIRMED:
        return None
    if local.tag == UNMANAGED:
        return Action(Verb.FORGET, row, "deleted in the vault; what is ignored in it stays here")
    if local.tag == FULL:
        return None
    if row.local_gone:
        return Action(Verb.PUSH, row, "the folder was deleted here and has come back")
    return Action(Verb.DELETE_LOCAL, row, "the folder was deleted in the vault")


def _directory_there_only(row: Row, remote: Entry, remains: bool) -> Action | None:
    if remote.tag != MARKER:
        # It is there because of what it holds, and comes here, or goes there, with that.
        return None
    if row.base is None and not row.intents:
        return Action(Verb.PULL, row, "new folder in the vault")
    # One that we set out to make (R1) is ours, whatever became of the answer.
    if row.local_absence is not Absence.CONFIRMED or remains:
        return None
    return Action(Verb.DELETE_REMOTE, row, "the folder was deleted here")
