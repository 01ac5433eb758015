"""Every kind of file that says where a vault lives, whole and broken."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from vaultsync.cloud.amplify import read_backend
from vaultsync.config import Cloud
from vaultsync.core.errors import Misconfigured, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[[Any], Path]

VAULT = Cloud(
    region="eu-central-1",
    user_pool_id="eu-central-1_AbCdEfGhI",
    client_id="3n4b5urk1ft4fl3mg5e62d9ado",
    identity_pool_id="eu-central-1:11111111-2222-3333-4444-555555555555",
    bucket="photos-of-everybody",
)

GEN2: dict[str, Any] = {
    "version": "1.3",
    "auth": {
        "aws_region": VAULT.region,
        "user_pool_id": VAULT.user_pool_id,
        "user_pool_client_id": VAULT.client_id,
        "identity_pool_id": VAULT.identity_pool_id,
        "mfa_methods": ["TOTP"],
        "password_policy": {"min_length": 8},
    },
    "storage": {
        "aws_region": VAULT.region,
        "bucket_name": VAULT.bucket,
        "buckets": [
            {
                "name": "main",
                "bucket_name": VAULT.bucket,
                "aws_region": VAULT.region,
                "paths": {
                    "public/*": {"guest": ["get"]},
                    "private/${cognito-identity.amazonaws.com:sub}/*": {
                        "entityidentity": ["get", "list", "write", "delete"]
                    },
                },
            }
        ],
    },
}

GEN1: dict[str, Any] = {
    "aws_project_region": VAULT.region,
    "aws_cognito_identity_pool_id": VAULT.identity_pool_id,
    "aws_cognito_region": VAULT.region,
    "aws_user_pools_id": VAULT.user_pool_id,
    "aws_user_pools_web_client_id": VAULT.client_id,
    "oauth": {},
    "aws_cognito_username_attributes": ["EMAIL"],
    "aws_user_files_s3_bucket": VAULT.bucket,
    "aws_user_files_s3_bucket_region": VAULT.region,
}

MOBILE: dict[str, Any] = {
    "UserAgent": "aws-amplify-cli/2.0",
    "Version": "1.0",
    "auth": {
        "plugins": {
            "awsCognitoAuthPlugin": {
                "CredentialsProvider": {
                    "CognitoIdentity": {
                        "Default": {"PoolId": VAULT.identity_pool_id, "Region": VAULT.region}
                    }
                },
                "CognitoUserPool": {
                    "Default": {
                        "PoolId": VAULT.user_pool_id,
                        "AppClientId": VAULT.client_id,
                        "Region": VAULT.region,
                    }
                },
            }
        }
    },
    "storage": {
        "plugins": {
            "awsS3StoragePlugin": {
                "bucket": VAULT.bucket,
                "region": VAULT.region,
                "defaultAccessLevel": "guest",
            }
        }
    },
}

STACK: dict[str, Any] = asdict(VAULT)

TEMPLATE_OUTPUTS: dict[str, Any] = {
    "Region": VAULT.region,
    "UserPoolId": VAULT.user_pool_id,
    "ClientId": VAULT.client_id,
    "IdentityPoolId": VAULT.identity_pool_id,
    "Bucket": VAULT.bucket,
    "SignInDomain": "x.auth.eu-central-1.amazoncognito.com",
}

MODULE = """/* eslint-disable */
// WARNING: DO NOT EDIT. { "aws_user_pools_id": "from a comment" }
'use strict';
const awsmobile = {
    "aws_project_region": "%(region)s",
    'aws_cognito_identity_pool_id': '%(identity_pool_id)s',
    aws_cognito_region: "%(region)s", // a name without quotes
    "aws_user_pools_id": "%(user_pool_id)s",
    "aws_user_pools_web_client_id": "%(client_id)s",
    "oauth": { "domain": 'it\\'s "quoted"', redirectSignIn: "http://localhost:3000/", },
    "aws_cognito_username_attributes": [
        "EMAIL",
    ],
    /* a trailing comma follows */
    "aws_user_files_s3_bucket": "%(bucket)s",
    "aws_user_files_s3_bucket_region": "%(region)s",
};

export default awsmobile;
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file with this content (text, bytes, or something to be JSON); returns its path."""

    def write_file(content: Any) -> Path:
        path = tmp_path / "backend"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write_file


@pytest.mark.parametrize(
    "content",
    [GEN2, GEN1, MOBILE, STACK, TEMPLATE_OUTPUTS, MODULE % STACK],
    ids=["gen2", "gen1", "mobile", "stack", "template", "module"],
)
def test_every_format_gives_the_same_vault(write: Write, content: Any) -> None:
    assert read_backend(write(content)) == VAULT


@pytest.mark.parametrize(
    "result", [STACK, {"cloud": STACK}, {"cloud": STACK, "pid": 1}], ids=["bare", "cloud", "more"]
)
def test_the_envelope_of_our_own_commands_is_opened(write: Write, result: Any) -> None:
    envelope = {"schema": 1, "ok": True, "command": "cloud outputs", "result": result}
    assert read_backend(write(envelope)) == VAULT


def test_what_only_our_own_outputs_hold_is_kept(write: Write) -> None:
    local = {**STACK, "endpoint_url": "http://127.0.0.1:4566", "prefix": "p/{sub}/"}
    vault = read_backend(write(local))
    assert (vault.endpoint_url, vault.prefix) == ("http://127.0.0.1:4566", "p/{sub}/")


def test_a_bucket_in_another_region_keeps_its_region(write: Write) -> None:
    gen1, gen2, mobile = copy.deepcopy((GEN1, GEN2, MOBILE))
    gen1["aws_user_files_s3_bucket_region"] = "us-west-2"
    gen2["storage"]["buckets"][0]["aws_region"] = "us-west-2"
    mobile["storage"]["plugins"]["awsS3StoragePlugin"]["region"] = "us-west-2"
    for content in (gen1, gen2, mobile):
        vault = read_backend(write(content))
        assert (vault.region, vault.bucket_region) == (VAULT.region, "us-west-2")


def test_a_mobile_clients_secret_is_taken_along(write: Write) -> None:
    content = copy.deepcopy(MOBILE)
    pool = content["auth"]["plugins"]["awsCognitoAuthPlugin"]["CognitoUserPool"]["Default"]
    pool["AppClientSecret"] = "s3cret"
    assert read_backend(write(content)).client_secret == "s3cret"


def test_the_prefix_and_bucket_are_those_with_a_folder_for_each_person(write: Write) -> None:
    content = copy.deepcopy(GEN2)
    content["storage"]["bucket_name"] = "shared"
    own = content["storage"]["buckets"][0]
    own["paths"] = {"photos/${cognito-identity.amazonaws.com:sub}/*": {}, "albums/*": {}}
    content["storage"]["buckets"].insert(0, {"bucket_name": "shared", "paths": {"public/*": {}}})
    vault = read_backend(write(content))
    assert (vault.bucket, vault.prefix) == (VAULT.bucket, "photos/{identity_id}/")


def test_an_old_gen2_file_without_paths_uses_its_only_bucket(write: Write) -> None:
    content = copy.deepcopy(GEN2)
    content["version"] = "1"
    del content["storage"]["buckets"]
    assert read_backend(write(content)) == VAULT


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (GEN2, "auth.aws_region"),
        (GEN2, "auth.user_pool_id"),
        (GEN2, "auth.user_pool_client_id"),
        (GEN2, "auth.identity_pool_id"),
        (GEN2, "auth"),
        (GEN2, "storage"),
        (GEN1, "aws_user_pools_id"),
        (GEN1, "aws_user_pools_web_client_id"),
        (GEN1, "aws_cognito_identity_pool_id"),
        (GEN1, "aws_user_files_s3_bucket"),
        (MOBILE, "auth.plugins.awsCognitoAuthPlugin.CognitoUserPool.Default.AppClientId"),
        (MOBILE, "auth.plugins.awsCognitoAuthPlugin.CognitoUserPool"),
        (
            MOBILE,
            "auth.plugins.awsCognitoAuthPlugin.CredentialsProvider.CognitoIdentity.Default.PoolId",
        ),
        (MOBILE, "storage.plugins.awsS3StoragePlugin.bucket"),
        (STACK, "region"),
        (STACK, "client_id"),
        (STACK, "bucket"),
        (TEMPLATE_OUTPUTS, "ClientId"),
    ],
)
@pytest.mark.parametrize("broken", ["absent", "empty", 7, None])
def test_a_missing_field_is_named(write: Write, content: Any, place: str, broken: Any) -> None:
    changed = copy.deepcopy(content)
    *above, last = place.split(".")
    parent = changed
    for name in above:
        parent = parent[name]
    if broken == "absent":
        del parent[last]
    else:
        parent[last] = "" if broken == "empty" else broken
    with pytest.raises(Misconfigured) as caught:
        read_backend(write(changed))
    assert place in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1, 2]",
        '"text"',
        "null",
        "const x = makeConfig({ a: 1 });",
        "export default { aws_user_pools_id: process.env.POOL }",
        "const awsmobile = { 'aws_user_pools_id': 'cut off",
        "{" * 5000,
        '{"a":' * 100_000,
        "[" * 100_000,
        {**GEN2, "storage": {"buckets": 7}},
        {**GEN2, "storage": {"buckets": [{"paths": "public/*"}, {"paths": None}, 7]}},
        {
            **GEN2,
            "storage": {"buckets": [{"paths": {"${cognito-identity.amazonaws.com:sub}/*": 1}}]},
        },
        b"\xff\xfe\x00binary",
        " " * (2 << 20),
        {"version": "2.0", "auth": {}},
        {"version": "1", "auth": []},
        {"schema": 1, "result": {"state": "idle"}},
        {**STACK, "prefix": "no-slash"},
        {**STACK, "endpoint_url": "http://user:secret@host"},
    ],
)
def test_anything_else_is_refused_in_one_sentence(write: Write, content: Any) -> None:
    with pytest.raises(Misconfigured) as caught:
        read_backend(write(content))
    assert "\n" not in caught.value.message
    assert "secret" not in caught.value.message


def test_nothing_in_a_module_is_executed(write: Write, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = f"require('fs').writeFileSync('{mark}', ''); module.exports = {{ a: __import__('os') }}"
    with pytest.raises(Misconfigured):
        read_backend(write(text))
    assert not mark.exists()


def test_a_file_that_is_not_there_or_not_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing"):
        read_backend(tmp_path / "nothing")
    with pytest.raises(Misconfigured, match="cannot be read"):
        read_backend(tmp_path)


def test_a_byte_order_mark_does_no_harm(write: Write) -> None:
    assert read_backend(write(b"\xef\xbb\xbf" + json.dumps(STACK).encode())) == VAULT
