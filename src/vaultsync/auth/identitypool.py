"""One Cognito identity pool: what turns a verified sign-in into temporary AWS credentials."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.credentials import Credentials, ReadOnlyCredentials

from vaultsync.auth.clients import unsigned_client
from vaultsync.auth.errors import cloud_errors
from vaultsync.core.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ADVISORY = 900.0
"""Seconds before their end at which credentials are renewed in the background."""
MANDATORY = 60.0
"""Seconds before their end from which on a request waits for new credentials."""


class NotAccepted(Refused):
    """The identity pool does not accept this id token."""


def now() -> float:
    """Seconds of a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Held:
    """Temporary credentials and their time.

    Attributes:
        identity_id: Whose they are.
        frozen: The three parts that sign a request.
        lifetime: Seconds they were good for when they came.
        ends: Their end, by `now`.
    """

    identity_id: str
    frozen: ReadOnlyCredentials = field(repr=False)
    lifetime: float
    ends: float

    @property
    def until_renewal(self) -> float:
        """Seconds until they are renewed in the background; of short lives the last third."""
        return self.ends - min(ADVISORY, self.lifetime / 3) - now()

    @property
    def usable(self) -> bool:
        """Whether a request may still be signed with them."""
        return now() < self.ends - min(MANDATORY, self.lifetime / 10)


class LiveCredentials(Credentials):
    """Credentials of which botocore sees the newest each time it signs a request.

    botocore's RefreshableCredentials refresh themselves within the request that finds them old,
    and cannot be told that the cloud stopped accepting them early; these leave both to a Session.
    """

    def __init__(self, current: Callable[[], ReadOnlyCredentials]) -> None:
        self.method = "vaultsync"
        self.account_id = None
        self._current = current

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The newest ones. Raises what `Session.renew` raises if there are none to be had."""
        return self._current()

    @property
    def access_key(self) -> str | None:  # type: ignore[override]
        """The newest access key id."""
        return self._current().access_key

    @property
    def secret_key(self) -> str | None:  # type: ignore[override]
        """Its secret key; ask for all parts at once with get_frozen_credentials."""
        return self._current().secret_key

    @property
    def token(self) -> str | None:  # type: ignore[override]
        """Its session token."""
        return self._current().token


class IdentityPool:
    """An identity pool as its user pool's people use it.

    Args:
        region: AWS region.
        identity_pool_id: Such as `eu-west-1:6f0b…`.
        provider: The user pool's name among the logins: `UserPool.provider`.
        endpoint_url: Where Cognito answers; empty for AWS.
    """

    def __init__(
        self, region: str, identity_pool_id: str, provider: str, endpoint_url: str = ""
    ) -> None:
        self._id = identity_pool_id
        self._provider = provider
        self._cognito = unsigned_client("cognito-identity", region, endpoint_url)

    def identify(self, id_token: str) -> str:
        """The identity id of the person whose token it is.

        Raises:
            NotAccepted: The token is expired or revoked, or its user pool is not this pool's.
            Retry, Misconfigured: Offline; no such pool.
        """
        with cloud_errors(_not_accepted()):
            answer = self._cognito.get_id(
                IdentityPoolId=self._id, Logins={self._provider: id_token}
            )
        return str(answer["IdentityId"])

    def credentials(self, identity_id: str, id_token: str) -> Held:
        """New temporary credentials for an identity. Raises as `identify` does."""
        asked = now()
        with cloud_errors(_not_accepted()):
            answer = self._cognito.get_credentials_for_identity(
                IdentityId=identity_id, Logins={self._provider: id_token}
            )
        given = answer["Credentials"]
        lifetime = (given["Expiration"] - _server_time(answer)).total_seconds()
        return Held(
            identity_id=identity_id,
            frozen=ReadOnlyCredentials(
                given["AccessKeyId"], given["SecretKey"], given["SessionToken"]
            ),
            lifetime=lifetime,
            ends=asked + lifetime,
        )

    def close(self) -> None:
        """Close the connections."""
        self._cognito.close()


def _not_accepted() -> NotAccepted:
    return NotAccepted(
        "The identity pool does not accept this sign-in.",
        "Check identity_pool_id: its provider must be this user pool and this app client.",
    )


def _server_time(answer: Mapping[str, Any]) -> datetime:
    """When the server says it answered: an end in its time means nothing by a clock that is off."""
    date = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)
