"""botocore's client of S3, made so that only what it was given decides."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.handlers import add_expect_header
from botocore.loaders import Loader, create_loader

if TYPE_CHECKING:
    from botocore.credentials import Credentials


class _Given:
    """A credential resolver that has only the credentials it was given."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def load_credentials(self) -> Credentials:
        return self._credentials


@cache
def _loader() -> Loader:
    """The description of S3's operations, read once a process."""
    return create_loader()


def make(
    region: str, credentials: Credentials, endpoint_url: str, connections: int, timeout: float
) -> Any:
    """Make a client that neither retries nor looks for credentials or settings.

    Args:
        region: The bucket's.
        credentials: A botocore credentials object.
        endpoint_url: Another server than AWS, or empty: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`.
        connections: How many requests may be under way at once.
        timeout: Seconds to wait for each piece of an answer.
    """
    nowhere = (None, None, os.devnull, None)
    session = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": nowhere,
            "credentials_file": nowhere,
        }
    )
    # It would cost each upload a round trip before its first byte.
    expect: Any = add_expect_header
    session.unregister("before-call.s3", expect)
    session.register_component("data_loader", _loader())
    session.register_component("credential_provider", _Given(credentials))
    endpoint = (
        endpoint_url
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
        or None
    )
    return session.create_client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        config=Config(
            signature_version="s3v4",
            # A retry inside botocore would hide whether a write happened.
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=connections,
            connect_timeout=10,
            read_timeout=timeout,
            tcp_keepalive=True,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if endpoint else "auto"},
        ),
    )
