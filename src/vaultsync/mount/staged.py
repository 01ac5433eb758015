"""What the engine has staged for the drive: what a path is going to be, and few bytes at most."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vaultsync.core.errors import Stale

if TYPE_CHECKING:
    from vaultsync.core.model import Entry
    from vaultsync.core.ports import Content
    from vaultsync.mount.tree.grafting import Values


@dataclass(frozen=True, slots=True)
class DriveStaged:
    """`core.ports.Staged`: what a path is going to be; of its bytes, few ones at most.

    Attributes:
        path: Where it is going to be.
        op: The operation id.
        sha256: Hex digest of the content, or what stands for it where the vault tells none.
        size: Bytes of content.
        values: What the new node is to be.
        content: All its bytes, when they are here already.
        source: Path of the file in the drive that holds the same content, and its tag.
    """

    path: str
    op: str
    sha256: str
    size: int
    values: Values
    content: bytes | None = None
    source: tuple[str, str] | None = None

    @property
    def token(self) -> str:
        """What `recover` needs: what the new node is."""
        return json.dumps([self.values.path, self.values.etag, self.sha256])


@dataclass(frozen=True, slots=True)
class DriveCommitted:
    """What a commit did.

    Attributes:
        entry: The version now shown.
        kept: Nothing is ever replaced unseen.
    """

    entry: Entry
    kept: str | None = None


def read_token(token: str) -> tuple[str | None, str | None, str]:
    """The path and the ETag in the vault, and the digest, that a token of `DriveStaged` tells."""
    path, etag, sha256 = json.loads(token)
    return path, etag, sha256


def verified(path: str, content: Content) -> bytes:
    """All bytes of content, which are few, if they are what it says of itself."""
    data = b"".join(content.chunks())
    told = content.entry.sha256
    wrong = told is not None and told != hashlib.sha256(data).hexdigest()
    if wrong or len(data) != content.entry.size:
        raise Stale(f"'{path}' did not arrive as it should be.")
    return data
