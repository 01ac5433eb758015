"""What must hold during a run and at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sync.simulation.people import COMMON
from vaultsync.core import names
from vaultsync.core.model import Kind
from vaultsync.core.plan import executable

if TYPE_CHECKING:
    from tests.sync.simulation.device import Device
    from tests.sync.simulation.people import Deed
    from tests.sync.simulation.world import World
    from vaultsync.core.model import Row


class Broken(BaseException):
    """A promise was not kept."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


class Verdicts:
    """Judges a world.

    Args:
        world: The world.
        leave: Names of rules that are not judged.
    """

    def __init__(self, world: World, leave: frozenset[str]) -> None:
        self.world = world
        self.leave = leave

    def broken(self, rule: str, detail: str) -> None:
        if rule not in self.leave:
            raise Broken(rule, detail)

    # During the run

    def copied(self, device: Device, path: str) -> None:
        """4. One writer, or writers who keep apart, never get a conflict copy."""
        if self.world.scenario.apart:
            self.broken("conflict", f"{device.name}: {path}")

    def whole(self, device: Device, path: str, link: bool, data: bytes) -> None:
        """7. Nobody ever sees bytes that no one wrote."""
        if (link, data) not in self.world.book.known:
            self.broken("torn", f"{device.name} {path}: {'link to ' if link else ''}{data!r}")

    def saved(self, device: Device, row: Row) -> None:
        """6. A base was once true on both sides."""
        base = row.base
        if base is None or base.kind is not Kind.FILE:
            return
        seen_here = self.world.shown[device.name].get(row.path, set())
        seen_there = self.world.cloud.ever.get(row.path, set())
        if not base.remote_tag:  # an ancestor of what the vault shows, perhaps moved here since
            seen_there = set().union(*self.world.cloud.ever.values())
        if base.sha256 not in seen_here:
            self.broken("base", f"{device.name} {row.path}: never shown here: {base}")
        if base.sha256 not in seen_there:
            self.broken("base", f"{device.name} {row.path}: never shown in the vault: {base}")

    # At the end

    def unequal(self) -> str:
        """How the replicas and the vault differ; empty when they are equal.

        With "clash" left out, names that the vault holds both as a file and as a folder do not
        count: people have to part those.
        """
        vault = self.world.cloud.tree()
        there = {path: data for path, data in vault.items() if not path.endswith("/")}
        apart: set[str] = set()
        if "clash" in self.leave:
            apart = {path for path in there if any(key.startswith(path + "/") for key in vault)}
        there = {path: data for path, data in there.items() if not _within(path, apart)}
        there |= {path: b"-> " + there[path] for path in self.world.cloud.links() & there.keys()}
        for device in self.world.devices:
            files = {
                path: b"-> " + version.data if version.link else version.data
                for path, version in device.folder.files.items()
                if not _within(path, apart)
            }
            # A folder kept for its ignored files stays; the file of its name waits with a reason.
            kept = device.folder.unmanaged()
            wanted = {path: data for path, data in there.items() if path + "/" not in kept}
            if files != wanted:
                return f"{device.name}: {_difference(files, wanted)}"
        return ""

    def judge(self) -> None:
        """Everything that must be true once the world has come to rest."""
        self._lost()
        self._wanted()
        self._untouched()
        self._executable()
        self._folders()
        self._outside()

    def _outside(self) -> None:
        """6. Nothing outside the root is written."""
        for device in self.world.devices:
            if not device.folder.untouched_outside():
                self.broken("outside", f"{device.name}: something was written there")

    def _lost(self) -> None:
        """1. No version that a person saved is lost."""
        kept = set(self.world.cloud.kept)
        for device in self.world.devices:
            kept |= device.folder.kept()
        wanted = {data for data, count in self.world.book.wanted.items() if count > 0}
        if self.world.scenario.power:  # which of many equal ones a cut took, nobody knows
            wanted -= COMMON
        if wanted - kept:
            self.broken("lost", f"{sorted(wanted - kept)}")

    def _wanted(self) -> None:
        """5. Where people keep apart, the end is exactly what they wanted."""
        if not self.world.scenario.apart:
            return
        vault = self.world.cloud.tree()
        there = {path: data for path, data in vault.items() if not path.endswith("/")}
        wanted, doubtful = self.world.book.intended, self.world.book.uncertain
        there = {path: data for path, data in there.items() if path not in doubtful}
        wanted = {path: data for path, data in wanted.items() if path not in doubtful}
        if there != wanted:
            self.broken("wanted", _difference(there, wanted))

    def _untouched(self) -> None:
        """5. What nobody touched after it was saved is live."""
        live: dict[str, set[bytes]] = {}
        for path, data in self.world.cloud.tree().items():
            live.setdefault(names.original_name(path), set()).add(data)
        deeds = self.world.book.deeds
        for index, deed in enumerate(deeds):
            if deed.data is None or not deed.fresh or not deed.data:
                continue
            if deed.path in self.world.book.uncertain:
                continue
            if any(_touches(later, deed) for later in deeds[index + 1 :]):
                continue
            if deed.data not in live.get(names.original_name(deed.path), set()):
                self.broken("untouched", f"{deed}")

    def _executable(self) -> None:
        """The executable bit is the same everywhere."""
        if self.world.scenario.foreign:
            return
        first = self.world.devices[0]
        theirs, book = first.folder.files, self.world.book
        for device in self.world.devices:
            for path, version in sorted(device.folder.files.items()):
                there = theirs.get(path)
                if version.link or (there is not None and there.link):
                    continue
                if not version.data:  # all empty objects have one ETag: a known limit
                    continue
                here = executable(version.mode)
                if there is not None and here != executable(there.mode):
                    self.broken("mode", f"{device.name} and {first.name}: {path}")
                sure = self.world.scenario.apart and path not in book.uncertain
                if sure and here != book.executable.get(path):
                    self.broken("mode", f"{device.name}: {path} is not as wanted")

    def _folders(self) -> None:
        """Empty directories are the same everywhere, but for those of ignored files."""
        if self.world.scenario.skips:
            return
        left_out = {path for device in self.world.devices for path in device.folder.unmanaged()}
        left_out |= {path[:-1] for path in left_out}  # and the files that such a folder keeps out
        first = self.world.devices[0].folder.tree().keys() - left_out
        for device in self.world.devices[1:]:
            here = device.folder.tree().keys() - left_out
            if here != first:
                self.broken(
                    "folders",
                    f"{device.name}: {sorted(here - first)} too many,"
                    f" {sorted(first - here)} missing",
                )


def _within(path: str, tops: set[str]) -> bool:
    return any(path == top or path.startswith(top + "/") for top in tops)


def _touches(later: Deed, deed: Deed) -> bool:
    one, other = later.path, deed.path
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def _difference(here: dict[str, bytes], there: dict[str, bytes]) -> str:
    paths = sorted(here.keys() | there.keys())
    return ", ".join(
        f"{path}: {here.get(path)!r} instead of {there.get(path)!r}"
        for path in paths
        if here.get(path) != there.get(path)
    )
