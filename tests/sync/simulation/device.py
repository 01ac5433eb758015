"""One device: folder, database, engine; it lives, dies, and lives again."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NoReturn

from tests.fakes import MemoryLedger
from tests.sync.simulation.cloud import PREFIX, Client
from tests.sync.simulation.database import BoundaryStore, Database
from tests.sync.simulation.folder import Folder, ignored
from tests.sync.simulation.people import COMMON
from vaultsync.remote.bucket import Bucket
from vaultsync.sync.engine import Engine
from vaultsync.sync.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sync.simulation.world import World
    from vaultsync.core.model import Row

POLL = 20.0
RESCAN = 200.0


class Crash(BaseException):
    """The process of a device ends here, without a word."""

    def __init__(self, device: Device) -> None:
        super().__init__(device.name)
        self.device = device


class Inline:
    """Runs at once what a thread pool would run."""

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*arguments))
        except Exception as error:  # noqa: BLE001 - the future hands it on
            done.set_exception(error)
        return done

    def shutdown(self) -> None:
        pass


class Device:
    """A machine with a person.

    Attributes:
        engine: Its engine; None while the process does not run.
        offline: Until when no request leaves, in seconds of the clock.
        down: Until when the process does not run.
    """

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"dev{number}"
        self.database = Database(remember=world.scenario.power)
        self.uploads = MemoryLedger() if world.scenario.resumes else None
        self.engine: Engine | None = None
        self.tasks: list[Callable[[], None]] = []
        self.offline = 0.0
        self.down = 0.0
        self.client: Client | None = None
        self.attempts = 0
        self.crashes = 0
        self._ops = 0
        self.folder = Folder(world, self)

    # Its life

    def start(self) -> None:
        world = self.world
        self.tasks = []
        store = BoundaryStore(self.database, self.between, self._saved)
        self.client = Client(world.cloud, self.between, self.accident)
        disk = self.folder.start()
        disk.clear_staging([operation.op for operation in store.journal()])
        bucket = Bucket(self.client, PREFIX, self.name, ignored, ledger=self.uploads)
        bucket._uploader._pool.shutdown()
        bucket._uploader._pool = Inline()  # type: ignore[assignment]
        self.store = store
        self.engine = Engine(
            store,
            disk,
            bucket,
            self,
            world.clock,
            self._new_op,
            ignored,
            Settings(poll_seconds=POLL, rescan_seconds=RESCAN, delete_quiet=1.0, lanes=4),
        )
        world.note(self.name, "starts")

    def submit(self, task: Callable[[], None]) -> None:
        """The engine's pool: tasks wait until chance picks one."""
        self.tasks.append(task)

    def die(self) -> None:
        """What is left after a crash."""
        world = self.world
        self.engine = None
        self.tasks = []
        self.crashes += 1
        if self.client is not None:
            self.attempts += self.client.attempts
            self.client = None
        lost = ""
        if self.database.connection.in_transaction:
            self.database.connection.execute("ROLLBACK")
        if world.scenario.forget and world.chance.random() < 0.2:
            self.database.erase()
            lost = ", and the database is gone"
        elif world.scenario.power and world.chance.random() < 0.5:
            keep = world.chance.randrange(len(self.database.images))
            lost = f", {len(self.database.images) - 1 - keep} commits are lost"
            self.database.cut(keep)
            lost += self._cut_power()
        self.down = world.clock.time + world.chance.choice((0.0, 0.0, 1.0, 60.0))
        self.folder.kill()
        world.note(self.name, f"CRASH{lost}")

    def _cut_power(self) -> str:
        """The folder's disk loses what was not synced; what a person had not synced is excused."""
        durable, gone = self.folder.cut_power()
        for data in gone - (durable - COMMON):
            self.world.book.wanted.pop(data, None)
        return f", the power too, with {sorted(gone)}"

    def again(self) -> NoReturn:
        """What still runs of a former life ends as well."""
        raise Crash(self)

    @property
    def writes(self) -> int:
        """Requests that would change the vault, sent so far."""
        return self.attempts + (self.client.attempts if self.client is not None else 0)

    # Its steps

    def step(self) -> None:
        """One task of the pool, or one turn of the engine; a crash ends here."""
        try:
            if self.engine is None:
                if self.world.clock.time >= self.down:
                    self.start()
            elif self.tasks and self.world.chance.random() < 0.6:
                self.task()
            else:
                self.engine.turn(0)
        except Crash as crash:
            assert crash.device is self  # noqa: PT017 - another device's crash is a fault of ours
            self.die()

    def task(self) -> None:
        self.tasks.pop(self.world.chance.randrange(len(self.tasks)))()

    def between(self, what: str) -> None:
        self.world.between(self, what)

    def accident(self, kind: str) -> str:
        """What becomes of a request of a kind, "read" or "write"."""
        world = self.world
        if world.quiet:
            return ""
        if self.offline > world.clock.time:
            return "lost" if kind == "read" else "offline"
        scenario, chance = world.scenario, world.chance
        if chance.random() >= scenario.faults:
            return ""
        if kind == "read":
            return chance.choice(("lost", "busy"))
        if chance.random() < scenario.late:
            return "late"
        usual = ["busy", "conflict", "lost", "unanswered", "unanswered"]
        if scenario.twice:
            usual.append("twice")
        return chance.choice(usual)

    def mark(self, *paths: str) -> None:
        """The watcher's word, unless it was deaf."""
        if self.engine is not None and self.world.chance.random() >= self.world.scenario.deaf:
            for path in paths:
                self.engine.mark(path)

    def _new_op(self) -> str:
        self._ops += 1
        return f"{self.name}-{self._ops}"

    def _saved(self, row: Row) -> None:
        if not row.path.endswith("/"):
            self.world.note(self.name, f"writes down {_words(row)}")
        self.world.verdicts.saved(self, row)


def _words(row: Row) -> str:
    """A row in short: its three trees and its marks."""
    local, base, remote = row.local, row.base, row.remote
    here = f"{row.local_absence}" if local is None else f"{local.tag} {(local.sha256 or '?')[:4]}"
    agreed = "none" if base is None else f"{base.local_tag}={base.remote_tag[:4]} {base.sha256[:4]}"
    there = (
        f"{row.remote_absence}"
        if remote is None
        else f"{remote.tag[:4]} {(remote.sha256 or '?')[:4]} {','.join(remote.ops)}"
    )
    marks = f"{' GONE' if row.local_gone else ''} {' '.join(row.intents)}"
    return f"{row.path}: [{here}] base [{agreed}] vault [{there}]{marks}"
