"""The backend as a CloudFormation stack: deploy it, read its outputs, take it down.

Works with an administrator's own AWS credentials, never with those of a vault's user.
"""

from __future__ import annotations

from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own, below which its network faults are
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
    WaiterError,
)

from vaultsync.config import Cloud
from vaultsync.core.errors import Fatal, Misconfigured, NotFound, Refused, Retry, VaultsyncError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef, StackTypeDef

NAME = "vaultsync"
"""Name of the stack when nobody says otherwise."""

_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
_BAD_KEYS = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidToken",
}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure"}
_PASSING = {"Throttling", "ThrottlingException", "RequestLimitExceeded", "ServiceUnavailable"}
_DEAD = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
_OUTPUTS = {
    "region": "Region",
    "user_pool_id": "UserPoolId",
    "client_id": "ClientId",
    "identity_pool_id": "IdentityPoolId",
    "bucket": "Bucket",
}
_POLL_AWS, _POLL_LOCAL = 5, 1
_LONGEST = 30 * 60


def template() -> str:
    """The CloudFormation template, as text."""
    return files("vaultsync.cloud").joinpath("template.yaml").read_text(encoding="utf-8")


def deploy(
    stack_name: str = NAME,
    parameters: Mapping[str, str] | None = None,
    *,
    session: boto3.Session | None = None,
    endpoint_url: str = "",
) -> Cloud:
    """Create the stack, or bring an existing one up to date, and wait until that is done.

    Args:
        stack_name: What the stack is called.
        parameters: Values for the template's parameters. Those not named keep the value that the
            stack has, or take the template's default.
        session: The administrator's credentials and region; None for the default chain.
        endpoint_url: One endpoint for all services (the local cloud); empty for AWS.

    Returns:
        Where the vault lives.

    Raises:
        Refused: No credentials, wrong ones, or too few rights.
        Misconfigured: No region, or a parameter that the template does not take.
        Retry: AWS could not be reached or asked to slow down.
        Fatal: The stack failed; the message names the resources and their reasons.
    """
    with _translated(stack_name):
        client = _client(session, endpoint_url)
        stack = _find(client, stack_name)
        if stack is not None and stack["StackStatus"] in _DEAD:
            raise Fatal(
                f"the stack {stack_name} is in the state {stack['StackStatus']}"
                " and cannot be updated",
                "Run `vaultsync cloud destroy` first, or choose another --stack.",
            )
        if stack is None:
            _create(client, stack_name, parameters or {})
        else:
            _update(client, stack, parameters or {})
        return _outputs(client, stack_name, endpoint_url)


def outputs(
    stack_name: str = NAME, *, session: boto3.Session | None = None, endpoint_url: str = ""
) -> Cloud:
    """Where the vault of an existing stack lives.

    Args:
        stack_name: What the stack is called.
        session: The administrator's credentials and region; None for the default chain.
        endpoint_url: One endpoint for all services (the local cloud); empty for AWS.

    Raises:
        NotFound: There is no such stack in that account and region.
        Refused: No credentials, wrong ones, or too few rights.
        Misconfigured: The stack is not a vault's.
        Retry: AWS could not be reached.
    """
    with _translated(stack_name):
        return _outputs(_client(session, endpoint_url), stack_name, endpoint_url)


def destroy(
    stack_name: str = NAME, *, session: boto3.Session | None = None, endpoint_url: str = ""
) -> str:
    """Delete the stack with its accounts; the bucket and everything in it stay.

    Args:
        stack_name: What the stack is called.
        session: The administrator's credentials and region; None for the default chain.
        endpoint_url: One endpoint for all services (the local cloud); empty for AWS.

    Returns:
        Name of the bucket that was left behind; empty when the stack had none.

    Raises:
        NotFound: There is no such stack.
        Refused: No credentials, wrong ones, or too few rights.
        Retry: AWS could not be reached.
        Fatal: Something could not be deleted; the message says what and why.
    """
    with _translated(stack_name):
        client = _client(session, endpoint_url)
        stack = _find(client, stack_name)
        if stack is None:
            raise NotFound(
                f"there is no stack called {stack_name}", "Check --stack and the region."
            )
        client.delete_stack(StackName=stack["StackId"])
        _wait(client, "stack_delete_complete", stack["StackId"], "be deleted")
        return _output_values(stack).get("Bucket", "")


def amplify_outputs(cloud: Cloud) -> dict[str, Any]:
    """The content of `amplify_outputs.json`, with which a web application shares the vault.

    Args:
        cloud: Where the vault lives.
    """
    rights = {"entityidentity": ["get", "list", "write", "delete"]}
    path = cloud.prefix.replace("{identity_id}", "${cognito-identity.amazonaws.com:sub}") + "*"
    place = {"aws_region": cloud.bucket_region or cloud.region, "bucket_name": cloud.bucket}
    return {
        "version": "1.4",
        "auth": {
            "aws_region": cloud.region,
            "user_pool_id": cloud.user_pool_id,
            "user_pool_client_id": cloud.client_id,
            "identity_pool_id": cloud.identity_pool_id,
            "username_attributes": ["email"],
            "user_verification_types": ["email"],
            "standard_required_attributes": ["email"],
            "unauthenticated_identities_enabled": False,
        },
        "storage": {**place, "buckets": [{"name": "vault", **place, "paths": {path: rights}}]},
    }


def _client(session: boto3.Session | None, endpoint_url: str) -> CloudFormationClient:
    """A CloudFormation client. No proxy stands between this machine and its local cloud."""
    config = Config(proxies={} if endpoint_url else None)
    return (session or boto3.Session()).client(
        "cloudformation", endpoint_url=endpoint_url or None, config=config
    )


def _find(client: CloudFormationClient, stack_name: str) -> StackTypeDef | None:
    """The stack of that name, or None."""
    try:
        return client.describe_stacks(StackName=stack_name)["Stacks"][0]
    except ClientError as error:
        answer = error.response["Error"]
        if answer["Code"] == "ValidationError" and "does not exist" in answer["Message"]:
            return None
        raise


def _create(client: CloudFormationClient, stack_name: str, values: Mapping[str, str]) -> None:
    """Create the stack and wait; a failed one is rolled back and removed."""
    stack_id = client.create_stack(
        StackName=stack_name,
        TemplateBody=template(),
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in values.items()
        ],
        Capabilities=["CAPABILITY_IAM"],
        OnFailure="DELETE",
    )["StackId"]
    _wait(client, "stack_create_complete", stack_id, "be created")


def _update(client: CloudFormationClient, stack: StackTypeDef, values: Mapping[str, str]) -> None:
    """Update the stack and wait; parameters that are not named keep their values."""
    known = {parameter["ParameterKey"] for parameter in stack.get("Parameters", [])}
    parameters: list[ParameterTypeDef] = [
        {"ParameterKey": name, "ParameterValue": value} for name, value in values.items()
    ]
    parameters += [
        {"ParameterKey": name, "UsePreviousValue": True} for name in sorted(known - set(values))
    ]
    try:
        client.update_stack(
            StackName=stack["StackId"],
            TemplateBody=template(),
            Parameters=parameters,
            Capabilities=["CAPABILITY_IAM"],
        )
    except ClientError as error:
        if "No updates are to be performed" in error.response["Error"]["Message"]:
            return
        raise
    _wait(client, "stack_update_complete", stack["StackId"], "be updated")


def _wait(client: CloudFormationClient, waiter: Any, stack_id: str, goal: str) -> None:
    """Wait for a stack; raise Fatal with the resources that failed and why."""
    local = "amazonaws.com" not in client.meta.endpoint_url
    delay = _POLL_LOCAL if local else _POLL_AWS
    try:
        client.get_waiter(waiter).wait(
            StackName=stack_id, WaiterConfig={"Delay": delay, "MaxAttempts": _LONGEST // delay}
        )
    except WaiterError as error:
        name = stack_id.split("/")[1]
        reasons = _failures(client, stack_id)
        if not reasons:
            raise Fatal(f"the stack {name} did not come to {goal}: {error}") from error
        raise Fatal(
            f"the stack {name} could not {goal}: {'; '.join(reasons)}",
            "Mend the cause and run the command again.",
        ) from error


def _failures(client: CloudFormationClient, stack_id: str) -> list[str]:
    """What failed first and why, oldest first, one sentence a resource.

    Resources that CloudFormation only gave up because another one failed are left out.
    """
    reasons: dict[str, str] = {}
    for page in client.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for event in page["StackEvents"]:
            reason = event.get("ResourceStatusReason", "")
            failed = event.get("ResourceStatus", "").endswith("_FAILED")
            if failed and reason and "cancelled" not in reason:
                reasons[event.get("LogicalResourceId", "?")] = reason
    return [f"{name}: {reason}" for name, reason in reversed(reasons.items())]


def _output_values(stack: StackTypeDef) -> dict[str, str]:
    """A stack's outputs by their names."""
    return {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}


def _outputs(client: CloudFormationClient, stack_name: str, endpoint_url: str) -> Cloud:
    """Read the outputs of a stack that is there."""
    stack = _find(client, stack_name)
    if stack is None:
        raise NotFound(
            f"there is no stack called {stack_name} in {client.meta.region_name}",
            "Check --stack and the region, or run `vaultsync cloud deploy`.",
        )
    values = _output_values(stack)
    missing = [name for name in _OUTPUTS.values() if name not in values]
    if missing:
        raise Misconfigured(
            f"the stack {stack_name} has no output called {' or '.join(missing)}",
            "Is it a vault's stack, and has its deployment come to an end?",
        )
    fields = {field: values[name] for field, name in _OUTPUTS.items()}
    return Cloud(**fields, endpoint_url=endpoint_url)


@contextmanager
def _translated(stack_name: str) -> Iterator[None]:
    """Turn botocore's exceptions into ours."""
    try:
        yield
    except ClientError as error:
        raise _refusal(error, stack_name) from error
    except _CREDENTIALS as error:
        raise Refused(
            f"no AWS administrator's credentials: {error}",
            "Run `aws configure` or `aws sso login`, or set AWS_PROFILE.",
        ) from error
    except ProfileNotFound as error:
        raise Misconfigured(str(error), "Check AWS_PROFILE against ~/.aws/config.") from error
    except NoRegionError as error:
        raise Misconfigured(
            "no AWS region is given", "Give --region, or set AWS_REGION."
        ) from error
    except (ConnectionError, HTTPClientError) as error:
        raise Retry(
            f"AWS CloudFormation cannot be reached: {error}", "Check the network and the region."
        ) from error
    except BotoCoreError as error:
        raise Fatal(f"the request to AWS failed: {error}") from error


def _refusal(error: ClientError, stack_name: str) -> VaultsyncError:
    """What an error answer of AWS means."""
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    if code in _BAD_KEYS:
        return Refused(
            f"AWS does not accept the administrator's credentials: {message}",
            "Check AWS_PROFILE or the AWS_* variables, and the clock of this machine.",
        )
    if code in _DENIED:
        return Refused(
            f"the AWS credentials lack a right: {message}",
            "Use an administrator's; they need CloudFormation, S3, IAM and Cognito.",
        )
    if code in _PASSING:
        return Retry(f"AWS asks to slow down: {message}", "Try again in a minute.")
    if code == "InsufficientCapabilitiesException":
        return Refused(f"the stack {stack_name} may not make roles: {message}")
    if code == "ValidationError":
        return Misconfigured(f"AWS refused the stack {stack_name}: {message}")
    return Fatal(f"AWS refused: {message} ({code})")
