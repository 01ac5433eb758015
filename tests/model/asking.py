"""What an S3 client's call came to, in a form that can be compared."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable


def outcome(call: Callable[..., Any], *arguments: Any, **parameters: Any) -> str:
    """`200`, or status and code of an error such as `412 PreconditionFailed`."""
    try:
        answer = call(*arguments, **parameters)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        code = error.response["Error"]["Code"]
        return str(status) if code == str(status) else f"{status} {code}"
    if "Body" in answer:
        answer["Body"].close()
    return str(answer["ResponseMetadata"]["HTTPStatusCode"])


def md5(body: bytes) -> str:
    """The MD5 of bytes in hex, as ETags are."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def read(s3: Any, **where: Any) -> bytes:
    """The bytes of an object."""
    with s3.get_object(**where)["Body"] as body:
        content: bytes = body.read()
    return content
