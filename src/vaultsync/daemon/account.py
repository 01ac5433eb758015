"""Who signs in for a profile: wires its settings to the rooms that know Cognito and secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaultsync.auth.identity import Session
from vaultsync.auth.secrets import choose
from vaultsync.auth.userpool import UserPool

if TYPE_CHECKING:
    from vaultsync.auth.secrets import SecretStore
    from vaultsync.config import Cloud, Profile
    from vaultsync.paths import Places


def user_pool(cloud: Cloud) -> UserPool:
    """The pool whose members have a vault in this cloud."""
    return UserPool(
        cloud.region, cloud.user_pool_id, cloud.client_id, cloud.client_secret, cloud.endpoint_url
    )


def secret_store(profile: Profile, places: Places) -> SecretStore:
    """Where the refresh token of a profile is, or at a sign-in is going to be."""
    return choose(
        profile.auth.store,
        # Unique among all instances of this person, each of which may have a profile of that name.
        profile=str(places.state_dir),
        client_id=profile.cloud.client_id,
        file=places.state_dir / "secrets" / "refresh-token",
    )


def session(profile: Profile, places: Places, expected_identity_id: str = "") -> Session:
    """The signed-in person's credentials; shared by daemon and commands through a lock file.

    Args:
        profile: Whose.
        places: Where its files are.
        expected_identity_id: The vault that the profile is bound to; empty when not known yet.
    """
    places.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Session(
        user_pool(profile.cloud),
        profile.cloud.identity_pool_id,
        secret_store(profile, places),
        places.state_dir / "sign-in.lock",
        expected_identity_id,
    )
