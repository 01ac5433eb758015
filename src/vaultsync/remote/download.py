"""Reading one version of one object."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from vaultsync.core.errors import Retry
from vaultsync.remote.faults import Broken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from vaultsync.core.model import Entry
    from vaultsync.remote.client import Transport

PATIENCE = 4
"""How often a reading is resumed without having got any further."""


class Download:
    """The content of the version `entry.tag`; every request carries it as its condition.

    A broken connection is taken up again where it broke.

    Args:
        transport: Sends the requests.
        key: The whole key.
        entry: The version.
        kept: All its bytes, when they are here already.
        version: VersionId of an old version; None for the newest.
    """

    def __init__(
        self,
        transport: Transport,
        key: str,
        entry: Entry,
        kept: bytes | None = None,
        version: str | None = None,
    ) -> None:
        self.entry = entry
        self._transport = transport
        self._key = key
        self._kept = kept
        self._version = version

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly the bytes [offset, offset+length) cut at the end of the file."""
        if self._kept is not None:
            return self._kept[offset : offset + length]
        return b"".join(self._span(offset, min(offset + length, self.entry.size)))

    def chunks(self) -> Iterator[bytes]:
        """Yield the whole content in order, in bounded pieces."""
        if self._kept is not None:
            if self._kept:
                yield self._kept
            return
        if self.entry.sha256 is not None:
            yield from self._span(0, self.entry.size)
            return
        digest = hashlib.sha256()
        for piece in self._span(0, self.entry.size):
            digest.update(piece)
            yield piece
        self.entry = replace(self.entry, sha256=digest.hexdigest())

    def sha256(self) -> str:
        """Return the hex digest of the whole content, read only if the server proves none."""
        if self.entry.sha256 is None:
            digest = hashlib.sha256()
            for piece in self.chunks():
                digest.update(piece)
            self.entry = replace(self.entry, sha256=digest.hexdigest())
        return self.entry.sha256 or ""

    def md5(self) -> str:
        """Return the hex MD5 of the whole content."""
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self.chunks():
            digest.update(piece)
        return digest.hexdigest()

    def close(self) -> None:
        """Forget what is kept; every answer was closed by who read it."""
        self._kept = None

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _span(self, start: int, end: int) -> Iterator[bytes]:
        position, fruitless = start, 0
        while position < end:
            before = position
            try:
                with self._transport.get(
                    self._key, self.entry.tag, position, end - 1, self._version
                ) as answer:
                    for piece in answer:
                        position += len(piece)
                        yield piece
            except Broken:
                if fruitless >= PATIENCE:
                    raise
            fruitless = fruitless + 1 if position == before else 0
            if position > end or fruitless > PATIENCE:
                raise Retry(f"'{self._key}' arrived with the wrong length.")
