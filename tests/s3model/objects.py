"""PutObject, GetObject, HeadObject, DeleteObject, CopyObject."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from tests.s3model import conditions, payload
from tests.s3model.answers import (
    NAMESPACE,
    RefusedError,
    denied,
    element,
    http_date,
    invalid,
    iso,
    missing,
    xml,
)
from tests.s3model.payload import ELEMENTS, PREFIX
from tests.s3model.record import Wrote, access_key
from tests.s3model.state import META, Bucket, Version
from tests.s3model.wire import Buffer, Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.s3model.record import Record
    from tests.s3model.settings import Settings

STANDING = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
    "x-amz-storage-class",
)
ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")


class Objects:
    """Single objects.

    Args:
        buckets: By name.
        settings: What kind of server it is.
        record: Where writes are noted.
    """

    def __init__(self, buckets: dict[str, Bucket], settings: Settings, record: Record) -> None:
        self._buckets = buckets
        self._settings = settings
        self._record = record

    def put(self, request: Request) -> Response:
        bucket = self.bucket(request.bucket)
        given = payload.receive(request, self._settings)
        if self._settings.put_conditions:
            conditions.check_write(request.headers, bucket.current(request.key))
        version = Version(
            request.key,
            (given.body,),
            len(given.body),
            self.etag(given.md5),
            int(time.time()),
            kept(request.headers),
            given.checksums,
        )
        self.store(bucket, version, request, given.sha256)
        headers = {"ETag": f'"{version.etag}"', **checksum_headers(version)}
        return Response(200, headers | version_header(bucket, version))

    def get(self, request: Request) -> Response:
        bucket = self.bucket(request.bucket)
        found = self._find(bucket, request)
        headers = request.headers
        conditions.check_read(headers, found)
        told = _described(bucket, found)
        if found.headers.get("x-amz-storage-class") in ARCHIVES and request.method == "GET":
            raise RefusedError(403, "InvalidObjectState", "The operation is not valid here")
        status, start, end = 200, 0, found.size
        number = request.query.get("partNumber")
        checked = headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
        checksums = checksum_headers(found)
        if number is not None:
            start, end, checksums = _part(found, int(number))
            status = 206
            if found.parts:
                told["x-amz-mp-parts-count"] = str(len(found.parts))
        elif "range" in headers and (asked := conditions.span(headers["range"], found.size)):
            status, (start, end) = 206, asked
            checksums = {}
        if status == 206 and found.size:
            told["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
        if checked and self._settings.checksums:
            told |= checksums
        if request.method == "HEAD":
            return Response(status, told, length=end - start)
        return Response(status, told, cut_out(found.body, start, end))

    def delete(self, request: Request) -> Response:
        bucket = self.bucket(request.bucket)
        version_id = request.query.get("versionId")
        if version_id is not None:
            if not self._settings.versions_may_go:
                raise denied()
            gone = bucket.remove(request.key, version_id)
            marked = {"x-amz-delete-marker": "true"} if gone is not None and gone.deleted else {}
            self._wrote(bucket, request, version_id)
            return Response(204, {"x-amz-version-id": version_id, **marked})
        current = bucket.current(request.key)
        if self._settings.delete_conditions and "if-match" in request.headers:
            if current is None:
                raise missing()
            conditions.check_write({"if-match": request.headers["if-match"]}, current)
        marker = bucket.mark_deleted(request.key, int(time.time()))
        self._wrote(bucket, request, marker.id if marker is not None else "null")
        if marker is None:
            return Response(204)
        return Response(204, {"x-amz-delete-marker": "true", "x-amz-version-id": marker.id})

    def copy(self, request: Request) -> Response:
        bucket = self.bucket(request.bucket)
        source, source_headers = self.source(request)
        conditions.check_source(request.headers, source)
        replace = request.headers.get("x-amz-metadata-directive", "COPY").upper() == "REPLACE"
        here = (bucket.current(request.key), source.key)
        if not replace and here == (source, request.key):
            raise invalid(
                "This copy request is illegal because it is trying to copy an object to itself "
                "without changing the object's metadata."
            )
        if self._settings.copy_conditions:
            conditions.check_write(request.headers, bucket.current(request.key))
        digest = hashlib.md5(usedforsecurity=False)
        for piece in source.body:
            digest.update(piece)
        names = {request.headers.get("x-amz-checksum-algorithm", "").lower()} - {""}
        checksums = {
            name: value
            for name in names or source.checksums
            if (value := payload.compute(name, source.body))
        }
        version = Version(
            request.key,
            source.body,
            source.size,
            self.etag(digest.hexdigest()),
            int(time.time()),
            kept(request.headers) if replace else dict(source.headers),
            checksums if self._settings.checksums else {},
        )
        self.store(bucket, version, request)
        text = copied("CopyObjectResult", version.etag, version.modified, version.checksums)
        return xml(text, headers=source_headers | version_header(bucket, version))

    def bucket(self, name: str) -> Bucket:
        """The bucket of that name."""
        found = self._buckets.get(name)
        if found is None:
            raise RefusedError(404, "NoSuchBucket", "The specified bucket does not exist")
        return found

    def source(self, request: Request) -> tuple[Version, dict[str, str]]:
        """What a copy takes, and the header that names its version."""
        path, _, query = request.headers["x-amz-copy-source"].partition("?")
        name, _, key = unquote(path).removeprefix("/").partition("/")
        bucket = self.bucket(name)
        wanted = parse_qs(query).get("versionId", [""])[0]
        found = bucket.version(key, wanted) if wanted else bucket.current(key)
        if found is None:
            raise RefusedError(404, "NoSuchVersion") if wanted else missing()
        if found.deleted:
            raise invalid("The source of a copy request may not refer to a delete marker.")
        if found.headers.get("x-amz-storage-class") in ARCHIVES:
            raise RefusedError(403, "InvalidObjectState", "The operation is not valid here")
        told = {"x-amz-copy-source-version-id": found.id} if bucket.versioning else {}
        return found, told

    def etag(self, md5: str) -> str:
        """The ETag of an object or a part with this MD5."""
        return secrets.token_hex(16) if self._settings.opaque_etags or not md5 else md5

    def store(self, bucket: Bucket, version: Version, request: Request, sha256: str = "") -> None:
        """Make a version the current one, and note it."""
        if not sha256 and self._settings.digests:
            sha256 = payload.digest_of(version.body)
        bucket.put(version)
        self._wrote(bucket, request, version.id, version, sha256)

    def _wrote(
        self,
        bucket: Bucket,
        request: Request,
        version_id: str,
        version: Version | None = None,
        sha256: str = "",
    ) -> None:
        self._record.writes.append(
            Wrote(
                bucket.name,
                request.key,
                version_id,
                sha256,
                version.size if version is not None else 0,
                version.etag if version is not None else "",
                time.time(),
                request.operation,
                request.number,
                access_key(request.headers),
                version.metadata if version is not None else {},
            )
        )

    def _find(self, bucket: Bucket, request: Request) -> Version:
        version_id = request.query.get("versionId")
        if version_id is not None:
            wanted = bucket.version(request.key, version_id)
            if wanted is None:
                raise RefusedError(404, "NoSuchVersion", "The specified version does not exist.")
            if wanted.deleted:
                told = {"x-amz-delete-marker": "true", "x-amz-version-id": wanted.id}
                raise RefusedError(405, "MethodNotAllowed", headers=told)
            return wanted
        found: Version | None = bucket.objects.get(request.key)
        if found is not None and not found.deleted:
            return found
        if self._settings.missing_is_forbidden:
            raise denied()
        refusal = missing()
        if found is not None:
            refusal.headers = {"x-amz-delete-marker": "true", "x-amz-version-id": found.id}
        raise refusal


def kept(headers: dict[str, str]) -> dict[str, str]:
    """The headers of a write that stay with its object."""
    found = {
        name: value
        for name, value in headers.items()
        if name.startswith(META) or (name in STANDING and value)
    }
    if "content-encoding" in found:
        left = [each.strip() for each in found["content-encoding"].split(",")]
        left = [each for each in left if each not in ("aws-chunked", "")]
        found["content-encoding"] = ",".join(left)
        if not left:
            del found["content-encoding"]
    if found.get("x-amz-storage-class") == "STANDARD":
        del found["x-amz-storage-class"]
    return found


def copied(name: str, etag: str, modified: int, checksums: dict[str, str]) -> str:
    """The result of a copy, as XML."""
    sums = "".join(element(ELEMENTS[each], value) for each, value in checksums.items())
    return (
        f"<{name} {NAMESPACE}><LastModified>{iso(modified)}</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag>{sums}</{name}>"
    )


def checksum_headers(version: Version) -> dict[str, str]:
    """The headers that tell an object's checksums."""
    if not version.checksums:
        return {}
    told = {PREFIX + name: value for name, value in version.checksums.items()}
    return told | {"x-amz-checksum-type": version.checksum_type}


def version_header(bucket: Bucket, version: Version) -> dict[str, str]:
    """The header that names a version, in a bucket that has them."""
    return {"x-amz-version-id": version.id} if bucket.versioning else {}


def cut_out(body: Iterable[Buffer], start: int, end: int) -> tuple[Buffer, ...]:
    """The bytes from `start` up to `end`, not copied."""
    pieces = []
    place = 0
    for piece in body:
        first, last = max(start - place, 0), min(end - place, len(piece))
        if first < last:
            pieces.append(memoryview(piece)[first:last])
        place += len(piece)
    return tuple(pieces)


def _described(bucket: Bucket, found: Version) -> dict[str, str]:
    told = {
        "ETag": f'"{found.etag}"',
        "Last-Modified": http_date(found.modified),
        "Accept-Ranges": "bytes",
        "Content-Type": "binary/octet-stream",
    }
    told |= {
        "Content-Type" if name == "content-type" else name: value
        for name, value in found.headers.items()
    }
    return told | version_header(bucket, found)


def _part(found: Version, number: int) -> tuple[int, int, dict[str, str]]:
    """Where a part begins and ends, and its checksums as headers."""
    if not found.parts:
        if number != 1:
            raise RefusedError(416, "InvalidPartNumber", "The requested partnumber is not there")
        return 0, found.size, checksum_headers(found)
    if not 1 <= number <= len(found.parts):
        raise RefusedError(416, "InvalidPartNumber", "The requested partnumber is not there")
    start = sum(part.size for part in found.parts[: number - 1])
    part = found.parts[number - 1]
    sums = {PREFIX + name: value for name, value in part.checksums.items()}
    if sums:
        sums["x-amz-checksum-type"] = found.checksum_type
    return start, start + part.size, sums
