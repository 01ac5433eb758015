"""The guards: would this delete or change too much at once? Pure.

Each rule is given numbers that were counted in the database, so that slices, pages and restarts
cannot slip through, and says whether what is pending may go on. What a guard holds is let go by a
person alone, or when it is not pending any more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from vaultsync.core.model import Action, Kind, Verb

DAY = 24 * 3600.0
"""Seconds over which deletions are counted."""
TEN_MINUTES = 600.0
"""Seconds over which changes are counted."""
MINUTE = 60.0
"""Seconds over which conflict copies are counted."""


class Guard(StrEnum):
    """What a guard watches over."""

    DELETIONS_HERE = "deletions-here"
    """Files of the folder that would go to the trash, because the vault does not have them."""
    DELETIONS_THERE = "deletions-in-vault"
    """Objects of the vault that would be deleted, because the folder does not have them."""
    CHANGES = "changes"
    """New contents of files that the vault has already."""
    CONFLICTS = "conflicts"
    """Conflict copies."""
    VAULT = "vault"
    """The vault itself: the object by which it is recognised is missing, or another one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may happen without a person's word.

    Attributes:
        deletions: Files that may be deleted from one side within 24 hours, whatever their share.
        deleted_share: Share of the files that may.
        few: A vault with at most this many files may lose all of them.
        changes: Files that may change within ten minutes, whatever their share.
        changed_share: Share of the files that may.
        conflicts: Conflict copies that may be made within a minute.
    """

    deletions: int = 25
    deleted_share: float = 0.2
    few: int = 3
    changes: int = 50
    changed_share: float = 0.5
    conflicts: int = 10


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted for one guard.

    Attributes:
        known: Files in sync, those that are pending included.
        done: What was done already within the guard's time, beyond what a person allowed.
        pending: What would be done now, beyond what a person allowed.
    """

    known: int
    done: int
    pending: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Something is held.

    Attributes:
        since: Since when, seconds since the epoch.
        limit: What was allowed at that moment; it does not grow while something is held.
    """

    since: float
    limit: int


def guard_of(action: Action) -> Guard | None:
    """The guard that an action has to pass, if any; a link holds nothing that could be lost."""
    if action.row.base is not None and action.row.base.kind is Kind.LINK:
        return None
    match action.verb:
        case Verb.DELETE_LOCAL:
            return Guard.DELETIONS_HERE
        case Verb.DELETE_REMOTE:
            return Guard.DELETIONS_THERE
        case Verb.CONFLICT:
            return Guard.CONFLICTS
        case Verb.PUSH if action.row.base is not None and action.row.remote is not None:
            return None if action.path.endswith("/") else Guard.CHANGES
        case _:
            return None


def window(guard: Guard, before: Hold | None, now: float) -> float:
    """The moment from which to count: it does not move on while something is held.

    Otherwise time alone would let through, day by day, what nobody has allowed.
    """
    return (now if before is None else min(now, before.since)) - span(guard)


def span(guard: Guard) -> float:
    """Seconds over which a guard counts."""
    return {Guard.CHANGES: TEN_MINUTES, Guard.CONFLICTS: MINUTE}.get(guard, DAY)


def judge(
    guard: Guard, tally: Tally, before: Hold | None, now: float, limits: Limits | None = None
) -> Hold | None:
    """Whether what is pending is held; all of it is, not only what is too much.

    Args:
        guard: Which rule.
        tally: What was counted since `window`.
        before: The hold so far.
        now: Seconds since the epoch.
        limits: How much may happen; the defaults are those of the documentation.
    """
    if not tally.pending:
        return None
    limit = allowed(guard, tally, limits or Limits())
    if before is not None:
        limit = min(limit, before.limit)
    if tally.done + tally.pending <= limit:
        return None
    return replace(before, limit=limit) if before is not None else Hold(now, limit)


def allowed(guard: Guard, tally: Tally, limits: Limits) -> int:
    """How many may be done within the guard's time.

    The share is one of the files that were there when that time began: those of now, and those
    that were deleted since.
    """
    if guard is Guard.CONFLICTS:
        return limits.conflicts
    if guard is Guard.CHANGES:
        return max(limits.changes - 1, int(tally.known * limits.changed_share))
    files = tally.known + tally.done
    limit = max(limits.deletions, int(files * limits.deleted_share))
    return min(limit, files - 1) if files > limits.few else limit


def sentence(guard: Guard, count: int) -> str:
    """What is held, for a person."""
    files = "1 file" if count == 1 else f"{count:,} files"
    match guard:
        case Guard.DELETIONS_HERE:
            return f"{files} would be deleted here because the vault does not have them any more."
        case Guard.DELETIONS_THERE:
            return f"{files} would be deleted in the vault because they are gone here."
        case Guard.CHANGES:
            return f"{files} changed here within a short time; the vault keeps its versions."
        case Guard.CONFLICTS:
            return f"{files} would get a conflict copy at once."
        case Guard.VAULT:
            return "The vault cannot be recognised, so nothing is deleted here."
