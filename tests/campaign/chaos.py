"""What goes wrong, and when: seeded, one trouble after the other, network faults beside them."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.s3model.process import control

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.campaign.device import Device
    from tests.campaign.disk import Disk
    from tests.campaign.ledger import Ledger

LATEST = 6.0
"""Seconds after which the last late request has arrived."""
SHORT = 3.0
"""Seconds that credentials live when they live short."""
_WRITES = ("PutObject", "DeleteObject", "CopyObject", "CompleteMultipartUpload")
_MOVES = (*_WRITES, "GetObject", "HeadObject", "ListObjectsV2", "UploadPart")
_NETWORK: tuple[tuple[str, Sequence[str], bool], ...] = (
    ("lost-request", (), False),
    ("lost-response", (), False),
    ("lost-response", _WRITES, False),
    ("409", ("PutObject", "CompleteMultipartUpload"), False),
    ("412", _WRITES, False),
    ("500", (), False),
    ("500", _WRITES, True),
    ("503", _MOVES, False),
    ("slow", (), True),
    ("cut", ("GetObject", "PutObject", "ListObjectsV2"), False),
    ("duplicate", _WRITES, False),
    ("late", _WRITES, True),
    ("stale", ("ListObjectsV2",), True),
)
"""Kind, at which requests, and whether seconds (or, for an answer, that it was applied) are set."""


class Chaos(threading.Thread):
    """Makes trouble until told to end, then leaves everything whole.

    Args:
        ledger: The book.
        url: The server.
        devices: Whose daemons suffer.
        seed: Of all choices.
        disks: Of devices whose folder is on a disk of its own, by name.
        stale: Whether listings may tell what was there seconds ago, which S3 itself never does.

    Attributes:
        done: How often each trouble was made; network faults are counted by the server.
    """

    def __init__(
        self,
        ledger: Ledger,
        url: str,
        devices: Sequence[Device],
        seed: str,
        disks: dict[str, Disk],
        *,
        stale: bool,
    ) -> None:
        super().__init__(name="chaos", daemon=True)
        self.ledger = ledger
        self.done: Counter[str] = Counter()
        self.chance = random.Random(seed)
        self._url = url
        self._devices = devices
        self._disks = disks
        self._network_kinds = [each for each in _NETWORK if stale or each[0] != "stale"]
        self._faults: list[tuple[float, dict[str, Any]]] = []
        self._ending = threading.Event()
        self._untroubled = 0.0
        self._troubles: list[tuple[int, Callable[[], None]]] = [
            (14, self.network),
            (4, self.kill),
            (2, self.freeze),
            (1, self.restart),
            (1, self.expire),
            (1, self.short_credentials),
            (1, self.hang_up),
            (1, self.turn_clock),
            (2, self.fill_disk),
            (1, self.protect_disk),
        ]

    def run(self) -> None:
        """Make trouble."""
        weights = [weight for weight, _ in self._troubles]
        while not self._ending.is_set():
            trouble = self.chance.choices([each for _, each in self._troubles], weights)[0]
            try:
                trouble()
            except (OSError, ValueError) as error:
                self.ledger.note("chaos", f"{trouble.__name__} fails: {error}")
            self._wait(self.chance.uniform(0.1, 2.0))
        self._faults = []
        self._send()
        control(self._url, "PUT", "settings", {"credential_seconds": 3600.0})
        for device in self._devices:
            device.turn_clock(0)

    def end(self) -> None:
        """Make no more trouble; returns when everything is whole again."""
        self._ending.set()
        self.join(120)

    def watch(self) -> None:
        """A daemon that ended by itself is started again; it may do so when its disk is broken."""
        for device in self._devices:
            device.watch()
            code = device.ended()
            if code is None:
                continue
            told = f"{device.name} ended by itself with {code}: {_last(device)}"
            if device.name in self._disks and time.monotonic() < self._untroubled + 15:
                self.ledger.note("chaos", told)
            else:
                self.ledger.broke("died", "", told)
            device.start()

    # Troubles

    def network(self) -> None:
        """One kind of fault for a few seconds."""
        kind, operations, more = self.chance.choice(self._network_kinds)
        fault: dict[str, Any] = {
            "kind": kind,
            "operations": list(operations),
            "probability": self.chance.choice((0.1, 0.3, 0.7)),
        }
        if more:
            fault |= {"500": {"applied": True}}.get(
                kind, {"seconds": self.chance.uniform(0.3, LATEST if kind == "late" else 3.0)}
            )
        self._faults.append((time.monotonic() + self.chance.uniform(0.5, 5.0), fault))
        self.ledger.note("chaos", f"network: {fault}")
        self._send()

    def kill(self) -> None:
        """`kill -9`, and the daemon is back soon after."""
        device = self._one()
        device.kill()
        self.done["kill -9"] += 1
        self._wait(self.chance.choice((0.0, 0.0, 1.0, 3.0)))
        device.start()
        if self.chance.random() < 0.2:
            # Again while it still recovers.
            self._wait(self.chance.uniform(0.3, 3.0))
            device.kill()
            self.done["kill -9"] += 1
            device.start()

    def freeze(self) -> None:
        """SIGSTOP for a while."""
        device = self._one()
        device.freeze(frozen=True)
        self.done["SIGSTOP"] += 1
        self._wait(self.chance.uniform(0.3, 6.0))
        device.freeze(frozen=False)

    def restart(self) -> None:
        """An orderly end, and a start."""
        device = self._one()
        device.stop()
        self.done["SIGTERM"] += 1
        device.start()

    def expire(self) -> None:
        """All credentials end at once."""
        self.ledger.note("chaos", "all credentials expire")
        self.done["expired credentials"] += 1
        control(self._url, "DELETE", "credentials")

    def short_credentials(self) -> None:
        """For a while, credentials live for seconds."""
        seconds = self.chance.choice((SHORT, 3600.0))
        self.ledger.note("chaos", f"new credentials live for {seconds:g} s")
        self.done["short credentials"] += 1
        control(self._url, "PUT", "settings", {"credential_seconds": seconds})
        control(self._url, "DELETE", "credentials")

    def hang_up(self) -> None:
        """All connections end."""
        self.done["hung up"] += 1
        with contextlib.suppress(ConnectionError):  # that one ends as well
            control(self._url, "DELETE", "connections")

    def turn_clock(self) -> None:
        """One device's clock jumps."""
        able = [device for device in self._devices if device.clock is not None]
        if able:
            device, seconds = self.chance.choice(able), self.chance.choice((-600, -7, 0, 5, 500))
            self.ledger.note("chaos", f"clock of {device.name} is off by {seconds} s")
            self.done["clock step"] += 1
            device.turn_clock(seconds)

    def fill_disk(self) -> None:
        """A disk is full for a while."""
        if self._disks:
            name = self.chance.choice(sorted(self._disks))
            worked = self._disks[name].fill()
            self._untroubled = time.monotonic() + 3600
            self.ledger.note("chaos", f"disk of {name} is full: {worked}")
            self.done["full disk"] += worked
            self._wait(self.chance.uniform(1.0, 8.0))
            self._disks[name].empty()
            self.ledger.note("chaos", f"disk of {name} has room again")
            self._untroubled = time.monotonic()

    def protect_disk(self) -> None:
        """A disk is read-only for a while, also for a daemon that starts in that time.

        The system refuses it while a file is open for writing, and a daemon holds its lock open.
        """
        for device in self._devices:
            disk = self._disks.get(device.name)
            if disk is None:
                continue
            device.kill()
            worked = any(disk.protect() or self._wait(0.05) for _ in range(20))
            self._untroubled = time.monotonic() + 3600
            device.start()
            self.ledger.note("chaos", f"disk of {device.name} is read-only: {worked}")
            self.done["read-only disk"] += worked
            self._wait(self.chance.uniform(1.0, 8.0))
            disk.unprotect()
            self.ledger.note("chaos", f"disk of {device.name} is writable again")
            self._untroubled = time.monotonic()

    def _one(self) -> Device:
        return self.chance.choice(list(self._devices))

    def _wait(self, seconds: float) -> bool:
        """Let time pass: faults end in it, and daemons that ended are noticed."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._ending.wait(min(left, 0.2))
            if self._ending.is_set():
                break
            ended = [each for each in self._faults if each[0] <= time.monotonic()]
            if ended:
                self._faults = [each for each in self._faults if each not in ended]
                self._send()
            self.watch()
        return False

    def _send(self) -> None:
        seed = self.chance.randrange(1 << 30)
        faults = [fault for _, fault in self._faults]
        control(self._url, "POST", f"faults?seed={seed}", faults)


def _last(device: Device) -> str:
    return device.log.read_text(errors="replace")[-600:]
