"""Multipart uploads that are not complete yet, written down so that a restart goes on with them.

A multipart upload outlives the process that began it, for as long as the bucket's rules let it.
What it needs to be gone on with is in an `UploadLedger`; which parts have arrived, the server
tells.
"""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from vaultsync.core.errors import VaultsyncError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIMIT = 6 * 24 * 3600.0
"""Seconds after which an upload is begun anew: the bucket of our template drops it after 7 days."""
DIGEST = 32
"""Bytes of a SHA-256."""


class UploadLedger(Protocol):
    """Text about uploads by path, kept across restarts. Called from several threads at once.

    Any call may raise Blocked or Fatal when the ledger cannot be used.
    """

    def remember(self, path: str, record: str, since: float) -> None:
        """Keep a record, instead of the one there was.

        Args:
            path: What is uploaded.
            record: Opaque.
            since: Seconds since the epoch.
        """
        ...

    def recall(self, path: str) -> str | None:
        """The record of a path, if there is one."""
        ...

    def forget(self, path: str, record: str) -> None:
        """Drop this very record; another one of the same path stays."""
        ...

    def all(self) -> list[tuple[str, str]]:
        """All paths and their records."""
        ...


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload that was begun.

    Attributes:
        upload: Its id.
        op: The operation id that its object is going to carry: fixed when it was begun.
        sha256: Hex digest of the content.
        size: Bytes of the content.
        step: Bytes of each part but the last.
        digests: SHA-256 of each part, in order.
        fields: The object's user metadata.
        since: When it was begun, seconds since the epoch.
    """

    upload: str
    op: str
    sha256: str
    size: int
    step: int
    digests: tuple[bytes, ...]
    fields: Mapping[str, str]
    since: float

    @property
    def text(self) -> str:
        """As it is written down."""
        joined = base64.b64encode(b"".join(self.digests)).decode("ascii")
        return json.dumps(asdict(self) | {"fields": dict(self.fields), "digests": joined})

    @classmethod
    def read(cls, text: str) -> Unfinished | None:
        """What `text` gave; None when it is another version's, which knew less or more."""
        try:
            values: dict[str, Any] = json.loads(text)
            joined = base64.b64decode(values.pop("digests"))
            digests = (joined[start : start + DIGEST] for start in range(0, len(joined), DIGEST))
            return cls(**values, digests=tuple(digests))
        except (ValueError, KeyError, TypeError):
            return None

    def length(self, index: int) -> int:
        """Bytes of a part, counted from 0."""
        return min(self.step, self.size - index * self.step)


class Register:
    """What is known of unfinished uploads. A ledger that fails costs resuming, nothing else.

    Args:
        ledger: Where it is kept; None: nowhere.
    """

    def __init__(self, ledger: UploadLedger | None) -> None:
        self._ledger = ledger

    def note(self, path: str, upload: Unfinished) -> None:
        """An upload was begun."""
        if self._ledger is not None:
            with contextlib.suppress(VaultsyncError):
                self._ledger.remember(path, upload.text, upload.since)

    def find(self, path: str) -> Unfinished | None:
        """The unfinished upload of a path."""
        if self._ledger is None:
            return None
        with contextlib.suppress(VaultsyncError):
            text = self._ledger.recall(path)
            return None if text is None else Unfinished.read(text)
        return None

    def holds(self, path: str, upload: str) -> bool:
        """Whether an upload is going to be gone on with."""
        found = self.find(path)
        return found is not None and found.upload == upload

    def strike(self, path: str, upload: str) -> None:
        """An upload is finished or given up."""
        found = self.find(path)
        if self._ledger is not None and found is not None and found.upload == upload:
            with contextlib.suppress(VaultsyncError):
                self._ledger.forget(path, found.text)

    def all(self) -> Iterator[tuple[str, Unfinished]]:
        """All that is unfinished."""
        if self._ledger is not None:
            for path, text in self._ledger.all():
                found = Unfinished.read(text)
                if found is not None:
                    yield path, found
