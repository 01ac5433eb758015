"""How far the vault's server can be trusted: found out once, kept in the state, told to people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from vaultsync.remote.conditions import Conditions, Permit

if TYPE_CHECKING:
    from vaultsync.config import Profile
    from vaultsync.remote.client import Transport
    from vaultsync.state.store import Store

_KEY = "conditions"
_PULL_ONLY = (
    "The vault's server ignores conditional writes, so nothing is written to it: what is changed "
    "or deleted here waits."
)
_KEEPS_ALL = (
    "The vault's server ignores the conditions of deletions: what is deleted here stays there."
)
_REGARDLESS = (
    "The vault's server ignores conditional writes, and safety.allow_unconditional is set: a "
    "change that another device makes at the same moment is lost."
)
_UNVERSIONED = (
    "The bucket keeps no versions: what another program overwrites or deletes in it cannot be "
    "brought back. Turn versioning on."
)


class Trust:
    """What is known of one server and bucket. Made and asked to `keep` by the engine's thread.

    A server that was found to ignore conditions is asked again after each start: it may have
    been replaced by a better one.

    Args:
        store: Where it is kept.
        profile: Names endpoint and bucket; its `safety` may say to write regardless.
        transport: Sends the requests.
        prefix: What every key starts with.
    """

    def __init__(self, store: Store, profile: Profile, transport: Transport, prefix: str) -> None:
        self._store = store
        self._where = [profile.cloud.endpoint_url, profile.cloud.bucket]
        self._regardless = profile.safety.allow_unconditional
        self._kept = self._read()
        trusted = self._kept if self._kept is not None and self._kept.honoured else None
        self.permit = Permit(transport, prefix, trusted, regardless=self._regardless)

    def keep(self) -> None:
        """Write down what was found out since."""
        known = self.permit.known
        if known is None or known == self._kept:
            return
        with self._store.transaction():
            self._store.set_meta(_KEY, json.dumps([*self._where, dict(known.written())]))
        self._kept = known

    def warnings(self) -> tuple[str, ...]:
        """What a person should know about this server and bucket; called from any thread."""
        known = self.permit.known or self._kept
        if known is None:
            return ()
        found = []
        if not known.honoured and self._regardless:
            found.append(_REGARDLESS)
        elif not known.honoured:
            found.append(_KEEPS_ALL if known.put and known.complete else _PULL_ONLY)
        if not known.versioned:
            found.append(_UNVERSIONED)
        return tuple(found)

    def _read(self) -> Conditions | None:
        kept = json.loads(self._store.meta(_KEY) or "null")
        if kept is None or kept[:2] != self._where:
            return None
        return Conditions.restored(kept[2])
