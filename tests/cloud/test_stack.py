"""Deploying, updating, reading and destroying the stack, and what is said when that fails."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from vaultsync.cloud import stack
from vaultsync.cloud.amplify import read_backend
from vaultsync.config import Cloud
from vaultsync.core.errors import Fatal, Misconfigured, NotFound, Refused, Retry

if TYPE_CHECKING:
    from pathlib import Path

    from vaultsync.cloud.local import LocalCloud

LOCAL = {"RequireTls": "false"}


@pytest.fixture
def place(cloud: LocalCloud) -> dict[str, Any]:
    """The keyword arguments that say where and by whom."""
    return {"session": cloud.session(), "endpoint_url": cloud.url}


def test_a_stack_is_made_changed_read_and_destroyed(
    cloud: LocalCloud, place: dict[str, Any]
) -> None:
    made = stack.deploy("another", LOCAL, **place)
    assert made.endpoint_url == cloud.url
    assert made.bucket != cloud.cloud.bucket
    assert stack.outputs("another", **place) == made
    assert stack.deploy("another", **place) == made

    s3 = cloud.session().client("s3", endpoint_url=cloud.url)
    with closing(s3):
        s3.put_object(Bucket=made.bucket, Key="file", Body=b"kept")
        stack.deploy("another", {"AllowedOrigins": "https://photos.example"}, **place)
        rules = s3.get_bucket_cors(Bucket=made.bucket)["CORSRules"]
        assert rules[0]["AllowedOrigins"] == ["https://photos.example"]
        # RequireTls was kept as it was: the local cloud has no TLS.
        s3.put_object(Bucket=made.bucket, Key="file", Body=b"still writable")

        assert stack.destroy("another", **place) == made.bucket
        assert s3.head_object(Bucket=made.bucket, Key="file")["ContentLength"] == 14
    with pytest.raises(NotFound, match="another"):
        stack.outputs("another", **place)


def test_a_stack_that_is_not_there_is_not_found(place: dict[str, Any]) -> None:
    with pytest.raises(NotFound, match="no-such-stack"):
        stack.outputs("no-such-stack", **place)
    with pytest.raises(NotFound, match="no-such-stack"):
        stack.destroy("no-such-stack", **place)


def test_a_failed_stack_names_the_resource_and_the_reason(place: dict[str, Any]) -> None:
    stack.deploy("first", {**LOCAL, "DomainPrefix": "taken"}, **place)
    with pytest.raises(Fatal, match=r"UserPoolDomain: .*Domain"):
        stack.deploy("second", {**LOCAL, "DomainPrefix": "taken"}, **place)
    # What failed was removed, so that the next try starts afresh.
    with pytest.raises(NotFound):
        stack.outputs("second", **place)
    stack.deploy("second", {**LOCAL, "DomainPrefix": "free"}, **place)
    stack.destroy("first", **place)
    stack.destroy("second", **place)


@pytest.mark.parametrize(("name", "value"), [("RequireTls", "maybe"), ("DomainPrefix", "No Host")])
def test_a_wrong_parameter_is_a_misconfiguration(
    place: dict[str, Any], name: str, value: str
) -> None:
    with pytest.raises(Misconfigured, match=name):
        stack.deploy("wrong", {**LOCAL, name: value}, **place)


def test_another_kind_of_stack_is_not_taken_for_a_vault(place: dict[str, Any]) -> None:
    client = place["session"].client("cloudformation", endpoint_url=place["endpoint_url"])
    with closing(client):
        client.create_stack(
            StackName="foreign",
            TemplateBody='{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}',
        )
        client.get_waiter("stack_create_complete").wait(StackName="foreign")
    with pytest.raises(Misconfigured, match="UserPoolId"):
        stack.outputs("foreign", **place)


def test_a_vaults_user_is_no_administrator(cloud: LocalCloud, new_member: Any) -> None:
    member = new_member()
    session = boto3.Session(region_name=cloud.cloud.region, **member.keys)
    with pytest.raises(Refused, match="lack a right"):
        stack.outputs(session=session, endpoint_url=cloud.url)
    with pytest.raises(Refused):
        stack.destroy(session=session, endpoint_url=cloud.url)
    assert stack.outputs(session=cloud.session(), endpoint_url=cloud.url) == cloud.cloud


def test_unknown_credentials_are_refused(cloud: LocalCloud) -> None:
    session = boto3.Session("AKIANOBODYKNOWSTHIS0", "secret", region_name="us-east-1")
    with pytest.raises(Refused, match="does not accept") as caught:
        stack.outputs(session=session, endpoint_url=cloud.url)
    assert "secret" not in caught.value.message


def test_no_credentials_no_region_and_no_network_are_told_apart(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match="no AWS administrator's credentials"):
        stack.outputs(session=boto3.Session(region_name="us-east-1"), endpoint_url=cloud.url)
    with pytest.raises(Misconfigured, match="region"):
        stack.outputs()
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(Retry, match="cannot be reached"):
        stack.outputs(session=cloud.session(), endpoint_url="http://127.0.0.1:1")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(Misconfigured, match="nobody"):
        stack.outputs()


def test_a_web_application_shares_the_vault(cloud: LocalCloud, tmp_path: Path) -> None:
    content = stack.amplify_outputs(cloud.cloud)
    assert content["version"].startswith("1")
    assert content["auth"]["user_pool_client_id"] == cloud.cloud.client_id
    file = tmp_path / "amplify_outputs.json"
    file.write_text(json.dumps(content))
    read = read_backend(file)
    assert read == Cloud(
        region=cloud.cloud.region,
        user_pool_id=cloud.cloud.user_pool_id,
        client_id=cloud.cloud.client_id,
        identity_pool_id=cloud.cloud.identity_pool_id,
        bucket=cloud.cloud.bucket,
    )
