"""History, trash and old versions of a running daemon, seen from another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from vaultsync.daemon import wire

if TYPE_CHECKING:
    from vaultsync.core.model import Emptied, Event, Trashed, Version

WORK_SECONDS = 86_400.0
"""How long to wait for an answer that needs a transfer."""


class Ask(Protocol):
    """Sends one request and returns its result; see `daemon.client.Client`."""

    def __call__(self, method: str, name: str, *, patience: float = ..., **query: object) -> Any:
        """Ask."""
        ...


class PastClient:
    """Implements core.ports.Past by asking the daemon; raises what the daemon's past raises."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def events(
        self, path: str = "", *, before: int = 0, since: float = 0, limit: int = 100
    ) -> list[Event]:
        """What was done, newest first."""
        when = wire.written(since)
        found = self._ask("GET", "events", path=path, before=before, since=when, limit=limit)
        return [wire.event_from_json(item) for item in found]

    def follow(self, after: int, wait: float, limit: int = 1000) -> list[Event]:
        """What was done after the event `after`, oldest first; waits for it."""
        found = self._ask("GET", "events", patience=wait + 30, after=after, wait=wait, limit=limit)
        return [wire.event_from_json(item) for item in found]

    def trashed(self, path: str = "") -> list[Trashed]:
        """What is in the trash, newest first."""
        found = self._ask("GET", "trash", patience=WORK_SECONDS, path=path)
        return [wire.trashed_from_json(item) for item in found]

    def put_back(self, item: str, to: str = "") -> str:
        """Move an item of the trash back into the folder; the path it has now."""
        return str(self._ask("POST", "trash/put-back", item=item, to=to)["path"])

    def empty_trash(self, before: float) -> Emptied:
        """Remove for good what went to the trash before a time."""
        when = wire.written(before)
        done = self._ask("POST", "trash/empty", patience=WORK_SECONDS, before=when)
        return wire.emptied_from_json(done)

    def versions(self, path: str) -> list[Version]:
        """The versions of one file, newest first."""
        found = self._ask("GET", "versions", patience=WORK_SECONDS, path=path)
        return [wire.version_from_json(item) for item in found]

    def versions_below(self, path: str, at: float | None = None) -> list[Version]:
        """The versions that bringing a folder back means, one a path at most."""
        asked = {"path": path} | ({} if at is None else {"at": wire.written(at)})
        found = self._ask("GET", "versions/below", patience=WORK_SECONDS, **asked)
        return [wire.version_from_json(item) for item in found]

    def bring_back(self, path: str, version: str, to: str = "") -> str:
        """Bring an old version back into the folder; the path it has now."""
        asked = {"path": path, "version": version, "to": to}
        done = self._ask("POST", "versions/bring-back", patience=WORK_SECONDS, **asked)
        return str(done["path"])
