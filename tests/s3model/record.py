"""What was asked and what was written, kept for judges."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.s3model.wire import Request

_CONDITIONS = (
    "if-match",
    "if-none-match",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-none-match",
)


@dataclass(slots=True, frozen=True)
class Asked:
    """One request.

    Attributes:
        number: Counts all requests, from 1; `late` and `duplicate` ones have their request's.
        time: When its head came in, in seconds since 1970.
        operation: S3's or Cognito's name.
        bucket: Which bucket; empty for Cognito.
        key: Which key; of a listing the prefix.
        status: Of the answer; 0 when there was none.
        fault: The kind of fault that struck it, or empty.
        bytes_in: Of its body.
        bytes_out: Of the answer's body.
        conditions: The conditional headers.
        connection: Number of the connection.
        access_key: Who signed it.
    """

    number: int
    time: float
    operation: str
    bucket: str
    key: str
    status: int
    fault: str
    bytes_in: int
    bytes_out: int
    conditions: dict[str, str]
    connection: int
    access_key: str


@dataclass(slots=True, frozen=True)
class Wrote:
    """One version, or one deletion, that was ever applied.

    Attributes:
        bucket: In which bucket.
        key: Under which key.
        version: Its version id; `null` in an unversioned bucket.
        sha256: Of the content, hex; empty for a deletion, and when digests are switched off.
        size: Bytes.
        etag: Without quotes; empty for a deletion.
        time: When it was applied.
        operation: By what.
        request: Number of the request.
        access_key: Who signed it.
        metadata: The user metadata, names without `x-amz-meta-`.
    """

    bucket: str
    key: str
    version: str
    sha256: str
    size: int
    etag: str
    time: float
    operation: str
    request: int
    access_key: str
    metadata: dict[str, str]


class Record:
    """All requests since the last `clear`, and all writes ever.

    Attributes:
        requests: In the order of their answers.
        writes: In the order in which they were applied.
        counters: How many requests, by operation.
        keep: Whether single requests are kept, or only counted.
    """

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self.writes: list[Wrote] = []
        self.counters: Counter[str] = Counter()
        self.keep = True
        self._more = threading.Condition()

    def add(self, request: Request, status: int, bytes_out: int, fault: str) -> None:
        """Note what became of a request."""
        self.counters[request.operation] += 1
        if self.keep:
            headers = request.headers
            self.requests.append(
                Asked(
                    request.number,
                    request.arrived,
                    request.operation,
                    request.bucket,
                    request.key,
                    status,
                    fault,
                    len(request.body),
                    bytes_out,
                    {name: headers[name] for name in _CONDITIONS if name in headers},
                    request.connection,
                    access_key(headers),
                )
            )
        with self._more:
            self._more.notify_all()

    def wait_for(self, holds: Callable[[], object], seconds: float = 30) -> None:
        """Wait on another thread until something holds, which is asked after each request.

        Raises:
            TimeoutError: It does not.
        """
        with self._more:
            if not self._more.wait_for(holds, seconds):
                raise TimeoutError("it did not come to that")

    def clear(self) -> None:
        """Forget the requests; the writes stay."""
        self.requests = []
        self.counters = Counter()


def access_key(headers: dict[str, str]) -> str:
    """The access key id that a request was signed with; empty when it was not signed."""
    _, found, rest = headers.get("authorization", "").partition("Credential=")
    return rest.partition("/")[0] if found else ""
