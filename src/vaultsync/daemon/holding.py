"""What the guards hold, told to people, and what people say to it."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from vaultsync.core.errors import GuardRefused, NotFound
from vaultsync.core.model import Waiting
from vaultsync.core.safety import Guard
from vaultsync.sync.guard import DELETIONS, HINT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vaultsync.core.lookalikes import Lookalikes
    from vaultsync.core.model import Held
    from vaultsync.state.store import Store
    from vaultsync.sync.engine import Engine

EXAMPLES = 3
"""Pairs of names that look alike that are told."""
MOST_PATHS = 1000
"""Paths of one guard that are told."""


def told(held: Sequence[Held], conflicts: Sequence[str], store: Store) -> list[Held]:
    """What is held, with the first paths of each.

    Args:
        held: What the engine holds.
        conflicts: Paths of conflicts that are held.
        store: The rows that the other paths follow from.
    """
    return [
        replace(item, paths=tuple(islice(_paths(item, conflicts, store), MOST_PATHS)))
        for item in held
    ]


def waiting(
    held: Sequence[Held], conflicts: Sequence[str], store: Store, limit: int
) -> dict[str, Waiting]:
    """What is held as items that are not in sync, by path; at most `limit` of each guard."""
    return {
        path: Waiting(path, "held", item.reason, HINT)
        for item in held
        for path in islice(_paths(item, conflicts, store), limit)
    }


def held_back(
    held: Sequence[Held], conflicts: Sequence[str], store: Store, path: str
) -> Waiting | None:
    """One path as `waiting` tells of it; None when it is not held."""
    for item in held:
        guard = Guard(item.guard)
        if guard is Guard.CONFLICTS:
            found = path in conflicts
        else:
            found = any(store.held.holds(one, path) for one in _meant(guard))
        if found:
            return Waiting(path, "held", item.reason, HINT)
    return None


def warnings(held: Sequence[Held], names: Lookalikes) -> tuple[str, ...]:
    """A sentence for each guard that holds something, and one about names that look alike."""
    found = [f"Held: {item.reason} {HINT}" for item in held]
    if names.count:
        examples = ", ".join(f"'{one}' and '{other}'" for one, other in names.pairs[:EXAMPLES])
        count = "1 name differs" if names.count == 1 else f"{names.count:,} names differ"
        found.append(
            f"{count} from another only in case or in the form of an accent ({examples}). Devices"
            " whose file system takes them for one keep only one of them."
        )
    return tuple(found)


def refuse(held: Sequence[Held]) -> None:
    """Raise GuardRefused when something is held."""
    if held:
        raise GuardRefused(" ".join(item.reason for item in held), HINT)


def decide(engine: Engine, what: str, guard: str | None) -> int:
    """Let the engine allow or restore what is held; how many files that are.

    Args:
        engine: What holds it.
        what: `allow` or `restore`.
        guard: What one guard holds; None for all.

    Raises:
        NotFound: There is no such guard.
    """
    known = [str(one) for one in Guard]
    if guard is not None and guard not in known:
        raise NotFound(f"There is no guard '{guard}'.", f"There are {', '.join(known)}.")
    meant = [item for item in engine.guards.held if guard in (None, item.guard)]
    if meant:
        engine.decide(what, None if guard is None else Guard(guard))
    return sum(item.count for item in meant)


def _paths(item: Held, conflicts: Sequence[str], store: Store) -> Iterator[str]:
    guard = Guard(item.guard)
    if guard is Guard.CONFLICTS:
        yield from conflicts
        return
    for one in _meant(guard):
        yield from (path for path in store.held.paths(one) if not path.endswith("/"))


def _meant(guard: Guard) -> tuple[Guard, ...]:
    """The guards whose pending files are meant."""
    return tuple(DELETIONS) if guard is Guard.VAULT else (guard,)
