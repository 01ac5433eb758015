"""Carrying out one action. It never decides: any surprise is Stale, and nothing has changed.

An action runs in two steps, so that the engine can journal between them: `prepare` has no effect
that anybody could see, `commit` is one compare-and-set. Both run on a thread of the pool.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vaultsync.core.errors import Stale
from vaultsync.core.model import (
    Absence,
    Action,
    Base,
    Entry,
    Row,
    Verb,
    is_stand_in,
    stand_in,
)
from vaultsync.core.plan import agreed, executable
from vaultsync.state.store import Journalled

if TYPE_CHECKING:
    from vaultsync.core.ports import Content, Side, Staged

REPLACES_LOCAL = (Verb.PULL, Verb.DELETE_LOCAL, Verb.APPLY_LOCAL, Verb.CONFLICT)
"""Verbs that take something away from its local name, and must know exactly what."""
ANCESTRY = 8
"""Operation ids that an object carries: its own and those of the versions it was built upon."""


@dataclass(frozen=True, slots=True)
class Result:
    """What an action came to.

    Attributes:
        row: What is known about the path now.
        kept: Path of a conflict copy that was made, if any.
        sent: Bytes of content moved.
    """

    row: Row
    kept: str | None = None
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """An action that is ready to become visible.

    Attributes:
        action: Which.
        base: The base to record once it has happened; the target's tag is still missing.
        content: The open source, None for an action without content.
        staged: The new bytes on the target side, None for an action without content.
        op: The operation id of a write without content that carries one.
    """

    action: Action
    base: Base | None = None
    content: Content | None = None
    staged: Staged | None = None
    op: str = ""

    def journalled(self) -> Journalled | None:
        """What the journal must hold before the commit, or None when nothing needs to."""
        if self.base is None:
            return None
        if self.staged is None:
            return Journalled(self.action.path, self.op, self.action.verb, "", self.base)
        return Journalled(
            self.action.path,
            self.staged.op,
            self.action.verb,
            self.staged.token,
            self.base,
            _left(self.action),
        )


class Executor:
    """Runs actions against the two sides. Called from many threads, for different paths.

    Args:
        local: The local side.
        remote: The remote side.
        lazy: The local side fetches content when it is read: what is new in the vault is not read
            to find out whether it is new.
    """

    def __init__(self, local: Side, remote: Side, *, lazy: bool = False) -> None:
        self._local = local
        self._remote = remote
        self._lazy = lazy

    def prepare(self, action: Action, op: str, *, snapshot: bool = False) -> Prepared | Result:
        """Do all that leaves no trace: read, hash, compare, transfer to a staging place.

        Args:
            action: What to do.
            op: The operation id.
            snapshot: Push the local file as it is at one moment from now on, not the very version
                that was decided on: it never holds still.

        Returns:
            What to commit, or a Result when there turned out to be nothing to make visible.

        Raises:
            Stale, Retry, SignIn, Blocked, Fatal: As the sides raise them; nothing has changed.
        """
        if action.verb is Verb.INSPECT:
            return self._inspect(action.row)
        if action.path.endswith("/"):
            return Prepared(action)
        if action.verb in REPLACES_LOCAL:
            action = replace(action, row=self._with_digest(action.row))
        if action.verb is Verb.APPLY_REMOTE:
            return Prepared(action, _adjusted(action, op), op=op)
        if action.verb not in (Verb.PUSH, Verb.PULL):
            return Prepared(action)
        if action.source is not None:
            return self._borrow(action, action.source, op)
        source = self._local if action.verb is Verb.PUSH else self._remote
        entry = action.row.local if action.verb is Verb.PUSH else action.row.remote
        present = _present(entry, action)
        if snapshot and action.verb is Verb.PUSH:
            content = self._local.snapshot(action.path, present)
        else:
            content = source.open(action.path, present)
        try:
            stage = self._stage_push if action.verb is Verb.PUSH else self._stage_pull
            prepared = stage(action, op, content)
        except BaseException:
            content.close()
            raise
        if isinstance(prepared, Result):
            content.close()
        return prepared

    def commit(self, prepared: Prepared) -> Result:
        """Make it visible iff the side still shows what was decided on.

        Raises:
            Stale, SignIn, Blocked, Fatal: As the sides raise them; nothing has changed, and what
                was staged is dropped.
            Retry: With `unknown_outcome`, the staged bytes are left for `Side.recover`.
        """
        action = prepared.action
        if action.verb is Verb.APPLY_REMOTE:
            return self._give_metadata(action, prepared.op)
        if prepared.staged is None:
            return self._commit_plain(action)
        if action.verb is Verb.PUSH:
            return self._commit_push(prepared)
        return self._commit_pull(prepared)

    def release(self, prepared: Prepared, *, discard: bool) -> None:
        """Close what a prepared action holds, and drop its staged bytes if they are not needed."""
        if prepared.content is not None:
            prepared.content.close()
        if discard and prepared.staged is not None:
            side = self._remote if prepared.action.verb is Verb.PUSH else self._local
            side.discard(prepared.staged.token)

    def recover(self, operation: Journalled, row: Row) -> Result | None:
        """Tell what became of a journalled operation; None: it did not happen."""
        if operation.verb is Verb.DELETE_LOCAL:
            return self._recover_removal(row, operation.base)
        side = self._remote if operation.verb.writes_remote else self._local
        if operation.path.endswith("/"):
            made = side.look(operation.path)
            return None if made is None else Result(_pulled(row, operation.base, made, row.remote))
        entry = side.recover(operation.path, operation.op, operation.token)
        if entry is None:
            return None
        if operation.verb is Verb.PULL:
            entry = replace(entry, sha256=operation.base.sha256)
            return Result(_pulled(row, operation.base, entry, row.remote))
        row = replace(row, moved_from=operation.source)
        return Result(recovered_push(row, operation.op, operation.base, entry))

    def _recover_removal(self, row: Row, base: Base) -> Result | None:
        """Tell whether a local version was removed: what is there now may be a newer one."""
        now = self._local.look(row.path)
        if now is None:
            return Result(Row(row.path))
        if now.tag == base.local_tag:
            return None
        if (now.kind, now.size, now.mtime_ns) == (base.kind, base.size, base.mtime_ns):
            # Going to the trash and coming back from it is no edit, though it leaves a trace.
            now = self._local.identify(row.path, now)
            if now.sha256 == base.sha256:
                return None
        return Result(replace(row, local=now, base=None, local_absence=Absence.PRESENT))

    def look(self, row: Row) -> Result:
        """Observe one path afresh on both sides, after something was not as expected."""
        local = self._local.look(row.path)
        remote = self._remote.look(row.path)
        if local is not None and row.local is not None and local.tag == row.local.tag:
            local = replace(local, sha256=local.sha256 or row.local.sha256)
        return Result(
            replace(
                row,
                local=local,
                remote=remote,
                local_absence=_absence(row, local, row.local_absence),
                remote_absence=_absence(row, remote, row.remote_absence),
            )
        )

    def _borrow(self, action: Action, source: Row, op: str) -> Prepared:
        """Take the content from another path of the target side, where it is known to be equal."""
        row, held = action.row, source.base
        if held is None:
            raise ValueError("a source has a base")
        if action.verb is Verb.PULL:
            entry = self._remote.look(row.path)
            if entry is None or entry.tag != _present(row.remote, action).tag:
                raise Stale(f"'{row.path}' is not as it was in the vault.")
            if entry.kind is not held.kind:
                # A listing cannot tell a link from a file that holds its target's name.
                raise Stale(f"'{row.path}' is no copy of '{source.path}'.")
            entry = replace(entry, sha256=held.sha256)
            there = replace(_present(source.local, action), sha256=held.sha256)
            staged = self._local.borrow(row.path, source.path, there, entry, op)
            return Prepared(
                replace(action, row=replace(row, remote=entry)), _there(entry), None, staged
            )
        with self._local.open(row.path, _present(row.local, action)) as content:
            known = content.entry.sha256
            # What only stands for a digest is not to be fetched for one.
            digest = known if is_stand_in(known) else content.sha256()
            if digest != held.sha256:
                raise Stale(f"'{row.path}' changed in the meantime.")
            entry = content.entry
        there = replace(
            _present(source.remote, action),
            sha256=held.sha256,
            mtime_ns=held.mtime_ns,
            mode=held.mode,
            ops=held.ops,
        )
        staged = self._remote.borrow(row.path, source.path, there, entry, op)
        base = _here(entry, held.sha256, (staged.op, *held.ops[1:]))
        return Prepared(replace(action, row=replace(row, local=entry)), base, None, staged)

    def _inspect(self, row: Row) -> Result:
        local, remote = row.local, row.remote
        if local is None and row.base is None and not row.intents:
            # Asked whether it was moved: what one request tells must do.
            return self.look(row)
        if local is not None and local.sha256 is None:
            local = self._local.identify(row.path, local)
        # Rule R7: new files are only found to be equal by a look that began after ours was seen.
        meet = row.base is None and local is not None
        if remote is not None and (remote.sha256 is None or row.intents or meet):
            if self._lazy and _is_unchanged(row):
                remote = self._seen(row, remote)
            elif local is not None and local.size == remote.size and local.kind is remote.kind:
                with self._local.open(row.path, local) as like:
                    remote = self._remote.identify(row.path, remote, like)
            else:
                remote = self._remote.identify(row.path, remote)
        if meet and local is not None:
            local = self._local.identify(row.path, local)
        return Result(replace(row, local=local, remote=remote))

    def _seen(self, row: Row, remote: Entry) -> Entry:
        """The remote version as one request tells it; without a digest, its tag tells it apart."""
        now = self._remote.look(row.path)
        if now is None or now.tag != remote.tag:
            raise Stale(f"'{row.path}' is not as it was in the vault.")
        if now.sha256 is not None or row.base is None:
            return now
        same = now.tag == row.base.remote_tag and now.size == row.base.size
        return replace(now, sha256=row.base.sha256 if same else stand_in(now.tag))

    def _with_digest(self, row: Row) -> Row:
        """The row with the local content's digest: an identity alone may be too young to trust."""
        local, base = row.local, row.base
        if local is None or local.sha256 is not None:
            return row
        if base is not None and base.sha256 and local.tag == base.local_tag:
            return replace(row, local=replace(local, sha256=base.sha256))
        return replace(row, local=self._local.identify(row.path, local))

    def _stage_push(self, action: Action, op: str, content: Content) -> Prepared | Result:
        row = action.row
        sha256 = content.sha256()
        entry = replace(content.entry, sha256=sha256)
        row = replace(row, local=entry)
        if row.base is not None and row.remote is not None and _same_content(row.base, entry):
            # Only touched: with that known, the planner sees what is left to do.
            return Result(row)
        before = row.remote.ops if row.remote is not None and row.remote.ops else ()
        if not before and row.base is not None:
            before = row.base.ops
        parents = before[: ANCESTRY - 1]
        staged = self._remote.stage(row.path, content, op, parents)
        return Prepared(action, _here(entry, sha256, (staged.op, *parents)), content, staged)

    def _stage_pull(self, action: Action, op: str, content: Content) -> Prepared | Result:
        row, entry = action.row, content.entry
        staged = self._local.stage(row.path, content, op)
        entry = replace(entry, sha256=staged.sha256)
        row = replace(row, remote=replace(entry, stamp=entry.stamp or _stamp(row)))
        if row.base is not None and row.local is not None and _same_content(row.base, entry):
            # Only stored anew: what is here already is that content (PULL never replaces an edit).
            self._local.discard(staged.token)
            return self._take_metadata(row)
        base = _there(_present(row.remote, action))
        return Prepared(replace(action, row=row), base, content, staged)

    def _commit_push(self, prepared: Prepared) -> Result:
        row, base, staged = prepared.action.row, prepared.base, prepared.staged
        if base is None or staged is None:
            raise ValueError("a push needs content")
        content = prepared.content
        local = _present(row.local, prepared.action) if content is None else content.entry
        row = replace(row, moved_from=_left(prepared.action))
        entry = self._remote.commit(staged, row.remote).entry
        entry = replace(
            entry, sha256=base.sha256, ops=base.ops, mtime_ns=base.mtime_ns, mode=base.mode
        )
        sent = 0 if prepared.action.source is not None else base.size
        return Result(_pushed(row, base, entry, local), sent=sent)

    def _commit_pull(self, prepared: Prepared) -> Result:
        row, base, staged = prepared.action.row, prepared.base, prepared.staged
        if base is None or staged is None:
            raise ValueError("a pull needs content")
        committed = self._local.commit(staged, row.local)
        entry = replace(committed.entry, sha256=base.sha256)
        return Result(_pulled(row, base, entry, row.remote), committed.kept, base.size)

    def _commit_plain(self, action: Action) -> Result:
        row, path = action.row, action.path
        match action.verb:
            case Verb.DELETE_REMOTE:
                self._remote.delete(path, _present(row.remote, action))
                return Result(Row(path))
            case Verb.DELETE_LOCAL:
                self._local.delete(path, _present(row.local, action))
                return Result(Row(path))
            case Verb.CONFLICT:
                kept = self._local.set_aside(path, _present(row.local, action))
                gone = replace(row, local=None, base=None, local_absence=Absence.CONFIRMED)
                return Result(gone, kept)
            case Verb.PART:
                kept = self._remote.set_aside(path, _present(row.remote, action))
                return Result(replace(row, remote=None, remote_absence=Absence.CONFIRMED), kept)
            case Verb.APPLY_LOCAL:
                return self._take_metadata(row)
            case Verb.PUSH:
                return self._push_directory(action)
            case Verb.PULL:
                entry = self._local.make_directory(path)
                row = replace(row, local=entry, local_absence=Absence.PRESENT)
                return Result(replace(row, base=agreed(row)))
            case _:
                raise ValueError(f"{action.verb} is not for the executor")

    def _push_directory(self, action: Action) -> Result:
        """Put the marker of a directory that is (still) empty here."""
        row = action.row
        now = self._local.look(row.path)
        if now is None or now.tag != _present(row.local, action).tag:
            raise Stale(f"The folder {row.path} is not as it was.")
        entry = self._remote.make_directory(row.path)
        gone = row.local_gone and bool(row.intents)
        row = replace(row, remote=entry, remote_absence=Absence.PRESENT, local_gone=gone)
        return Result(replace(row, base=agreed(row)))

    def _give_metadata(self, action: Action, op: str) -> Result:
        """Same content on both sides; the local side's metadata goes to the vault."""
        row = action.row
        local, remote = _present(row.local, action), _present(row.remote, action)
        entry = self._remote.apply(row.path, remote, local.mtime_ns, local.mode, op)
        entry = replace(entry, sha256=entry.sha256 or local.sha256)
        row = replace(row, remote=entry)
        return Result(replace(row, base=agreed(row)))

    def _take_metadata(self, row: Row) -> Result:
        """Same content on both sides; the remote side's executable bit wins."""
        local, remote = row.local, row.remote
        if local is None or remote is None:
            raise ValueError("metadata need both sides")
        if row.base is None:
            now = self._remote.look(row.path)
            if now is None or now.tag != remote.tag:
                raise Stale(f"'{row.path}' is not as it was in the vault.")
        if remote.mode is not None and executable(remote.mode) != executable(local.mode):
            known = local.sha256
            local = self._local.apply(row.path, local, remote.mtime_ns, remote.mode)
            row = replace(row, local=replace(local, sha256=local.sha256 or known))
        return Result(replace(row, base=agreed(row)))


def recovered_push(row: Row, op: str, base: Base, entry: Entry) -> Row:
    """The row once a push of ours of unknown outcome was found in a remote version.

    When it is that version, both sides were equal at it; when it is an ancestor of that version,
    somebody has built upon ours since: to us a plain change in the vault.
    """
    ours = bool(entry.ops) and entry.ops[0] == op
    tag = entry.tag if ours else ""
    base = replace(base, remote_tag=tag, version=entry.version if ours else None)
    return replace(row, base=base, remote=entry, remote_absence=Absence.PRESENT)


def _is_unchanged(row: Row) -> bool:
    """Whether the local version is the one that both sides had."""
    return row.local is not None and row.base is not None and row.local.tag == row.base.local_tag


def _adjusted(action: Action, op: str) -> Base:
    """The base once the vault has the local file's metadata, but for the tag there."""
    base = agreed(action.row)
    return replace(base, remote_tag="", stamp=None, ops=(op, *base.ops[: ANCESTRY - 1]))


def _left(action: Action) -> str | None:
    """The path that a copy in the vault moves content away from, when it is gone here."""
    source = action.source if action.verb is Verb.PUSH else None
    return source.path if source is not None and source.local is None else None


def _here(entry: Entry, sha256: str, ops: tuple[str, ...]) -> Base:
    """The base of a push: the local version, once the remote side's tag is known."""
    return Base(
        kind=entry.kind,
        size=entry.size,
        sha256=sha256,
        local_tag=entry.tag,
        remote_tag="",
        mtime_ns=entry.mtime_ns,
        mode=entry.mode,
        ops=ops,
    )


def _there(entry: Entry) -> Base:
    """The base of a pull: the remote version, once the local side's tag is known."""
    return Base(
        kind=entry.kind,
        size=entry.size,
        sha256=entry.sha256 or "",
        local_tag="",
        remote_tag=entry.tag,
        mtime_ns=entry.mtime_ns,
        mode=entry.mode,
        stamp=entry.stamp,
        version=entry.version,
        ops=entry.ops,
    )


def _pushed(row: Row, base: Base, remote: Entry, local: Entry) -> Row:
    return replace(
        row,
        local=replace(local, sha256=base.sha256),
        base=replace(base, remote_tag=remote.tag, version=remote.version, stamp=remote.stamp),
        remote=remote,
        local_absence=Absence.PRESENT,
        remote_absence=Absence.PRESENT,
        local_gone=row.local_gone and bool(row.intents),
    )


def _pulled(row: Row, base: Base, local: Entry, remote: Entry | None) -> Row:
    return replace(
        row,
        local=local,
        base=replace(base, local_tag=local.tag, mtime_ns=local.mtime_ns, mode=local.mode),
        remote=remote,
        local_absence=Absence.PRESENT,
        local_gone=row.local_gone and bool(row.intents),
    )


def _absence(row: Row, entry: Entry | None, before: Absence) -> Absence:
    if entry is not None:
        return Absence.PRESENT
    if row.base is None:
        return Absence.CONFIRMED
    return Absence.ONCE if before is Absence.PRESENT else before


def _present(entry: Entry | None, action: Action) -> Entry:
    if entry is None:
        raise ValueError(f"{action.verb} of {action.path!r} needs an entry")
    return entry


def _same_content(base: Base, entry: Entry) -> bool:
    return (base.kind, base.size, base.sha256) == (entry.kind, entry.size, entry.sha256)


def _stamp(row: Row) -> str | None:
    return None if row.remote is None else row.remote.stamp
