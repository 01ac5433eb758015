"""What a running service tells those who ask, whether or not the vault can be reached."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from vaultsync.core import names
from vaultsync.core.errors import Retry, SignIn, VaultsyncError
from vaultsync.core.model import Held, State, Status, Waiting
from vaultsync.daemon import answers, holding
from vaultsync.daemon.binding import DATABASE
from vaultsync.daemon.standing import Standings
from vaultsync.state.store import Store

if TYPE_CHECKING:
    from threading import Condition

    from vaultsync.core.standing import Standing
    from vaultsync.daemon.assembly import Assembly
    from vaultsync.daemon.home import Home, Watch
    from vaultsync.paths import Places
    from vaultsync.sync.engine import Engine

_STARTING = 20.0
"""Seconds that a question waits for a daemon that has just been started."""


class View:
    """The part of `core.ports.Vault` that tells. Its methods may be called from any thread."""

    _places: Places
    _home: Home
    _assembly: Assembly | None
    _watching: Watch | None
    _trouble: VaultsyncError | None
    _last: Status
    _turned: Condition

    @property
    def _engine(self) -> Engine | None:
        opened = self._assembly
        return None if opened is None else opened.engine

    def _begun(self) -> Engine:
        """The engine, waited for while the daemon starts; raises what keeps it from its work."""
        ends = time.monotonic() + _STARTING
        with self._turned:
            while self._engine is None and self._trouble is None:
                if not self._turned.wait(ends - time.monotonic()):
                    break
        engine = self._engine
        if engine is None:
            raise self._trouble or Retry("The daemon is still starting.", "Ask again in a moment.")
        return engine

    def status(self) -> Status:
        """The state of the whole."""
        opened = self._assembly
        if opened is None:
            return replace(
                self._status_before(), warnings=self._home.warnings(), drive=self._home.mount()
            )
        engine, bucket = opened.engine, opened.bucket
        status = engine.status
        pending = status.pending
        with self._reader() as store:
            if not engine.at_rest:
                pending = max(pending, store.unequal())
            conflicts = len(store.conflicts())
        return replace(
            status,
            pending=status.held if engine.at_rest else pending,
            conflicts=conflicts,
            requests=bucket.requests,
            warnings=self._warnings(),
            drive=self._home.mount(),
        )

    def waiting(self, limit: int = 1000) -> list[Waiting]:
        """Items that are not in sync, with reasons, in path order."""
        engine = self._engine
        if engine is None:
            return []
        with self._reader() as store:
            held = holding.waiting(engine.guards.held, engine.guards.conflicts, store, limit)
        moving = {
            transfer.path: Waiting(transfer.path, "transfer", f"{transfer.verb} is under way")
            for transfer in engine.status.transfers
        }
        found = {**held, **{item.path: item for item in engine.waiting}, **moving}
        return [found[path] for path in sorted(found)][:limit]

    def conflicts(self) -> list[tuple[str, str]]:
        """Conflict copies as (path of the copy, path of the original)."""
        if self._engine is None:
            return []
        with self._reader() as store:
            return [(path, names.original_name(path)) for path in store.conflicts()]

    def held(self) -> list[Held]:
        """What the guards hold until a person decides."""
        engine = self._engine
        if engine is None:
            return []
        with self._reader() as store:
            return holding.told(engine.guards.held, engine.guards.conflicts, store)

    def allow_held(self, guard: str | None = None) -> int:
        """Let through what is held now."""
        return self._decide("allow", guard)

    def restore_held(self, guard: str | None = None) -> int:
        """Undo what is held now."""
        return self._decide("restore", guard)

    def pin(self, path: str, *, pinned: bool) -> None:
        """Keep a file of the drive, or all below a folder of it, on this machine, or no longer."""
        self._home.pin(path, pinned=pinned)

    def _decide(self, what: str, guard: str | None) -> int:
        return holding.decide(self._begun(), what, guard)

    def why(self, path: str) -> dict[str, object]:
        """Everything that decides about one path."""
        self._begun()
        waiting = next((item for item in self.waiting(1 << 30) if item.path == path), None)
        with self._reader() as store:
            return answers.why(store, path, self._home.rules.rule(path), waiting)

    def standing(self, path: str) -> Standing:
        """How one path stands; of a folder, how many files below it stand how."""
        if not (self._places.state_dir / DATABASE).exists():
            self._begun()
        with self._reader() as store:
            standings = Standings(store, self._engine, self._home.rules.rule, self._trouble)
            return standings.tell(path, self._home.show)

    def _warnings(self) -> tuple[str, ...]:
        """What is not as it should be, although everything goes on."""
        opened, watching = self._assembly, self._watching
        if opened is None:
            return ()
        engine = opened.engine
        found = holding.warnings(engine.guards.held, engine.lookalikes)
        return (
            *found,
            *self._home.warnings(),
            *opened.trust.warnings(),
            *(() if watching is None else watching.warnings()),
        )

    def _status_before(self) -> Status:
        trouble = self._trouble
        if trouble is None:
            return self._last
        state = State.STOPPED
        if isinstance(trouble, SignIn):
            state = State.SIGN_IN_NEEDED
        elif trouble.code == "keyring-locked":
            state = State.WAITING_FOR_KEYRING
        elif isinstance(trouble, Retry):
            state = State.OFFLINE
        return Status(state, trouble.message, trouble.hint)

    def _reader(self) -> Store:
        return Store(self._places.state_dir / DATABASE, readonly=True)
