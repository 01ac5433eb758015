"""What is in a folder or in the vault, seen from outside."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

CONTROL = ".vaultsync"


class Seen(NamedTuple):
    """Something in a tree: a `file`, a `link` (the SHA-256 is its target's) or a `dir`.

    What is in a file that a drive could not fetch just now is not known: its SHA-256 is empty.
    """

    kind: str
    sha256: str = ""
    executable: bool = False

    @property
    def unread(self) -> bool:
        """Whether there is a file, and nobody knows what is in it."""
        return self.kind == "file" and not self.sha256


Tree = dict[str, Seen]


def look(root: Path, below: str = "") -> Tree:
    """A folder, or a part of it, without the control folder and what vanishes meanwhile."""
    return {
        path: seen
        for path, full in _walk(root, below)
        if CONTROL not in path.split("/") and (seen := see(full)) is not None
    }


def see(full: str) -> Seen | None:
    """What is at a path; None when nothing is, or nothing that can be read."""
    try:
        found = os.lstat(full)
        if stat.S_ISDIR(found.st_mode):
            return Seen("dir")
        if stat.S_ISLNK(found.st_mode):
            return Seen("link", hashlib.sha256(os.fsencode(os.readlink(full))).hexdigest())
        descriptor = os.open(full, os.O_RDONLY | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        if error.errno != errno.EIO:
            return None
        sha256 = ""
    return Seen("file", sha256, bool(found.st_mode & stat.S_IXUSR))


def same(here: Seen | None, there: Seen | None) -> bool:
    """Whether two may be the same, for all that is known of them."""
    if here is not None and there is not None and (here.unread or there.unread):
        return here._replace(sha256="") == there._replace(sha256="")
    return here == there


def bins(root: Path) -> dict[str, str]:
    """SHA-256 of everything in the trash, by path."""
    trash = root / CONTROL / "trash"
    seen = ((path, see(full)) for path, full in _walk(trash, ""))
    return {path: found.sha256 for path, found in seen if found is not None and found.sha256}


def stats(root: Path) -> dict[str, tuple[int, ...]]:
    """Everything that the system tells of each visible path, reading times left out."""
    told: dict[str, tuple[int, ...]] = {}
    for path, full in _walk(root, ""):
        if CONTROL in path.split("/"):
            continue
        one = os.lstat(full)
        told[path] = (one.st_ino, one.st_mode, one.st_size, one.st_mtime_ns, one.st_ctime_ns)
    return told


def vault(writes: Iterable[dict[str, Any]], prefix: str) -> Tree:
    """What the vault shows now, from all that was ever written to it."""
    current: dict[str, dict[str, Any]] = {}
    for wrote in writes:
        if wrote["sha256"]:
            current[wrote["key"]] = wrote
        else:
            current.pop(wrote["key"], None)
    tree: Tree = {}
    for key, wrote in current.items():
        path = key.removeprefix(prefix)
        if path.split("/")[0] == CONTROL:
            continue
        mode = int(wrote["metadata"].get("mode", "0") or "0", 8)
        if path.endswith("/"):
            tree[path.rstrip("/")] = Seen("dir")
        elif stat.S_ISLNK(mode):
            tree[path] = Seen("link", wrote["sha256"])
        else:
            tree[path] = Seen("file", wrote["sha256"], bool(mode & stat.S_IXUSR))
    return tree


def clashes(tree: Tree) -> set[str]:
    """Names that the vault holds both as a file and as a directory; people have to part those."""
    above = {path[:end] for path in tree for end in _slashes(path)}
    return {path for path, seen in tree.items() if seen.kind != "dir" and path in above}


def differences(here: Tree, there: Tree, apart: set[str]) -> list[str]:
    """How two trees differ, as lines; only content counts, and nothing within `apart`."""
    return [
        f"{path!r}: {_said(here.get(path))} instead of {_said(there.get(path))}"
        for path in sorted(here.keys() | there.keys())
        if _content(here.get(path)) != _content(there.get(path))
        and not any(path == top or path.startswith(top + "/") for top in apart)
    ]


def _content(seen: Seen | None) -> tuple[str, str] | None:
    return None if seen is None else (seen.kind, seen.sha256)


def _said(seen: Seen | None) -> str:
    return "nothing" if seen is None else f"{seen.kind} {seen.sha256[:8]}".rstrip()


def _slashes(path: str) -> Iterator[int]:
    return (place for place, letter in enumerate(path) if letter == "/")


def _walk(root: Path, below: str) -> Iterator[tuple[str, str]]:
    top = os.path.join(root, below) if below else str(root)
    for directory, folders, files in os.walk(top):
        for name in (*folders, *files):
            full = f"{directory}/{name}"
            yield os.path.relpath(full, root), full
