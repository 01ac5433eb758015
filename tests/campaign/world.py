"""The whole: a server, devices, people, a foreign writer, trouble; and when it has come to rest."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from tests.campaign.chaos import LATEST, Chaos
from tests.campaign.device import Device, compiled_clock
from tests.campaign.disk import Disk, may_mount
from tests.campaign.drive import DriveDevice
from tests.campaign.guardian import Guardian
from tests.campaign.ledger import Ledger, made
from tests.campaign.nursery import Nursery
from tests.campaign.person import SHARED, Person, Refusals
from tests.campaign.stranger import Stranger
from tests.campaign.trees import clashes, differences, look, stats, vault
from tests.s3model.process import ModelProcess, control
from tests.s3model.service import VAULT
from vaultsync.core.model import State

if TYPE_CHECKING:
    from pathlib import Path

    from tests.campaign.trees import Tree

NAMES = ("laptop", "desktop", "tablet")
EMAIL = "someone@example.com"
MUTATING = frozenset(
    {
        "PutObject", "DeleteObject", "CopyObject", "CreateMultipartUpload", "UploadPart",
        "UploadPartCopy", "CompleteMultipartUpload", "AbortMultipartUpload",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What kind of campaign it is.

    Attributes:
        seed: Of all choices.
        seconds: How long people work.
        devices: How many there are.
        drives: How many of them, the last ones, are drives.
        calm: Whether nothing goes wrong.
        pace: Deeds of a person in a second.
        poll: `folder.poll_seconds`.
        forget: Seconds between two losses of a state database; 0 for never.
        patience: Seconds within which all must become equal at the end.
        rest: Seconds for which nothing may happen then.
        stale: Whether listings may be old.
        foreign: Whether a foreign program writes as well.
    """

    seed: int
    seconds: float
    devices: int = 2
    drives: int = 0
    calm: bool = False
    pace: float = 3.0
    poll: float = 0.5
    forget: float = 300.0
    patience: float = 420.0
    rest: float = 12.0
    stale: bool = False
    foreign: bool = True


class World:
    """Everything of one campaign; `with` starts and ends all processes.

    Args:
        plan: What kind.
        home: Where its files are.

    Attributes:
        ledger: The book.
        devices: Those there are.
        people: One on each.
        guardians: One on each, who answers its guards.
        forgotten: How often a state database was lost.
        clashing: Names that the vault holds as a file and as a directory, when at rest.
    """

    def __init__(self, plan: Plan, home: Path) -> None:
        self.plan = plan
        self.home = home
        self.ledger = Ledger()
        self.url = ""
        self.disks: dict[str, Disk] = {}
        self.devices: list[Device] = []
        self.people: list[Person] = []
        self.guardians: list[Guardian] = []
        self.stranger: Stranger | None = None
        self.chaos: Chaos | None = None
        self.forgotten = 0
        self.clashing: set[str] = set()
        self._server = ModelProcess()
        self._nursery = Nursery()

    def __enter__(self) -> Self:
        self._nursery.__enter__()
        self.url = self._server.__enter__().url
        settings = {"credentials_are_checked": True, "versions_may_go": False}
        control(self.url, "PUT", "settings", settings)
        for number, name in enumerate(NAMES[: self.plan.devices]):
            self._furnish(number, name)
        if self.plan.foreign:
            self.stranger = Stranger(self.ledger, self.url, EMAIL, f"{self.plan.seed} foreign", 3.0)
        return self

    def _furnish(self, number: int, name: str) -> None:
        drive = number >= self.plan.devices - self.plan.drives
        disk = None
        if number == 1 and may_mount() and not self.plan.calm:
            disk = self.disks[name] = Disk(self.home / name / "disk", self._nursery)
        clock = compiled_clock(self.home) if number == 0 and not self.plan.calm else None
        device: Device
        if drive:
            device = DriveDevice(self.home, name, self.ledger, self._nursery, None, clock)
            if disk is not None:
                device.keep_on(disk.place)
        else:
            folder = None if disk is None else disk.place / "folder"
            device = Device(self.home, name, self.ledger, self._nursery, folder, clock)
        device.join(self.url, self.plan.poll)
        self.devices.append(device)
        canary = self.home / name / "canary"
        (canary / "sub").mkdir(parents=True)
        for path in ("a.txt", "b.txt", "sub/x.bin"):
            (canary / path).write_bytes(made(f"canary-{name}", 200))
        seed = f"{self.plan.seed} {name}"
        refusals = Refusals(broken=disk is not None) if drive else None
        person = Person(
            self.ledger, name, device.folder, canary, seed, self.plan.pace, drive=refusals
        )
        self.people.append(person)
        self.guardians.append(Guardian(device))

    @property
    def drives(self) -> list[DriveDevice]:
        """Those of the devices that are drives."""
        return [device for device in self.devices if isinstance(device, DriveDevice)]

    def __exit__(self, *_: object) -> None:
        for person in self.people:
            if person.is_alive():
                person.end()
        for guardian in self.guardians:
            guardian.end()
        for device in self.devices:
            device.freeze(frozen=False)
            device.close()
        for disk in self.disks.values():
            disk.away()
        self._nursery.__exit__()
        self._server.__exit__()

    def start(self) -> None:
        """Start the daemons."""
        for device in self.devices:
            device.start()
        for drive in self.drives:
            drive.mount()
        for guardian in self.guardians:
            guardian.start()

    def play(self) -> None:
        """Let people work, and things go wrong, for as long as planned."""
        self.start()
        for person in self.people:
            person.start()
        if self.stranger is not None:
            self.stranger.start()
        self._trouble()
        left, turn = self.plan.seconds, 0
        while left > 0 and not self.ledger.broken:
            if turn:
                self.forget(self.devices[turn % len(self.devices)])
            turn += 1
            left -= self._pass(min(self.plan.forget or left, left))
        for person in self.people:
            person.end()
        if self.stranger is not None:
            self.stranger.end()
        self._untrouble()

    def forget(self, device: Device) -> None:
        """Lose a state database at a quiet moment, when that must cost nothing."""
        for person in self.people:
            person.rest()
        if self.stranger is not None:
            self.stranger.rest()
        self._untrouble()
        for drive in self.drives:
            drive.unmount()
            drive.mount()
        if self.settle():
            device.kill()
            device.forget()
            self.forgotten += 1
            device.start()
            self.settle()
        for person in self.people:
            person.resume()
        if self.stranger is not None:
            self.stranger.resume()
        self._trouble()

    def reread(self) -> None:
        """What a drive no longer has here must come from the vault as it was."""
        for drive in self.drives:
            before = look(drive.folder)
            drive.empty_cache()
            now = look(drive.folder)
            for path in sorted(before.keys() | now.keys()):
                if now.get(path) != before.get(path):
                    told = f"{now.get(path)} instead of {before.get(path)}"
                    self.ledger.broke("not in the vault", path, f"{drive.name}: {told}")

    def settle(self) -> bool:
        """Wait until all is equal and nothing is to be done; otherwise that is a broken rule."""
        self.ledger.note("judge", "waits for rest")
        deadline = time.monotonic() + self.plan.patience
        calm = time.monotonic() + (0 if self.plan.calm else LATEST + 1)
        why = ["not asked yet"]
        while time.monotonic() < deadline:
            time.sleep(0.5)
            if time.monotonic() > calm:
                before, why = why, self.restless() or self.unequal() or self.stuck()
                if why and why != before:
                    self.ledger.note("judge", f"not yet: {'; '.join(why[:3])}")
                if not why:
                    self.ledger.note("judge", "all is equal and at rest")
                    return True
        waiting = [f"{one.name}: {line}" for one in self.devices for line in one.waiting()]
        self.ledger.broke(
            "diverged", self._first(why + waiting), "\n  ".join([*why[:20], *waiting[:40]])
        )
        return False

    def restless(self) -> list[str]:
        """Which daemons say that something is to be done."""
        told = []
        for device in self.devices:
            device.watch()
            code = device.ended()
            if code is not None:
                self.ledger.broke("died", "", f"{device.name} ended by itself with {code}")
                device.start()
            status = device.status()
            if status is None:
                told.append(f"{device.name} does not answer")
            elif status.state is not State.IDLE or status.pending or status.transfers:
                said = f"{status.state}, {status.pending} pending, {status.reason}"
                told.append(f"{device.name}: {said}")
        return told

    def stuck(self) -> list[str]:
        """What waits for a person, although nobody has anything to decide."""
        told = []
        for device in self.devices:
            status = device.status()
            if status is None or status.held or (status.blocked and not self.clashing):
                told += [f"{device.name}: {line}" for line in device.waiting()]
        return told

    def unequal(self) -> list[str]:
        """How the folders and the vault differ."""
        there = self.vault()
        trees = {device.name: look(device.folder) for device in self.devices}
        self.clashing = {path for path in clashes(there) if path.startswith(f"{SHARED}/")}
        first = trees[self.devices[0].name]
        implied = {path: seen for path, seen in first.items() if seen.kind == "dir"}
        told = differences(first, there | implied, self.clashing)
        for name, tree in trees.items():
            told += [f"{name}: {line}" for line in differences(tree, first, self.clashing)]
        return told

    def quiet(self) -> None:
        """At rest, nothing may be written on either side."""
        before = [stats(device.folder) for device in self.devices]
        asked = control(self.url, "GET", "state")["requests"]
        time.sleep(self.plan.rest)
        for device, told in zip(self.devices, before, strict=True):
            now = stats(device.folder)
            for path in sorted(told.keys() | now.keys()):
                if told.get(path) != now.get(path):
                    detail = f"{device.name}: {now.get(path)} instead of {told.get(path)}"
                    self.ledger.broke("restless", path, detail)
        for request in control(self.url, "GET", f"record?from={asked}")["requests"]:
            if request["operation"] in MUTATING:
                self.ledger.broke("restless", request["key"], f"{request['operation']} at rest")

    def writes(self) -> list[dict[str, Any]]:
        """All that was ever written to the vault."""
        query = f"versions?bucket={VAULT}&prefix={quote(self.devices[0].prefix, safe='')}"
        found: list[dict[str, Any]] = control(self.url, "GET", query)
        return found

    def vault(self) -> Tree:
        """What the vault shows."""
        return vault(self.writes(), self.devices[0].prefix)

    def _trouble(self) -> None:
        if not self.plan.calm:
            before = self.chaos
            seed = f"{self.plan.seed} chaos {self.forgotten}"
            self.chaos = Chaos(
                self.ledger, self.url, self.devices, seed, self.disks, stale=self.plan.stale
            )
            if before is not None:
                self.chaos.done = before.done
            self.chaos.start()

    def _untrouble(self) -> None:
        self.ledger.note("judge", "no more trouble")
        if self.chaos is not None:
            self.chaos.end()

    def _pass(self, seconds: float) -> float:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.ledger.broken:
            time.sleep(0.2)
        return seconds

    def _first(self, why: list[str]) -> str:
        """The path that the first line with one tells of."""
        found = (re.search(r"'([^']+)'|\"([^\"]+)\"", line) for line in why)
        return next((match[1] or match[2] for match in found if match is not None), "")
