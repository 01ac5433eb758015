"""The suite's worlds for the remote side: moto and the model in this process, the local cloud."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.conftest import DIRECT, Member, aws, member_of, sign_up
from tests.contract.worlds import World, ignored, world
from tests.s3model.state import Bucket as Modelled
from vaultsync.cloud.local import REGION, LocalCloud
from vaultsync.remote.boto import BotoTransport
from vaultsync.remote.bucket import Bucket
from vaultsync.remote.conditions import Conditions, Permit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.s3model import S3Model
    from vaultsync.core.ports import Side

MOTO_CANNOT = {
    "test_after_every_single_path": "a NUL in StartAfter makes its answer malformed",
    "test_odd_names": "its answers hold control characters unescaped",
    "test_odd_names_of_others": "it finds no route for a key with a newline",
    "test_odd_names_borrowed": "its answers hold control characters unescaped",
    "test_borrowed_is_not_shown_over_another": "it ignores the condition of Complete",
}
"""Tests that moto cannot pass and why; of those over names, with control characters only."""
CLOUD_CANNOT = {
    "test_odd_names_borrowed": "its answer to Complete holds control characters unescaped"
}
"""The same for the local cloud."""
DEAF_TO_COPIES = Conditions(put=True, complete=True, delete=True, versioned=True, copy=False)
"""Moto and the local cloud heed nothing that is asked of a copy's destination: copies are made in
parts there. The model does all that S3 does."""


class BucketWorld:
    """A prefix, with a foreign client on the same bucket."""

    local = False

    def __init__(
        self,
        transport: Callable[[], BotoTransport],
        foreign: Any,
        bucket: str,
        prefix: str,
        known: Conditions | None,
    ) -> None:
        self._transport = transport
        self._foreign = foreign
        self._bucket = bucket
        self._prefix = prefix
        self._known = known
        self.bucket = self._start()

    @property
    def side(self) -> Side:
        return self.bucket

    def put_behind(self, path: str, data: bytes) -> None:
        """Write as another program would: with another ETag also when the bytes are the same."""
        where = {"Bucket": self._bucket, "Key": self._prefix + path}
        listed = self._foreign.list_objects_v2(Bucket=self._bucket, Prefix=where["Key"], MaxKeys=1)
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if [each["ETag"].strip('"') for each in listed.get("Contents", ())] != [etag]:
            self._foreign.put_object(**where, Body=data)
            return
        upload = self._foreign.create_multipart_upload(**where)["UploadId"]
        part = self._foreign.upload_part(**where, UploadId=upload, PartNumber=1, Body=data)
        parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
        self._foreign.complete_multipart_upload(
            **where, UploadId=upload, MultipartUpload={"Parts": parts}
        )

    def remove_behind(self, path: str) -> None:
        self._foreign.delete_object(Bucket=self._bucket, Key=self._prefix + path)

    def read_behind(self, path: str) -> bytes | None:
        try:
            found = self._foreign.get_object(Bucket=self._bucket, Key=self._prefix + path)
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404  # noqa: PT017
            return None
        with found["Body"] as body:
            content: bytes = body.read()
        return content

    def crash(self) -> None:
        self.bucket.close()
        self.bucket = self._start()

    def _start(self) -> Bucket:
        transport = self._transport()
        permit = Permit(transport, self._prefix, self._known) if self._known else None
        return Bucket(transport, self._prefix, "laptop", ignored, permit)


@world("moto")
@contextmanager
def moto(request: pytest.FixtureRequest) -> Iterator[World]:
    """A bucket of the test's own, without accounts."""
    _skip(request, "moto", MOTO_CANNOT)
    url: str = request.getfixturevalue("moto_url")
    foreign = request.getfixturevalue("foreign")
    bucket = f"vault-{secrets.token_hex(6)}"
    foreign.create_bucket(Bucket=bucket)
    credentials = Credentials("key", "secret")
    yield from _running(
        lambda: BotoTransport(bucket, REGION, credentials, url),
        foreign,
        bucket,
        known=DEAF_TO_COPIES,
    )


@world("model")
@contextmanager
def model(request: pytest.FixtureRequest) -> Iterator[World]:
    """A bucket of the test's own on a model, without accounts."""
    yield from _modelled(request, "")


@world("model-versioned")
@contextmanager
def model_versioned(request: pytest.FixtureRequest) -> Iterator[World]:
    """The same in a bucket that keeps versions."""
    yield from _modelled(request, "Enabled")


def _modelled(request: pytest.FixtureRequest, versioning: str) -> Iterator[World]:
    running: S3Model = request.getfixturevalue("s3model")
    foreign = request.getfixturevalue("model_foreign")
    bucket = f"vault-{secrets.token_hex(6)}"
    running.service.buckets[bucket] = Modelled(bucket, versioning)
    credentials = Credentials("key", "secret")
    yield from _running(
        lambda: BotoTransport(bucket, REGION, credentials, running.url), foreign, bucket
    )


@world("cloud")
@contextmanager
def cloud(request: pytest.FixtureRequest) -> Iterator[World]:
    """A signed-in person's own prefix on the local cloud."""
    _skip(request, "the local cloud", CLOUD_CANNOT)
    local: LocalCloud = request.getfixturevalue("cloud")
    member = _member(local)
    credentials = Credentials(
        member.keys["aws_access_key_id"],
        member.keys["aws_secret_access_key"],
        member.keys["aws_session_token"],
    )
    bucket = local.cloud.bucket
    yield from _running(
        lambda: BotoTransport(bucket, REGION, credentials, local.url),
        _administrator(local),
        bucket,
        f"{member.prefix}{secrets.token_hex(6)}/",
        DEAF_TO_COPIES,
    )


def _skip(request: pytest.FixtureRequest, server: str, cannot: dict[str, str]) -> None:
    test = request.node.originalname
    name = request.node.callspec.params.get("name", "\0")
    if test in cannot and not name.isprintable():
        pytest.skip(f"{server}: {cannot[test]}")


@cache
def _member(local: LocalCloud) -> Member:
    return member_of(local, sign_up(local))


@cache
def _administrator(local: LocalCloud) -> Any:
    return aws(local).client("s3", endpoint_url=local.url, config=DIRECT)


def _running(
    transport: Callable[[], BotoTransport],
    foreign: Any,
    bucket: str,
    prefix: str = "private/x/",
    known: Conditions | None = None,
) -> Iterator[World]:
    running = BucketWorld(transport, foreign, bucket, prefix, known)
    yield running
    running.bucket.close()
