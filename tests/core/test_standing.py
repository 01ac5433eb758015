"""How a path stands, by all that is known of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vaultsync.core.model import Base, Entry, Kind, Row, Verb, Waiting
from vaultsync.core.standing import Circumstances, Condition, Shown, stand

SHA = "ab" * 32
HERE = Entry(Kind.FILE, 3, "1.1", SHA, mtime_ns=1, mode=0o644)
THERE = Entry(Kind.FILE, 3, "etag", SHA, mtime_ns=1, mode=0o644)
BASE = Base(Kind.FILE, 3, SHA, "1.1", "etag", 1, 0o644)
EQUAL = Row("a.txt", HERE, BASE, THERE)
NEW = Row("a.txt", HERE)
SHOWN = Shown(directory=False, tag="1.1")
NOTHING = Circumstances()
OFFLINE = Waiting("", "pending", "Nobody answers.", "Look at the cable.", 7.0)


def waiting(code: str) -> Waiting:
    return Waiting("a.txt", code, "For a reason.", "Do this.", 5.0)


@pytest.mark.parametrize(
    ("row", "shown", "around", "word", "reason"),
    [
        (EQUAL, SHOWN, NOTHING, "synced", ""),
        (EQUAL, Shown(directory=False), NOTHING, "synced", ""),
        (EQUAL, replace(SHOWN, whole=False), NOTHING, "online-only", ""),
        (EQUAL, replace(SHOWN, tag="1.2"), NOTHING, "pending", "It has changed here"),
        (EQUAL, None, NOTHING, "pending", "It has changed here"),
        (EQUAL, SHOWN, Circumstances(halt=OFFLINE), "synced", ""),
        (NEW, SHOWN, NOTHING, "pending", "New here."),
        (NEW, SHOWN, Circumstances(moving=Verb.PUSH), "uploading", "It is being sent."),
        (NEW, SHOWN, Circumstances(halt=OFFLINE), "pending", "Nobody answers."),
        (NEW, SHOWN, Circumstances(waiting=waiting("retry")), "pending", "For a reason."),
        (NEW, SHOWN, Circumstances(waiting=waiting("blocked")), "error", "For a reason."),
        (NEW, SHOWN, Circumstances(waiting=waiting("held")), "held", "For a reason."),
        (NEW, SHOWN, Circumstances(rule="*.txt"), "ignored", "The rule *.txt"),
        (Row("a.txt", None, None, THERE), None, NOTHING, "pending", "New in the vault."),
        (
            Row("a.txt", None, None, THERE),
            None,
            Circumstances(moving=Verb.PULL),
            "pending",
            "It is being fetched.",
        ),
        (replace(EQUAL, local=None), None, NOTHING, "pending", "Deleted here."),
        (replace(EQUAL, path="d/.vaultsync/x"), SHOWN, NOTHING, "ignored", "vaultsync's own"),
        (
            replace(EQUAL, path="a (conflict pc 2026-01-02 030405 abcdef).txt"),
            SHOWN,
            NOTHING,
            "conflict",
            "It is a conflict copy of 'a.txt'.",
        ),
    ],
)
def test_one_word_and_why(
    row: Row, shown: Shown | None, around: Circumstances, word: str, reason: str
) -> None:
    found = stand(row, shown, around)
    assert found.condition == Condition(word)
    assert found.reason.startswith(reason)
    assert bool(found.reason) == bool(reason)


def test_what_waits_says_when_it_is_tried_next_and_what_would_help() -> None:
    found = stand(NEW, SHOWN, Circumstances(waiting=waiting("retry")))
    assert (found.hint, found.next_try) == ("Do this.", 5.0)
    found = stand(NEW, SHOWN, Circumstances(waiting=waiting("retry"), halt=OFFLINE))
    assert (found.hint, found.next_try) == ("Look at the cable.", 7.0)
