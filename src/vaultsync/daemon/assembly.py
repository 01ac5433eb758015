"""Puts together what serves a profile: store, folder, sign-in, vault and engine."""

from __future__ import annotations

import random
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vaultsync.core import names
from vaultsync.daemon import account, leftovers
from vaultsync.daemon.binding import DATABASE, locked, open_store
from vaultsync.daemon.past import Past, Sides
from vaultsync.daemon.trust import Trust
from vaultsync.local.disk import Disk
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
    from vaultsync.daemon.rules import Rules
    from vaultsync.paths import Places
    from vaultsync.state.store import Store

GRACE = 5.0
"""Seconds that transfers under way are given to end."""


class SystemClock:
    """The machine's time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow, but not while the machine is suspended."""
        return time.monotonic()

    def asleep(self) -> float:
        """Seconds that the machine has been suspended since it was started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


@dataclass(frozen=True, slots=True)
class Assembly:
    """What is open while a profile is served.

    Attributes:
        engine: Keeps the sides the same.
        bucket: The vault.
        session: The person's credentials.
        trust: What is known of the vault's server.
    """

    engine: Engine
    bucket: Bucket
    session: Session
    trust: Trust


def assemble(
    stack: ExitStack,
    profile: Profile,
    places: Places,
    clock: Clock,
    rules: Rules,
    past: Past,
    delete_quiet: float,
) -> Assembly:
    """Open everything the engine stands on.

    Args:
        stack: Closes it again.
        profile: Whose.
        places: Where its files are.
        clock: The time.
        rules: What is left alone.
        past: Is given the sides for as long as they are open.
        delete_quiet: Seconds that a local absence must last before it is believed.

    Raises:
        AnotherInstance: The folder is served already.
        MachineRefused: The folder's file system lacks what is needed.
        SignIn, Retry, Blocked, Fatal: The sides cannot be reached or used.
    """
    root = profile.folder.path
    store = stack.enter_context(open_store(places.state_dir, profile.cloud, root))
    disk = _disk(profile, store, clock, rules)
    control = root / names.CONTROL
    if control.is_dir() and not control.is_symlink():
        stack.enter_context(locked(control / "lock", f"the folder {root}"))
    stack.enter_context(past.serving(Sides(store, disk)))
    disk.clear_staging([operation.op for operation in store.journal()])
    session = account.session(profile, places, store.meta("identity") or "")
    stack.callback(session.close)
    uploads = stack.enter_context(Uploads(places.state_dir / DATABASE))
    bucket, trust = _connect(profile, store, session, uploads, rules)
    stack.callback(bucket.close)
    session.start()
    lanes = Lanes(profile.limits.transfers + 2)
    stack.callback(lanes.close, GRACE)
    lanes.submit(lambda: leftovers.give_up(bucket, disk, rules))
    settings = Settings(
        poll_seconds=profile.folder.poll_seconds,
        delete_quiet=delete_quiet,
        lanes=profile.limits.transfers,
        chance=random.random,
    )
    engine = Engine(
        store,
        disk,
        bucket,
        lanes,
        clock,
        lambda: secrets.token_hex(8),
        rules,
        settings,
        bucket.mark,
    )
    sides = Sides(store, disk, bucket, engine.mark, engine.wake, lanes.submit)
    stack.enter_context(past.serving(sides))
    return Assembly(engine, bucket, session, trust)


def _disk(profile: Profile, store: Store, clock: Clock, rules: Rules) -> Disk:
    """The local side; a folder that is used for the first time gets its marker."""
    root, device = profile.folder.path, profile.device.name
    marker = store.meta("marker")
    if marker is None:
        marker = Disk(root, device, clock, rules).bind()
        with store.transaction(durable=True):
            store.set_meta("marker", marker)
    return Disk(root, device, clock, rules, marker)


def _connect(
    profile: Profile, store: Store, session: Session, uploads: Uploads, rules: Rules
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
    return Bucket(transport, prefix, profile.device.name, rules, trust.permit, uploads), trust
