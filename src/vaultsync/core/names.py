"""Which names can exist where, and how a conflict copy is called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

CONTROL = ".vaultsync"
"""Name of the control folder; at any depth it is never pulled, pushed or planned."""

VAULT_MARK = CONTROL + "/vault"
"""Path of the object by which a vault is recognised."""

MAX_SEGMENT = 255
"""Bytes in one path segment that Linux file systems take (NAME_MAX)."""

MAX_KEY = 1024
"""Bytes of UTF-8 in an S3 key, prefix included
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html)."""

LONGEST_EXTENSION = 16
"""Characters, dot included, up to which the end of a name counts as its extension."""

_CONFLICT = re.compile(
    r"^(?P<stem>.*) \(conflict (?P<device>[^()]*) (?P<day>\d{4}-\d\d-\d\d) (?P<time>\d{6})"
    r" (?P<digest>[0-9a-f]{6})\)(?P<extension>\.[^.]*)?$",
    re.DOTALL,
)


def is_control(path: str) -> bool:
    """Whether the path is, or lies below, a control folder."""
    return CONTROL in path.split("/") if CONTROL in path else False


def parent(path: str) -> str:
    """The directory that holds a path, with its trailing `/`; empty for the root."""
    return path[: path.rstrip("/").rfind("/") + 1]


def parents(path: str) -> list[str]:
    """All directories above a path, the outermost first, each with its trailing `/`."""
    segments = path.rstrip("/").split("/")[:-1]
    return ["/".join(segments[: depth + 1]) + "/" for depth in range(len(segments))]


def local_problem(path: str) -> str | None:
    """Why a key below the prefix cannot be a local name, or None when it can."""
    segments = path.removesuffix("/").split("/")
    if "\0" in path:
        return "the name holds a NUL byte"
    for segment in segments:
        if not segment:
            return "the name has an empty part between two slashes"
        if segment in (".", ".."):
            return f"the name has the part '{segment}', which means a folder"
        if len(segment.encode()) > MAX_SEGMENT:
            return f"a part of the name is longer than {MAX_SEGMENT} bytes"
    return None


def remote_problem(path: str, prefix: str) -> str | None:
    """Why a local path cannot be a key below `prefix`, or None when it can."""
    try:
        length = len((prefix + path).encode())
    except UnicodeEncodeError:
        return "the name is not valid UTF-8"
    if length > MAX_KEY:
        return f"the name is {length} bytes long with its prefix; S3 takes {MAX_KEY}"
    return None


def original_name(path: str) -> str:
    """The path that a conflict copy is a copy of; any other path unchanged."""
    directory = parent(path)
    match = _CONFLICT.match(path[len(directory) :])
    if match is None:
        return path
    return directory + match["stem"] + (match["extension"] or "")


def is_conflict(path: str) -> bool:
    """Whether a path has the form that `conflict_name` gives."""
    return original_name(path) != path


def conflict_digest(path: str) -> str | None:
    """The six hex digits of content digest in a conflict copy's name, or None."""
    match = _CONFLICT.match(path[len(parent(path)) :])
    return None if match is None else match["digest"]


def conflict_name(path: str, device: str, when: datetime, sha256: str) -> str:
    """How the local version of a conflict is called.

    `report.pdf` becomes `report (conflict laptop 2026-11-23 143005 3f9a1c).pdf`: the extension
    stays, so that the file opens; a conflict of a conflict takes the original's stem, so that names
    do not grow; a name that would exceed 255 bytes has its stem cut at a character's boundary.

    Args:
        path: The file's path, without trailing `/`.
        device: The device's name; parentheses and slashes are dropped.
        when: The local time to show.
        sha256: Hex digest of the version that is set aside.
    """
    original = original_name(path)
    directory = parent(original)
    name = original[len(directory) :]
    dot = name.rfind(".")
    has_extension = dot > 0 and len(name) - dot <= LONGEST_EXTENSION
    stem, extension = (name[:dot], name[dot:]) if has_extension else (name, "")
    plain = re.sub(r"[()/\0]", "", device).strip()[:40] or "device"
    suffix = f" (conflict {plain} {when:%Y-%m-%d %H%M%S} {sha256[:6]}){extension}"
    room = MAX_SEGMENT - len(suffix.encode())
    stem = stem.encode()[:room].decode(errors="ignore")
    return directory + stem + suffix


def restored_name(path: str, number: int) -> str:
    """How something is called that is put back where its own name is taken.

    `report.pdf` becomes `report (restored).pdf`, then `report (restored 2).pdf`; a name that would
    exceed 255 bytes has its stem cut at a character's boundary.

    Args:
        path: The path that is taken.
        number: Which try it is, from 1.
    """
    directory = parent(path)
    name = path[len(directory) :]
    dot = name.rfind(".")
    has_extension = dot > 0 and len(name) - dot <= LONGEST_EXTENSION
    stem, extension = (name[:dot], name[dot:]) if has_extension else (name, "")
    suffix = f" (restored{'' if number == 1 else f' {number}'}){extension}"
    room = MAX_SEGMENT - len(suffix.encode())
    return directory + stem.encode()[:room].decode(errors="ignore") + suffix
