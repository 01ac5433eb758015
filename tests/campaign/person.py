"""Somebody who works on a device, a little of everything, as chance wants it."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from typing import TYPE_CHECKING

from tests.campaign.hands import Hands
from tests.campaign.ledger import made
from tests.campaign.trees import Tree, look, same

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.campaign.ledger import Ledger

FILES = (
    "a.txt", "b.txt", "c", "list of é ü.md", "it's \"100%\"+&.csv", "d1/a.txt", "d1/b.txt",
    "d1/sub/x.bin", "d1/sub/y.bin", "d2/a.txt", "d2/deep/er/z", "d3/a.txt", "Makefile",
)  # fmt: skip
FOLDERS = ("d1", "d2", "d3", "d1/sub", "d2/deep", "d4", "d4/d1")
SHARED = "shared"
_RACES = frozenset(
    {
        errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR, errno.ELOOP,
        errno.EINVAL,
    }
)  # fmt: skip
"""What anything may fail with where others work too, or that makes no sense: `mv d d/e`."""
_FULL = frozenset({errno.ENOSPC, errno.EROFS, errno.EIO})


class Refusals:
    """What the system may refuse in a drive: only what is documented.

    Args:
        broken: Whether its disk may be full or read-only.
    """

    _READING = frozenset({"overwrite", "append", "truncate", "remove", "patch", "copy"})

    def __init__(self, *, broken: bool) -> None:
        self._broken = broken

    def allows(self, error: OSError, deed: str) -> bool:
        """Whether a deed may fail with that: by EIO, only those that read what may not be here."""
        if error.errno in _RACES or (self._broken and error.errno in _FULL):
            return True
        return error.errno == errno.EIO and deed in self._READING


class Person(threading.Thread):
    """Works in what is shared, and in a place of their own where nobody else works.

    Args:
        ledger: The book.
        name: Of the device and of the person.
        root: The device's folder.
        canary: A directory outside of the folder, which nothing may touch.
        seed: Of all choices.
        pace: Deeds in a second, on the whole.
        shared: How much of the work is in what is shared, from 0 to 1.
        drive: What may fail in a drive, if it is one.

    Attributes:
        own: Name of the place of their own.
        expected: What that place must hold; nobody but this person changes it.
        deeds: How many were done.
    """

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        root: Path,
        canary: Path,
        seed: str,
        pace: float,
        shared: float = 0.5,
        drive: Refusals | None = None,
    ) -> None:
        super().__init__(name=f"person {name}", daemon=True)
        self.hands = Hands(ledger, name, root)
        self.ledger = ledger
        self.who = name
        self.own = f"only-{name}"
        self.expected: Tree = {}
        self.deeds = 0
        self.chance = random.Random(seed)
        self.canary = canary
        self._parked = root.with_name(f"parked-{name}")
        self._away = ""
        self._pace = pace
        self._shared = shared
        self._drive = drive
        self._removed: list[tuple[str, bytes]] = []
        self._ending = threading.Event()
        self._may = threading.Event()
        self._rests = threading.Event()
        self._may.set()
        self._deeds: list[tuple[int, Callable[[str], None]]] = [
            (6, self.create), (4, self.overwrite), (6, self.save), (4, self.append),
            (1, self.truncate), (3, self.move), (2, self.move_directory), (3, self.remove),
            (1, self.remove_tree), (1, self.swap), (1, self.rotate), (2, self.chmod),
            (1, self.link), (1, self.become), (2, self.restore), (1, self.make_directory),
            (1, self.remove_directory), (1, self.touch), (1, self.lead_outside),
            (1, self.write_slowly), (6, self.read),
        ]  # fmt: skip
        if drive is not None:
            # What is moved out of a drive is copied; and no path is followed to reach a file.
            self._deeds = [each for each in self._deeds if each[1] != self.lead_outside]
            self._deeds += [(3, self.patch), (2, self.copy), (1, self.name_twice)]

    def run(self) -> None:
        """Work until told to end."""
        while not self._ending.is_set():
            if not self._may.is_set():
                self._rests.set()
                self._may.wait(0.1)
                continue
            self._rests.clear()
            self.act()
            quick = self.chance.random() < 0.5
            self._ending.wait(0.0 if quick else self.chance.expovariate(self._pace / 2))
        self._rests.set()

    def rest(self) -> None:
        """Stop working for a while; returns once the last deed is done."""
        self._rests.clear()
        self._may.clear()
        self._rests.wait(60)

    def resume(self) -> None:
        """Go on."""
        self._may.set()

    def end(self) -> None:
        """Stop working for good, with everything put back."""
        self._ending.set()
        self.join(60)
        self.come_back()
        ends = time.monotonic() + 60
        while True:
            self.expected = look(self.hands.root, self.own)
            unread = any(seen.unread for seen in self.expected.values())
            if not unread or time.monotonic() > ends:
                return

    def act(self) -> None:
        """Do something."""
        own = self.chance.random() >= self._shared
        place = self.own if own else SHARED
        deed = self.chance.choices([each for _, each in self._deeds], [n for n, _ in self._deeds])[
            0
        ]
        if own:
            self.compare(deed.__name__)
        try:
            if self._away:
                place = self._away.split("/")[0]
                own = place == self.own
                self.come_back()
            else:
                deed(place)
            self.deeds += 1
        except OSError as error:
            self.ledger.note(self.who, f"{deed.__name__} fails: {error.strerror}", place)
            if self._drive is not None and not self._drive.allows(error, deed.__name__):
                self.ledger.broke("refused", place, f"{self.who}: {deed.__name__}: {error}")
        if own:
            self.expected = look(self.hands.root, self.own)

    def compare(self, before: str) -> None:
        """Nobody but this person changes this place: it must be as it was left."""
        found = look(self.hands.root, self.own)
        for path in sorted(found.keys() | self.expected.keys()):
            if not same(found.get(path), self.expected.get(path)):
                told = f"{found.get(path)} instead of {self.expected.get(path)} before {before}"
                self.ledger.broke("apart", path, f"{self.who}: {told}")

    # Deeds

    def create(self, place: str) -> None:
        path = self._some_name(place)
        if not self.hands.exists(path):
            self.hands.create(path, self._bytes(), pieces=self.chance.choice((1, 1, 3)))

    def overwrite(self, place: str) -> None:
        if path := self._file(place):
            self.hands.overwrite(path, self._bytes(), pieces=self.chance.choice((1, 1, 2)))

    def save(self, place: str) -> None:
        path = self._file(place) if self.chance.random() < 0.8 else self._some_name(place)
        if path and not self.hands.is_directory(path):
            above, _, name = path.rpartition("/")
            random_part = self.chance.randrange(1 << 32)
            aside = self.chance.choice(
                (f".goutputstream-{random_part:08X}", f"{name}.{random_part}")
            )
            data = self._bytes()
            self.hands.replace(path, data, aside=f"{above}/{aside}", pieces=2)

    def append(self, place: str) -> None:
        if path := self._file(place):
            for _ in range(self.chance.choice((1, 1, 4))):
                self.hands.append(path, made(self.ledger.token(self.who), 40))

    def patch(self, place: str) -> None:
        """Something in the middle of a file is changed, as databases do it."""
        if path := self._file(place):
            data = made(self.ledger.token(self.who), self.chance.choice((40, 40, 9_000)))
            self.hands.patch(path, self.chance.random(), data)

    def copy(self, place: str) -> None:
        """A copy that the system makes, which knows no better than to read and write."""
        old, new = self._file(place), self._some_name(place)
        if old and not self.hands.exists(new):
            self.hands.copy(old, new)

    def name_twice(self, place: str) -> None:
        """Another name for a file; what is written to one of them is in both."""
        old, new = self._file(place), self._some_name(place)
        if old and not self.hands.exists(new):
            self.ledger.note(self.who, f"is given the second name {new!r}", old)
            os.makedirs(os.path.dirname(self.hands.at(new)), exist_ok=True)
            os.link(self.hands.at(old), self.hands.at(new))

    def truncate(self, place: str) -> None:
        if path := self._file(place):
            self.hands.truncate(path)

    def move(self, place: str) -> None:
        old, new = self._file(place), self._some_name(place)
        if old and old != new and not self.hands.is_directory(new):
            self.hands.move(old, new)

    def move_directory(self, place: str) -> None:
        old, new = (f"{place}/{each}" for each in self.chance.sample(FOLDERS, 2))
        if self.hands.is_directory(old) and not self.hands.exists(new):
            self.hands.move(old, new)

    def remove(self, place: str) -> None:
        if path := self._file(place):
            self._remember(path)
            self.hands.remove(path)

    def remove_tree(self, place: str) -> None:
        path = f"{place}/{self.chance.choice(FOLDERS)}"
        if self.hands.is_directory(path):
            self.hands.remove_tree(path)

    def swap(self, place: str) -> None:
        one, other = self._file(place), self._file(place)
        aside = f"{place}/aside"
        if one and other and one != other and not self.hands.exists(aside):
            for old, new in ((one, aside), (other, one), (aside, other)):
                self.hands.move(old, new)

    def rotate(self, place: str) -> None:
        log = f"{place}/log"
        for old, new in ((f"{log}.2", f"{log}.3"), (f"{log}.1", f"{log}.2"), (log, f"{log}.1")):
            if self.hands.exists(old):
                self.hands.move(old, new)
        self.hands.create(log, self._bytes())

    def chmod(self, place: str) -> None:
        if path := self._file(place):
            self.hands.chmod(path, self.chance.choice((0o644, 0o755)))

    def touch(self, place: str) -> None:
        if path := self._file(place):
            self.ledger.note(self.who, "touches", path)
            os.utime(self.hands.at(path))

    def link(self, place: str) -> None:
        path = f"{place}/link{self.chance.randrange(3)}"
        if self.hands.exists(path):
            self.ledger.note(self.who, "deletes the link", path)
            os.unlink(self.hands.at(path))
        target = self.chance.choice(("a.txt", "nowhere", "d1", str(self.canary / "a.txt"), "../x"))
        self.hands.link(path, target)

    def become(self, place: str) -> None:
        """A file becomes a directory with a file in it, or the other way round."""
        path = f"{place}/kind"
        if self.hands.is_directory(path):
            self.hands.remove_tree(path)
            self.hands.create(path, self._bytes())
        else:
            if self.hands.exists(path):
                self.hands.remove(path)
            self.hands.create(f"{path}/in it.txt", self._bytes())

    def restore(self, place: str) -> None:
        """The same bytes as before, after they were removed."""
        mine = [each for each in self._removed if each[0].startswith(place + "/")]
        if mine:
            path, data = self.chance.choice(mine)
            if not self.hands.exists(path):
                self.hands.create(path, data)

    def make_directory(self, place: str) -> None:
        path = f"{place}/{self.chance.choice(FOLDERS)}"
        if not self.hands.exists(path):
            self.hands.make_directory(path)

    def remove_directory(self, place: str) -> None:
        path = f"{place}/{self.chance.choice(FOLDERS)}"
        if self.hands.is_directory(path) and not os.listdir(self.hands.at(path)):
            self.ledger.note(self.who, "removes the directory", path)
            os.rmdir(self.hands.at(path))

    def read(self, place: str) -> None:
        if path := self._file(place):
            self.hands.read(path)

    def write_slowly(self, place: str) -> None:
        """A download or a render: a file that grows for a while."""
        path = self._some_name(place)
        if not self.hands.exists(path):
            self.hands.create(path, self._bytes(), pieces=6, pause=0.3)

    def lead_outside(self, place: str) -> None:
        """A directory is swapped for a link that leads out of the folder, and swapped back."""
        path = f"{place}/d1"
        if not self.hands.is_directory(path):
            return
        self.ledger.passing(self.who, path, os.fsencode(self.canary))
        self.ledger.note(self.who, "is swapped for a link that leads outside", path)
        os.rename(self.hands.at(path), self._parked)
        self._away = path
        os.symlink(self.canary, self.hands.at(path))
        time.sleep(self.chance.choice((0.05, 0.3, 1.0, 7.0)))
        self.come_back()

    def come_back(self) -> None:
        """Put back what was swapped for a link."""
        path = self._away
        if not path:
            return
        self.ledger.note(self.who, "is swapped back", path)
        if os.path.islink(self.hands.at(path)):
            os.unlink(self.hands.at(path))
        if self.hands.exists(path):
            # Something arrived meanwhile: both stay.
            path = f"{path} back {self.chance.randrange(1 << 20)}"
        os.makedirs(os.path.dirname(self.hands.at(path)), exist_ok=True)
        os.rename(self._parked, self.hands.at(path))
        self._away = ""

    # Choices

    def _some_name(self, place: str) -> str:
        return f"{place}/{self.chance.choice(FILES)}"

    def _file(self, place: str) -> str:
        """A file that is there; empty when there is none."""
        found: list[str] = []
        for directory, folders, files in os.walk(self.hands.at(place)):
            folders.sort()
            found += (f"{directory}/{name}" for name in files)
        found = sorted(name for name in found if not os.path.islink(name))
        if not found:
            return ""
        return os.path.relpath(self.chance.choice(found), self.hands.root)

    def _bytes(self) -> bytes:
        size = self.chance.choice((60, 60, 300, 4_000, 40_000, 300_000))
        if self.chance.random() < 0.01:
            size = 9 << 20
        return made(self.ledger.token(self.who), size)

    def _remember(self, path: str) -> None:
        with open(self.hands.at(path), "rb") as file:
            data = file.read()
        if len(data) < 100_000:
            self._removed = [*self._removed[-20:], (path, data)]
