"""Content that the target side holds already need not travel. Pure.

Neither side tells that a file was moved: it is gone in one place and there in another. So a move is
the copy of a content that is known to be equal, made on the target side itself, and the deletion
of the old path, which is decided on by the table like any other. An inode or a size only nominates
(a new file takes a freed inode at once); what matches is the digest of the content or, of two
remote versions, the same ETag.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vaultsync.core.model import Action, Kind, Verb
from vaultsync.core.plan import executable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vaultsync.core.model import Entry, Row


def is_new(action: Action) -> bool:
    """Whether an action brings a file with content to a path that knew none: a move may do it."""
    row = action.row
    if action.verb not in (Verb.PUSH, Verb.PULL) or row.base is not None:
        return False
    if row.local is not None and row.remote is not None:
        return False
    entry = row.local if action.verb is Verb.PUSH else row.remote
    return entry is not None and entry.kind is Kind.FILE and entry.size > 0


def borrow(action: Action, vacated: Iterable[Row], *, examined: bool) -> Action:
    """Let a file come from where the target side holds its content already.

    Args:
        action: A PUSH or PULL for which `is_new` holds.
        vacated: Files of the same size whose base version the *source* side of the action does not
            show any more under their path.
        examined: Whether the source side was asked for the digest in vain.

    Returns:
        The action with a source; or INSPECT, when the digest decides and is not known; or the
        action as it was.
    """
    candidates = [row for row in vacated if row.path != action.path and _holds(action, row)]
    if not candidates:
        return action
    pushing = action.verb is Verb.PUSH
    entry = action.row.local if pushing else action.row.remote
    if entry is None:
        return action
    for row in candidates:
        if _is_same(entry, row, pushing=pushing):
            return replace(action, source=row, reason=f"moved from {row.path}")
    if entry.sha256 is None and not examined:
        return Action(Verb.INSPECT, action.row, "was it moved here from another path?")
    return action


def _holds(action: Action, row: Row) -> bool:
    """Whether the target side still shows the base version of a row, and may be copied from."""
    base = row.base
    if base is None or row.intents or row.local_gone:
        return False
    shown, tag = (
        (row.remote, base.remote_tag) if action.verb is Verb.PUSH else (row.local, base.local_tag)
    )
    if shown is None or shown.kind is not Kind.FILE or shown.tag != tag:
        return False
    # A copy in the vault takes the metadata along, so that the bit must be right already.
    local = action.row.local
    return local is None or executable(local.mode) == executable(base.mode)


def _is_same(entry: Entry, row: Row, *, pushing: bool) -> bool:
    base = row.base
    if base is None or base.size != entry.size:
        return False
    if entry.sha256 is not None:
        return entry.sha256 == base.sha256
    return not pushing and entry.tag == base.remote_tag
