"""What kind of world a seed makes."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class Scenario:
    """The odds of one run.

    Attributes:
        seed: Where all chance comes from.
        devices: How many there are.
        apart: Each device's person touches names of their own only, so that the end is known
            exactly: the union of what each of them wanted, without any conflict copy.
        foreign: Another program writes to the vault, without conditions or metadata.
        steps: How long the world is restless.
        faults: Odds that a request meets an accident.
        late: Odds that such an accident is a request that arrives later.
        crashes: Odds of a crash at each boundary of a call.
        races: Odds that something else happens at such a boundary.
        power: A crash may also take back what the database had not made durable.
        ordered: Whether the folders' file systems keep the order of changes over a power cut.
        forget: A crash may also cost the whole database.
        offline: Odds, per step, that a device goes offline for a while.
        denies: The server says 403 where nothing is, as under a policy that grants listing by
            prefix.
        checksums: The server keeps SHA-256 checksums.
        parts: Everything but the smallest content goes in parts.
        resumes: Devices go on with unfinished uploads after a fault or a crash.
        kinds: Files become directories and back.
        links: People make symbolic links, also to elsewhere.
        skips: People keep files that are ignored.
        folders: People make, remove and rename directories.
        twice: A request may be delivered twice, the answer to the second delivery being seen.
        deaf: Odds that the watcher misses a change.
        edits: Odds of a person's action, per step.
        settle: Seconds within which all must be equal once nothing can arrive late any more.
    """

    seed: int
    devices: int = 2
    apart: bool = False
    foreign: bool = False
    steps: int = 120
    faults: float = 0.05
    late: float = 0.3
    crashes: float = 0.002
    races: float = 0.05
    power: bool = False
    ordered: bool = False
    forget: bool = False
    offline: float = 0.01
    denies: bool = False
    checksums: bool = True
    parts: bool = False
    resumes: bool = False
    kinds: bool = False
    links: bool = False
    skips: bool = False
    folders: bool = True
    twice: bool = True
    deaf: float = 0.1
    edits: float = 0.2
    settle: float = 3600.0


def draw(seed: int, changes: dict[str, Any]) -> Scenario:
    """The scenario of a seed; what is given in `changes` is taken from there."""
    chance = random.Random(f"scenario {seed}")
    apart = chance.random() < 0.5
    scenario = Scenario(
        seed=seed,
        devices=chance.choice((1, 2, 2, 2, 3, 4)) if apart else chance.choice((2, 2, 2, 3, 4)),
        apart=apart,
        foreign=not apart and chance.random() < 0.25,
        steps=chance.choice((30, 60, 120, 200)),
        faults=chance.choice((0.0, 0.02, 0.1, 0.3)),
        late=chance.choice((0.0, 0.2, 0.6)),
        crashes=chance.choice((0.0, 0.001, 0.01)),
        races=chance.choice((0.0, 0.03, 0.15)),
        power=chance.random() < 0.3,
        forget=not apart and chance.random() < 0.15,
        offline=chance.choice((0.0, 0.01, 0.05)),
        denies=chance.random() < 0.3,
        checksums=chance.random() < 0.7,
        parts=chance.random() < 0.25,
        kinds=chance.random() < 0.25,
        folders=chance.random() < 0.6,
        deaf=chance.choice((0.0, 0.1, 0.5)),
        edits=chance.choice((0.05, 0.15, 0.4)),
        ordered=chance.random() < 0.5,
        links=chance.random() < 0.3,
        skips=chance.random() < 0.3,
    )
    chosen = replace(scenario, **changes)
    if chosen.parts and "checksums" not in changes:
        # Such a server cannot tell whose an object in parts is.
        chosen = replace(chosen, checksums=True)
    if chosen.apart:  # strangers and lost databases would make the end uncertain
        chosen = replace(chosen, foreign=False, forget=False)
    return chosen


def described(scenario: Scenario) -> str:
    """The scenario's settings on one line."""
    return " ".join(f"{field.name}={getattr(scenario, field.name)}" for field in fields(scenario))
