"""A running daemon, seen from another process. Only the standard library: commands start fast."""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from vaultsync.core.errors import Fatal, MachineRefused, NotRunning, TimedOut
from vaultsync.daemon import wire
from vaultsync.daemon.past_client import PastClient

if TYPE_CHECKING:
    from pathlib import Path

    from vaultsync.core.model import Held, Status, Waiting
    from vaultsync.core.standing import Standing

ANSWER_SECONDS = 30.0
"""How long to wait for an answer that needs no work."""


class _Connection(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("vaultsync", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of to a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


class Client:
    """Implements core.ports.Vault by asking the daemon; raises what the daemon's vault raises.

    Every method raises NotRunning when nobody listens. One connection per call, none kept.

    Attributes:
        past: History, trash and old versions.
    """

    def __init__(self, path: Path) -> None:
        """Prepare; the socket is not touched yet.

        Args:
            path: The daemon's socket.
        """
        self._path = path
        self.past = PastClient(self._ask)

    def about(self) -> dict[str, Any]:
        """The daemon's `version` and `pid`."""
        return self._ask("GET", "about")  # type: ignore[no-any-return]

    def status(self) -> Status:
        """The state of the whole."""
        return wire.status_from_json(self._ask("GET", "status"))

    def waiting(self, limit: int = 1000) -> list[Waiting]:
        """Items that are not in sync, with reasons, in path order."""
        return [wire.waiting_from_json(item) for item in self._ask("GET", "waiting", limit=limit)]

    def conflicts(self) -> list[tuple[str, str]]:
        """Conflict copies as (path of the copy, path of the original), in path order."""
        return [wire.conflict_from_json(item) for item in self._ask("GET", "conflicts")]

    def held(self) -> list[Held]:
        """What the guards hold until a person decides."""
        return [wire.held_from_json(item) for item in self._ask("GET", "held")]

    def allow_held(self, guard: str | None = None) -> int:
        """Let through what a guard (None: any) holds now; how many files that are."""
        return int(self._ask("POST", "allow-held", guard=guard or "")["files"])

    def restore_held(self, guard: str | None = None) -> int:
        """Undo what a guard (None: any) holds, from the other side; how many files that are."""
        return int(self._ask("POST", "restore-held", guard=guard or "")["files"])

    def why(self, path: str) -> dict[str, object]:
        """Everything that decides about one path, as JSON-ready values."""
        return self._ask("GET", "why", path=path)  # type: ignore[no-any-return]

    def standing(self, path: str) -> Standing:
        """How one path stands; of a folder, how many files below it stand how."""
        return wire.standing_from_json(self._ask("GET", "standing", path=path))

    def pin(self, path: str, *, pinned: bool) -> None:
        """Keep a file of the drive, or all below a folder of it, on this machine, or no longer."""
        self._ask("POST", "pin", path=path, pinned=int(pinned))

    def sync(self) -> None:
        """Look at everything on both sides now. Returns at once."""
        self._ask("POST", "sync")

    def pause(self) -> None:
        """Start no new work until resumed."""
        self._ask("POST", "pause")

    def resume(self) -> None:
        """Go on after a pause."""
        self._ask("POST", "resume")

    def wait_at_rest(self, timeout: float) -> None:
        """Return once nothing is pending and both sides were observed after this call began."""
        self._ask("POST", "wait", patience=timeout + ANSWER_SECONDS, timeout=timeout)

    def stop(self) -> None:
        """Ask the daemon to end. Returns at once."""
        self._ask("POST", "stop")

    def _ask(
        self, method: str, name: str, *, patience: float = ANSWER_SECONDS, **query: object
    ) -> Any:
        """Send one request and return its result.

        Args:
            method: The HTTP method.
            name: The route.
            patience: Seconds to wait for the answer.
            query: Parameters.
        """
        connection = _Connection(self._path, patience)
        try:
            connection.request(method, f"{wire.BASE}/{name}?{urlencode(query)}")
            told = json.loads(connection.getresponse().read())
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunning(
                "The daemon of this profile is not running.", "Start it with `vaultsync start`."
            ) from error
        except TimeoutError as error:
            raise TimedOut(
                f"The daemon did not answer within {patience:g} seconds.", "Look into its log."
            ) from error
        except PermissionError as error:
            raise MachineRefused(
                f"{self._path} belongs to another user.", "Run this as the user of the daemon."
            ) from error
        except (http.client.HTTPException, ConnectionError, ValueError) as error:
            raise NotRunning(
                "The daemon ended before it answered.", "See `vaultsync status`."
            ) from error
        except OSError as error:
            if error.errno == errno.ENOTSOCK:
                raise NotRunning(f"{self._path} is not a socket.", "Remove it.") from error
            raise Fatal(f"The daemon cannot be reached: {error.strerror}.", "Try again.") from error
        finally:
            connection.close()
        if not told.get("ok"):
            raise wire.error_from_json(told.get("error", {}))
        return told["result"]
