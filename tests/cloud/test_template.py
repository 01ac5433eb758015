"""The CloudFormation template: well-formed, complete, and enforced where the local cloud can."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from vaultsync.cloud import stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.cloud.local import LocalCloud


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """The template as cfn-lint decodes it."""
    from cfnlint.decode import cfn_yaml  # type: ignore[import-untyped]

    decoded: dict[str, Any] = json.loads(json.dumps(cfn_yaml.loads(stack.template())))
    return decoded


def test_cfn_lint_has_nothing_to_say() -> None:
    path = files("vaultsync.cloud").joinpath("template.yaml")
    done = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--include-checks", "I", "--", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_deployment_needs_no_parameters(template: dict[str, Any]) -> None:
    assert [name for name, each in template["Parameters"].items() if "Default" not in each] == []


def test_files_outlive_the_stack(template: dict[str, Any]) -> None:
    bucket = template["Resources"]["Bucket"]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"


def test_abandoned_uploads_and_old_versions_come_to_an_end(template: dict[str, Any]) -> None:
    bucket = template["Resources"]["Bucket"]["Properties"]
    uploads, versions = bucket["LifecycleConfiguration"]["Rules"]
    assert uploads["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert versions["NoncurrentVersionExpiration"] == {"NoncurrentDays": {"Ref": "OldVersionDays"}}


def test_a_person_cannot_erase_history(template: dict[str, Any]) -> None:
    statements = template["Resources"]["RolePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    actions = {action for each in statements for action in each["Action"]}
    assert actions == {
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
        "s3:ListBucket",
        "s3:ListBucketVersions",
    }


def test_the_bucket_is_set_up_as_promised(cloud: LocalCloud) -> None:
    with closing(cloud.session().client("s3", endpoint_url=cloud.url)) as s3:
        bucket = cloud.cloud.bucket
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert set(block.values()) == {True}
        rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
        default = rules["Rules"][0]["ApplyServerSideEncryptionByDefault"]
        assert default["SSEAlgorithm"] == "AES256"
        owner = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
        assert owner["Rules"][0]["ObjectOwnership"] == "BucketOwnerEnforced"


def test_the_client_signs_in_by_srp_only(cloud: LocalCloud, new_person: Callable[..., Any]) -> None:
    email, password = new_person()
    with closing(cloud.session().client("cognito-idp", endpoint_url=cloud.url)) as pool:
        client = pool.describe_user_pool_client(
            UserPoolId=cloud.cloud.user_pool_id, ClientId=cloud.cloud.client_id
        )["UserPoolClient"]
        assert set(client["ExplicitAuthFlows"]) == {
            "ALLOW_USER_SRP_AUTH",
            "ALLOW_REFRESH_TOKEN_AUTH",
        }
        assert "ClientSecret" not in client
        assert client["EnableTokenRevocation"]
        assert client["PreventUserExistenceErrors"] == "ENABLED"
        with pytest.raises(ClientError) as caught:
            pool.initiate_auth(
                ClientId=cloud.cloud.client_id,
                AuthFlow="USER_PASSWORD_AUTH",
                AuthParameters={"USERNAME": email, "PASSWORD": password},
            )
        assert caught.value.response["Error"]["Code"] == "InvalidParameterException"


def test_weak_passwords_are_refused(cloud: LocalCloud) -> None:
    with closing(cloud.session().client("cognito-idp", endpoint_url=cloud.url)) as pool:
        with pytest.raises(ClientError) as caught:
            pool.sign_up(
                ClientId=cloud.cloud.client_id, Username="weak@example.com", Password="password"
            )
        assert caught.value.response["Error"]["Code"] == "InvalidPasswordException"
