"""What is known about bytes in the staging folder, in memory, in the journal and in their names."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vaultsync.core.model import Entry, Kind

if TYPE_CHECKING:
    from vaultsync.local.files import Node

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Token(NamedTuple):
    """What `recover` and `discard` know about staged bytes after a restart."""

    name: str
    kind: str
    ino: int
    size: int
    mtime_ns: int
    sha256: str
    mode_given: bool
    """Whether the sender knew the mode; else the replaced file's is kept."""
    mode: int | None = None
    """The permission bits that the staged file was given, as read back."""

    def written(self) -> str:
        """The text that the engine journals."""
        return json.dumps(self)

    @classmethod
    def read(cls, text: str) -> Token:
        """The token that `written` gave."""
        return cls(*json.loads(text))

    def describes(self, node: Node) -> bool:
        """Whether a name holds the staged inode, and nobody wrote to it since."""
        return (node.ino, node.size, node.mtime_ns) == (self.ino, self.size, self.mtime_ns)

    def is_untouched(self, node: Node) -> bool:
        """The same, and nobody has given it other permissions either."""
        same = self.mode is None or node.is_link or node.permissions == self.mode
        return same and self.describes(node)


@dataclass(frozen=True, slots=True)
class LocalStaged:
    """`core.ports.Staged`: a file or link in `.vaultsync/staging`.

    Attributes:
        path: Where it is going to be.
        op: The operation id.
        sha256: Digest of its content.
        size: Bytes of its content.
        token: A `Token`, written.
    """

    path: str
    op: str
    sha256: str
    size: int
    token: str


@dataclass(frozen=True, slots=True)
class LocalCommitted:
    """`core.ports.Committed`.

    Attributes:
        entry: The version now shown.
        kept: Path of the conflict copy that keeps an unexpected version, if there was one.
    """

    entry: Entry
    kept: str | None


def staged_name(op: str) -> str:
    """A name in the staging folder, without a dot, from any operation id."""
    return op if _PLAIN.fullmatch(op) else hashlib.sha256(op.encode()).hexdigest()


def armed_name(name: str, expected: Entry) -> str:
    """The staged name that carries what the swap is expected to bring out."""
    identity = expected.tag.replace(":", "_")
    return f"{name}.{expected.kind[0]}{identity}.{expected.sha256 or ''}"


def armed_entry(name: str) -> Entry:
    """What `armed_name` was given."""
    _, identity, sha256 = name.split(".")
    tag = identity[1:].replace("_", ":")
    kind = Kind.LINK if identity[0] == Kind.LINK[0] else Kind.FILE
    return Entry(kind, int(tag.split(":")[1]), tag, sha256 or None)
