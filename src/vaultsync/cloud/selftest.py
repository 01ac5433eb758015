"""Does a cloud keep one person's files from another's? Asked of the local one at every start.

On a second stack made for the purpose, so that nobody's vault is touched, with an account that
signs in through the administrator's door (the vault's own client has none).
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from vaultsync.cloud import stack
from vaultsync.core.errors import Fatal, VaultsyncError

if TYPE_CHECKING:
    from collections.abc import Callable

    import boto3
    from mypy_boto3_s3 import S3Client

    from vaultsync.config import Cloud

_DIRECT = Config(proxies={})
_HINT = "Do not use it: the installed ministack is not the one that vaultsync was made for."


def check_walls(session: boto3.Session, endpoint_url: str) -> None:
    """Raise Fatal unless a person reaches the own prefix and nothing else.

    Args:
        session: The administrator of the cloud.
        endpoint_url: The cloud's endpoint.
    """
    name = f"self-test-{secrets.token_hex(4)}"
    cloud = stack.deploy(name, {"RequireTls": "false"}, session=session, endpoint_url=endpoint_url)
    try:
        identity_id, s3 = _person(session, cloud)
        own, other = f"private/{identity_id}/file", f"private/{cloud.region}:nobody/file"
        bucket = cloud.bucket

        def write(key: str) -> object:
            return s3.put_object(Bucket=bucket, Key=key, Body=b"", IfNoneMatch="*")

        _must("reach the own prefix", lambda: write(own))
        _must_not("read another's prefix", lambda: s3.get_object(Bucket=bucket, Key=other))
        _must_not("write to another's prefix", lambda: write(other))
        _must_not("list the bucket", lambda: s3.list_objects_v2(Bucket=bucket))
    except (ClientError, BotoCoreError) as error:
        raise Fatal(f"the local cloud failed its own test: {error}", _HINT) from error
    finally:
        with suppress(ClientError, BotoCoreError, VaultsyncError):
            _clear(session, cloud)
            stack.destroy(name, session=session, endpoint_url=endpoint_url)


def _person(session: boto3.Session, cloud: Cloud) -> tuple[str, S3Client]:
    """A new account's identity id, and S3 with its credentials."""
    url = cloud.endpoint_url
    pool = session.client("cognito-idp", endpoint_url=url, config=_DIRECT)
    pool.update_user_pool_client(
        UserPoolId=cloud.user_pool_id,
        ClientId=cloud.client_id,
        ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"],
    )
    email, password = "self-test@example.com", f"Aa1{secrets.token_urlsafe(16)}"
    pool.admin_create_user(UserPoolId=cloud.user_pool_id, Username=email, MessageAction="SUPPRESS")
    pool.admin_set_user_password(
        UserPoolId=cloud.user_pool_id, Username=email, Password=password, Permanent=True
    )
    answer = pool.admin_initiate_auth(
        UserPoolId=cloud.user_pool_id,
        ClientId=cloud.client_id,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": email, "PASSWORD": password},
    )
    issuer = f"cognito-idp.{cloud.region}.amazonaws.com/{cloud.user_pool_id}"
    logins = {issuer: answer["AuthenticationResult"]["IdToken"]}
    identity = session.client("cognito-identity", endpoint_url=url, config=_DIRECT)
    identity_id = identity.get_id(IdentityPoolId=cloud.identity_pool_id, Logins=logins)[
        "IdentityId"
    ]
    keys = identity.get_credentials_for_identity(IdentityId=identity_id, Logins=logins)[
        "Credentials"
    ]
    s3 = session.client(
        "s3",
        endpoint_url=url,
        config=_DIRECT,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretKey"],
        aws_session_token=keys["SessionToken"],
    )
    return identity_id, s3


def _must(goal: str, request: Callable[[], object]) -> None:
    """Raise Fatal unless the request is allowed."""
    try:
        request()
    except ClientError as error:
        raise Fatal(f"the local cloud does not let a person {goal}: {error}", _HINT) from error


def _must_not(goal: str, request: Callable[[], object]) -> None:
    """Raise Fatal unless the request is refused for lack of rights."""
    try:
        request()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("AccessDenied", "403"):
            return
        raise
    raise Fatal(f"the local cloud lets a person {goal}", _HINT)


def _clear(session: boto3.Session, cloud: Cloud) -> None:
    """Remove the bucket, which deleting the stack leaves behind."""
    s3 = session.client("s3", endpoint_url=cloud.endpoint_url, config=_DIRECT)
    for version in s3.list_object_versions(Bucket=cloud.bucket).get("Versions", []):
        one = {"Key": version["Key"], "VersionId": version["VersionId"]}
        s3.delete_objects(Bucket=cloud.bucket, Delete={"Objects": [one]})  # type: ignore[list-item]
    s3.delete_bucket(Bucket=cloud.bucket)
