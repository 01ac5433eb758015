"""What either side of a path may show, by name, and tables written in these names."""

from __future__ import annotations

from dataclasses import replace

from vaultsync.core.model import EMPTY, MARKER, Absence, Base, Entry, Kind, Row, Verb
from vaultsync.core.plan import CHEAP_READ, decide, plan

OLD, NEW, OTHER = "0" * 64, "1" * 64, "2" * 64
BASE = Base(Kind.FILE, 7, OLD, "l", "r", mode=0o644, stamp="monday")
LARGE = CHEAP_READ + 1
FOLDER_BASE = Base(Kind.DIR, 0, "", EMPTY, MARKER)


def file(tag: str, sha256: str | None = None, size: int = 7, **more: object) -> Entry:
    return replace(Entry(Kind.FILE, size, tag, sha256, mode=0o644), **more)  # type: ignore[arg-type]


HERE: dict[str, Entry | Absence] = {
    "same": file("l"),
    "touched": file("l'", OLD),
    "chmod": file("l'", OLD, mode=0o755),
    "edited": file("l'", NEW),
    "longer": file("l'", None, 8),
    "maybe": file("l'"),
    "link": Entry(Kind.LINK, 7, "l", OLD),
    "once": Absence.ONCE,
    "gone": Absence.CONFIRMED,
}
THERE: dict[str, Entry | Absence] = {
    "same": file("r", stamp="monday", mode=None),
    "anew": file("r'", OLD, stamp="tuesday"),
    "chmod": file("r'", OLD, stamp="tuesday", mode=0o755),
    "edited": file("r'", OTHER, stamp="tuesday"),
    "longer": file("r'", None, 9, stamp="tuesday"),
    "alike": file("r'", NEW, stamp="tuesday"),
    "maybe": file("r'", stamp="tuesday", mode=None),
    "stamp": file("r", stamp="tuesday", mode=None),
    "link": Entry(Kind.LINK, 7, "r", OLD, stamp="monday"),
    "once": Absence.ONCE,
    "gone": Absence.CONFIRMED,
}

VERBS = {
    ".": None,
    "applyL": Verb.APPLY_LOCAL,
    "applyR": Verb.APPLY_REMOTE,
    "deleteL": Verb.DELETE_LOCAL,
    "deleteR": Verb.DELETE_REMOTE,
}


def cells(table: str) -> list[tuple[str, str, Verb | None]]:
    head, *lines = table.strip("\n").splitlines()
    found = []
    for line in lines:
        here, *words = line.split()
        for there, word in zip(head.split(), words, strict=True):
            found.append((here, there, VERBS[word] if word in VERBS else Verb(word)))
    return found


def row_of(here: str, there: str, base: Base | None = BASE, **more: object) -> Row:
    local, remote = HERE[here], THERE[there]
    row = Row("a", base=base)
    if isinstance(local, Entry):
        row = replace(row, local=local, local_absence=Absence.PRESENT)
    else:
        row = replace(row, local_absence=local)
    if isinstance(remote, Entry):
        row = replace(row, remote=remote, remote_absence=Absence.PRESENT)
    else:
        row = replace(row, remote_absence=remote)
    return replace(row, **more)  # type: ignore[arg-type]


def verb_of(row: Row) -> Verb | None:
    action = decide(row)
    return None if action is None else action.verb


def verbs(rows: list[Row]) -> list[tuple[str, Verb]]:
    return [(action.path, action.verb) for action in plan(rows)]


def inside(here: str, there: str, path: str = "d/f", base: Base | None = BASE) -> Row:
    return replace(row_of(here, there, base), path=path)
