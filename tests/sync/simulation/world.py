"""The world: whose turn it is, what goes wrong, and when it is over."""

from __future__ import annotations

import hashlib
import logging
import random
import secrets
import traceback
from collections import defaultdict
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fakes import FakeClock
from tests.sync.simulation.cloud import LATEST, Cloud
from tests.sync.simulation.device import POLL, RESCAN, Crash, Device
from tests.sync.simulation.folder import digest
from tests.sync.simulation.people import Book, Person, Stranger
from tests.sync.simulation.scenario import Scenario, draw
from tests.sync.simulation.verdicts import Broken, Verdicts
from vaultsync.core import names
from vaultsync.remote import bucket, upload

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITE_BACK = 30.0
"""Seconds after which the kernel has written to the disk what people did."""
DEEPEST = 3
"""How many things may happen within one another."""


class World:
    """All devices, their people, the cloud, and the time.

    Attributes:
        quiet: Whether accidents and people have stopped.
        shown: Digests that each path of each device ever showed.
        conflicts: Conflict copies that were ever made.
        unexpected: Faults of the program that the engine has swallowed.
    """

    def __init__(self, scenario: Scenario, leave: frozenset[str]) -> None:
        self.scenario = scenario
        self.chance = random.Random(f"world {scenario.seed}")
        self.clock = FakeClock()
        self.trace: list[str] = []
        self.quiet = False
        self.versions = 0
        self.book = Book()
        self.verdicts = Verdicts(self, leave)
        self.cloud = Cloud(self)
        self.shown: defaultdict[str, dict[str, set[str]]] = defaultdict(dict)
        self.conflicts: list[str] = []
        self.unexpected: list[str] = []
        self.devices = [Device(self, number) for number in range(scenario.devices)]
        self.people = [Person(self, device) for device in self.devices]
        self.stranger = Stranger(self)
        self._running: list[Device] = []
        self._begun = self.clock.time

    def note(self, who: str, what: str) -> None:
        self.trace.append(f"{self.clock.time - self._begun:10.2f} {who:12} {what}")

    def show(self, device: Device, path: str, link: bool, data: bytes) -> None:
        """A path of a folder has these bytes now."""
        self.verdicts.whole(device, path, link, data)
        self.shown[device.name].setdefault(path, set()).add(digest(data))
        if names.is_conflict(path) and path not in self.conflicts:
            self.conflicts.append(path)
            self.note(device.name, f"shows {path}")
            self.verdicts.copied(device, path)

    # Boundaries

    def between(self, device: Device, what: str) -> None:
        """A device is between two steps of its own: others may act, and it may die."""
        self.note(device.name, what)
        if self.quiet:
            return
        chance, scenario = self.chance, self.scenario
        self.clock.time += chance.random() * 0.02
        if chance.random() < scenario.crashes:
            raise Crash(device)
        if len(self._running) < DEEPEST and chance.random() < scenario.races:
            self._meanwhile(device)

    def _meanwhile(self, device: Device) -> None:
        """Something happens in the middle of something else."""
        chance = self.chance
        pick = chance.random()
        if pick < 0.4:
            self.people[self.devices.index(device)].act()
        elif pick < 0.5:
            chance.choice(self.people).act()
        elif pick < 0.6 and self.cloud.late:
            late = self.cloud.late.pop(chance.randrange(len(self.cloud.late)))
            self.cloud.arrive(late)
        elif pick < 0.65 and self.scenario.foreign:
            self.stranger.act()
        elif pick < 0.7:
            self.pass_time(chance.choice((0.5, 3.0, 30.0)))
        elif pick < 0.85 and device.tasks and not device.folder.is_locked:
            self._running.append(device)
            try:
                device.task()
            finally:
                self._running.pop()
        else:
            self._step(chance.choice(self.devices))

    def _step(self, device: Device) -> None:
        if device in self._running:
            return
        self._running.append(device)
        try:
            device.step()
        finally:
            self._running.pop()
        self._require_expected()

    def _require_expected(self) -> None:
        if self.unexpected:
            self.verdicts.broken("unexpected", self.unexpected.pop())

    def pass_time(self, seconds: float) -> None:
        self.clock.time += seconds
        self.cloud.deliver()
        if seconds >= WRITE_BACK:
            for device in self.devices:
                device.folder.write_back()

    # The two halves of a run

    def restless(self) -> None:
        """People work, things break."""
        chance, scenario = self.chance, self.scenario
        for _ in range(scenario.steps):
            if chance.random() < scenario.edits:
                chance.choice(self.people).act()
            if scenario.foreign and chance.random() < 0.05:
                self.stranger.act()
            if chance.random() < scenario.offline:
                device = chance.choice(self.devices)
                device.offline = self.clock.time + chance.choice((5.0, 60.0, 600.0))
                self.note(device.name, "offline")
            if chance.random() < 0.1:
                self.pass_time(chance.choice((0.2, 1.0, 1.0, 5.0, 5.0, 30.0, 400.0)))
            if chance.random() < scenario.crashes * 5:
                device = chance.choice(self.devices)
                if device.engine is not None:
                    device.die()
            if chance.random() < 0.01:
                device = chance.choice(self.devices)
                if device.engine is not None:
                    chance.choice((device.engine.pause, device.engine.resume))()
            busy = chance.choice(self.devices)
            for _ in range(chance.choice((1, 3, 10, 30))):
                self._step(busy if chance.random() < 0.5 else chance.choice(self.devices))
                self.pass_time(chance.random() * 0.3)

    def settle(self) -> None:
        """No more accidents: everything becomes equal, and then nothing moves any more."""
        self.note("world", "is quiet from here on")
        self.quiet = True
        for device in self.devices:
            device.folder.write_back()
            if device.engine is not None:
                device.engine.resume()
        while self.cloud.late:
            self._quiet_time(self.clock.time + LATEST / 4)
        limit = self.clock.time + self.scenario.settle
        while self.verdicts.unequal() or not self._at_rest():
            if self.clock.time > limit:
                problem = self.verdicts.unequal() or "not at rest"
                self.verdicts.broken("converge", f"{problem}; waiting: {self._waiting()}")
                return
            self._quiet_time(self.clock.time + POLL)
        self.note("world", "is equal")
        self._quiet_time(self.clock.time + RESCAN)
        before = self._mutations()
        self._quiet_time(self.clock.time + 1.3 * RESCAN)
        if self._mutations() != before:
            self.verdicts.broken("rest", f"{before} became {self._mutations()}")
        if self.verdicts.unequal():
            self.verdicts.broken("converge", f"no longer: {self.verdicts.unequal()}")

    def _quiet_time(self, until: float) -> None:
        """Let all devices do what they have to, until a moment."""
        while self.clock.time < until:
            moments = [until]
            for device in self.devices:
                device.down = 0.0
                if device.engine is None:
                    device.step()
                engine = device.engine
                assert engine is not None
                if engine.guards.held:
                    self.note(device.name, "is told to let through what is held")
                    engine.decide("allow", None)
                for _ in range(2000):
                    while device.tasks:
                        device.task()
                    engine.turn(0)
                    if not device.tasks and engine._idle_seconds() > 0:
                        break
                else:
                    self.verdicts.broken("spin", f"{device.name} does not come to rest")
                self._require_expected()
                moments.append(self.clock.time + engine._idle_seconds())
            moments += [late.due for late in self.cloud.late]
            self.pass_time(max(0.01, min(moments) - self.clock.time))

    def _at_rest(self) -> bool:
        return all(device.engine is not None and device.engine.at_rest for device in self.devices)

    def _waiting(self) -> str:
        found = []
        for device in self.devices:
            if device.engine is not None:
                found += [
                    f"{device.name} {item.path} {item.code} {item.reason}"
                    for item in device.engine.waiting
                ]
                if not device.engine.at_rest:
                    found.append(f"{device.name} {device.engine.status.state}")
        return "; ".join(found)

    def _mutations(self) -> list[int]:
        return [self.cloud.writes] + [
            count for device in self.devices for count in (device.writes, device.folder.changes)
        ]

    def close(self) -> None:
        for device in self.devices:
            device.database.close()


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        scenario: What was played.
        broken: The rule that was broken; empty when all was well.
        detail: How.
        trace: All that happened.
    """

    scenario: Scenario
    broken: str
    detail: str
    trace: list[str]

    @property
    def fingerprint(self) -> str:
        """Equal for equal runs."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


def run(seed: int, leave: frozenset[str] = frozenset(), **changes: Any) -> Outcome:
    """Play the world of a seed.

    Args:
        seed: Which.
        leave: Rules that are not judged.
        changes: Settings of the scenario that are given instead of drawn.
    """
    with _names_from(seed):
        world = World(draw(seed, changes), leave)
    broken = detail = ""
    try:
        small = _small_parts() if world.scenario.parts else nullcontext()
        with _listening(world), _names_from(world.scenario.seed), small:
            world.restless()
            world.settle()
            world.verdicts.judge()
    except Broken as error:
        broken, detail = error.rule, str(error)
        world.note("VERDICT", detail)
    finally:
        world.close()
    return Outcome(world.scenario, broken, detail, world.trace)


@contextmanager
def _small_parts() -> Iterator[None]:
    """Let a few bytes count as large."""
    part, whole = upload.PART, bucket.WHOLE
    upload.PART, bucket.WHOLE = 6, 10
    try:
        yield
    finally:
        upload.PART, bucket.WHOLE = part, whole


@contextmanager
def _names_from(seed: int) -> Iterator[None]:
    """Draw from a seed what the disk draws from the system."""
    chance, drawn = random.Random(f"names {seed}"), secrets.token_hex

    def token_hex(nbytes: int | None = None) -> str:
        return chance.randbytes(nbytes or 16).hex()

    secrets.token_hex = token_hex
    try:
        yield
    finally:
        secrets.token_hex = drawn


class _Ear(logging.Handler):
    """Hears of faults that the engine did not expect."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        trace = record.exc_info[2] if record.exc_info else None
        where = "".join(traceback.format_tb(trace)[-2:]) if trace is not None else ""
        fault = record.exc_info[1] if record.exc_info else None
        self._world.unexpected.append(f"{record.getMessage()}: {fault!r}\n{where}")


@contextmanager
def _listening(world: World) -> Iterator[None]:
    logger, ear = logging.getLogger("vaultsync"), _Ear(world)
    before = logger.propagate
    logger.addHandler(ear)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(ear)
        logger.propagate = before
