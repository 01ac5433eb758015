"""What must hold at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.campaign.ledger import digest, made
from tests.campaign.trees import CONTROL, bins, look, same
from vaultsync.core.names import is_conflict

if TYPE_CHECKING:
    from tests.campaign.world import World

CANARY = ("a.txt", "b.txt", "sub/x.bin")


class Verdict:
    """Judges a world that has come to rest, or did not in time.

    Args:
        world: The world.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.ledger = world.ledger
        self.writes = world.writes()
        self.prefix = world.devices[0].prefix
        self.trees = {device.name: look(device.folder) for device in world.devices}
        self.bins = {device.name: bins(device.folder) for device in world.devices}

    def judge(self, *, rested: bool = True) -> None:
        """Look for every rule that is broken; each goes into the ledger.

        Args:
            rested: Whether all had come to rest, so that trees must be as people left them.
        """
        self._lost()
        self._torn()
        self._copies()
        if rested:
            self._apart()
        self._canaries()

    def totals(self) -> dict[str, Any]:
        """What happened, in numbers."""
        broken = [each.rule for each in self.ledger.broken]
        versions = [each for each in self.ledger.versions.values() if each.saved]
        copies = {path for tree in self.trees.values() for path in tree if is_conflict(path)}
        chaos = self.world.chaos
        return {
            "versions_saved": len(versions),
            "versions_judged": len(list(self.ledger.wanted())),
            "deeds": sum(person.deeds for person in self.world.people),
            "foreign_deeds": self.world.stranger.deeds if self.world.stranger else 0,
            "kills": sum(device.kills for device in self.world.devices),
            "let_through": sum(guardian.allowed for guardian in self.world.guardians),
            "databases_lost": self.world.forgotten,
            "troubles": dict(chaos.done) if chaos is not None else {},
            "files": len(next(iter(self.trees.values()))),
            "objects_written": len(self.writes),
            "conflict_copies": len(copies),
            "clashes": len(self.world.clashing),
            "lost": broken.count("lost"),
            "torn": broken.count("torn"),
            "broken": len(broken),
        }

    def _lost(self) -> None:
        """Each version that a person saved and did not supersede is somewhere."""
        kept = {wrote["sha256"] for wrote in self.writes}
        for name, tree in self.trees.items():
            kept |= {seen.sha256 for seen in tree.values()}
            kept |= set(self.bins[name].values())
        for version in self.ledger.wanted():
            if version.sha256 not in kept:
                detail = f"{version.sha256} of {version.who}, {version.size} bytes, is nowhere"
                self.ledger.broke("lost", version.path, detail)

    def _torn(self) -> None:
        """No file and no object is anything that nobody ever wrote."""
        for name, tree in self.trees.items():
            for path, seen in tree.items():
                if seen.sha256 and not self.ledger.knows(seen.sha256):
                    self.ledger.broke("torn", path, f"{name}: {self._told(seen.sha256)}")
            for path, sha256 in self.bins[name].items():
                if not self.ledger.knows(sha256):
                    self.ledger.broke("torn", path, f"trash of {name}: {self._told(sha256)}")
        for wrote in self.writes:
            path = wrote["key"].removeprefix(self.prefix)
            if path.split("/")[0] == CONTROL or not wrote["sha256"]:
                continue
            if not self.ledger.knows(wrote["sha256"]):
                detail = f"{wrote['size']} bytes by {wrote['operation']} {wrote['version']}"
                self.ledger.broke("torn", path, f"vault: {self._told(wrote['sha256'])}, {detail}")

    def _told(self, sha256: str) -> str:
        names = [device.name for device in self.world.devices]
        if sha256 in {digest(made(f"canary-{name}", 200)) for name in names}:
            return "content from outside of the folder"
        return f"nobody wrote {sha256}"

    def _apart(self) -> None:
        """Where one person works alone, the end is exactly what they left."""
        for person in self.world.people:
            for name, tree in self.trees.items():
                found = {p: s for p, s in tree.items() if p.startswith(person.own + "/")}
                for path in sorted(found.keys() | person.expected.keys()):
                    here, wanted = found.get(path), person.expected.get(path)
                    if not same(here, wanted):
                        self.ledger.broke("apart", path, f"{name}: {here} instead of {wanted}")

    def _copies(self) -> None:
        """Where one person works alone, there never was a conflict copy."""
        for person in self.world.people:
            for wrote in self.writes:
                path = wrote["key"].removeprefix(self.prefix)
                if path.startswith(person.own + "/") and is_conflict(path):
                    self.ledger.broke("conflict", path, "a copy where one person works alone")

    def _canaries(self) -> None:
        """Nothing outside of the folder was touched."""
        for person in self.world.people:
            wanted = made(f"canary-{person.who}", 200)
            found = {path for path, seen in look(person.canary).items() if seen.kind != "dir"}
            if found != set(CANARY) or any(
                (person.canary / path).read_bytes() != wanted for path in CANARY
            ):
                self.ledger.broke("outside", str(person.canary), f"{sorted(found)}")
