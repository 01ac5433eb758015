"""A vault that only holds what a test puts into it, served on a real socket like the real one."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vaultsync.core.errors import NotFound, VaultsyncError
from vaultsync.core.model import Emptied, Event, Held, State, Status, Trashed, Version, Waiting
from vaultsync.daemon.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vaultsync.core.standing import Standing


@dataclass
class PlainPast:
    """Implements core.ports.Past.

    Attributes:
        happened: The history, oldest first.
        bin: What is in the trash.
        kept: The versions that there are.
        told: The commands that came, in order, with their arguments.
        problem: Raised by whatever changes something, when it is not None.
        more: Notified when something was added to `happened`.
    """

    happened: list[Event] = field(default_factory=list)
    bin: list[Trashed] = field(default_factory=list)
    kept: list[Version] = field(default_factory=list)
    told: list[tuple[object, ...]] = field(default_factory=list)
    problem: VaultsyncError | None = None
    more: threading.Condition = field(default_factory=threading.Condition)

    def events(
        self, path: str = "", *, before: int = 0, since: float = 0, limit: int = 100
    ) -> list[Event]:
        self.told.append(("events", path, since))
        found = [
            event
            for event in reversed(self.happened)
            if (not before or event.id < before)
            and event.at >= since
            and (not path or event.path == path)
        ]
        return found[:limit]

    def follow(self, after: int, wait: float, limit: int = 1000) -> list[Event]:
        self.told.append(("follow", after))
        with self.more:
            self.more.wait_for(lambda: any(each.id > after for each in self.happened), wait)
            return [event for event in self.happened if event.id > after][:limit]

    def happen(self, event: Event) -> None:
        with self.more:
            self.happened.append(event)
            self.more.notify_all()

    def trashed(self, path: str = "") -> list[Trashed]:
        return [item for item in self.bin if not path or (item.path + "/").startswith(path + "/")]

    def put_back(self, item: str, to: str = "") -> str:
        self.told.append(("put back", item, to))
        if self.problem is not None:
            raise self.problem
        return to or item.partition("/")[2]

    def empty_trash(self, before: float) -> Emptied:
        self.told.append(("empty", before))
        return Emptied(2, 3_000, 1)

    def versions(self, path: str) -> list[Version]:
        found = [version for version in self.kept if version.path == path]
        if not found:
            raise NotFound(f"The vault has no version of '{path}'.", "Check the name.")
        return found

    def versions_below(self, path: str, at: float | None = None) -> list[Version]:
        self.told.append(("below", path, at))
        return [each for each in self.kept if each.path.startswith(path) and not each.deleted]

    def bring_back(self, path: str, version: str, to: str = "") -> str:
        self.told.append(("bring back", path, version, to))
        if self.problem is not None:
            raise self.problem
        return to or path


@dataclass
class PlainVault:
    """Implements core.ports.Vault.

    Attributes:
        now: What `status` gives.
        items: What `waiting` gives.
        pairs: What `conflicts` gives.
        holds: What `held` gives.
        standings: What `standing` gives.
        problem: Raised by `wait_at_rest`, and by `sync`, when it is not None.
        told: The commands that came, in order, with their arguments.
        rest: What `wait_at_rest` waits for.
        stopped: Set when a client asked the daemon to end.
        past: History, trash and old versions.
    """

    now: Status = field(default_factory=lambda: Status(State.IDLE))
    items: list[Waiting] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    holds: list[Held] = field(default_factory=list)
    standings: list[Standing] = field(default_factory=list)
    problem: Exception | VaultsyncError | None = None
    told: list[tuple[object, ...]] = field(default_factory=list)
    rest: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    past: PlainPast = field(default_factory=PlainPast)

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

    def standing(self, path: str) -> Standing:
        self.told.append(("standing", path))
        found = next((each for each in self.standings if each.path == path), None)
        if found is None:
            raise NotFound(f"Nothing is known of '{path}'.", "Check the name.")
        return found

    def pin(self, path: str, *, pinned: bool) -> None:
        self.told.append(("pin", path, pinned))
        if isinstance(self.problem, VaultsyncError):
            raise self.problem

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
