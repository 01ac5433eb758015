"""What must be true of a world at rest, said without a word of how it came there."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from tests.sync.exhaustive.states import AGAIN, DELETION, NOTHING, File, Folder
from tests.sync.exhaustive.world import World, data
from vaultsync.core import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes import MemorySide
    from tests.sync.exhaustive.states import Nodes


def judge(nodes: Nodes) -> list[str]:
    """Carry a state to rest; how it ended otherwise than it must, as sentences."""
    world = World(nodes)
    try:
        # Twice: what follows from the last change is seen by a look that began after it.
        if not (world.settle() and world.settle()):
            return [f"does not come to rest: {world.engine.status} {world.engine.waiting}"]
        found = [*world.false_bases, *_verdicts(world)]
        before = world.sides()
        world.later()
        if not world.settle():
            found.append("does not stay at rest")
        if world.sides() != before:
            found.append("something is changed at rest")
        return found
    finally:
        world.close()


def described(nodes: Nodes, found: list[str]) -> str:
    """A state and what is wrong with its end."""
    return "\n".join(
        [*(f"{path}: {node}" for path, node in nodes), *(f"  {each}" for each in found)]
    )


def _verdicts(world: World) -> Iterator[str]:
    nodes = dict(world.nodes)
    local, vault = _files(world.local), _files(world.vault)
    apart = _apart(world.vault)
    if apart:
        local, vault = _without(local, apart), _without(vault, apart)
        if not world.engine.status.blocked:
            yield "a file and a folder share a name, and nobody is told"
        if apart - world.taken:
            yield "a file was put beside a folder of the same name"
    if local != vault:
        yield f"the sides differ: {local} here, {vault} in the vault"
    if not apart and _folders(world.local) != _folders(world.vault):
        yield f"folders differ: {_folders(world.local)}, {_folders(world.vault)}"
    yield from _bases(world, apart)
    yield from _lost(world)
    clash = any(path + "/" in nodes or path + "/b" in nodes for path in nodes)
    if not clash:
        wanted, found = _wanted(nodes), _found(vault)
        if wanted != found:
            yield f"{found} is left instead of {wanted}"
    if world.store.journal():
        yield "the journal is not empty"


def outcome(node: File) -> tuple[str, str]:
    """What must be under the name in the end, and what in a conflict copy."""
    base = node.there if node.arrived else node.base
    here, there = node.here.removesuffix(AGAIN), node.there.removesuffix(AGAIN)
    if here == base:
        kept = here if node.gone and there == NOTHING else there
        return kept, NOTHING
    if there in (base, here):
        return here, NOTHING
    if NOTHING in (here, there):
        return (there if here == NOTHING else here), NOTHING
    return there, here


def _wanted(nodes: dict[str, File | Folder]) -> Counter[tuple[str, bytes]]:
    found: Counter[tuple[str, bytes]] = Counter()
    for path, node in nodes.items():
        if isinstance(node, File):
            for content in outcome(node):
                if content != NOTHING:
                    found[path, data(content)] += 1
    return found


def _found(files: dict[str, bytes]) -> Counter[tuple[str, bytes]]:
    """Contents by the name that they have, or were a conflict about."""
    return Counter((names.original_name(path), content) for path, content in files.items())


def _lost(world: World) -> Iterator[str]:
    """What somebody saved is live. Only what was agreed on may have been replaced or deleted.

    That is base, or what an upload of ours made; a copy of it is kept.
    """
    vault, apart = _files(world.vault), _apart(world.vault)
    live = {*_files(world.local).values()} & {*vault.values()}
    live |= {content for path, content in vault.items() if _within(path, apart)}
    aside = {*world.local.trash, *world.vault.trash, *world.local.history, *world.vault.history}
    for path, node in world.nodes:
        if not isinstance(node, File):
            continue
        agreed = {node.base} | ({node.there} if node.arrived else set())
        for content in {node.here.removesuffix(AGAIN), node.there.removesuffix(AGAIN)} - {NOTHING}:
            if data(content) in live:
                continue
            if content not in agreed:
                yield f"{content} at {path} is not live any more, and was never agreed on"
            elif data(content) not in aside:
                yield f"{content} at {path} is lost"
        if node.unknown == DELETION and node.base == NOTHING:
            yield f"{path}: a deletion needs a base"


def _bases(world: World, apart: set[str]) -> Iterator[str]:
    """Base is what both sides show."""
    for row in world.store.rows():
        if row.path.endswith("/") or _within(row.path, apart):
            continue
        here, there = world.local.files.get(row.path), world.vault.files.get(row.path)
        if here is None or there is None or row.base is None:
            yield f"{row.path} has a row that says {row}"
        elif (row.base.local_tag, row.base.remote_tag) != (
            here.tag,
            there.tag,
        ) or row.base.sha256 != hashlib.sha256(here.data).hexdigest():
            yield f"the base of {row.path} is not what is there"
    known = {row.path for row in world.store.rows()}
    for path in {*world.local.files, *world.vault.files} - known:
        yield f"{path} is not known"


def _files(side: MemorySide) -> dict[str, bytes]:
    return {path: version.data for path, version in side.files.items()}


def _folders(side: MemorySide) -> set[str]:
    return {path for path in side.tree() if path.endswith("/")}


def _apart(side: MemorySide) -> set[str]:
    """Names that the vault holds both as a file and as a folder: people have to part those."""
    return {path for path in side.files if path + "/" in side.tree()}


def _without(files: dict[str, bytes], apart: set[str]) -> dict[str, bytes]:
    return {path: content for path, content in files.items() if not _within(path, apart)}


def _within(path: str, tops: set[str]) -> bool:
    return any(path == top or path.startswith(top + "/") for top in tops)
