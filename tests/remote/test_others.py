"""One vault shared with other programs: what they write is read right, and ours by them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.remote.making import MTIME, PREFIX, Bytes, Making, put
from vaultsync.core.model import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

BIN = Path(sys.executable).parent
BIG = bytes(range(256)) * (36 << 10)
ODD = "ümläut 100%+#?&.txt"


@pytest.fixture
def run(moto_url: str, bucket_name: str, tmp_path: Path) -> Callable[..., str]:
    """Run a program that sees the bucket as the remote `s3:` of rclone, or by AWS settings."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_REGION": "us-east-1",
        "RCLONE_CONFIG": str(tmp_path / "rclone.conf"),
        "RCLONE_CONFIG_S3_TYPE": "s3",
        "RCLONE_CONFIG_S3_PROVIDER": "Other",
        "RCLONE_CONFIG_S3_ENDPOINT": moto_url,
        "RCLONE_CONFIG_S3_ACCESS_KEY_ID": "key",
        "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": "secret",
    }

    def program(name: str, *arguments: str | Path) -> str:
        done = subprocess.run(
            [BIN / name, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return program


@pytest.mark.parametrize("data", [b"from rclone", BIG], ids=["small", "large"])
def test_what_rclone_writes(
    make: Making, run: Callable[..., str], tmp_path: Path, data: bytes
) -> None:
    source = tmp_path / ODD
    source.write_bytes(data)
    source.chmod(0o750)
    os.utime(source, ns=(MTIME, MTIME))
    where = f"s3:{make.bucket}/{PREFIX}{ODD}"
    run("rclone", "copyto", "--metadata", "--s3-upload-cutoff", "5M", source, where)
    side = make.side()
    seen = side.look(ODD)
    assert seen is not None
    assert (seen.mtime_ns, seen.mode, seen.kind) == (MTIME, 0o750, Kind.FILE)
    assert seen.ops == ()
    assert side.identify(ODD, seen, Bytes(data)).sha256 == Bytes(data).sha256()


@pytest.mark.parametrize("data", [b"from vaultsync", BIG], ids=["small", "large"])
def test_what_rclone_reads(
    make: Making, run: Callable[..., str], tmp_path: Path, data: bytes
) -> None:
    put(make.side(), ODD, data)
    where = f"s3:{make.bucket}/{PREFIX}{ODD}"
    (listed,) = json.loads(run("rclone", "lsjson", "--metadata", where))
    assert listed["ModTime"].startswith("2023-11-14T22:13:20.123456789")
    assert listed["Metadata"]["mode"] == "0100640"
    run("rclone", "copyto", "--metadata", where, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    assert (tmp_path / "copy").stat().st_mtime_ns == MTIME
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("data", [b"from aws", BIG], ids=["small", "large"])
def test_what_aws_cli_writes(
    make: Making, run: Callable[..., str], tmp_path: Path, data: bytes
) -> None:
    source = tmp_path / ODD
    source.write_bytes(data)
    run("aws", "s3", "cp", source, f"s3://{make.bucket}/{PREFIX}{ODD}")
    side = make.side()
    seen = side.look(ODD)
    assert seen is not None
    assert (seen.size, seen.mtime_ns, seen.mode, seen.ops) == (len(data), None, None, ())
    assert side.identify(ODD, seen, Bytes(data)).sha256 == Bytes(data).sha256()
    with side.open(ODD, seen) as content:
        assert b"".join(content.chunks()) == data


def test_what_aws_cli_copies_over_ours_is_not_taken_for_ours(
    make: Making, run: Callable[..., str], tmp_path: Path
) -> None:
    side = make.side()
    put(side, "f", b"ours", "op")
    fields = (side.look("f") or pytest.fail("gone")).ops
    assert fields == ("op",)
    run("aws", "s3", "cp", f"s3://{make.bucket}/{PREFIX}f", f"s3://{make.bucket}/{PREFIX}g")
    copied = side.look("g")
    assert copied is not None
    assert copied.sha256 == Bytes(b"ours").sha256()
    assert copied.mtime_ns == MTIME


def test_our_fields_kept_on_new_bytes_are_ignored(make: Making, foreign: Any) -> None:
    side = make.side()
    put(side, "f", b"ours", "op")
    where = {"Bucket": make.bucket, "Key": PREFIX + "f"}
    kept = foreign.head_object(**where)["Metadata"]
    for checksum in ({}, {"ChecksumAlgorithm": "SHA256"}):
        foreign.put_object(**where, Body=b"theirs", Metadata=kept, **checksum)
        seen = side.look("f")
        assert seen is not None
        assert seen.ops == ()
        assert side.identify("f", seen).sha256 == Bytes(b"theirs").sha256()


def test_a_multipart_upload_as_a_browser_makes_it(make: Making, foreign: Any) -> None:
    where = {"Bucket": make.bucket, "Key": PREFIX + "photo.jpg"}
    upload = foreign.create_multipart_upload(
        **where, ContentType="image/jpeg", ChecksumAlgorithm="CRC32"
    )["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(BIG), 5 << 20), 1):
        part = foreign.upload_part(
            **where, UploadId=upload, PartNumber=number, Body=BIG[start : start + (5 << 20)]
        )
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    foreign.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
    side = make.side()
    seen = side.look("photo.jpg")
    assert seen is not None
    assert seen.tag.endswith("-2")
    assert seen.sha256 is None
    assert side.identify("photo.jpg", seen, Bytes(BIG)).sha256 == Bytes(BIG).sha256()
