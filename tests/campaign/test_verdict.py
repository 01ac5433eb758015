"""The judge of campaigns sees what must not be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.campaign.ledger import Ledger, digest, made
from tests.campaign.person import Person
from tests.campaign.verdict import CANARY, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.campaign.world import World

COPY = "only-laptop/a (conflict laptop 2026-11-23 143005 3f9a1c).txt"


class Place:
    """A world without processes: one folder, and a list of what was written to the vault."""

    def __init__(self, home: Path) -> None:
        self.ledger = Ledger()
        self.folder = home / "folder"
        self.folder.mkdir()
        canary = home / "canary"
        (canary / "sub").mkdir(parents=True)
        for path in CANARY:
            (canary / path).write_bytes(made("canary-laptop", 200))
        self.person = Person(self.ledger, "laptop", self.folder, canary, "seed", 1.0)
        self.wrote: list[dict[str, Any]] = []

    def put(self, path: str, data: bytes) -> None:
        told = {"key": path, "sha256": digest(data), "size": len(data), "metadata": {}}
        self.wrote.append(told | {"operation": "PutObject", "version": "v"})

    def broken(self) -> set[str]:
        device = SimpleNamespace(name="laptop", folder=self.folder, prefix="")
        world = SimpleNamespace(
            ledger=self.ledger, devices=[device], people=[self.person], writes=lambda: self.wrote
        )
        Verdict(cast("World", world)).judge()
        return {each.rule for each in self.ledger.broken}


def lose(place: Place) -> None:
    place.person.hands.create("shared/a", b"saved")
    (place.folder / "shared/a").unlink()


def tear_here(place: Place) -> None:
    (place.folder / "a").write_bytes(b"half of this, half of that")


def tear_there(place: Place) -> None:
    place.put("a", b"half of this, half of that")


def resurrect(place: Place) -> None:
    place.person.hands.create("only-laptop/a", b"deleted long ago")


def copy(place: Place) -> None:
    place.ledger.passing("laptop", COPY, b"bytes")
    place.put(COPY, b"bytes")


def reach_out(place: Place) -> None:
    (place.person.canary / "a.txt").write_bytes(b"written from within")


@pytest.mark.parametrize(
    ("harm", "rule"),
    [
        (lose, "lost"),
        (tear_here, "torn"),
        (tear_there, "torn"),
        (resurrect, "apart"),
        (copy, "conflict"),
        (reach_out, "outside"),
    ],
)
def test_a_broken_rule_is_seen(tmp_path: Path, harm: Callable[[Place], None], rule: str) -> None:
    place = Place(tmp_path)
    harm(place)
    assert place.broken() == {rule}


def test_what_is_kept_anywhere_or_was_superseded_is_not_lost(tmp_path: Path) -> None:
    place = Place(tmp_path)
    hands = place.person.hands
    hands.create("shared/kept", b"one")
    hands.create("shared/gone", b"two")
    hands.remove("shared/gone")
    hands.create("shared/edited", b"three")
    hands.overwrite("shared/edited", b"four")
    hands.create("shared/moved", b"five")
    hands.move("shared/moved", "shared/elsewhere")
    place.put("shared/kept", b"one")
    (place.folder / "shared/kept").unlink()
    trash = place.folder / ".vaultsync/trash/today"
    trash.mkdir(parents=True)
    (place.folder / "shared/edited").rename(trash / "edited")
    assert place.broken() == set()
