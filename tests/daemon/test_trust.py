"""What a server was found to do is kept in the state, for that server and bucket only."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.credentials import Credentials

from vaultsync.config import Cloud, Folder, Profile, Safety
from vaultsync.core.errors import Blocked
from vaultsync.daemon.trust import Trust
from vaultsync.remote.boto import BotoTransport
from vaultsync.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "state.db") as store:
        yield store


@pytest.fixture
def profile(moto_url: str, foreign: Any) -> Profile:
    name = f"vault-{secrets.token_hex(6)}"
    foreign.create_bucket(Bucket=name)
    cloud = Cloud("us-east-1", "pool", "client", "identities", name, endpoint_url=moto_url)
    return Profile("default", cloud, Folder(Path("/srv/vault")))


@pytest.fixture
def transport(profile: Profile) -> Iterator[BotoTransport]:
    cloud = profile.cloud
    made = BotoTransport(
        cloud.bucket, cloud.region, Credentials("key", "secret"), cloud.endpoint_url
    )
    yield made
    made.close()


def test_nothing_is_asked_before_the_first_write(
    store: Store, profile: Profile, transport: BotoTransport
) -> None:
    trust = Trust(store, profile, transport, "private/x/")
    trust.keep()
    assert trust.warnings() == ()
    assert transport.requests == {}


def test_what_was_found_is_told_and_survives_a_restart(
    store: Store, profile: Profile, transport: BotoTransport
) -> None:
    trust = Trust(store, profile, transport, "private/x/")
    with pytest.raises(Blocked):  # moto ignores conditions on CompleteMultipartUpload
        trust.permit.to_write()
    trust.keep()
    nothing_written, unversioned = trust.warnings()
    assert "nothing is written to it" in nothing_written
    assert "keeps no versions" in unversioned
    again = Trust(store, profile, transport, "private/x/")
    assert again.warnings() == trust.warnings()
    assert again.permit.known is None, "a server that was not good enough is asked again"


def test_a_good_server_is_asked_only_once(
    store: Store, profile: Profile, transport: BotoTransport
) -> None:
    where = f'["{profile.cloud.endpoint_url}", "{profile.cloud.bucket}", '
    found = '{"put": true, "complete": true, "delete": true, "versioned": true'
    with store.transaction():
        store.set_meta("conditions", where + found + ', "copy": true}]')
    trust = Trust(store, profile, transport, "private/x/")
    trust.permit.to_write()
    trust.permit.to_delete()
    assert transport.requests == {}
    assert trust.warnings() == ()
    elsewhere = replace(profile, cloud=replace(profile.cloud, endpoint_url="http://127.0.0.1:9"))
    assert Trust(store, elsewhere, transport, "private/x/").permit.known is None
    with store.transaction():
        store.set_meta("conditions", where + found + "}]")
    earlier = Trust(store, profile, transport, "private/x/")
    assert earlier.permit.known is None, "an earlier version did not ask about copies"


def test_whoever_takes_the_risk_is_reminded(
    store: Store, profile: Profile, transport: BotoTransport
) -> None:
    brave = replace(profile, safety=Safety(allow_unconditional=True))
    trust = Trust(store, brave, transport, "private/x/")
    trust.permit.to_write()
    assert "is lost" in trust.warnings()[0]
