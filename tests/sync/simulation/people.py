"""What people and foreign programs do, and the book in which it is written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.sync.simulation.cloud import PREFIX
from tests.sync.simulation.folder import SKIP
from vaultsync.core import names

if TYPE_CHECKING:
    from tests.sync.simulation.device import Device
    from tests.sync.simulation.folder import Folder, Version
    from tests.sync.simulation.world import World

NAMES = ("a", "b", "c", "d/a", "d/b", "e/f/g", "e/h")
CLASHING = ("a/x", "d", "e/f", "b/y/z")
COMMON = frozenset({b"", b"the same", b"a", b"../outside/secret", b"/nowhere"})
"""Contents that are saved again and again, so that nobody can tell which of them was lost."""
STYLES = ("write", "write", "rename", "store")
"""How programs save: over the old bytes, by a new file renamed over it, or through a mapping."""
FOLDERS = ("d", "e", "e/f", "h", "h/i")


@dataclass(frozen=True)
class Deed:
    """Something that a person or program did to a path.

    Attributes:
        who: Name of the device, or "foreign".
        path: What it was done to.
        data: The bytes that were saved there; None when something was taken away.
        fresh: Whether those bytes were never at that path before.
    """

    who: str
    path: str
    data: bytes | None
    fresh: bool


class Book:
    """All deeds, what must still exist because of them, and what each path should be.

    Attributes:
        wanted: Versions that somebody saved and nobody overwrote or removed by hand.
        known: Contents that somebody wrote, with whether each is a link's.
        uncertain: Paths that a power cut changed, so that nobody can say what is wanted there.
        intended: Per path, what its (only) person wants there; for scenarios that keep people
            apart.
    """

    def __init__(self) -> None:
        self.deeds: list[Deed] = []
        self.wanted: Counter[bytes] = Counter()
        self.intended: dict[str, bytes] = {}
        self.executable: dict[str, bool] = {}
        self.known: set[tuple[bool, bytes]] = {(False, b"")}
        self.uncertain: set[str] = set()
        self._seen: set[tuple[str, bytes]] = set()

    def saved(
        self, who: str, path: str, data: bytes, mode: int = 0o644, *, link: bool = False
    ) -> None:
        self.known.add((link, data))
        fresh = (path, data) not in self._seen
        self._seen.add((path, data))
        self.deeds.append(Deed(who, path, data, fresh))
        self.wanted[data] += 1
        self.intended[path] = data
        self.executable[path] = bool(mode & 0o100)

    def taken(self, who: str, path: str, data: bytes) -> None:
        """A person overwrote, moved or removed a version: it is no longer asked for here."""
        self.deeds.append(Deed(who, path, None, False))
        if self.wanted[data] > 0:
            self.wanted[data] -= 1
        self.intended.pop(path, None)


class Person:
    """Somebody who works in a device's folder."""

    def __init__(self, world: World, device: Device) -> None:
        self.world = world
        self.device = device
        self.removed: list[tuple[str, bytes]] = []
        kinds = world.scenario.kinds
        self.own = f"{device.name}." if world.scenario.apart else ""
        self.names = [self.own + name for name in (NAMES + CLASHING if kinds else NAMES)]
        self.folders = [self.own + name for name in FOLDERS]

    def act(self) -> None:
        """Do something."""
        chance = self.world.chance
        deeds = [self.save] * 6 + [self.remove] * 2 + [self.touch, self.chmod, self.move]
        deeds += [self.restore, self.swap, self.edit, self.edit, self.edit]
        if self.world.scenario.folders:
            deeds += [self.make_folder, self.remove_folder, self.move_folder, self.remove_tree]
        if self.world.scenario.kinds:
            deeds += [self.become]
        if self.world.scenario.links:
            deeds += [self.symlink, self.symlink]
            if self.world.scenario.kinds and self.world.scenario.folders:
                deeds += [self.swap_parent]
        if self.world.scenario.skips:
            deeds += [self.ignore]
        chance.choice(deeds)()

    # Deeds

    def save(self) -> None:
        """A file by a name from the list."""
        path = self.world.chance.choice(self.names)
        if self.folder.is_free(path):
            self._save(path, self._bytes())

    def edit(self) -> None:
        """New bytes for a file that is there, often as many as before, or more at its end."""
        path = self._any_file()
        if path:
            data = self.folder.files[path].data
            if self.world.chance.random() < 0.2:
                self._save(path, data[:40] + self._bytes())
            else:
                self._save(path, self._bytes(len(data)))

    def symlink(self) -> None:
        """A link to something here, elsewhere, or nowhere."""
        path, chance = self.world.chance.choice(self.names), self.world.chance
        if self.folder.is_free(path):
            target = chance.choice((b"a", b"../outside/secret", b"/nowhere", self._bytes(4)))
            self._link(path, target or b"a")

    def swap_parent(self) -> None:
        """A directory is moved away, and a link to it or to elsewhere takes its place."""
        path = self.world.chance.choice(self.folders)
        aside = f"{self.own}aside.d"
        if self.folder.is_directory(path) and not self.folder.is_directory(aside):
            if not self.folder.is_free(aside) or aside in self.folder.files:
                return
            self._move_folder(path, aside)
            target = self.world.chance.choice((aside, "/home/outside", "/home/outside/d"))
            self._link(path, ("../" * path.count("/") + target).encode())

    def ignore(self) -> None:
        """A file that vaultsync is told to leave alone."""
        path = self.world.chance.choice(self.names)
        if self.folder.is_free(path):
            self.note(f"keeps {path}{SKIP}")
            self.folder.ignore(path + SKIP, self._bytes())

    def remove(self) -> None:
        path = self._any()
        if path:
            self._remove(path)
            self.device.mark(path)

    def touch(self) -> None:
        path = self._any_file()
        if path:
            self.note(f"touches {path}")
            self.folder.touch(path)
            self.device.mark(path)

    def chmod(self) -> None:
        path = self._any_file()
        if path:
            mode = self.world.chance.choice((0o644, 0o755))
            self.note(f"chmod {mode:o} {path}")
            self.folder.chmod(path, mode)
            self.book.executable[path] = bool(mode & 0o100)
            self.device.mark(path)

    def restore(self) -> None:
        """The same bytes as before, after they were removed."""
        if self.removed:
            path, data = self.world.chance.choice(self.removed)
            if self.folder.is_free(path) and path not in self.folder.files:
                self._save(path, data)

    def move(self) -> None:
        """A file to another name, perhaps over another file."""
        old, new = self._any(), self.world.chance.choice(self.names)
        if old and old != new and self.folder.is_free(new) and not new.startswith(old + "/"):
            self._move(old, new)
            self.device.mark(old, new)

    def swap(self) -> None:
        """Two files change names."""
        one, other = self._any(), self._any()
        if one and other and one != other:
            aside = f"{self.own}aside"
            if self.folder.is_free(aside) and aside not in self.folder.files:
                for old, new in ((one, aside), (other, one), (aside, other)):
                    self._move(old, new)
                self.device.mark(one, other, aside)

    def make_folder(self) -> None:
        path = self.world.chance.choice(self.folders)
        if self.folder.is_free(path) and path not in self.folder.files:
            self.note(f"makes {path}/")
            self.folder.make_folder(path)
            self.device.mark(path)

    def remove_folder(self) -> None:
        """One that is empty."""
        path = self.world.chance.choice(self.folders)
        if self.folder.is_directory(path) and self.folder.is_empty(path):
            self.note(f"removes {path}/")
            self.folder.remove_folder(path)
            self.device.mark(path)

    def remove_tree(self) -> None:
        """A directory with all that is in it."""
        path = self.world.chance.choice(self.folders)
        if self.folder.is_directory(path):
            self._remove_tree(path)
            self.device.mark(path)

    def move_folder(self) -> None:
        old, new = self.world.chance.sample(self.folders, 2)
        if not self.folder.is_directory(old) or new.startswith(old + "/"):
            return
        if not self.folder.is_free(new) or new in self.folder.files:
            return
        self._move_folder(old, new)

    def become(self) -> None:
        """A file becomes a directory with a file in it, or a directory a file."""
        path = self.world.chance.choice([name for name in self.names if "/" in name])
        above = path.rpartition("/")[0]
        if above in self.folder.files:
            self._remove(above)
            if self.folder.is_free(path):
                self._save(path, self._bytes())
            self.device.mark(above)
        elif self.folder.is_directory(above):
            self._remove_tree(above)
            self._save(above, self._bytes())
            self.device.mark(above)

    # Inside

    @property
    def folder(self) -> Folder:
        return self.device.folder

    @property
    def book(self) -> Book:
        return self.world.book

    def note(self, what: str) -> None:
        self.world.note(f"{self.device.name} person", what)

    def _bytes(self, size: int = 8) -> bytes:
        chance = self.world.chance
        if chance.random() < 0.05:
            return b""
        if chance.random() < 0.05:
            return b"the same"
        self.world.versions += 1
        data = f"{self.world.versions:x}{self.device.name[-1]}".encode()
        return data.ljust(max(size, len(data)) if chance.random() < 0.7 else 20, b".")

    def _any(self) -> str:
        own = [path for path in sorted(self.folder.files) if path.startswith(self.own)]
        return self.world.chance.choice(own) if own else ""

    def _below(self, path: str) -> list[str]:
        return [
            other
            for other in self.folder.tree()
            if other.startswith(path + "/") and other != path + "/"
        ]

    def _any_file(self) -> str:
        found = self.folder.files
        own = [path for path in sorted(found) if path.startswith(self.own)]
        own = [path for path in own if not found[path].link]
        return self.world.chance.choice(own) if own else ""

    def _save(self, path: str, data: bytes) -> None:
        style = self.world.chance.choice(STYLES)
        self.note(f"saves {path} {data!r} ({style})")
        old = self.folder.files.get(path)
        if old is not None:
            self.book.taken(self.device.name, path, old.data)
        mode = 0o644 if old is None or old.link else old.mode
        self.book.saved(self.device.name, path, data, mode)
        self.folder.save(path, data, mode, style)
        self.device.mark(path)

    def _link(self, path: str, target: bytes) -> None:
        self.note(f"links {path} to {target!r}")
        old = self.folder.files.get(path)
        if old is not None:
            self.book.taken(self.device.name, path, old.data)
        self.book.saved(self.device.name, path, target, 0o777, link=True)
        self.folder.symlink(path, target)
        self.device.mark(path)

    def _remove(self, path: str) -> None:
        self._write_off(path, self.folder.files[path].data)
        self.folder.drop(path)

    def _remove_tree(self, path: str) -> None:
        for other, version in sorted(self.folder.files.items()):
            if other.startswith(path + "/"):
                self._write_off(other, version.data)
        self.note(f"removes {path}/")
        self.folder.remove_folder(path)

    def _write_off(self, path: str, data: bytes) -> None:
        self.note(f"removes {path} {data!r}")
        self.book.taken(self.device.name, path, data)
        self.removed.append((path, data))

    def _move_folder(self, old: str, new: str) -> None:
        self.note(f"moves {old}/ to {new}/")
        moved = {
            path: version
            for path, version in sorted(self.folder.files.items())
            if path.startswith(old + "/")
        }
        for path, version in moved.items():
            self.book.taken(self.device.name, path, version.data)
        for path, version in moved.items():
            self._saved(new + path[len(old) :], version)
        self.folder.rename(old, new)
        self.device.mark(old, new)

    def _move(self, old: str, new: str) -> None:
        self.note(f"moves {old} to {new}")
        version = self.folder.files[old]
        self.book.taken(self.device.name, old, version.data)
        covered = self.folder.files.get(new)
        if covered is not None:
            self.book.taken(self.device.name, new, covered.data)
        self.folder.rename(old, new)
        self._saved(new, version)

    def _saved(self, path: str, version: Version) -> None:
        name, data = self.device.name, version.data
        self.book.saved(name, path, data, version.mode, link=version.link)


class Stranger:
    """Another program with rights on the vault; it knows nothing of conditions or metadata."""

    def __init__(self, world: World) -> None:
        self.world = world

    def act(self) -> None:
        world, chance = self.world, self.world.chance
        kinds = world.scenario.kinds
        path = chance.choice(NAMES + CLASHING if kinds else NAMES)
        key = PREFIX + path
        if key in world.cloud.objects and chance.random() < 0.4:
            world.note("foreign", f"deletes {path}")
            world.book.deeds.append(Deed("foreign", path, None, False))
            world.cloud.remove(key, None)
            return
        if not kinds and self._clashes(path):
            return
        if world.cloud.objects and chance.random() < 0.15:
            source = chance.choice(sorted(world.cloud.objects))
            if not source.endswith("/"):
                world.note("foreign", f"copies {source} to {path}")
                self._put(path, world.cloud.objects[source].body)
                return
        world.versions += 1
        data = f"{world.versions:x}F".encode().ljust(8, b".")
        world.note("foreign", f"puts {path} {data!r}")
        self._put(path, data)

    def _put(self, path: str, data: bytes) -> None:
        book = self.world.book
        book.deeds.append(Deed("foreign", path, data, True))
        book.wanted[data] += 1
        book.known.add((False, data))
        self.world.cloud.write(PREFIX + path, data, None, {}, {})

    def _clashes(self, path: str) -> bool:
        tree = self.world.cloud.tree()
        return any(up[:-1] in tree for up in names.parents(path)) or any(
            other.startswith(path + "/") for other in tree
        )
