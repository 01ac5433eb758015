"""The configuration: TOML to frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where a vault lives: the outputs of the backend's template.

    Attributes:
        region: AWS region of the pools and the bucket.
        user_pool_id: Cognito user pool.
        client_id: App client of the user pool.
        client_secret: Its secret; empty for a public client (the usual case).
        identity_pool_id: Cognito identity pool.
        bucket: Name of the bucket.
        bucket_region: Its region when it differs from `region`; else empty.
        prefix: Template of the user's prefix; `{identity_id}`, `{sub}` and `{username}` are filled in.
        endpoint_url: One endpoint for all services (the local cloud); empty for AWS.
    """

    region: str
    user_pool_id: str
    client_id: str
    identity_pool_id: str
    bucket: str
    client_secret: str = ""
    bucket_region: str = ""
    prefix: str = "private/{identity_id}/"
    endpoint_url: str = ""
