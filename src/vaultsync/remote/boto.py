"""The transport on botocore: credentials are given, retries are ours, every error is translated."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from vaultsync.core.errors import Stale, VaultsyncError
from vaultsync.remote import shapes
from vaultsync.remote.botoclient import make
from vaultsync.remote.client import Condition, Head, Page, Part, VersionPage, Written
from vaultsync.remote.faults import LIST, VERSIONS, Broken, Busy, Expired, Missing, sort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from botocore.credentials import Credentials

ATTEMPTS = 4
"""How often a request is sent at most when the earlier ones are known to have done nothing."""
PIECE = 1 << 20
"""Bytes of a body that are read at once."""
_FAULTS = (BotoCoreError, ClientError, ResponseParserError, VaultsyncError, HTTPError, OSError)


class BotoTransport:
    """One bucket through a botocore client.

    `AWS_PROFILE`, `AWS_ACCESS_KEY_ID` and the profile's files have no influence;
    `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `AWS_CA_BUNDLE` and proxy variables have.

    Args:
        bucket: The bucket's name.
        region: Its region.
        credentials: A botocore credentials object; refreshable ones renew themselves.
        endpoint_url: Another server than AWS; it is addressed by path.
        on_expired: Called when the server calls the credentials expired or unknown, to fetch new
            ones; the request is then sent once more. What it raises is passed on.
        connections: How many requests may be under way at once.
        timeout: Seconds to wait for each piece of an answer.
        pause: Waits before a request is sent again; seconds.
    """

    def __init__(
        self,
        bucket: str,
        region: str,
        credentials: Credentials,
        endpoint_url: str = "",
        on_expired: Callable[[], None] | None = None,
        *,
        connections: int = 64,
        timeout: float = 60,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.bucket = bucket
        self._on_expired = on_expired
        self._pause = pause
        self._client = make(region, credentials, endpoint_url, connections, timeout)
        self._lock = threading.Lock()
        self._renewal = threading.Lock()
        self._generation = 0
        self._requests: Counter[str] = Counter()

    @property
    def requests(self) -> dict[str, int]:
        """Requests sent so far, by operation name; a copy."""
        with self._lock:
            return dict(self._requests)

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
        answer = self._call(
            "PutObject",
            key,
            Key=key,
            Body=body,
            ChecksumSHA256=shapes.encoded(digest),
            Metadata=dict(metadata),
            **shapes.standing(headers),
            **shapes.condition(condition),
        )
        return shapes.written(answer)

    def get(
        self,
        key: str,
        etag: str,
        first: int = 0,
        last: int | None = None,
        version: str | None = None,
    ) -> BotoAnswer:
        """Read the version `etag`, from byte `first` to byte `last` inclusive (None: the end)."""
        span = {} if version is None else {"VersionId": version}
        if first or last is not None:
            span["Range"] = f"bytes={first}-{'' if last is None else last}"
        answer = self._call(
            "GetObject", key, Key=key, IfMatch=shapes.quoted(etag), ChecksumMode="ENABLED", **span
        )
        found = BotoAnswer(key, shapes.head(answer), answer["Body"])
        if found.head.etag == etag and (first == 0 or "ContentRange" in answer):
            return found
        answer["Body"].close()
        raise Stale(f"The vault gave another version of '{key}' than was asked for.")

    def head(self, key: str, part: int | None = None, version: str | None = None) -> Head | None:
        """Describe an object, one of its versions, or a part; None when it is not there."""
        which: dict[str, Any] = {} if part is None else {"PartNumber": part}
        if version is not None:
            which["VersionId"] = version
        try:
            answer = self._call("HeadObject", key, Key=key, ChecksumMode="ENABLED", **which)
        except Missing:
            return None
        head = shapes.head(answer)
        return head if part is None else replace(head, part=answer["ContentLength"])

    def list_page(
        self, prefix: str, *, after: str = "", more: str | None = None, limit: int = 1000
    ) -> Page:
        """List keys that start with `prefix` and are greater than `after`, one page.

        botocore asks for EncodingType=url by itself and decodes the keys.
        """
        where: dict[str, Any] = {}
        if more is not None:
            where["ContinuationToken"] = more
        elif after:
            where["StartAfter"] = after
        answer = self._call(LIST, prefix, Prefix=prefix, MaxKeys=limit, **where)
        items = tuple(shapes.listed(item) for item in answer.get("Contents", ()))
        return Page(items, answer.get("NextContinuationToken"))

    def list_versions(
        self, prefix: str, *, more: tuple[str, str] | None = None, limit: int = 1000
    ) -> VersionPage:
        """List all versions of the keys that start with `prefix`, one page."""
        where = {} if more is None else {"KeyMarker": more[0], "VersionIdMarker": more[1]}
        answer = self._call(VERSIONS, prefix, Prefix=prefix, MaxKeys=limit, **where)
        return shapes.versions(answer)

    def delete(self, key: str, etag: str) -> None:
        """Delete the version `etag`; Missing when nothing is there."""
        self._call("DeleteObject", key, Key=key, IfMatch=shapes.quoted(etag))

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
        """Make `key` a copy of the version `source_etag` of `source`, on the server.

        An error that comes after the status 200, in the body, botocore turns into one with 500.
        """
        fresh: dict[str, Any] = {"MetadataDirective": "COPY"}
        if metadata is not None:
            fresh = {"MetadataDirective": "REPLACE", "Metadata": dict(metadata)}
            fresh |= shapes.standing(headers or {})
        answer = self._call(
            "CopyObject",
            key,
            Key=key,
            CopySource={"Bucket": self.bucket, "Key": source},
            CopySourceIfMatch=shapes.quoted(source_etag),
            ChecksumAlgorithm="SHA256",
            **fresh,
            **shapes.condition(condition),
        )
        return shapes.written(answer)

    def create_upload(
        self, key: str, *, metadata: Mapping[str, str], headers: Mapping[str, str]
    ) -> str:
        """Begin a multipart upload with SHA-256 checksums; return its id."""
        answer = self._call(
            "CreateMultipartUpload",
            key,
            Key=key,
            Metadata=dict(metadata),
            ChecksumAlgorithm="SHA256",
            **shapes.standing(headers),
        )
        return str(answer["UploadId"])

    def upload_part(self, key: str, upload: str, number: int, body: bytes, digest: bytes) -> Part:
        """Send one part; the server refuses bytes whose SHA-256 is not `digest`."""
        answer = self._call(
            "UploadPart",
            key,
            Key=key,
            UploadId=upload,
            PartNumber=number,
            Body=body,
            ChecksumSHA256=shapes.encoded(digest),
        )
        return Part(number, answer["ETag"].strip('"'), digest)

    def copy_part(
        self,
        key: str,
        upload: str,
        number: int,
        source: str,
        etag: str,
        span: tuple[int, int] | None,
    ) -> Part:
        """Take one part from the version `etag` of the key `source`: all of it, or a span."""
        part = {} if span is None else {"CopySourceRange": f"bytes={span[0]}-{span[1]}"}
        answer = self._call(
            "UploadPartCopy",
            key,
            Key=key,
            UploadId=upload,
            PartNumber=number,
            CopySource={"Bucket": self.bucket, "Key": source},
            CopySourceIfMatch=shapes.quoted(etag),
            **part,
        )
        return shapes.part({"PartNumber": number, **answer["CopyPartResult"]})

    def complete(
        self,
        key: str,
        upload: str,
        parts: Sequence[Part],
        condition: Condition,
        checksum: str | None = None,
    ) -> Written:
        """Make the parts the object; refused when their composite SHA-256 is not `checksum`."""
        listed = [
            {"PartNumber": part.number, "ETag": shapes.quoted(part.etag)}
            | ({} if part.digest is None else {"ChecksumSHA256": shapes.encoded(part.digest)})
            for part in parts
        ]
        answer = self._call(
            "CompleteMultipartUpload",
            key,
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": listed},
            **({} if checksum is None else {"ChecksumSHA256": checksum}),
            **shapes.condition(condition),
        )
        return shapes.written(answer)

    def abort(self, key: str, upload: str) -> None:
        """Give an upload up; no error when it is gone already."""
        self._forgiving("AbortMultipartUpload", key, upload)

    def list_parts(self, key: str, upload: str) -> list[Part] | None:
        """List the parts that an upload holds, in order; None when it is gone."""
        parts: list[Part] = []
        more: dict[str, int] = {}
        while True:
            answer = self._forgiving("ListParts", key, upload, **more)
            if not answer:
                return None
            parts += [shapes.part(part) for part in answer.get("Parts", ())]
            if not answer.get("IsTruncated"):
                return parts
            more = {"PartNumberMarker": parts[-1].number}

    def close(self) -> None:
        """Release the connections."""
        self._client.close()

    def _forgiving(self, operation: str, key: str, upload: str, **more: Any) -> dict[str, Any]:
        return self._call(operation, key, gone="NoSuchUpload", Key=key, UploadId=upload, **more)

    def _call(
        self, operation: str, key: str, *, gone: str = "", **parameters: Any
    ) -> dict[str, Any]:
        """Send a request until it is answered, or until sending it again might do harm.

        Args:
            operation: The S3 operation's name.
            key: What the request is about, for messages.
            gone: An error code that means that there is nothing to do.
            parameters: As botocore wants them.
        """
        attempt, renewed = 0, False
        while True:
            attempt += 1
            generation = self._generation
            with self._lock:
                self._requests[operation] += 1
            try:
                call = getattr(self._client, xform_name(operation))
                answer: dict[str, Any] = call(Bucket=self.bucket, **parameters)
                shapes.require(operation, answer)
            except _FAULTS as error:
                if isinstance(error, ClientError) and error.response["Error"]["Code"] == gone:
                    return {}
                fault = sort(error, operation, key)
            else:
                return answer
            if isinstance(fault, Expired) and self._on_expired is not None and not renewed:
                self._renew(generation)
                renewed = True
            elif attempt < ATTEMPTS and _harmless(fault):
                # Full jitter: many threads that were turned away together come back apart.
                self._pause(random.uniform(0, 0.2 * 2**attempt))  # noqa: S311 - no secret
            else:
                # The cause is left out: its text may hold an access key or a signed request.
                raise fault from None

    def _renew(self, generation: int) -> None:
        """Fetch new credentials, once for all threads that found the same ones expired."""
        with self._renewal:
            if generation == self._generation and self._on_expired is not None:
                self._on_expired()
                self._generation += 1


class BotoAnswer:
    """The answer to a GET."""

    def __init__(self, key: str, head: Head, body: Any) -> None:
        self.head = head
        self._key = key
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body in bounded pieces; a translated fault when the connection breaks."""
        try:
            yield from self._body.iter_chunks(PIECE)
        except _FAULTS as error:
            raise sort(error, "GetObject", self._key) from None

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the connection."""
        self._body.close()


def _harmless(fault: VaultsyncError) -> bool:
    """Whether the request did nothing, or nothing that doing twice would change."""
    return isinstance(fault, Busy) or (isinstance(fault, Broken) and not fault.unknown_outcome)
