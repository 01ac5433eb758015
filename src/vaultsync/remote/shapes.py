"""Between our values and the dictionaries that botocore takes and gives."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.parsers import ResponseParserError

from vaultsync.remote.client import (
    Condition,
    Head,
    Listed,
    Part,
    Stored,
    VersionPage,
    Written,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
STANDING = (
    "Content-Type",
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
)
_ALWAYS = {
    "PutObject": ("ETag",),
    "GetObject": ("ETag", "LastModified", "ContentLength"),
    "HeadObject": ("ETag", "LastModified", "ContentLength"),
    "ListObjectsV2": ("Name", "IsTruncated"),
    "CopyObject": ("CopyObjectResult",),
    "ListObjectVersions": ("Name", "IsTruncated"),
    "CreateMultipartUpload": ("UploadId",),
    "UploadPart": ("ETag",),
    "UploadPartCopy": ("CopyPartResult",),
    "CompleteMultipartUpload": ("ETag",),
    "ListParts": ("UploadId",),
}
"""What tells a genuine answer from anything else that has a successful status."""


def require(operation: str, answer: dict[str, Any]) -> None:
    """Make sure that it was S3 that answered.

    botocore takes any successful answer, and reads a guest network's page as an empty listing.

    Raises:
        ResponseParserError: When what S3 always tells is missing.
    """
    if operation == "DeleteObject":
        genuine = answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    else:
        genuine = all(member in answer for member in _ALWAYS.get(operation, ()))
    if operation == "ListObjectVersions" and answer.get("IsTruncated"):
        genuine = genuine and "NextKeyMarker" in answer
    if operation == "ListObjectsV2" and answer.get("IsTruncated"):
        genuine = genuine and "NextContinuationToken" in answer
    for result in ("CopyObjectResult", "CopyPartResult"):
        # Copying answers 200 before it is done: what says that it was is in the body.
        genuine = genuine and "ETag" in answer.get(result, ("ETag",))
    if not genuine:
        if "Body" in answer:
            answer["Body"].close()
        raise ResponseParserError("the answer lacks what S3 always tells")


def listed(item: dict[str, Any]) -> Listed:
    """One key of a listing."""
    return Listed(
        key=item["Key"],
        size=item["Size"],
        etag=item["ETag"].strip('"'),
        modified=iso(item["LastModified"]),
        archived=item.get("StorageClass") in ARCHIVES,
    )


def versions(answer: dict[str, Any]) -> VersionPage:
    """A page of a listing of versions; versions and marks come apart and are put together."""
    items = [*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())]
    items.sort(key=lambda item: item["LastModified"], reverse=True)
    items.sort(key=lambda item: (item["Key"].encode(), not item["IsLatest"]))
    found = tuple(
        Stored(
            key=item["Key"],
            version=item["VersionId"],
            modified=iso(item["LastModified"]),
            latest=item["IsLatest"],
            size=item.get("Size", 0),
            etag=item.get("ETag", "").strip('"'),
            deleted="ETag" not in item,
            archived=item.get("StorageClass") in ARCHIVES,
        )
        for item in items
    )
    more = None
    if answer["IsTruncated"]:
        more = answer["NextKeyMarker"], answer.get("NextVersionIdMarker", "")
    return VersionPage(found, more)


def condition(condition: Condition) -> dict[str, str]:
    """The parameters that make a write conditional."""
    if condition.etag is None:
        return {"IfNoneMatch": "*"}
    return {"IfMatch": quoted(condition.etag)}


def standing(headers: Mapping[str, str]) -> dict[str, str]:
    """The parameters for an object's standing headers."""
    return {name.replace("-", ""): value for name, value in headers.items()}


def head(answer: dict[str, Any]) -> Head:
    """What HEAD or GET told."""
    etag = answer["ETag"].strip('"')
    checksum = answer.get("ChecksumSHA256")
    if checksum and "-" in etag and "-" not in checksum:
        # S3 has no SHA-256 of a whole multipart object; some servers leave out how many parts.
        checksum += f"-{etag.rpartition('-')[2]}"
    span = answer.get("ContentRange", "")
    restored = 'ongoing-request="false"' in answer.get("Restore", "")
    return Head(
        etag=etag,
        size=int(span.rpartition("/")[2]) if span else answer["ContentLength"],
        modified=iso(answer["LastModified"]),
        version=version(answer),
        checksum=checksum,
        metadata={name.lower(): value for name, value in answer.get("Metadata", {}).items()},
        headers={
            name: answer[name.replace("-", "")]
            for name in STANDING
            if answer.get(name.replace("-", ""))
        },
        archived=not restored
        and (answer.get("StorageClass") in ARCHIVES or "ArchiveStatus" in answer),
    )


def part(item: dict[str, Any]) -> Part:
    """What a listing of parts, or the answer to the copy of one, tells."""
    checksum = item.get("ChecksumSHA256")
    digest = base64.b64decode(checksum) if checksum else None
    return Part(item["PartNumber"], item["ETag"].strip('"'), digest, item.get("Size"))


def written(answer: dict[str, Any]) -> Written:
    """What the server said of an object it has taken."""
    told = answer.get("CopyObjectResult", answer)
    return Written(told["ETag"].strip('"'), version(answer), told.get("ChecksumSHA256"))


def version(answer: dict[str, Any]) -> str | None:
    """The VersionId, or None in a bucket without versions."""
    version = answer.get("VersionId")
    return None if version in (None, "", "null") else str(version)


def iso(moment: datetime) -> str:
    """ISO text of whole seconds in UTC."""
    # HEAD has whole seconds, a listing may have more: only what both can tell is comparable.
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def quoted(etag: str) -> str:
    """An ETag as it goes over the wire."""
    return f'"{etag}"'


def encoded(digest: bytes) -> str:
    """A digest as it goes over the wire."""
    return base64.b64encode(digest).decode("ascii")
