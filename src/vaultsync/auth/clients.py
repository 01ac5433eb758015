"""Clients for Cognito that nobody's AWS settings on this machine can redirect or sign."""

from __future__ import annotations

import logging
import os
from typing import Any
from urllib.parse import urlsplit

from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.session import Session as BotocoreSession
from botocore.utils import get_environ_proxies

from vaultsync.core.errors import Misconfigured

CONNECT_SECONDS = 10
READ_SECONDS = 30


def isolated_session() -> BotocoreSession:
    """A botocore session that reads neither AWS_PROFILE nor ~/.aws.

    AWS_ENDPOINT_URL*, AWS_CA_BUNDLE and the proxy variables stay in force. It has no credentials
    of its own; AWS_ACCESS_KEY_ID would count as soon as somebody asked it to find some, so give
    it the person's (`Session.botocore` does) or send unsigned requests only.
    """
    return BotocoreSession(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )


def proxies_for(url: str) -> dict[str, str]:
    """The proxies to use for a URL, by scheme: the environment's, and none to this machine."""
    if urlsplit(url).hostname in {"127.0.0.1", "::1", "localhost"}:
        return {}
    return dict(get_environ_proxies(url))


def unsigned_client(service: str, region: str, endpoint_url: str = "") -> Any:
    """A client that signs nothing: Cognito's public operations carry their own proof.

    Args:
        service: `cognito-idp` or `cognito-identity`.
        region: AWS region.
        endpoint_url: Where to send the requests; empty for AWS.

    Raises:
        Misconfigured: The region or the endpoint cannot be used.
    """
    # At DEBUG botocore writes whole requests and answers, passwords and tokens included.
    logging.getLogger("botocore").setLevel(logging.INFO)
    try:
        return isolated_session().create_client(
            service,
            region_name=region,
            endpoint_url=endpoint_url or None,
            config=Config(
                signature_version=UNSIGNED,
                proxies=proxies_for(endpoint_url) if endpoint_url else None,
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": 2},
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise Misconfigured(
            f"No client for {service} in region '{region}': {error}",
            "Check region and endpoint_url.",
        ) from error
