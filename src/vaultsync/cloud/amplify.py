"""Reads where a vault lives from the file that an existing application has.

Four formats: `amplify_outputs.json` (Amplify Gen 2), `aws-exports.js` or its JSON (Gen 1, web),
`amplifyconfiguration.json` (Gen 1, mobile), and the outputs of our own stack. What kind a file is
is told by its content, not by its name. Nothing in it is ever executed.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from vaultsync.config import Cloud
from vaultsync.core.errors import Misconfigured, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LARGEST = 1 << 20
"""Bytes; the files in question have a few thousand."""
_SUB = "${cognito-identity.amazonaws.com:sub}"
_MOBILE = "the mobile amplifyconfiguration.json"
_HINT = "Give --bucket, --user-pool, --client, --identity-pool and --region instead."


def read_backend(path: Path) -> Cloud:
    """Where the vault lives, read from a file of an application or of our own.

    Args:
        path: The file.

    Raises:
        NotFound: There is no such file.
        Misconfigured: It is not one of the formats, or a field is missing; the message names it.
    """
    content = _parse(_text(path), path)
    if set(content) >= {"schema", "result"} and isinstance(content["result"], dict):
        content = content["result"]
    if isinstance(content.get("cloud"), dict):
        content = content["cloud"]
    for mark, read in _FORMATS:
        if mark in content:
            return _built(read(content), path)
    raise Misconfigured(
        f"{path} is none of amplify_outputs.json, aws-exports.js, amplifyconfiguration.json"
        " and stack outputs",
        _HINT,
    )


def _text(path: Path) -> str:
    """The file's text."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise Misconfigured(f"{path} is too large to be the configuration of an application")
        return content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}", "Check the name after --from.") from error
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{path} is not a text file", _HINT) from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    """The one object in a JSON file or in a JavaScript module of constants."""
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        try:
            content = json.loads(_as_json(text))
        except (ValueError, RecursionError):
            raise Misconfigured(
                f"{path} is neither JSON nor a module with one object of constants: {error}", _HINT
            ) from error
    if not isinstance(content, dict):
        raise Misconfigured(f"{path} does not hold an object", _HINT)
    return content


_TOKEN = re.compile(
    r"""
      (?P<double> "(?:[^"\\\n]|\\.)*" )
    | (?P<single> '(?:[^'\\\n]|\\.)*' )
    | (?P<comment> //[^\n]* | /\*.*?\*/ )
    | (?P<key> [A-Za-z_$][\w$]* ) (?= \s*: )
    | (?P<trailing> , ) (?= (?:\s | //[^\n]* | /\*.*?\*/)* [}\]] )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)


def _as_json(text: str) -> str:
    """The first object literal of a JavaScript module, written as JSON.

    Understands comments, single quotes, names without quotes and trailing commas. Anything else
    (calls, templates, arithmetic) is left as it is and so does not parse.

    Raises:
        ValueError: There is no complete object.
    """
    pieces: list[str] = []
    depth = 0
    for token in _TOKEN.finditer(text):
        piece, kind = token[0], token.lastgroup
        if kind == "other":
            depth += (piece in "{[") - (piece in "}]")
        if kind in ("comment", "trailing") or (not depth and not pieces):
            continue
        pieces.append(_piece(piece, kind))
        if not depth:
            return "".join(pieces)
    raise ValueError("no complete object")


def _piece(piece: str, kind: str | None) -> str:
    """One token of JavaScript as JSON has it."""
    if kind == "key":
        return json.dumps(piece)
    if kind == "single":
        inner = piece[1:-1].replace("\\'", "'")
        return '"' + re.sub(r'(?<!\\)"', r"\"", inner) + '"'
    return piece


def _gen2(content: dict[str, Any]) -> dict[str, str]:
    """`amplify_outputs.json`, version 1."""
    version = str(content["version"])
    if version.split(".", maxsplit=1)[0] != "1":
        raise Misconfigured(f"amplify_outputs.json has the version {version}; 1 is known", _HINT)
    storage = content.get("storage")
    bucket = _vault_bucket(storage if isinstance(storage, dict) else {})
    return {
        "region": _field(content, "auth.aws_region"),
        "user_pool_id": _field(content, "auth.user_pool_id"),
        "client_id": _field(content, "auth.user_pool_client_id"),
        "identity_pool_id": _field(content, "auth.identity_pool_id"),
        "bucket": _field(content, "storage.bucket_name") if bucket is None else bucket[0],
        "bucket_region": _field(content, "storage.aws_region") if bucket is None else bucket[1],
        **({"prefix": bucket[2]} if bucket is not None else {}),
    }


def _vault_bucket(storage: dict[str, Any]) -> tuple[str, str, str] | None:
    """Name, region and prefix of the bucket that has one folder for each person's own files.

    The default bucket is preferred. None when no bucket says so, as in files of version 1.0.
    """
    listed = storage.get("buckets")
    buckets = (
        [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    )
    buckets.sort(key=lambda each: each.get("bucket_name") != storage.get("bucket_name"))
    for each in buckets:
        paths = each.get("paths")
        for path in sorted(paths) if isinstance(paths, dict) else ():
            if path.endswith(_SUB + "/*"):
                prefix = path.removesuffix("*").replace(_SUB, "{identity_id}")
                return _field(each, "bucket_name"), _field(each, "aws_region"), prefix
    return None


def _gen1(content: dict[str, Any]) -> dict[str, str]:
    """`aws-exports.js`."""
    region = content.get("aws_cognito_region") or content.get("aws_project_region")
    return {
        "region": region if isinstance(region, str) else _field(content, "aws_cognito_region"),
        "user_pool_id": _field(content, "aws_user_pools_id"),
        "client_id": _field(content, "aws_user_pools_web_client_id"),
        "identity_pool_id": _field(content, "aws_cognito_identity_pool_id"),
        "bucket": _field(content, "aws_user_files_s3_bucket"),
        "bucket_region": str(content.get("aws_user_files_s3_bucket_region") or ""),
    }


def _mobile(content: dict[str, Any]) -> dict[str, str]:
    """`amplifyconfiguration.json`."""
    auth, storage = "auth.plugins.awsCognitoAuthPlugin", "storage.plugins.awsS3StoragePlugin"
    pool, identity = (
        f"{auth}.CognitoUserPool.Default",
        f"{auth}.CredentialsProvider.CognitoIdentity",
    )
    secret = _find(content, f"{pool}.AppClientSecret")
    return {
        "region": _field(content, f"{pool}.Region", _MOBILE),
        "user_pool_id": _field(content, f"{pool}.PoolId", _MOBILE),
        "client_id": _field(content, f"{pool}.AppClientId", _MOBILE),
        "client_secret": secret if isinstance(secret, str) else "",
        "identity_pool_id": _field(content, f"{identity}.Default.PoolId", _MOBILE),
        "bucket": _field(content, f"{storage}.bucket", _MOBILE),
        "bucket_region": _field(content, f"{storage}.region", _MOBILE),
    }


def _stack(content: dict[str, Any]) -> dict[str, str]:
    """What `cloud outputs --json` and `cloud local --json` print."""
    needed = ("region", "user_pool_id", "client_id", "identity_pool_id", "bucket")
    optional = ("client_secret", "bucket_region", "prefix", "endpoint_url")
    return {name: _field(content, name) for name in needed} | {
        name: _field(content, name) for name in optional if content.get(name)
    }


def _template_outputs(content: dict[str, Any]) -> dict[str, str]:
    """The outputs by the names that they have in the template."""
    return {
        "region": _field(content, "Region"),
        "user_pool_id": _field(content, "UserPoolId"),
        "client_id": _field(content, "ClientId"),
        "identity_pool_id": _field(content, "IdentityPoolId"),
        "bucket": _field(content, "Bucket"),
    }


_FORMATS: tuple[tuple[str, Callable[[dict[str, Any]], dict[str, str]]], ...] = (
    ("user_pool_id", _stack),
    ("UserPoolId", _template_outputs),
    ("aws_user_pools_id", _gen1),
    ("aws_project_region", _gen1),
    ("version", _gen2),
    ("auth", _mobile),
)
"""A key at the top that gives a format away, and what reads it; the surest first."""


def _find(content: Any, place: str) -> Any:
    """The value at a dotted place, or None."""
    for name in place.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content


def _field(content: dict[str, Any], place: str, where: str = "the file") -> str:
    """The text at a dotted place; Misconfigured when there is none."""
    value = _find(content, place)
    if isinstance(value, str) and value:
        return value
    raise Misconfigured(f"{where} has no {place}", _HINT)


def _built(fields: dict[str, str], path: Path) -> Cloud:
    """The checked outputs."""
    if fields.get("bucket_region") == fields["region"]:
        fields["bucket_region"] = ""
    try:
        return Cloud(**fields)
    except ValueError as error:
        raise Misconfigured(f"{path}: {error}", _HINT) from error
