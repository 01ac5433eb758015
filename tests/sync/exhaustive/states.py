"""What is enumerated: all that can be true, and known, of one path."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTHING, ONE, TWO = "-", "1", "2"
AGAIN = "'"
"""After a content: written anew with the same bytes since base."""
CONTENTS = (NOTHING, ONE, TWO)
DELETION = "d"
_OTHER = {ONE: TWO, TWO: ONE}


class Sight(StrEnum):
    """What is stored of one side of a path."""

    NOW = "now"
    """What is really there."""
    BEFORE = "before"
    """What was there at base: not looked at since."""
    ONCE = "once"
    """Absent, as one look has shown. (It may be there again.)"""
    TWICE = "twice"
    """Absent, as two looks have shown. (It may be there again.)"""


@dataclass(frozen=True, slots=True, order=True)
class File:
    """A file.

    Attributes:
        base: What both sides last agreed on.
        here: What is in the folder.
        there: What is in the vault.
        seen_here: What is stored of the folder's version.
        seen_there: What is stored of the vault's version.
        gone: Mark LOCAL_GONE.
        unknown: Content of an upload of unknown outcome, or DELETION for a DELETE.
        arrived: Whether what is in the vault is what that upload made.
    """

    base: str = NOTHING
    here: str = NOTHING
    there: str = NOTHING
    seen_here: Sight = Sight.NOW
    seen_there: Sight = Sight.NOW
    gone: bool = False
    unknown: str = NOTHING
    arrived: bool = False

    def swapped(self) -> File:
        """The same with the two contents exchanged."""
        return replace(
            self,
            base=_swap(self.base),
            here=_swap(self.here),
            there=_swap(self.there),
            unknown=_swap(self.unknown),
        )


@dataclass(frozen=True, slots=True, order=True)
class Folder:
    """A directory; one that files lie in is there on that side in any case.

    Attributes:
        base: Whether both sides agreed on it.
        here: Whether it is in the folder.
        there: Whether the vault has a marker for it.
        seen_here: What is stored of the folder's side.
        seen_there: What is stored of the vault's side.
        gone: Mark LOCAL_GONE.
    """

    base: bool = False
    here: bool = False
    there: bool = False
    seen_here: Sight = Sight.NOW
    seen_there: Sight = Sight.NOW
    gone: bool = False

    def swapped(self) -> Folder:
        """A directory has no content."""
        return self


Node = File | Folder
Nodes = tuple[tuple[str, Node], ...]
"""A world: paths with their states."""


def files(*, fine: bool = False, unknown: bool = False) -> list[File]:
    """All states of a file.

    Args:
        fine: With what was not looked at since, came back unseen, or was written anew with the
            same bytes: what the first look at both sides levels out.
        unknown: With requests of unknown outcome.
    """
    found = []
    for base, here, there in product(CONTENTS, CONTENTS, CONTENTS):
        for one in _written(base, here, fine):
            for other in _written(base, there, fine):
                sights = product(_sights(base, one, fine), _sights(base, other, fine))
                for (seen_here, seen_there), gone in product(sights, (False, True)):
                    if gone and base == NOTHING:
                        continue
                    state = File(base, one, other, seen_here, seen_there, gone)
                    found.append(state)
                    if unknown:
                        found += _unknown(state)
    return found


def folders() -> list[Folder]:
    """All states of a directory."""
    found = []
    flags = (False, True)
    for base, here, there, gone in product(flags, flags, flags, flags):
        if gone and not base:
            continue
        here_seen = (Sight.NOW,) if here or not base else (Sight.ONCE, Sight.TWICE)
        there_seen = (Sight.NOW,) if there or not base else (Sight.ONCE, Sight.TWICE)
        for seen_here, seen_there in product(here_seen, there_seen):
            found.append(Folder(base, here, there, seen_here, seen_there, gone))
    return found


def one_path() -> Iterator[Nodes]:
    """All states of one path, as finely as there are."""
    for state in files(fine=True, unknown=True):
        if state <= state.swapped():
            yield (("a", state),)
    for folder in folders():
        yield (("a/", folder),)


def two_paths() -> Iterator[Nodes]:
    """All states of two paths, of which at most one has a request of unknown outcome.

    Two files side by side may exchange their names, and all may exchange the two contents.
    """
    plain, rich = files(), files(unknown=True)
    uncertain = [state for state in rich if state.unknown != NOTHING]
    pairs = [(one, other) for one in plain for other in plain if one <= other]
    pairs += list(product(plain, uncertain))
    yield from _canonical(("a", "b"), pairs)
    yield from _canonical(("a", "a/b"), [*product(plain, plain)])
    yield from _canonical(("a", "a/"), product(rich, folders()))
    yield from _canonical(("a/", "a/b"), product(folders(), rich))
    yield from _canonical(("a/", "b/"), product(folders(), folders()))


def three_paths() -> Iterator[Nodes]:
    """All states of three paths without requests of unknown outcome, up to renaming."""
    plain = files()
    pairs = [(one, other) for one in plain for other in plain if one <= other]
    threes = ((*pair, third) for pair in pairs for third in plain if pair[1] <= third)
    yield from _canonical(("a", "b", "c"), threes)
    yield from _canonical(("a/", "a/b", "a/c"), ((d, *pair) for d in folders() for pair in pairs))
    yield from _canonical(("a", "a/", "a/b"), product(plain, folders(), plain))


def _canonical(paths: tuple[str, ...], states: object) -> Iterator[Nodes]:
    """Of two worlds that differ only in what the contents are called, the first."""
    for state in states:  # type: ignore[attr-defined]
        if state <= tuple(node.swapped() for node in state):
            world = tuple(zip(paths, state, strict=True))
            if _possible(dict(world)):
                yield world


def _possible(nodes: dict[str, Node]) -> bool:
    """Whether a folder can hold this: no name twice, no file in a folder that is not there."""
    for path, node in nodes.items():
        if not isinstance(node, File):
            continue
        for above, folder in nodes.items():
            if not path.startswith(above) or not isinstance(folder, Folder):
                continue
            if node.base != NOTHING and not folder.base:
                return False
            if node.here != NOTHING and not folder.here:
                return False
        below = nodes.get(path + "/"), nodes.get(path + "/b")
        if node.here != NOTHING and any(child is not None and _is_here(child) for child in below):
            return False
    return True


def _is_here(node: Node) -> bool:
    return node.here not in (False, NOTHING)


def _written(base: str, content: str, fine: bool) -> tuple[str, ...]:
    again = fine and base == content != NOTHING
    return (content, content + AGAIN) if again else (content,)


def _sights(base: str, content: str, fine: bool) -> tuple[Sight, ...]:
    if base == NOTHING:
        # What is new and was not seen yet looks like what was seen to be absent.
        return (Sight.NOW, Sight.TWICE) if fine and content != NOTHING else (Sight.NOW,)
    if content == NOTHING:
        return (Sight.BEFORE, Sight.ONCE, Sight.TWICE) if fine else (Sight.ONCE, Sight.TWICE)
    if not fine:
        return (Sight.NOW,)
    return (Sight.NOW, Sight.ONCE, Sight.TWICE, *(() if content == base else (Sight.BEFORE,)))


def _unknown(state: File) -> list[File]:
    """The state with each request whose outcome may be unknown in it."""
    found = []
    for content in (ONE, TWO):
        if content != state.base:
            found.append(replace(state, unknown=content))
            if state.there == content and state.seen_there is Sight.NOW:
                found.append(replace(state, unknown=content, arrived=True))
    if state.gone:
        found.append(replace(state, unknown=DELETION))
    return found


def _swap(content: str) -> str:
    return _OTHER.get(content[0], content[0]) + content[1:]
