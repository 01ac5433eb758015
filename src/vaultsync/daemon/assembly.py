"""Puts together what serves a profile: store, folder, sign-in, vault and engine."""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vaultsync.daemon import account, leftovers
from vaultsync.daemon.binding import DATABASE
from vaultsync.daemon.clock import GRACE
from vaultsync.daemon.past import Past, Sides
from vaultsync.daemon.trust import Trust
from vaultsync.remote.boto import BotoTransport
from vaultsync.remote.bucket import Bucket
from vaultsync.state.uploads import Uploads
from vaultsync.sync.engine import Engine
from vaultsync.sync.lanes import Lanes
from vaultsync.sync.settings import Settings

if TYPE_CHECKING:
    from contextlib import ExitStack

    from vaultsync.auth.identity import Session
    from vaultsync.config import Profile
    from vaultsync.core.ports import Clock
    from vaultsync.daemon.home import Home
    from vaultsync.paths import Places
    from vaultsync.state.store import Store


@dataclass(frozen=True, slots=True)
class Assembly:
    """What is open while a profile is served.

    Attributes:
        store: The state; the engine's.
        engine: Keeps the sides the same.
        bucket: The vault.
        session: The person's credentials.
        trust: What is known of the vault's server.
    """

    store: Store
    engine: Engine
    bucket: Bucket
    session: Session
    trust: Trust


def assemble(
    stack: ExitStack,
    profile: Profile,
    places: Places,
    clock: Clock,
    home: Home,
    past: Past,
    delete_quiet: float,
) -> Assembly:
    """Open everything the engine stands on.

    Args:
        stack: Closes it again.
        profile: Whose.
        places: Where its files are.
        clock: The time.
        home: Where the files are; it is open.
        past: Is given the sides for as long as they are open.
        delete_quiet: Seconds that a local absence must last before it is believed.

    Raises:
        AnotherInstance, MachineRefused: As `home.side` does.
        SignIn, Retry, Blocked, Fatal: The sides cannot be reached or used.
    """
    rules = home.rules
    store = stack.enter_context(home.store())
    side = home.side(stack, store)
    stack.enter_context(past.serving(Sides(store, side)))
    session = account.session(profile, places, store.meta("identity") or "")
    stack.callback(session.close)
    uploads = stack.enter_context(Uploads(places.state_dir / DATABASE))
    bucket, trust = _connect(profile, store, session, uploads, home)
    stack.callback(bucket.close)
    session.start()
    lanes = Lanes(profile.limits.transfers + 2)
    stack.callback(lanes.close, GRACE)
    lanes.submit(lambda: leftovers.give_up(bucket, side, rules))
    settings = Settings(
        poll_seconds=profile.folder.poll_seconds,
        delete_quiet=delete_quiet,
        lanes=profile.limits.transfers,
        chance=random.random,
        lazy=home.lazy,
    )
    engine = Engine(
        store,
        side,
        bucket,
        lanes,
        clock,
        lambda: secrets.token_hex(8),
        rules,
        settings,
        bucket.mark,
    )
    home.connect(stack, engine, bucket)
    sides = Sides(store, side, bucket, engine.mark, engine.wake, lanes.submit)
    stack.enter_context(past.serving(sides))
    return Assembly(store, engine, bucket, session, trust)


def _connect(
    profile: Profile, store: Store, session: Session, uploads: Uploads, home: Home
) -> tuple[Bucket, Trust]:
    """The remote side; needs the identity id, which is asked for once and then kept."""
    cloud = profile.cloud
    prefix = store.meta("prefix")
    if prefix is None:
        identity = session.identity_id
        wanted = {"identity_id": identity}
        if "{sub}" in cloud.prefix or "{username}" in cloud.prefix:
            claims = session.claims
            wanted |= {"sub": claims.sub, "username": claims.username}
        prefix = cloud.prefix.format(**wanted)
        with store.transaction(durable=True):
            store.set_meta("identity", identity)
            store.set_meta("prefix", prefix)
    transport = BotoTransport(
        cloud.bucket,
        cloud.bucket_region or cloud.region,
        session.credentials,
        cloud.endpoint_url,
        session.renew,
        connections=profile.limits.transfers + 8,
    )
    trust = Trust(store, profile, transport, prefix)
    device = profile.device.name
    bucket = Bucket(transport, prefix, device, home.rules, trust.permit, uploads, home.whole)
    return bucket, trust
