"""Objects that other programs put under the same prefix, with the same person's credentials."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from tests.guards import FOREIGN

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from tests.e2e.conftest import Household
    from vaultsync.cloud.local import LocalCloud

pytestmark = pytest.mark.timeout(180)

TOOLS = Path(sys.executable).parent
WHEN = 1_234_567_890_123_456_789


class Outsider:
    """Other programs, with the credentials and at the prefix of one person."""

    def __init__(self, household: Household, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.keys: dict[str, Any] = household.laptop.run("credentials")
        self.prefix: str = f"private/{household.laptop.run('whoami')['identity_id']}/"

    @property
    def environment(self) -> dict[str, str]:
        """The credentials as every AWS tool reads them."""
        return {
            **os.environ,
            "AWS_ACCESS_KEY_ID": self.keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": self.keys["SecretAccessKey"],
            "AWS_SESSION_TOKEN": self.keys["SessionToken"],
            "AWS_REGION": self.cloud.cloud.region,
        }

    def tool(self, *command: str) -> None:
        """Run a program from the same place as this Python."""
        words = [str(TOOLS / command[0]), *command[1:]]
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr

    def rclone(self, *words: str) -> None:
        """Run rclone with a remote called `vault`."""
        options = f"provider=Other,env_auth=true,endpoint='{self.cloud.url}'"
        place = f":s3,{options}:{self.cloud.cloud.bucket}/{self.prefix}"
        self.tool("rclone", "--config", os.devnull, *(w.replace("vault:", place) for w in words))

    def aws(self, *words: str) -> None:
        """Run the AWS command line; `vault:` is the prefix."""
        place = f"s3://{self.cloud.cloud.bucket}/{self.prefix}"
        self.tool(
            "aws", "--endpoint-url", self.cloud.url, "s3",
            *(word.replace("vault:", place) for word in words),
        )  # fmt: skip

    def s3(self) -> S3Client:
        """The API as a web page uses it: plain requests without anybody's metadata."""
        return boto3.client(
            "s3",
            endpoint_url=self.cloud.url,
            region_name=self.cloud.cloud.region,
            aws_access_key_id=self.keys["AccessKeyId"],
            aws_secret_access_key=self.keys["SecretAccessKey"],
            aws_session_token=self.keys["SessionToken"],
            config=FOREIGN.merge(Config(proxies={})),
        )


@pytest.fixture
def outsider(household: Household, cloud: LocalCloud) -> Outsider:
    """Other programs of the same person; the laptop's daemon runs and is at rest."""
    household.laptop.up()
    household.laptop.settle()
    return Outsider(household, cloud)


def test_what_rclone_copies_arrives_with_its_time(
    household: Household, outsider: Outsider, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    (source / "album/été").mkdir(parents=True)
    (source / "album/été/a + b.txt").write_text("from rclone\n")
    (source / "album/large.bin").write_bytes(os.urandom(12_000_000))
    os.utime(source / "album/été/a + b.txt", ns=(WHEN, WHEN))
    outsider.rclone("copy", "--s3-chunk-size=5Mi", "--s3-upload-cutoff=5Mi", str(source), "vault:")
    household.laptop.settle()
    files = household.laptop.files()
    assert files["album/été/a + b.txt"] == b"from rclone\n"
    assert files["album/large.bin"] == (source / "album/large.bin").read_bytes()
    found = (household.laptop.folder / "album/été/a + b.txt").stat()
    assert found.st_mtime_ns == WHEN


def test_what_rclone_changes_and_deletes_is_followed(
    household: Household, outsider: Outsider, tmp_path: Path
) -> None:
    laptop = household.laptop
    laptop.write("edited.txt", "first\n")
    laptop.write("deleted.txt", "deleted\n")
    laptop.settle()
    (tmp_path / "edited.txt").write_text("second, by rclone\n")
    outsider.rclone("copyto", str(tmp_path / "edited.txt"), "vault:edited.txt")
    outsider.rclone("deletefile", "vault:deleted.txt")
    laptop.settle()
    assert laptop.files() == {"edited.txt": b"second, by rclone\n"}


def test_rclone_reads_our_times(household: Household, outsider: Outsider, tmp_path: Path) -> None:
    laptop = household.laptop
    laptop.write("dated.txt", "dated\n")
    os.utime(laptop.folder / "dated.txt", ns=(WHEN, WHEN))
    laptop.settle()
    outsider.rclone("copy", "vault:", str(tmp_path / "copy"))
    assert (tmp_path / "copy/dated.txt").stat().st_mtime_ns == WHEN


def test_what_the_aws_command_line_copies_arrives(
    household: Household, outsider: Outsider, tmp_path: Path
) -> None:
    (tmp_path / "large.bin").write_bytes(os.urandom(9_000_000))
    (tmp_path / "zero").write_bytes(b"")
    outsider.aws("cp", "--no-progress", str(tmp_path / "large.bin"), "vault:deep/er/large.bin")
    outsider.aws("cp", "--no-progress", str(tmp_path / "zero"), "vault:zero")
    household.laptop.settle()
    assert household.laptop.files() == {
        "deep/er/large.bin": (tmp_path / "large.bin").read_bytes(),
        "zero": b"",
    }


def test_what_a_web_page_uploads_arrives_and_its_folders_too(
    household: Household, outsider: Outsider
) -> None:
    bucket, prefix = outsider.cloud.cloud.bucket, outsider.prefix
    s3 = outsider.s3()
    s3.put_object(Bucket=bucket, Key=f"{prefix}new folder/", Body=b"")
    s3.put_object(
        Bucket=bucket, Key=f"{prefix}100% #1?.png", Body=b"\x89PNG", ContentType="image/png"
    )
    parts = [os.urandom(5 << 20), b"the end"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key=f"{prefix}in parts.bin")["UploadId"]
    done = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(
                Bucket=bucket,
                Key=f"{prefix}in parts.bin",
                UploadId=upload,
                PartNumber=number,
                Body=part,
            )["ETag"],
        }
        for number, part in enumerate(parts, 1)
    ]
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key=f"{prefix}in parts.bin",
        UploadId=upload,
        MultipartUpload={"Parts": done},  # type: ignore[typeddict-item]
    )
    s3.close()
    household.laptop.settle()
    assert household.laptop.files() == {"100% #1?.png": b"\x89PNG", "in parts.bin": b"".join(parts)}
    assert (household.laptop.folder / "new folder").is_dir()


def test_keys_that_cannot_be_files_are_shown_and_left_alone(
    household: Household, outsider: Outsider
) -> None:
    bucket, prefix = outsider.cloud.cloud.bucket, outsider.prefix
    s3 = outsider.s3()
    for key in ("a//b", "up/../../escape", "x" * 256):
        s3.put_object(Bucket=bucket, Key=prefix + key, Body=b"odd")
    s3.put_object(Bucket=bucket, Key=f"{prefix}fine.txt", Body=b"fine")
    household.laptop.run("sync")
    household.laptop.settle()
    assert household.laptop.files() == {"fine.txt": b"fine"}
    assert not (household.laptop.folder.parent / "escape").exists()
    found = household.laptop.run("status", "--pending")
    assert {row["code"] for row in found["waiting"]} == {"blocked"}
    assert len(found["waiting"]) == 3
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    s3.close()
    assert {each["Key"] for each in listed} >= {prefix + "a//b", prefix + "x" * 256}
