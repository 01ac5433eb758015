"""The narrow transport: the few S3 operations that the mirror needs, and the values they pass.

Everything above this file speaks in these values; what stands behind them (`boto` for now) is
chosen by measurement. Keys are whole keys, prefix included. ETags carry no quotes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be true of a key for a write to happen.

    Attributes:
        etag: The ETag that must be there; None means that nothing may be there.
    """

    etag: str | None = None


ABSENT = Condition()
"""Nothing may be there yet."""


@dataclass(frozen=True, slots=True)
class Head:
    """What HEAD or GET tells about one object.

    Attributes:
        etag: ETag without quotes.
        size: Bytes of the whole object, also when only a range was asked for.
        modified: LastModified, ISO text of whole seconds in UTC.
        version: VersionId, or None in a bucket without versions.
        checksum: The server's own SHA-256: base64 of the whole content, or base64 followed by
            `-N` (a digest of N part digests); None when it keeps none.
        metadata: User metadata, names in lower case.
        headers: The standing headers of the object, such as Content-Type, by HTTP name.
        archived: Whether the content must be restored before it can be read.
        part: Bytes of the part that was asked for, or None.
    """

    etag: str
    size: int
    modified: str
    version: str | None = None
    checksum: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    archived: bool = False
    part: int | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One key of a listing.

    Attributes:
        key: The whole key.
        size: Bytes of content.
        etag: ETag without quotes.
        modified: LastModified, ISO text of whole seconds in UTC.
        archived: Whether the content must be restored before it can be read.
    """

    key: str
    size: int
    etag: str
    modified: str
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing, in byte order.

    Attributes:
        items: The keys.
        more: Token of the next page; None at the end.
    """

    items: tuple[Listed, ...]
    more: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of one key, or the mark that the key was deleted.

    Attributes:
        key: The whole key.
        version: VersionId; `null` when it was written while the bucket kept no versions.
        modified: LastModified, ISO text of whole seconds in UTC.
        latest: Whether it is the newest one of its key.
        size: Bytes of content.
        etag: ETag without quotes; empty for a deletion.
        deleted: Whether it is such a mark.
        archived: Whether the content must be restored before it can be read.
    """

    key: str
    version: str
    modified: str
    latest: bool
    size: int = 0
    etag: str = ""
    deleted: bool = False
    archived: bool = False


@dataclass(frozen=True, slots=True)
class VersionPage:
    """A part of a listing of versions: keys in byte order, the versions of one key newest first.

    Attributes:
        items: The versions and marks.
        more: Key and version to go on behind; None at the end.
    """

    items: tuple[Stored, ...]
    more: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What the server said of an object it has just taken.

    Attributes:
        etag: ETag without quotes.
        version: VersionId, or None in a bucket without versions.
        checksum: The server's own SHA-256 as in `Head`, when it told.
    """

    etag: str
    version: str | None = None
    checksum: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart upload that the server has taken.

    Attributes:
        number: From 1.
        etag: The part's ETag without quotes.
        digest: Its SHA-256, when known.
        size: Its bytes, when known.
    """

    number: int
    etag: str
    digest: bytes | None = None
    size: int | None = None


class Answer(Protocol):
    """The answer to a GET: its head, and its body once, in order. Must be closed."""

    @property
    def head(self) -> Head:
        """What the answer's headers tell."""
        ...

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body in bounded pieces; a translated fault when the connection breaks."""
        ...

    def __enter__(self) -> Self:
        """Return self."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the connection."""
        ...


class Transport(Protocol):
    """The S3 operations of one bucket, each one request (besides retries known to be harmless).

    Raises only `core.errors` and their kinds in `faults`: Stale when a condition failed, Missing
    when the key is not there, Denied when the server refused one key, Refused when it refuses the
    whole bucket, Retry (with `unknown_outcome` when a write may have happened), SignIn.
    Called from many threads at once.
    """

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        ...

    @property
    def requests(self) -> dict[str, int]:
        """Requests sent so far, by operation name; a copy."""
        ...

    def put(
        self,
        key: str,
        body: bytes,
        condition: Condition,
        *,
        digest: bytes,
        metadata: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Written:
        """Write an object at once; the server refuses bytes whose SHA-256 is not `digest`."""
        ...

    def get(
        self,
        key: str,
        etag: str,
        first: int = 0,
        last: int | None = None,
        version: str | None = None,
    ) -> Answer:
        """Read the version `etag`, from byte `first` to byte `last` inclusive (None: the end).

        Args:
            key: The whole key.
            etag: What it must be.
            first: The first byte.
            last: The last byte.
            version: A VersionId; None reads the newest version.
        """
        ...

    def head(self, key: str, part: int | None = None, version: str | None = None) -> Head | None:
        """Describe an object, None when the server says that it is not there.

        Args:
            key: Which object.
            part: Number from 1 of a part of a multipart object, to learn its size.
            version: A VersionId; None describes the newest version.
        """
        ...

    def list_versions(
        self, prefix: str, *, more: tuple[str, str] | None = None, limit: int = 1000
    ) -> VersionPage:
        """List all versions of the keys that start with `prefix`, one page."""
        ...

    def list_page(
        self, prefix: str, *, after: str = "", more: str | None = None, limit: int = 1000
    ) -> Page:
        """List keys that start with `prefix` and are greater than `after`, one page."""
        ...

    def delete(self, key: str, etag: str) -> None:
        """Delete the version `etag`; Missing when nothing is there."""
        ...

    def copy(
        self,
        key: str,
        source: str,
        source_etag: str,
        condition: Condition,
        *,
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Written:
        """Make `key` a copy of the version `source_etag` of `source`, up to 5 GiB, on the server.

        Stale also when `source` is another version; Missing when it is not there. Not every server
        honours `condition`, see `conditions`.

        Args:
            key: Where to.
            source: A key of the same bucket; `key` itself only with `metadata`.
            source_etag: The version to copy.
            condition: What must be true of `key`.
            metadata: User metadata of the copy; None carries that of the source and its standing
                headers along.
            headers: Standing headers of the copy, when `metadata` is given.
        """
        ...

    def create_upload(
        self, key: str, *, metadata: Mapping[str, str], headers: Mapping[str, str]
    ) -> str:
        """Begin a multipart upload with SHA-256 checksums; return its id."""
        ...

    def upload_part(self, key: str, upload: str, number: int, body: bytes, digest: bytes) -> Part:
        """Send one part; the server refuses bytes whose SHA-256 is not `digest`."""
        ...

    def copy_part(
        self,
        key: str,
        upload: str,
        number: int,
        source: str,
        etag: str,
        span: tuple[int, int] | None,
    ) -> Part:
        """Take one part from the version `etag` of the key `source`: all of it, or a span.

        Args:
            key: What the upload is going to be.
            upload: Its id.
            number: Of the part, from 1.
            source: A key of the same bucket, perhaps `key` itself.
            etag: The version to copy.
            span: First and last byte; None copies the whole object.
        """
        ...

    def complete(
        self,
        key: str,
        upload: str,
        parts: Sequence[Part],
        condition: Condition,
        checksum: str | None = None,
    ) -> Written:
        """Make the parts the object; refused when their composite SHA-256 is not `checksum`."""
        ...

    def abort(self, key: str, upload: str) -> None:
        """Give an upload up; no error when it is gone already."""
        ...

    def list_parts(self, key: str, upload: str) -> list[Part] | None:
        """List the parts that an upload holds, in order; None when it is gone.

        One request for every thousand parts.
        """
        ...

    def close(self) -> None:
        """Release the connections."""
        ...
