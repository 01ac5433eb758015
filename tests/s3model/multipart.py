"""Multipart uploads, from Create to Complete or Abort."""

from __future__ import annotations

import hashlib
import secrets
import time
import xml.etree.ElementTree as ET
from itertools import chain
from typing import TYPE_CHECKING

from tests.s3model import conditions, payload
from tests.s3model.answers import (
    NAMESPACE,
    RefusedError,
    denied,
    element,
    invalid,
    iso,
    xml,
)
from tests.s3model.objects import (
    Objects,
    copied,
    cut_out,
    kept,
    version_header,
)
from tests.s3model.payload import ALGORITHMS, ELEMENTS, PREFIX
from tests.s3model.state import Part, Upload, Version
from tests.s3model.wire import Request, Response

if TYPE_CHECKING:
    from tests.s3model.settings import Settings


class Multipart:
    """Uploads in parts.

    Args:
        objects: Where they become objects.
        settings: What kind of server it is.
    """

    def __init__(self, objects: Objects, settings: Settings) -> None:
        self._objects = objects
        self._settings = settings

    def create(self, request: Request) -> Response:
        bucket = self._objects.bucket(request.bucket)
        algorithm = request.headers.get("x-amz-checksum-algorithm", "").lower()
        if algorithm and algorithm not in ALGORITHMS:
            raise invalid("Checksum algorithm provided is unsupported.")
        kind = request.headers.get("x-amz-checksum-type", "").upper()
        kind = kind or ("FULL_OBJECT" if algorithm == "crc64nvme" else "COMPOSITE")
        if not self._settings.checksums:
            algorithm = ""
        upload = Upload(
            secrets.token_urlsafe(48),
            request.key,
            kept(request.headers),
            algorithm,
            kind,
            int(time.time()),
        )
        bucket.uploads[upload.id] = upload
        told = {}
        if algorithm:
            told = {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": kind}
        text = (
            f"<InitiateMultipartUploadResult {NAMESPACE}>{element('Bucket', bucket.name)}"
            f"{element('Key', request.key)}<UploadId>{upload.id}</UploadId>"
            "</InitiateMultipartUploadResult>"
        )
        return xml(text, headers=told)

    def upload_part(self, request: Request) -> Response:
        upload = self._upload(request)
        number = _number(request)
        given = payload.receive(request, self._settings)
        wrong = set(given.checksums) - {upload.algorithm}
        if wrong and upload.algorithm:
            raise invalid(
                f"Checksum Type mismatch occurred, expected checksum Type: {upload.algorithm},"
                f" actual checksum Type: {min(wrong)}"
            )
        etag = self._objects.etag(given.md5)
        upload.parts[number] = Part(
            number, len(given.body), etag, given.checksums, int(time.time()), (given.body,)
        )
        sums = {PREFIX + name: value for name, value in given.checksums.items()}
        return Response(200, {"ETag": f'"{etag}"', **sums})

    def copy_part(self, request: Request) -> Response:
        upload = self._upload(request)
        number = _number(request)
        source, told = self._objects.source(request)
        conditions.check_source(request.headers, source)
        start, end = 0, source.size
        if "x-amz-copy-source-range" in request.headers:
            header = request.headers["x-amz-copy-source-range"]
            start, end = conditions.exact_span(header, source.size)
        body = cut_out(source.body, start, end)
        digest = hashlib.md5(usedforsecurity=False)
        for piece in body:
            digest.update(piece)
        value = payload.compute(upload.algorithm, body) if upload.algorithm else ""
        checksums = {upload.algorithm: value} if value else {}
        etag = self._objects.etag(digest.hexdigest())
        now = int(time.time())
        upload.parts[number] = Part(number, end - start, etag, checksums, now, body)
        return xml(copied("CopyPartResult", etag, now, checksums), headers=told)

    def complete(self, request: Request) -> Response:
        bucket = self._objects.bucket(request.bucket)
        upload = self._upload(request)
        parts = self._listed(upload, request)
        if self._settings.complete_conditions:
            conditions.check_write(request.headers, bucket.current(request.key))
        body = tuple(chain.from_iterable(part.body for part in parts))
        checksums = self._checksums(upload, parts, request)
        digests = b"".join(bytes.fromhex(part.etag) for part in parts)
        md5 = hashlib.md5(digests, usedforsecurity=False).hexdigest()
        version = Version(
            request.key,
            body,
            sum(part.size for part in parts),
            f"{self._objects.etag(md5)}-{len(parts)}",
            int(time.time()),
            upload.headers,
            checksums,
            upload.checksum_type,
            tuple(Part(p.number, p.size, p.etag, p.checksums, p.modified) for p in parts),
        )
        self._objects.store(bucket, version, request)
        del bucket.uploads[upload.id]
        sums = "".join(element(ELEMENTS[name], value) for name, value in checksums.items())
        kind = element("ChecksumType", version.checksum_type) if sums else ""
        text = (
            f"<CompleteMultipartUploadResult {NAMESPACE}>{element('Bucket', bucket.name)}"
            f"{element('Key', request.key)}<ETag>&quot;{version.etag}&quot;</ETag>{sums}{kind}"
            "</CompleteMultipartUploadResult>"
        )
        return xml(text, headers=version_header(bucket, version))

    def abort(self, request: Request) -> Response:
        upload = self._upload(request)
        del self._objects.bucket(request.bucket).uploads[upload.id]
        return Response(204)

    def list_parts(self, request: Request) -> Response:
        upload = self._upload(request)
        marker = int(request.query.get("part-number-marker") or 0)
        limit = min(1000, int(request.query.get("max-parts") or 1000))
        numbers = list(upload.parts.irange(marker + 1))
        shown = [upload.parts[number] for number in numbers[:limit]]
        cut = len(numbers) > limit
        text = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><LastModified>{iso(part.modified)}"
            f"</LastModified><ETag>&quot;{part.etag}&quot;</ETag><Size>{part.size}</Size>"
            + "".join(element(ELEMENTS[name], value) for name, value in part.checksums.items())
            + "</Part>"
            for part in shown
        )
        next_marker = shown[-1].number if shown else marker
        algorithm = element("ChecksumAlgorithm", upload.algorithm.upper() or None)
        return xml(
            f"<ListPartsResult {NAMESPACE}>{element('Bucket', request.bucket)}"
            f"{element('Key', request.key)}<UploadId>{upload.id}</UploadId>"
            f"<PartNumberMarker>{marker}</PartNumberMarker>"
            f"<NextPartNumberMarker>{next_marker}</NextPartNumberMarker>"
            f"<MaxParts>{limit}</MaxParts><IsTruncated>{str(cut).lower()}</IsTruncated>"
            f"<StorageClass>STANDARD</StorageClass>{algorithm}{text}</ListPartsResult>"
        )

    def list_uploads(self, request: Request) -> Response:
        bucket = self._objects.bucket(request.bucket)
        if not self._settings.uploads_may_be_listed:
            raise denied()
        prefix = request.query.get("prefix", "")
        found = sorted(bucket.uploads.values(), key=lambda upload: (upload.key, upload.began))
        text = "".join(
            f"<Upload>{element('Key', upload.key)}<UploadId>{upload.id}</UploadId>"
            f"<Initiated>{iso(upload.began)}</Initiated></Upload>"
            for upload in found
            if upload.key.startswith(prefix)
        )
        return xml(
            f"<ListMultipartUploadsResult {NAMESPACE}>{element('Bucket', bucket.name)}"
            f"{element('Prefix', prefix)}<IsTruncated>false</IsTruncated>{text}"
            "</ListMultipartUploadsResult>"
        )

    def _upload(self, request: Request) -> Upload:
        found = self._objects.bucket(request.bucket).uploads.get(request.query["uploadId"])
        if found is None or found.key != request.key:
            raise RefusedError(404, "NoSuchUpload", "The specified upload does not exist.")
        return found

    def _listed(self, upload: Upload, request: Request) -> list[Part]:
        """The parts that a Complete names, when they are there and in order."""
        parts: list[Part] = []
        for number, etag, sums in _named(bytes(request.body)):
            part = upload.parts.get(number)
            if part is None or part.etag != etag:
                raise RefusedError(400, "InvalidPart", "One or more parts could not be found.")
            for name, value in sums.items():
                if self._settings.checksums and part.checksums.get(name) not in (None, value):
                    raise RefusedError(400, "InvalidPart", "A part has another checksum.")
            if parts and number <= parts[-1].number:
                raise RefusedError(400, "InvalidPartOrder", "The parts are not in order.")
            parts.append(part)
        if not parts:
            raise invalid("You must specify at least one part", "MalformedXML")
        if any(part.size < self._settings.smallest_part for part in parts[:-1]):
            raise RefusedError(400, "EntityTooSmall", "Your proposed upload is too small.")
        return parts

    def _checksums(self, upload: Upload, parts: list[Part], request: Request) -> dict[str, str]:
        """The whole object's checksum, held against the one that came with the request."""
        name = upload.algorithm
        if not name:
            return {}
        claimed = request.headers.get(PREFIX + name, "")
        values = [part.checksums.get(name, "") for part in parts]
        if upload.checksum_type == "FULL_OBJECT":
            body = chain.from_iterable(part.body for part in parts)
            right = payload.compute(name, body) or claimed
        elif all(values):
            right = payload.composite(name, values) or claimed.partition("-")[0]
        else:
            raise invalid("The upload was created with a checksum; not every part has one.")
        if upload.checksum_type != "FULL_OBJECT" and right:
            right = f"{right}-{len(parts)}"
        if claimed and claimed not in (right, right.partition("-")[0]):
            raise RefusedError(400, "BadDigest", f"The {name} you specified did not match.")
        return {name: right} if right else {}


def _named(body: bytes) -> list[tuple[int, str, dict[str, str]]]:
    """Number, ETag and checksums of each part in the body of a Complete."""
    try:
        root = ET.fromstring(body)  # noqa: S314 - a test's own words
        named = []
        for part in root:
            values = {child.tag.rpartition("}")[2]: child.text or "" for child in part}
            sums = {name: values[tag] for name, tag in ELEMENTS.items() if tag in values}
            named.append((int(values["PartNumber"]), values["ETag"].strip('"'), sums))
    except (ET.ParseError, KeyError, ValueError):
        raise invalid("The XML you provided was not well-formed", "MalformedXML") from None
    return named


def _number(request: Request) -> int:
    number = request.query["partNumber"]
    if not number.isdecimal() or not 1 <= int(number) <= 10_000:
        raise invalid("Part number must be an integer between 1 and 10000", "InvalidArgument")
    return int(number)
