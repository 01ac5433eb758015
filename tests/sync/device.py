"""A device for tests of the engine: sides in memory, a database, and a pool that runs when told."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from tests.fakes import MemorySide, SeededPool
from vaultsync.state.store import Store
from vaultsync.sync.engine import Engine
from vaultsync.sync.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Device:
    """A local side with its engine and database, on a vault."""

    def __init__(
        self, vault: MemorySide, folder: Path, seed: int = 0, name: str = "laptop"
    ) -> None:
        self.clock = vault.clock
        self.vault = vault
        self.name = name
        self.local = MemorySide(self.clock, device=name)
        self.ignored: Callable[[str], bool] = lambda _path: False
        self.file = folder / f"{name}.db"
        self.seed = seed
        self._ops = count()
        self.start()

    def start(self) -> None:
        self.store = Store(self.file)
        self.pool = SeededPool(self.seed)
        self.engine = Engine(
            self.store,
            self.local,
            self.vault,
            self.pool,
            self.clock,
            lambda: f"{self.name}-{next(self._ops)}",
            lambda path: self.ignored(path),  # noqa: PLW0108 - it may be set later
            Settings(poll_seconds=1.0, delete_quiet=0.5, lanes=4),
        )

    def crash(self) -> None:
        """Die without a word and start again on the same database."""
        self.store.close()
        self.start()

    def close(self) -> None:
        self.store.close()

    def step(self) -> None:
        self.pool.run()
        self.engine.turn(0)

    def settle(self, rounds: int = 3000) -> None:
        """Run until at rest after a look at both sides that began now."""
        ticket = self.engine.request_sync()
        for _ in range(rounds):
            while self.pool.run():
                pass
            self.engine.turn(0)
            if self.engine.at_rest and self.engine.served >= ticket and not self.pool.tasks:
                return
            self.clock.time += 0.1
        raise AssertionError(f"not at rest: {self.engine.status} {self.engine.waiting}")
