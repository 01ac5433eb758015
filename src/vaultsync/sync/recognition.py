"""Whether the vault is still the one that it was: it holds an object with a random number."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from vaultsync.core.errors import VaultsyncError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.core.ports import Clock, VaultMark
    from vaultsync.state.store import Store

log = logging.getLogger(__name__)

_KEY = "vault"
MISSING = (
    "The object by which the vault is recognised is missing: the vault may have been emptied or"
    " replaced. Nothing is deleted."
)
REPLACED = (
    "The vault is not the one that this folder was synced with: another one was put in its place."
    " Nothing is deleted."
)


class Recognition:
    """Compares the vault's mark with the one that was seen before. Used by the engine's thread.

    A vault without a mark gets one, unless this device has seen it with one. Each listing shows for
    nothing whether it is there.

    Args:
        store: Where the mark is kept.
        clock: For the time.
        vault: The mark in the vault.
        new_id: Makes random numbers.

    Attributes:
        trusted: Whether absences in the vault may be believed; not before the first listing.
        reason: Why they may not; empty when they may, or as long as nothing is known.
        since: Since when there is that reason, seconds since the epoch.
    """

    def __init__(
        self, store: Store, clock: Clock, vault: VaultMark, new_id: Callable[[], str]
    ) -> None:
        self.trusted = False
        self.reason = ""
        self.since = 0.0
        self._store = store
        self._clock = clock
        self._vault = vault
        self._new_id = new_id
        self._passes = 0

    def look(self, passes: int) -> bool:
        """Look at the mark once after each whole listing; whether there was one since.

        Args:
            passes: How many listings have ended.
        """
        if passes == self._passes:
            return False
        self._passes = passes
        try:
            reason = self._compare(self._vault.shown())
        except VaultsyncError as error:
            # A vault that was never marked need not be; one that cannot be read will be later.
            log.debug("the vault's mark: %s", error)
            if self._kept() is None:
                self.trusted = True
            return True
        if reason and reason != self.reason:
            log.warning("%s", reason)
            self.since = self._clock.now()
        self.trusted, self.reason = not reason, reason
        return True

    def accept(self) -> None:
        """A person knows: the next listing is that of the vault, and marks it if need be."""
        with self._store.transaction(durable=True):
            self._store.set_meta(_KEY, "null")
        self.trusted, self.reason = True, ""

    def _compare(self, tag: str | None) -> str:
        kept = self._kept()
        if tag is None:
            if kept is not None:
                return MISSING
            identity = self._new_id()
            self._keep(identity, self._vault.put(identity))
            return ""
        if kept is not None and kept[1] == tag:
            return ""
        found = self._vault.read()
        if found is None:  # it was listed, and has gone since
            return MISSING if kept is not None else ""
        if kept is not None and kept[0] != found[0]:
            return REPLACED
        self._keep(*found)
        return ""

    def _kept(self) -> tuple[str, str] | None:
        kept = json.loads(self._store.meta(_KEY) or "null")
        return None if kept is None else (kept[0], kept[1])

    def _keep(self, identity: str, tag: str) -> None:
        with self._store.transaction(durable=True):
            self._store.set_meta(_KEY, json.dumps([identity, tag]))
