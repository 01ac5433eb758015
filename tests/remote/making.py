"""Content to send, and a shop for sides that are closed in the end."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Self

from vaultsync.core.errors import Stale
from vaultsync.core.model import Entry, Kind
from vaultsync.remote.boto import BotoTransport
from vaultsync.remote.bucket import WHOLE, Bucket
from vaultsync.remote.conditions import Permit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.credentials import Credentials

    from vaultsync.remote.conditions import Conditions
    from vaultsync.remote.unfinished import UploadLedger

PREFIX = "private/eu-1:2-3/"
MTIME = 1_700_000_000_123_456_789


class Bytes:
    """Content in memory, that can be made to change behind its reader's back."""

    def __init__(
        self,
        data: bytes,
        mtime_ns: int | None = MTIME,
        mode: int | None = 0o640,
        kind: Kind = Kind.FILE,
    ) -> None:
        self.data = data
        self.entry = Entry(kind, len(data), "local", mtime_ns=mtime_ns, mode=mode)
        self.stale = False

    def read(self, offset: int, length: int) -> bytes:
        if self.stale:
            raise Stale("changed")
        return self.data[offset : offset + length]

    def chunks(self) -> Iterator[bytes]:
        for offset in range(0, len(self.data), 1 << 20):
            yield self.read(offset, 1 << 20)

    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def md5(self) -> str:
        return hashlib.md5(self.data, usedforsecurity=False).hexdigest()

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Making:
    """Makes transports and sides for one bucket, and closes them."""

    def __init__(self, url: str, bucket: str, credentials: Credentials) -> None:
        self.url = url
        self.bucket = bucket
        self._credentials = credentials
        self._made: list[BotoTransport | Bucket] = []

    def transport(self, **options: Any) -> BotoTransport:
        options.setdefault("pause", lambda _seconds: None)
        options.setdefault("endpoint_url", self.url)
        bucket = options.pop("bucket", self.bucket)
        made = BotoTransport(bucket, "us-east-1", self._credentials, **options)
        self._made.append(made)
        return made

    def side(
        self,
        prefix: str = PREFIX,
        ignored: Callable[[str], bool] | None = None,
        *,
        known: Conditions | None = None,
        regardless: bool = False,
        ledger: UploadLedger | None = None,
        whole: int = WHOLE,
        **options: Any,
    ) -> Bucket:
        nothing: Callable[[str], bool] = lambda _path: False  # noqa: E731
        transport = self.transport(**options)
        permit = None if known is None else Permit(transport, prefix, known, regardless=regardless)
        made = Bucket(transport, prefix, "laptop é", ignored or nothing, permit, ledger, whole)
        self._made.append(made)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in reversed(self._made):
            each.close()


def put(
    side: Bucket, path: str, data: bytes, op: str = "op", parents: tuple[str, ...] = ()
) -> Entry:
    """Write a new file through the side."""
    return side.commit(side.stage(path, Bytes(data), op, parents), None).entry
