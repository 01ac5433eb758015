"""How one path stands: a word for it, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from vaultsync.core import names
from vaultsync.core.model import Row, Verb
from vaultsync.core.plan import decide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaultsync.core.model import Waiting

FAULTS = ("blocked", "error", "failed", "refused")
"""Codes of `Waiting` that do not pass by themselves."""


class Condition(StrEnum):
    """The word for how a file stands; the extended attribute of a drive's files says the same."""

    SYNCED = "synced"
    ONLINE_ONLY = "online-only"
    UPLOADING = "uploading"
    PENDING = "pending"
    CONFLICT = "conflict"
    HELD = "held"
    ERROR = "error"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Shown:
    """A path as this machine has it just now.

    Attributes:
        directory: Whether it is one.
        tag: Its tag as an entry; None where only a look of the engine would tell.
        whole: Whether all its content is here.
    """

    directory: bool
    tag: str | None = None
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """How a path stands.

    Attributes:
        path: Which.
        condition: The word; None for a folder that is not ignored.
        reason: Why, in a sentence; empty where the word says all.
        hint: What to try, or empty.
        next_try: Seconds since the epoch of the next try; None when it waits for something else.
        counts: Of a folder, how many files below it stand how, by the word; None for a file.
    """

    path: str
    condition: Condition | None
    reason: str = ""
    hint: str = ""
    next_try: float | None = None
    counts: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What there is to know of a path beside its row.

    Attributes:
        rule: The rule that ignores it, or None.
        moving: What is being done with it at this moment, or None.
        waiting: What the engine or a guard says that it waits for, or None.
        halt: What everything waits for, or None.
    """

    rule: str | None = None
    moving: Verb | None = None
    waiting: Waiting | None = None
    halt: Waiting | None = None


def stand(row: Row, shown: Shown | None, around: Circumstances) -> Standing:
    """How a file stands.

    Args:
        row: What the engine knows of it.
        shown: What is there on this machine; None for nothing.
        around: All else that matters.
    """
    path, waiting = row.path, around.waiting
    if around.rule is not None:
        return Standing(path, Condition.IGNORED, f"The rule {around.rule} leaves it alone.")
    if names.is_control(path):
        return Standing(path, Condition.IGNORED, "vaultsync's own files are never synced.")
    if around.moving is Verb.PUSH:
        return Standing(path, Condition.UPLOADING, "It is being sent.")
    if waiting is not None and waiting.code == "held":
        return _waits(Condition.HELD, path, waiting)
    if waiting is not None and waiting.code in FAULTS:
        return _waits(Condition.ERROR, path, waiting)
    reason = _unequal(row, shown)
    return _settled(path, shown) if reason is None else _pending(path, reason, around)


def _pending(path: str, reason: str, around: Circumstances) -> Standing:
    if around.moving is not None:
        return Standing(path, Condition.PENDING, _under_way(around.moving))
    why = around.halt or around.waiting
    if why is not None:
        return _waits(Condition.PENDING, path, why)
    return Standing(path, Condition.PENDING, reason)


def _settled(path: str, shown: Shown | None) -> Standing:
    if names.is_conflict(path):
        original = names.original_name(path)
        return Standing(
            path,
            Condition.CONFLICT,
            f"It is a conflict copy of '{original}'.",
            "Compare the two; keep one of them, or give this one another name.",
        )
    whole = shown is None or shown.whole
    return Standing(path, Condition.SYNCED if whole else Condition.ONLINE_ONLY)


def _waits(condition: Condition, path: str, waiting: Waiting) -> Standing:
    return Standing(path, condition, waiting.reason, waiting.hint, waiting.next_try)


def _under_way(verb: Verb) -> str:
    return "It is being fetched." if verb is Verb.PULL else f"Under way: {verb}."


def _unequal(row: Row, shown: Shown | None) -> str | None:
    """Why both sides are not known to have the same; None: they are."""
    base = row.base
    seen = None if row.local is None else row.local.tag
    tag = None if shown is None else shown.tag or seen
    action = decide(row)
    if base is not None and tag == base.local_tag and action is None:
        return None
    if action is not None and tag == seen:
        return action.reason[:1].upper() + action.reason[1:].removesuffix(".") + "."
    return "It has changed here, and is about to be looked at."
