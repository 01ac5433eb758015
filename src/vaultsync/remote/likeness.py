"""Proving that an object is like content at hand, from its ETag, without reading it."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vaultsync.core.model import Entry
    from vaultsync.core.ports import Content
    from vaultsync.remote.client import Transport

PIECE = 8 << 20
"""Bytes that are read at once."""
_MULTIPART = re.compile(r"[0-9a-f]{32}-([0-9]{1,5})")


def alike(transport: Transport, key: str, entry: Entry, like: Content) -> bool:
    """Whether the ETag of an object is the one that `like` has when it is uploaded that way.

    False proves nothing: an encrypted object has an ETag of another kind, and parts may be of
    several sizes.

    Args:
        transport: Tells the size of the parts.
        key: The object's key.
        entry: The object.
        like: What it might equal.
    """
    if like.entry.size != entry.size:
        return False
    if "-" not in entry.tag:
        return like.md5() == entry.tag
    multipart = _MULTIPART.fullmatch(entry.tag)
    if multipart is None or not entry.size:
        return False
    count = int(multipart[1])
    size = entry.size if count == 1 else _part_size(transport, key, entry)
    return bool(size) and count == -(-entry.size // size) and _etag(like, size) == entry.tag


def _part_size(transport: Transport, key: str, entry: Entry) -> int:
    """Bytes of the first part; 0 when the server does not tell or has another version."""
    head = transport.head(key, part=1)
    return 0 if head is None or head.etag != entry.tag else head.part or 0


def _etag(content: Content, size: int) -> str:
    """The ETag of a multipart upload with parts of `size` bytes: of the digests of its parts."""
    digests = []
    for start in range(0, content.entry.size, size):
        end = min(start + size, content.entry.size)
        part = hashlib.md5(usedforsecurity=False)
        for offset in range(start, end, PIECE):
            part.update(content.read(offset, min(PIECE, end - offset)))
        digests.append(part.digest())
    whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
    return f"{whole}-{len(digests)}"
