"""A vault that only holds what a test puts into it, served on a real socket like the real one."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vaultsync.core.model import Held, State, Status, Waiting
from vaultsync.daemon.api import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vaultsync.core.errors import VaultsyncError


@dataclass
class PlainVault:
    """Implements core.ports.Vault.

    Attributes:
        now: What `status` gives.
        items: What `waiting` gives.
        pairs: What `conflicts` gives.
        holds: What `held` gives.
        problem: Raised by `wait_at_rest`, and by `sync`, when it is not None.
        told: The commands that came, in order, with their arguments.
        rest: What `wait_at_rest` waits for.
        stopped: Set when a client asked the daemon to end.
    """

    now: Status = field(default_factory=lambda: Status(State.IDLE))
    items: list[Waiting] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    holds: list[Held] = field(default_factory=list)
    problem: Exception | VaultsyncError | None = None
    told: list[tuple[object, ...]] = field(default_factory=list)
    rest: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)

    def status(self) -> Status:
        return self.now

    def waiting(self, limit: int = 1000) -> list[Waiting]:
        return self.items[:limit]

    def conflicts(self) -> list[tuple[str, str]]:
        return self.pairs

    def held(self) -> list[Held]:
        return self.holds

    def allow_held(self, guard: str | None = None) -> int:
        self.told.append(("allow", guard))
        return sum(item.count for item in self.holds)

    def restore_held(self, guard: str | None = None) -> int:
        self.told.append(("restore", guard))
        return sum(item.count for item in self.holds)

    def why(self, path: str) -> dict[str, object]:
        self.told.append(("why", path))
        there = {"kind": "file", "size": 2_000, "sha256": "ab" * 32}
        return {
            "path": path,
            "decision": "push",
            "reason": "The file is new here.",
            "ignored": None,
            "local": there,
            "base": None,
            "remote": None,
            "waiting": None,
        }

    def sync(self) -> None:
        self.told.append(("sync",))
        if self.problem is not None:
            raise self.problem

    def pause(self) -> None:
        self.told.append(("pause",))

    def resume(self) -> None:
        self.told.append(("resume",))

    def wait_at_rest(self, timeout: float) -> None:
        self.told.append(("wait", timeout))
        if self.problem is not None:
            raise self.problem
        self.rest.wait(timeout)


@contextmanager
def serving(vault: PlainVault, socket: Path) -> Iterator[PlainVault]:
    """Serve a vault while the block runs."""
    server = Server(vault, socket, vault.stopped.set)
    server.start()
    try:
        yield vault
    finally:
        server.stop()
