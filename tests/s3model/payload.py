"""A request's body as S3 takes it: unwrapped, and held against every digest that came with it."""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.s3model.answers import RefusedError, invalid
from tests.s3model.wire import Buffer, Chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.s3model.settings import Settings
    from tests.s3model.wire import Request

ALGORITHMS = ("sha256", "crc32", "crc64nvme", "crc32c", "sha1")
PREFIX = "x-amz-checksum-"
ELEMENTS = {
    "sha256": "ChecksumSHA256",
    "crc32": "ChecksumCRC32",
    "crc64nvme": "ChecksumCRC64NVME",
    "crc32c": "ChecksumCRC32C",
    "sha1": "ChecksumSHA1",
}
"""How they are named in XML. Of these, SHA-256, SHA-1 and CRC32 are verified."""


@dataclass(slots=True)
class Payload:
    """A verified body.

    Attributes:
        body: The bytes.
        md5: Their MD5 in hex; empty when nobody needs it.
        sha256: Their SHA-256 in hex; empty when nobody needs it.
        checksums: S3's checksums that came with them, in base64 by algorithm.
    """

    body: Buffer
    md5: str
    sha256: str
    checksums: dict[str, str]


def receive(request: Request, settings: Settings) -> Payload:
    """Take a body, or refuse it.

    Raises:
        RefusedError: It is not what its digests say.
    """
    headers = request.headers
    body: Buffer = request.body
    claimed = dict(headers)
    if headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        chunks = Chunks()
        try:
            chunks.feed(bytearray(body))
        except ValueError:
            chunks.complete = False
        if not chunks.complete:
            raise RefusedError(400, "IncompleteBody", "The chunks do not end.")
        body = chunks.body
        claimed |= chunks.trailers
        if claimed.get("x-amz-decoded-content-length", str(len(body))) != str(len(body)):
            raise RefusedError(400, "IncompleteBody", "Another length than was told.")
    checksums = {name: claimed[PREFIX + name] for name in ALGORITHMS if claimed.get(PREFIX + name)}
    if not settings.checksums:
        checksums = {}
    if len(checksums) > 1:
        raise invalid("Expecting a single x-amz-checksum- header")
    md5 = ""
    if not settings.opaque_etags or "content-md5" in headers:
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    content = headers.get("x-amz-content-sha256", "")
    sha256 = ""
    if settings.digests or "sha256" in checksums or len(content) == 64:
        sha256 = hashlib.sha256(body).hexdigest()
    if "content-md5" in headers and headers["content-md5"] != base64ed(md5):
        raise RefusedError(400, "BadDigest", "The Content-MD5 you specified did not match.")
    if len(content) == 64 and content != sha256:
        raise RefusedError(400, "XAmzContentSHA256Mismatch", "Not the SHA-256 that was signed.")
    for name, value in checksums.items():
        verify(name, value, (body,), sha256)
    return Payload(body, md5, sha256, checksums)


def verify(name: str, value: str, body: Iterable[Buffer], sha256: str = "") -> None:
    """Hold bytes against a checksum; what cannot be computed here is believed.

    Raises:
        RefusedError: It is another one, or no checksum at all.
    """
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        raise invalid(f"Value for {PREFIX}{name} header is invalid.") from None
    right = base64ed(sha256) if name == "sha256" and sha256 else compute(name, body)
    if right not in ("", value):
        raise RefusedError(400, "BadDigest", f"The {name.upper()} you specified did not match.")


def compute(name: str, body: Iterable[Buffer]) -> str:
    """A checksum of bytes in base64; empty for algorithms that are not computed here."""
    if name == "crc32":
        value = 0
        for piece in body:
            value = zlib.crc32(piece, value)
        return base64.b64encode(value.to_bytes(4, "big")).decode()
    if name not in ("sha256", "sha1"):
        return ""
    digest = hashlib.new(name)
    for piece in body:
        digest.update(piece)
    return base64.b64encode(digest.digest()).decode()


def composite(name: str, values: Iterable[str]) -> str:
    """The checksum of the parts' checksums, without the number of parts; empty as `compute`."""
    return compute(name, [base64.b64decode(value) for value in values])


def base64ed(digest: str) -> str:
    """A hex digest in base64."""
    return base64.b64encode(bytes.fromhex(digest)).decode()


def digest_of(body: Iterable[Buffer]) -> str:
    """The SHA-256 of bytes in hex."""
    digest = hashlib.sha256()
    for piece in body:
        digest.update(piece)
    return digest.hexdigest()
