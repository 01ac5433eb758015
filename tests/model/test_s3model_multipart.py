from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import S3Transfer, TransferConfig

from tests.model.asking import md5, outcome, read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.s3model import S3Model

WHERE = {"Bucket": "vault", "Key": "private/f"}
MIB = 1 << 20
BODIES = [b"a" * 5 * MIB, b"b" * 5 * MIB, b"c" * 10]


def sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def begun(s3: Any, bodies: list[bytes]) -> tuple[str, list[dict[str, Any]]]:
    """An upload with SHA-256 checksums and its parts, as Complete names them."""
    upload = s3.create_multipart_upload(
        **WHERE, ChecksumAlgorithm="SHA256", Metadata={"a": "b"}, ContentType="text/x"
    )["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        digest = sha256(body)
        sent = s3.upload_part(
            **WHERE, UploadId=upload, PartNumber=number, Body=body, ChecksumSHA256=digest
        )
        assert sent["ChecksumSHA256"] == digest
        parts.append({"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": digest})
    return upload, parts


def complete(s3: Any, upload: str, parts: list[dict[str, Any]], **more: Any) -> str:
    call = s3.complete_multipart_upload
    return outcome(call, **WHERE, UploadId=upload, MultipartUpload={"Parts": parts}, **more)


def test_an_object_in_parts(s3: Any) -> None:
    upload, parts = begun(s3, BODIES)
    whole = sha256(b"".join(hashlib.sha256(body).digest() for body in BODIES))
    wrong = sha256(b"")
    assert complete(s3, upload, parts, ChecksumSHA256=wrong) == "400 BadDigest"
    assert complete(s3, upload, parts, ChecksumSHA256=whole) == "200"

    digests = b"".join(bytes.fromhex(md5(body)) for body in BODIES)
    head = s3.head_object(**WHERE, ChecksumMode="ENABLED")
    assert head["ETag"] == f'"{md5(digests)}-3"'
    assert head["ChecksumSHA256"] == f"{whole}-3"
    assert head["ChecksumType"] == "COMPOSITE"
    assert (head["Metadata"], head["ContentType"]) == ({"a": "b"}, "text/x")
    assert read(s3, **WHERE) == b"".join(BODIES)
    assert read(s3, **WHERE, Range=f"bytes={5 * MIB - 1}-{10 * MIB}") == b"a" + BODIES[1] + b"c"
    assert complete(s3, upload, parts) == "404 NoSuchUpload"


def test_a_part_can_be_asked_about(s3: Any) -> None:
    upload, parts = begun(s3, BODIES)
    assert complete(s3, upload, parts) == "200"
    head = s3.head_object(**WHERE, PartNumber=1, ChecksumMode="ENABLED")
    assert (head["PartsCount"], head["ContentLength"]) == (3, 5 * MIB)
    assert head["ContentRange"] == f"bytes 0-{5 * MIB - 1}/{10 * MIB + 10}"
    assert head["ChecksumSHA256"] == sha256(BODIES[0])
    assert read(s3, **WHERE, PartNumber=3) == BODIES[2]
    assert outcome(s3.get_object, **WHERE, PartNumber=4).startswith("416")
    s3.put_object(**WHERE, Body=b"whole")
    head = s3.head_object(**WHERE, PartNumber=1)
    assert "PartsCount" not in head
    assert head["ContentLength"] == 5


def test_what_complete_refuses(model: S3Model, s3: Any) -> None:
    upload, parts = begun(s3, [b"small", b"small", b"small"])
    assert complete(s3, upload, parts) == "400 EntityTooSmall"
    model.settings.smallest_part = 0
    assert complete(s3, upload, parts[::-1]) == "400 InvalidPartOrder"
    assert complete(s3, upload, [{**parts[0], "ETag": '"other"'}]) == "400 InvalidPart"
    assert complete(s3, upload, [{**parts[0], "PartNumber": 9}]) == "400 InvalidPart"
    assert complete(s3, upload, [{**parts[0], "ChecksumSHA256": sha256(b"")}]) == "400 InvalidPart"
    assert outcome(s3.head_object, **WHERE) == "404"
    assert complete(s3, upload, parts[:2]) == "200"


def test_a_refused_condition_leaves_the_upload(s3: Any) -> None:
    s3.put_object(**WHERE, Body=b"there")
    upload, parts = begun(s3, [b"new"])
    assert complete(s3, upload, parts, IfNoneMatch="*") == "412 PreconditionFailed"
    assert read(s3, **WHERE) == b"there"
    assert complete(s3, upload, parts, IfMatch=s3.head_object(**WHERE)["ETag"]) == "200"


def test_a_poorer_server_completes_regardless(model: S3Model, s3: Any) -> None:
    s3.put_object(**WHERE, Body=b"there")
    model.settings.complete_conditions = False
    upload, parts = begun(s3, [b"new"])
    assert complete(s3, upload, parts, IfNoneMatch="*") == "200"


def test_an_upload_given_up(model: S3Model, s3: Any) -> None:
    upload, parts = begun(s3, [b"new"])
    assert outcome(s3.abort_multipart_upload, **WHERE, UploadId=upload) == "204"
    assert outcome(s3.abort_multipart_upload, **WHERE, UploadId=upload) == "404 NoSuchUpload"
    assert complete(s3, upload, parts) == "404 NoSuchUpload"
    assert model.vault.uploads == {}


def test_listing_parts_in_pages(s3: Any) -> None:
    upload, parts = begun(s3, [b"1", b"2", b"3", b"4", b"5"])
    pages = s3.get_paginator("list_parts").paginate(
        **WHERE, UploadId=upload, PaginationConfig={"PageSize": 2}
    )
    found = [page["Parts"] for page in pages]
    assert [len(each) for each in found] == [2, 2, 1]
    told = [
        {name: part[name] for name in ("PartNumber", "ETag", "ChecksumSHA256")}
        for each in found
        for part in each
    ]
    assert told == parts


def test_parts_from_another_object(s3: Any) -> None:
    source = {"Bucket": "vault", "Key": "private/source"}
    body = bytes(range(256)) * 4 * 1024 * 6
    etag = s3.put_object(**source, Body=body)["ETag"]
    upload = s3.create_multipart_upload(**WHERE, ChecksumAlgorithm="SHA256")["UploadId"]

    def copy(number: int, span: str, match: str) -> Any:
        return s3.upload_part_copy(
            **WHERE,
            UploadId=upload,
            PartNumber=number,
            CopySource=source,
            CopySourceRange=span,
            CopySourceIfMatch=match,
        )

    half = 5 * MIB
    refused = outcome(copy, 1, f"bytes=0-{half}", '"other"')
    assert refused == "412 PreconditionFailed"
    assert outcome(copy, 1, f"bytes=0-{len(body)}", etag) == "400 InvalidArgument"
    results = [
        copy(1, f"bytes=0-{half - 1}", etag)["CopyPartResult"],
        copy(2, f"bytes={half}-{len(body) - 1}", etag)["CopyPartResult"],
    ]
    assert results[0]["ChecksumSHA256"] == sha256(body[:half])
    parts = [
        {"PartNumber": number, "ETag": each["ETag"], "ChecksumSHA256": each["ChecksumSHA256"]}
        for number, each in enumerate(results, 1)
    ]
    assert complete(s3, upload, parts) == "200"
    assert read(s3, **WHERE) == body


def test_listing_uploads_is_a_right(model: S3Model, s3: Any) -> None:
    upload, _ = begun(s3, [])
    assert outcome(s3.list_multipart_uploads, Bucket="vault") == "403 AccessDenied"
    model.settings.uploads_may_be_listed = True
    found = s3.list_multipart_uploads(Bucket="vault", Prefix="private/")["Uploads"]
    assert [(each["Key"], each["UploadId"]) for each in found] == [("private/f", upload)]


def test_what_boto3_itself_uploads(s3: Any, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"".join(BODIES))
    settings: Any = TransferConfig(multipart_threshold=MIB, multipart_chunksize=5 * MIB)
    transfer = S3Transfer(s3, settings)
    transfer.upload_file(str(file), "vault", "private/f")
    transfer.download_file("vault", "private/f", str(tmp_path / "g"))
    assert (tmp_path / "g").read_bytes() == file.read_bytes()
