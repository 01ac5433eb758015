"""What an object says of itself in its user metadata, and how much of that is believed.

`mtime` and `mode` are shared with rclone and s3fs and believed from anybody. The `vs-` fields speak
of particular bytes, and other programs keep foreign metadata when they write new bytes; so they
count only when the server's checksum or ETag is the one that our write of those bytes must have
had, which `vs-bind` holds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from vaultsync.core.model import Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaultsync.remote.client import Head

MTIME = "mtime"
MODE = "mode"
SHA256 = "vs-sha256"
OP = "vs-op"
ANCESTRY = "vs-anc"
DEVICE = "vs-dev"
BIND = "vs-bind"
"""What the server says of the bytes that the fields speak of, in words: the ETag of a single-part
write (an MD5), the composite SHA-256 of a multipart one; either binds."""

ANCESTORS = 7
"""How many operation ids before its own an object carries."""

_NANOS = 10**9
_SECONDS = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]*))?")
_OPERATION = re.compile(r"[\w.:-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Authorship:
    """Who wrote an object, beside its content.

    Attributes:
        op: The operation id of the write.
        parents: Operation ids of the versions it was built upon, newest first.
        device: The device's name.
    """

    op: str
    parents: tuple[str, ...]
    device: str


def write(entry: Entry, sha256: str, bind: str, authorship: Authorship) -> dict[str, str]:
    """Form the user metadata of a new object.

    Args:
        entry: Gives kind, mtime and permission bits, as far as they are known.
        sha256: Hex digest of the content.
        bind: What the server is going to say of these very bytes, see `BIND`.
        authorship: Who writes.
    """
    fields = times_and_mode(entry.kind, entry.mtime_ns, entry.mode)
    return fields | {SHA256: sha256, BIND: bind} | authored(authorship)


def authored(authorship: Authorship) -> dict[str, str]:
    """Form the fields that tell who wrote."""
    fields = {OP: authorship.op}
    if authorship.parents:
        fields[ANCESTRY] = ",".join(authorship.parents[:ANCESTORS])
    if authorship.device:
        fields[DEVICE] = quote(authorship.device, safe=" ")
    return fields


def anonymous(fields: Mapping[str, str]) -> dict[str, str]:
    """The fields without those that tell who wrote."""
    return {name: fields[name] for name in fields if name not in (OP, ANCESTRY, DEVICE)}


def times_and_mode(kind: Kind, mtime_ns: int | None, mode: int | None) -> dict[str, str]:
    """Form `mtime` and `mode`, leaving out what is not known; a link always says that it is one."""
    fields = {}
    if mtime_ns is not None:
        fields[MTIME] = format_mtime(mtime_ns)
    if kind is Kind.LINK:
        fields[MODE] = f"0{stat.S_IFLNK | 0o777:o}"
    elif mode is not None:
        fields[MODE] = f"0{stat.S_IFREG | mode & 0o777:o}"
    return fields


def read(head: Head) -> Entry:
    """Describe an object as completely as its headers allow."""
    mode = parse_mode(head.metadata.get(MODE, ""))
    link = mode is not None and stat.S_ISLNK(mode)
    return Entry(
        kind=Kind.LINK if link else Kind.FILE,
        size=head.size,
        tag=head.etag,
        sha256=proven(head),
        mtime_ns=parse_mtime(head.metadata.get(MTIME, "")),
        mode=None if mode is None else mode & 0o777,
        stamp=head.modified,
        version=head.version,
        ops=_operations(head.metadata) if bound(head) else (),
    )


def proven(head: Head) -> str | None:
    """The hex SHA-256 of the content, if the server's own word proves it; else None."""
    if head.checksum is not None and "-" not in head.checksum:
        return _hex(head.checksum)
    words = head.metadata.get(BIND, "").split()
    return head.metadata.get(SHA256) if head.etag in words or head.checksum in words else None


def bound(head: Head) -> bool:
    """Whether the `vs-` fields speak of the very bytes that are there."""
    claimed = head.metadata.get(SHA256)
    return claimed is not None and claimed == proven(head)


def carried(head: Head, sha256: str | None, bind: str | None) -> dict[str, str]:
    """The user metadata for a copy of an object, the `vs-` fields only as far as they are true.

    Args:
        head: The object that is copied.
        sha256: Hex digest of its content, when proven.
        bind: What the server is going to say of the copy, when that can be foreseen.
    """
    true = bound(head) and bind is not None
    drop = () if true else (SHA256, BIND, OP, ANCESTRY, DEVICE)
    fields = {name: value for name, value in head.metadata.items() if name not in drop}
    if sha256 is not None and bind is not None:
        fields |= {SHA256: sha256, BIND: bind}
    return fields


def composite(digests: list[bytes]) -> str:
    """The SHA-256 that S3 gives a multipart object: of its parts' digests, and how many."""
    whole = hashlib.sha256(b"".join(digests)).digest()
    return f"{base64.b64encode(whole).decode('ascii')}-{len(digests)}"


def copied(head: Head, sha256: str) -> str:
    """What a server is going to say of a copy of an object, made at once or as one part.

    Servers that keep no checksum of a copied part still make its ETag from the MD5 of the part.
    """
    words = f"{composite([bytes.fromhex(sha256)])} {head.etag}"
    if re.fullmatch(r"[0-9a-f]{32}", head.etag):
        md5 = hashlib.md5(bytes.fromhex(head.etag), usedforsecurity=False).hexdigest()
        words += f" {md5}-1"
    return words


def format_mtime(nanoseconds: int) -> str:
    """Decimal seconds with nine digits, without ever passing through a float."""
    seconds, rest = divmod(abs(nanoseconds), _NANOS)
    return f"{'-' if nanoseconds < 0 else ''}{seconds}.{rest:09}"


def parse_mtime(text: str) -> int | None:
    """Nanoseconds from decimal seconds; digits after the ninth are dropped; None when malformed."""
    match = _SECONDS.fullmatch(text)
    if match is None:
        return None
    sign, seconds, fraction = match.groups()
    nanoseconds = int(seconds) * _NANOS + int(f"{fraction or '':0<9.9}")
    return -nanoseconds if sign else nanoseconds


def parse_mode(text: str) -> int | None:
    """A st_mode as rclone, s3fs or we write it; None when malformed.

    Octal when it has a leading zero or would exceed 65535 as a decimal number (rclone writes octal
    without the zero); else decimal (s3fs).
    """
    if not re.fullmatch(r"[0-9]{1,11}", text):
        return None
    try:
        value = int(text, 8 if text[0] == "0" or int(text) > 0xFFFF else 10)
    except ValueError:
        return None
    return value if value <= 0xFFFF else None


def _operations(metadata: Mapping[str, str]) -> tuple[str, ...]:
    first = metadata.get(OP, "")
    ids = (first, *metadata.get(ANCESTRY, "").split(","))
    return tuple(op for op in ids[: ANCESTORS + 1] if _OPERATION.fullmatch(op)) if first else ()


def _hex(checksum: str) -> str | None:
    try:
        digest = base64.b64decode(checksum, validate=True)
    except binascii.Error:
        return None
    return digest.hex() if len(digest) == 32 else None
