"""One person's files and another's: the template's own policy, real temporary credentials."""

from __future__ import annotations

import urllib.error
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.guards import foreign_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3 import S3Client

    from vaultsync.cloud.local import LocalCloud


class Vault:
    """S3 as one signed-in person sees it, and that person's names."""

    def __init__(self, local: LocalCloud, member: Any) -> None:
        self.local = local
        self.member = member
        self.bucket = local.cloud.bucket
        self.prefix: str = member.prefix
        self.s3: S3Client = member.s3(local)


@pytest.fixture
def mine(cloud: LocalCloud, new_member: Callable[[], Any]) -> Iterator[Vault]:
    vault = Vault(cloud, new_member())
    with closing(vault.s3):
        yield vault


@pytest.fixture
def theirs(cloud: LocalCloud, new_member: Callable[[], Any]) -> Iterator[Vault]:
    vault = Vault(cloud, new_member())
    vault.s3.put_object(Bucket=vault.bucket, Key=f"{vault.prefix}secret", Body=b"theirs")
    with closing(vault.s3):
        yield vault


def refused(request: Callable[[], object]) -> str:
    """The error code of a request that must not succeed."""
    with pytest.raises(ClientError) as caught:
        request()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403)
    return caught.value.response["Error"]["Code"]


def test_two_people_have_different_prefixes(mine: Vault, theirs: Vault) -> None:
    assert mine.prefix != theirs.prefix
    assert mine.prefix == f"private/{mine.member.identity_id}/"


def test_everything_that_sync_needs_is_allowed_on_the_own_prefix(mine: Vault) -> None:
    s3, bucket, key = mine.s3, mine.bucket, f"{mine.prefix}a/file"
    made = s3.put_object(Bucket=bucket, Key=key, Body=b"one", IfNoneMatch="*")
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == 3
    s3.put_object(Bucket=bucket, Key=key, Body=b"two", IfMatch=made["ETag"])
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=mine.prefix)
    assert [item["Key"] for item in listed["Contents"]] == [key]
    versions = s3.list_object_versions(Bucket=bucket, Prefix=mine.prefix)
    assert len(versions["Versions"]) == 2
    old = s3.get_object(Bucket=bucket, Key=key, VersionId=made["VersionId"])
    with old["Body"] as body:
        assert body.read() == b"one"
    copied = s3.copy_object(
        Bucket=bucket, Key=f"{mine.prefix}b", CopySource={"Bucket": bucket, "Key": key}
    )
    etag = copied["CopyObjectResult"]["ETag"]
    s3.delete_object(Bucket=bucket, Key=f"{mine.prefix}b", IfMatch=etag)


def test_large_files_can_be_sent_resumed_and_given_up(mine: Vault) -> None:
    s3 = mine.s3
    at: dict[str, Any] = {"Bucket": mine.bucket, "Key": f"{mine.prefix}large"}
    upload = s3.create_multipart_upload(**at)["UploadId"]
    part = s3.upload_part(**at, UploadId=upload, PartNumber=1, Body=b"part")
    parts = s3.list_parts(**at, UploadId=upload)["Parts"]
    assert [item["ETag"] for item in parts] == [part["ETag"]]
    s3.complete_multipart_upload(
        **at,
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
        IfNoneMatch="*",
    )
    given_up = s3.create_multipart_upload(**at)["UploadId"]
    s3.abort_multipart_upload(**at, UploadId=given_up)


def test_a_deleted_file_can_be_brought_back_but_its_history_not_erased(mine: Vault) -> None:
    s3 = mine.s3
    at: dict[str, Any] = {"Bucket": mine.bucket, "Key": f"{mine.prefix}file"}
    made = s3.put_object(**at, Body=b"one")
    s3.delete_object(**at)
    version: dict[str, Any] = {**at, "VersionId": made["VersionId"]}
    assert refused(lambda: s3.delete_object(**version)) == "AccessDenied"
    s3.copy_object(
        **at, CopySource={"VersionId": made["VersionId"], "Bucket": mine.bucket, "Key": at["Key"]}
    )
    with s3.get_object(**at)["Body"] as body:
        assert body.read() == b"one"


def operations(s3: S3Client, bucket: str, key: str, own: str) -> dict[str, Callable[[], object]]:
    """Every way to reach an object, by name."""
    at: dict[str, Any] = {"Bucket": bucket, "Key": key}
    source: Any = {"Bucket": bucket, "Key": key}
    upload: dict[str, Any] = {**at, "UploadId": "any"}
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": "any"}]}
    listing: dict[str, Any] = {"Bucket": bucket, "Prefix": key.rpartition("/")[0] + "/"}
    return {
        "get": lambda: s3.get_object(**at),
        "head": lambda: s3.head_object(**at),
        "get version": lambda: s3.get_object(**at, VersionId="any"),
        "put": lambda: s3.put_object(**at, Body=b"mine"),
        "delete": lambda: s3.delete_object(**at),
        "delete many": lambda: s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]}),
        "copy from": lambda: s3.copy_object(Bucket=bucket, Key=own, CopySource=source),
        "copy to": lambda: s3.copy_object(**at, CopySource={"Bucket": bucket, "Key": own}),
        "begin upload": lambda: s3.create_multipart_upload(**at),
        "send part": lambda: s3.upload_part(**upload, PartNumber=1, Body=b"mine"),
        "list parts": lambda: s3.list_parts(**upload),
        "complete": lambda: s3.complete_multipart_upload(**upload, MultipartUpload=parts),
        "abort": lambda: s3.abort_multipart_upload(**upload),
        "read tags": lambda: s3.get_object_tagging(**at),
        "write acl": lambda: s3.put_object_acl(**at, ACL="public-read"),
        "list": lambda: s3.list_objects_v2(**listing),
        "list versions": lambda: s3.list_object_versions(**listing),
        "list uploads": lambda: s3.list_multipart_uploads(**listing),
    }


@pytest.mark.parametrize(
    "place",
    ["another's", "public/", "protected/", "", "private/", "private/x", "the own one, cut short"],
)
def test_every_other_place_is_refused(mine: Vault, theirs: Vault, place: str) -> None:
    folder = {
        "another's": theirs.prefix,
        "the own one, cut short": mine.prefix.removesuffix("/"),
    }.get(place, place)
    own = f"{mine.prefix}own"
    mine.s3.put_object(Bucket=mine.bucket, Key=own, Body=b"mine")
    key = f"{folder}secret"
    allowed = {
        name
        for name, request in operations(mine.s3, mine.bucket, key, own).items()
        if name != "delete many" and not refuses(request)
    }
    assert allowed == set()


def refuses(request: Callable[[], object]) -> bool:
    """Whether a request is refused for lack of rights, and not for another reason."""
    try:
        request()
    except ClientError as error:
        return error.response["Error"]["Code"] in ("AccessDenied", "403")
    return False


def all_done(answer: Any) -> None:
    """Raise the first error that the answer to a batch holds."""
    for each in answer.get("Errors", []):
        raise ClientError({"Error": {"Code": each["Code"]}}, "DeleteObjects")


def test_a_batch_delete_reaches_nobody_elses_file(mine: Vault, theirs: Vault) -> None:
    target: dict[str, Any] = {
        "Bucket": mine.bucket,
        "Delete": {"Objects": [{"Key": f"{theirs.prefix}secret"}]},
    }
    assert refuses(lambda: all_done(mine.s3.delete_objects(**target)))
    with theirs.s3.get_object(Bucket=theirs.bucket, Key=f"{theirs.prefix}secret")["Body"] as body:
        assert body.read() == b"theirs"


def test_the_bucket_itself_is_out_of_reach(mine: Vault) -> None:
    s3, bucket = mine.s3, mine.bucket
    assert refused(lambda: s3.list_objects_v2(Bucket=bucket)) == "AccessDenied"
    assert refused(lambda: s3.list_objects_v2(Bucket=bucket, Prefix="")) == "AccessDenied"
    assert refused(s3.list_buckets) == "AccessDenied"
    assert refused(lambda: s3.delete_bucket(Bucket=bucket)) == "AccessDenied"
    assert refused(lambda: s3.delete_bucket_policy(Bucket=bucket)) == "AccessDenied"
    assert refused(
        lambda: s3.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
        )
    )


def test_a_missing_key_is_not_told_apart_from_a_forbidden_one(mine: Vault) -> None:
    at: dict[str, Any] = {"Bucket": mine.bucket, "Key": f"{mine.prefix}nothing"}
    assert refused(lambda: mine.s3.head_object(**at)) == "403"
    assert refused(lambda: mine.s3.get_object(**at)) == "AccessDenied"
    listed = mine.s3.list_objects_v2(Bucket=mine.bucket, Prefix=at["Key"], MaxKeys=1)
    assert listed["KeyCount"] == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_nobody_gets_in_without_credentials(mine: Vault, method: str) -> None:
    key = f"{mine.prefix}file"
    mine.s3.put_object(Bucket=mine.bucket, Key=key, Body=b"one")
    for path in (f"{mine.bucket}/{key}", mine.bucket, ""):
        request = urllib.request.Request(f"{mine.local.url}/{path}", method=method)  # noqa: S310
        with foreign_writer(), pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)  # noqa: S310
        caught.value.close()
        assert caught.value.code in (403, 405)


@pytest.mark.parametrize("part", ["access key", "secret key", "token", "no token"])
def test_tampered_credentials_are_refused(mine: Vault, part: str) -> None:
    keys = mine.member.keys
    access, token = keys["aws_access_key_id"], keys["aws_session_token"]
    forged = {
        "access key": {"aws_access_key_id": access[:-1] + ("A" if access[-1] != "A" else "B")},
        "secret key": {"aws_secret_access_key": keys["aws_secret_access_key"][::-1]},
        "token": {"aws_session_token": token[::-1]},
        "no token": {"aws_session_token": None},
    }[part]
    s3: Any = mine.local.session().client("s3", endpoint_url=mine.local.url, **{**keys, **forged})
    with closing(s3):
        refused(lambda: s3.list_objects_v2(Bucket=mine.bucket, Prefix=mine.prefix))


def test_guests_and_strangers_get_no_credentials(cloud: LocalCloud, mine: Vault) -> None:
    identities = cloud.session().client(
        "cognito-identity",
        endpoint_url=cloud.url,
        config=Config(signature_version=UNSIGNED),
    )
    pool = cloud.cloud.identity_pool_id
    issuer = f"cognito-idp.{cloud.cloud.region}.amazonaws.com/{cloud.cloud.user_pool_id}"
    head, body, signature = mine.member.id_token.split(".")
    forged = {issuer: f"{head}.{body}.{signature[::-1]}"}
    mine_id = mine.member.identity_id
    with closing(identities):
        assert refused(lambda: identities.get_id(IdentityPoolId=pool)) == "NotAuthorizedException"
        refused(lambda: identities.get_id(IdentityPoolId=pool, Logins=forged))
        refused(lambda: identities.get_credentials_for_identity(IdentityId=mine_id))
        refused(lambda: identities.get_credentials_for_identity(IdentityId=mine_id, Logins=forged))
        refused(lambda: identities.get_credentials_for_identity(IdentityId=f"{pool[:9]}:unknown"))
