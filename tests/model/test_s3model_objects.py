from __future__ import annotations

import base64
import hashlib
import http.client
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.model.asking import md5, outcome, read

if TYPE_CHECKING:
    from tests.s3model import S3Model

WHERE = {"Bucket": "vault", "Key": "private/f"}


def raw(model: S3Model, method: str, target: str, body: bytes, headers: dict[str, str]) -> int:
    """Send what no client sends; returns the status."""
    connection = http.client.HTTPConnection(urlsplit(model.url).netloc, timeout=10)
    connection.request(method, target, body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_all_that_is_put_is_got_again(s3: Any) -> None:
    standing = {
        "ContentType": "text/plain",
        "CacheControl": "no-store",
        "ContentDisposition": "attachment",
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
    }
    put = s3.put_object(
        **WHERE, Body=b"hello", Metadata={"mtime": "1.5", "mode": "0100644"}, **standing
    )
    got = s3.get_object(**WHERE)
    with got["Body"] as body:
        assert body.read() == b"hello"
    head = s3.head_object(**WHERE)
    for answer in (got, head):
        assert answer["ETag"] == put["ETag"] == f'"{md5(b"hello")}"'
        assert answer["VersionId"] == put["VersionId"]
        assert answer["Metadata"] == {"mtime": "1.5", "mode": "0100644"}
        assert answer["ContentLength"] == 5
        assert {name: answer[name] for name in standing} == standing
        assert answer["LastModified"].microsecond == 0


@pytest.mark.parametrize("state", ["absent", "present", "deleted"])
@pytest.mark.parametrize("verb", ["put", "complete", "copy"])
def test_conditions_of_writes(s3: Any, verb: str, state: str) -> None:
    etag = s3.put_object(**WHERE, Body=b"there")["ETag"]
    source = {"Bucket": "vault", "Key": "private/source"}
    s3.put_object(**source, Body=b"new")

    def write(**condition: str) -> str:
        if state == "present":
            s3.put_object(**WHERE, Body=b"there")
        else:
            s3.delete_object(**WHERE)
        if verb == "put":
            return outcome(s3.put_object, **WHERE, Body=b"new", **condition)
        if verb == "copy":
            return outcome(s3.copy_object, **WHERE, CopySource=source, **condition)
        upload = s3.create_multipart_upload(**WHERE)["UploadId"]
        part = s3.upload_part(**WHERE, UploadId=upload, PartNumber=1, Body=b"new")
        parts = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]}]
        return outcome(
            s3.complete_multipart_upload,
            **WHERE,
            UploadId=upload,
            MultipartUpload={"Parts": parts},
            **condition,
        )

    if state == "absent":
        while versions := s3.list_object_versions(Bucket="vault", Prefix="private/f"):
            gone = [*versions.get("Versions", ()), *versions.get("DeleteMarkers", ())]
            for version in gone:
                s3.delete_object(**WHERE, VersionId=version["VersionId"])
            if not gone:
                break
    there = state == "present"
    assert write(IfNoneMatch="*") == ("412 PreconditionFailed" if there else "200")
    assert write(IfMatch=etag) == ("200" if there else "404 NoSuchKey")
    assert write(IfMatch='"other"') == ("412 PreconditionFailed" if there else "404 NoSuchKey")
    assert write(IfMatch="*") == ("200" if there else "404 NoSuchKey")
    assert write() == "200"
    assert read(s3, **WHERE) == b"new"


def test_conditions_of_deletes(s3: Any) -> None:
    assert outcome(s3.delete_object, **WHERE, IfMatch='"other"') == "404 NoSuchKey"
    etag = s3.put_object(**WHERE, Body=b"there")["ETag"]
    assert outcome(s3.delete_object, **WHERE, IfMatch='"other"') == "412 PreconditionFailed"
    assert read(s3, **WHERE) == b"there"
    assert outcome(s3.delete_object, **WHERE, IfMatch=etag) == "204"
    assert outcome(s3.delete_object, **WHERE, IfMatch=etag) == "404 NoSuchKey"
    assert outcome(s3.delete_object, **WHERE) == "204"


def test_a_poorer_server_ignores_conditions(model: S3Model, s3: Any) -> None:
    s3.put_object(**WHERE, Body=b"there")
    s3.put_object(Bucket="vault", Key="private/source", Body=b"source")
    copy = {"Bucket": "vault", "Key": "private/source"}
    absent = {"IfNoneMatch": "*"}
    calls: dict[str, tuple[Any, dict[str, Any]]] = {
        "put_conditions": (s3.put_object, {"Body": b"x", **absent}),
        "copy_conditions": (s3.copy_object, {"CopySource": copy, **absent}),
        "delete_conditions": (s3.delete_object, {"IfMatch": '"other"'}),
    }
    for setting, (call, parameters) in calls.items():
        assert outcome(call, **WHERE, **parameters) == "412 PreconditionFailed"
        setattr(model.settings, setting, False)
        assert outcome(call, **WHERE, **parameters) in ("200", "204"), setting


def test_conditions_of_reads(s3: Any) -> None:
    etag = s3.put_object(**WHERE, Body=b"there")["ETag"]
    for call in (s3.get_object, s3.head_object):
        assert outcome(call, **WHERE, IfMatch=etag) == "200"
        assert outcome(call, **WHERE, IfMatch='"other"').startswith("412")
        assert outcome(call, **WHERE, IfNoneMatch=etag) == "304"
        assert outcome(call, **WHERE, IfNoneMatch='"other"') == "200"


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=3-5", b"345"),
        ("bytes=7-", b"789"),
        ("bytes=-2", b"89"),
        ("bytes=8-99", b"89"),
        ("bytes=-99", b"0123456789"),
    ],
)
def test_ranges(s3: Any, span: str, expected: bytes) -> None:
    s3.put_object(**WHERE, Body=b"0123456789")
    got = s3.get_object(**WHERE, Range=span)
    start = b"0123456789".index(expected)
    assert got["ContentRange"] == f"bytes {start}-{start + len(expected) - 1}/10"
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    with got["Body"] as body:
        assert body.read() == expected


def test_a_range_behind_the_end(s3: Any) -> None:
    s3.put_object(**WHERE, Body=b"0123456789")
    assert outcome(s3.get_object, **WHERE, Range="bytes=10-") == "416 InvalidRange"


def test_versions(model: S3Model, s3: Any) -> None:
    first = s3.put_object(**WHERE, Body=b"1")["VersionId"]
    second = s3.put_object(**WHERE, Body=b"2")["VersionId"]
    marker = s3.delete_object(**WHERE)
    assert marker["DeleteMarker"] is True
    assert outcome(s3.get_object, **WHERE) == "404 NoSuchKey"
    assert "Contents" not in s3.list_objects_v2(Bucket="vault")
    assert read(s3, **WHERE, VersionId=first) == b"1"
    assert outcome(s3.get_object, **WHERE, VersionId=marker["VersionId"]).startswith("405")
    assert outcome(s3.get_object, **WHERE, VersionId="other").startswith("404")
    model.settings.versions_may_go = False
    assert outcome(s3.delete_object, **WHERE, VersionId=second) == "403 AccessDenied"
    model.settings.versions_may_go = True
    s3.delete_object(**WHERE, VersionId=marker["VersionId"])
    assert read(s3, **WHERE) == b"2"
    s3.delete_object(**WHERE, VersionId=first)
    assert read(s3, **WHERE) == b"2"
    s3.delete_object(**WHERE, VersionId=second)
    assert outcome(s3.head_object, **WHERE) == "404"


def test_a_bucket_without_versions(s3: Any) -> None:
    s3.create_bucket(Bucket="plain")
    where = {"Bucket": "plain", "Key": "f"}
    assert "VersionId" not in s3.put_object(**where, Body=b"1")
    s3.put_object(**where, Body=b"2")
    assert "DeleteMarker" not in s3.delete_object(**where)
    assert "Versions" not in s3.list_object_versions(Bucket="plain")
    assert "Status" not in s3.get_bucket_versioning(Bucket="plain")
    s3.put_bucket_versioning(Bucket="plain", VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket="plain")["Status"] == "Enabled"
    assert s3.put_object(**where, Body=b"3")["VersionId"] != "null"


def test_copies(s3: Any) -> None:
    first = s3.put_object(**WHERE, Body=b"1", Metadata={"a": "b"}, ContentType="text/x")
    s3.put_object(**WHERE, Body=b"2", Metadata={"a": "c"})
    copy = {"Bucket": "vault", "Key": "private/copy"}

    done = s3.copy_object(**copy, CopySource={**WHERE, "VersionId": first["VersionId"]})
    assert done["CopySourceVersionId"] == first["VersionId"]
    assert done["CopyObjectResult"]["ETag"] == first["ETag"]
    head = s3.head_object(**copy)
    assert (head["Metadata"], head["ContentType"]) == ({"a": "b"}, "text/x")
    assert read(s3, **copy) == b"1"

    replaced = {"MetadataDirective": "REPLACE", "Metadata": {"x": "y"}}
    s3.copy_object(**WHERE, CopySource=WHERE, **replaced)
    head = s3.head_object(**WHERE)
    assert head["Metadata"] == {"x": "y"}
    assert read(s3, **WHERE) == b"2"
    assert outcome(s3.copy_object, **WHERE, CopySource=WHERE) == "400 InvalidRequest"

    etag = head["ETag"]
    for condition, expected in (
        ({"CopySourceIfMatch": etag}, "200"),
        ({"CopySourceIfMatch": '"other"'}, "412 PreconditionFailed"),
        ({"CopySourceIfNoneMatch": etag}, "412 PreconditionFailed"),
        ({"CopySourceIfNoneMatch": '"other"'}, "200"),
    ):
        assert outcome(s3.copy_object, **copy, CopySource=WHERE, **condition) == expected
    gone = {"Bucket": "vault", "Key": "private/gone"}
    assert outcome(s3.copy_object, **copy, CopySource=gone) == "404 NoSuchKey"


def test_checksums_are_kept_and_told(model: S3Model, s3: Any) -> None:
    digest = base64.b64encode(hashlib.sha256(b"hello").digest()).decode()
    assert s3.put_object(**WHERE, Body=b"hello", ChecksumSHA256=digest)["ChecksumSHA256"] == digest
    assert "ChecksumSHA256" not in s3.head_object(**WHERE)
    head = s3.head_object(**WHERE, ChecksumMode="ENABLED")
    assert (head["ChecksumSHA256"], head["ChecksumType"]) == (digest, "FULL_OBJECT")
    copy = s3.copy_object(Bucket="vault", Key="private/copy", CopySource=WHERE)
    assert copy["CopyObjectResult"]["ChecksumSHA256"] == digest
    model.settings.checksums = False
    assert "ChecksumSHA256" not in s3.head_object(**WHERE, ChecksumMode="ENABLED")


@pytest.mark.parametrize(
    "wrong",
    [
        {"ChecksumSHA256": base64.b64encode(bytes(32)).decode()},
        {"ChecksumCRC32": base64.b64encode(bytes(4)).decode()},
        {"ChecksumSHA1": base64.b64encode(bytes(20)).decode()},
        {"ContentMD5": base64.b64encode(bytes(16)).decode()},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_damaged_bytes_are_refused(s3: Any, wrong: dict[str, str]) -> None:
    assert outcome(s3.put_object, **WHERE, Body=b"hello", **wrong) == "400 BadDigest"
    assert outcome(s3.head_object, **WHERE) == "404"


def test_a_body_in_signed_chunks(model: S3Model, s3: Any) -> None:
    crc = base64.b64encode(zlib.crc32(b"hello world").to_bytes(4, "big")).decode()
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": "11",
        "x-amz-trailer": "x-amz-checksum-crc32",
        "Content-Encoding": "aws-chunked",
        "If-None-Match": "*",
    }
    body = b"5\r\nhello\r\n6;chunk-signature=ab\r\n world\r\n0\r\nx-amz-checksum-crc32:%b\r\n\r\n"
    wrong = body % b"AAAAAA=="
    assert raw(model, "PUT", "/vault/private/f", wrong, headers) == 400
    assert raw(model, "PUT", "/vault/private/f", body[:20], headers) == 400
    assert raw(model, "PUT", "/vault/private/f", body % crc.encode(), headers) == 200
    got = s3.get_object(**WHERE, ChecksumMode="ENABLED")
    with got["Body"] as content:
        assert content.read() == b"hello world"
    assert got["ChecksumCRC32"] == crc
    assert "ContentEncoding" not in got


def test_a_body_in_plain_chunks(model: S3Model, s3: Any) -> None:
    connection = http.client.HTTPConnection(urlsplit(model.url).netloc, timeout=10)
    pieces = [b"a" * 70_000, b"b", b"c" * 200_000]
    connection.request(
        "PUT", "/vault/private/f", iter(pieces), {"If-None-Match": "*"}, encode_chunked=True
    )
    assert connection.getresponse().status == 200
    connection.close()
    assert read(s3, **WHERE) == b"".join(pieces)


def test_opaque_etags(model: S3Model, s3: Any) -> None:
    model.settings.opaque_etags = True
    etags = {s3.put_object(**WHERE, Body=b"same")["ETag"] for _ in range(3)}
    assert len(etags) == 3
    assert s3.head_object(**WHERE)["ETag"] in etags


def test_what_is_missing_can_be_forbidden(model: S3Model, s3: Any) -> None:
    model.settings.missing_is_forbidden = True
    assert outcome(s3.head_object, **WHERE) == "403"
    assert outcome(s3.get_object, **WHERE) == "403 AccessDenied"


def test_archived_objects(s3: Any) -> None:
    s3.put_object(**WHERE, Body=b"old", StorageClass="GLACIER")
    assert s3.list_objects_v2(Bucket="vault")["Contents"][0]["StorageClass"] == "GLACIER"
    assert outcome(s3.get_object, **WHERE) == "403 InvalidObjectState"


def test_a_bucket_that_is_not_there(s3: Any) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.list_objects_v2(Bucket="nowhere")
    assert outcome(s3.put_object, Bucket="nowhere", Key="k", Body=b"") == "404 NoSuchBucket"


def test_what_is_not_modelled_is_refused(s3: Any) -> None:
    assert outcome(s3.get_object_tagging, **WHERE) == "501 NotImplemented"
    s3.put_object(**WHERE, Body=b"x")
    tagging = {"TagSet": [{"Key": "k", "Value": "v"}]}
    assert outcome(s3.put_object_tagging, **WHERE, Tagging=tagging) == "501 NotImplemented"
    assert read(s3, **WHERE) == b"x"


def test_nonsense_is_answered_too(model: S3Model) -> None:
    assert raw(model, "GET", "/vault?list-type=2&max-keys=many", b"", {}) == 400
    assert raw(model, "GET", "/vault/f?uploadId=u&part-number-marker=x", b"", {}) == 404
    assert raw(model, "PUT", "/vault/f", b"", {"x-amz-copy-source": "%"}) == 404
    assert raw(model, "GET", "/vault/f?partNumber=x", b"", {}) == 404
    assert raw(model, "PUT", "/vault/f", b"x", {}) == 200
    assert raw(model, "GET", "/vault/f?partNumber=x", b"", {}) == 501


def test_every_write_is_in_the_record(model: S3Model, s3: Any) -> None:
    s3.put_object(**WHERE, Body=b"1", Metadata={"vs-op": "7"})
    s3.copy_object(Bucket="vault", Key="private/g", CopySource=WHERE)
    s3.delete_object(**WHERE)
    told = [(wrote.key, wrote.operation, wrote.sha256, wrote.size) for wrote in model.record.writes]
    digest = hashlib.sha256(b"1").hexdigest()
    assert told == [
        ("private/f", "PutObject", digest, 1),
        ("private/g", "CopyObject", digest, 1),
        ("private/f", "DeleteObject", "", 0),
    ]
    assert model.record.writes[0].metadata == {"vs-op": "7"}
    assert len({wrote.version for wrote in model.record.writes}) == 3
