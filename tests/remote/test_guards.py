from __future__ import annotations

from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.exceptions import HTTPClientError

from tests.guards import foreign_writer, is_unconditional

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def careless(moto_url: str) -> Iterator[Any]:
    client = botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=moto_url,
        aws_access_key_id="admin",
        aws_secret_access_key="admin",
    )
    yield client
    client.close()


def test_a_write_without_a_condition_does_not_leave(
    careless: Any, bucket_name: str, conditional_writes: list[str]
) -> None:
    where = {"Bucket": bucket_name, "Key": "private/x/f"}
    with pytest.raises(HTTPClientError):
        careless.put_object(**where, Body=b"x")
    with pytest.raises(HTTPClientError):
        careless.delete_object(**where)
    with pytest.raises(HTTPClientError):
        careless.copy_object(**where, CopySource={"Bucket": bucket_name, "Key": "other"})
    assert len(conditional_writes) == 3
    assert "Contents" not in careless.list_objects_v2(Bucket=bucket_name)
    conditional_writes.clear()


def test_conditional_and_foreign_writes_leave(careless: Any, bucket_name: str) -> None:
    where = {"Bucket": bucket_name, "Key": "private/x/f"}
    careless.put_object(**where, Body=b"x", IfNoneMatch="*")
    with foreign_writer():
        careless.put_object(**where, Body=b"y")
    careless.put_object(Bucket=bucket_name, Key="public/f", Body=b"x")


@pytest.mark.parametrize(
    ("method", "target", "unconditional"),
    [
        ("PUT", "/bucket/private/f", True),
        ("PUT", "/private/f", True),
        ("PUT", "http://host/bucket/private/f?x-id=PutObject", True),
        ("PUT", "/bucket/private/f?partNumber=1&uploadId=u", False),
        ("PUT", "/bucket/public/private", False),
        ("POST", "/bucket/private/f?uploads", False),
        ("POST", "/bucket/private/f?uploadId=u", True),
        ("DELETE", "/bucket/private/f", True),
        ("DELETE", "/bucket/private/f?uploadId=u", False),
        ("GET", "/bucket/private/f", False),
        ("HEAD", "/bucket/private/f", False),
    ],
)
def test_what_counts_as_unconditional(method: str, target: str, unconditional: bool) -> None:
    assert is_unconditional(method, target, {}) is unconditional
    assert not is_unconditional(method, target, {"if-match": '"x"'})
