"""Content that a side holds already, shown under another path as well: neither fetched nor sent."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.contract.test_side import ODD_NAMES, everything, files, listing, look, push
from tests.contract.worlds import BytesContent, World
from vaultsync.core.errors import Stale
from vaultsync.core.model import Entry, Kind

if TYPE_CHECKING:
    from vaultsync.core.ports import Side, Staged

LIKE = Entry(Kind.FILE, 5, "like", mtime_ns=1_450_000_000_000_000_007, mode=0o700)


@pytest.fixture
def lender(world: World) -> World:
    """A side that holds `hello`, of ours, at `source`."""
    push(world.side, "source", BytesContent(b"hello"))
    return world


def known(side: Side, path: str) -> Entry:
    return side.identify(path, look(side, path))


def borrow(side: Side, path: str, source: str = "source") -> Staged:
    return side.borrow(path, source, known(side, source), LIKE, "op-2")


def test_is_shown_by_the_commit(lender: World) -> None:
    side = lender.side
    staged = borrow(side, "d/e/f")
    assert files(side) == ["source"]
    assert (staged.path, staged.size) == ("d/e/f", 5)
    assert staged.sha256 == hashlib.sha256(b"hello").hexdigest()
    done = side.commit(staged, None)
    assert done.kept is None
    assert lender.read_behind("d/e/f") == lender.read_behind("source") == b"hello"
    now = look(side, "d/e/f")
    assert (done.entry.tag, done.entry.size, done.entry.kind) == (now.tag, 5, Kind.FILE)
    assert done.entry.sha256 in (None, staged.sha256)
    assert (done.entry.mtime_ns, done.entry.mode) == (now.mtime_ns, now.mode)
    assert done.entry.ops == now.ops


def test_times_and_mode(lender: World) -> None:
    entry = known(lender.side, "source")
    lender.side.commit(borrow(lender.side, "f"), None)
    now = look(lender.side, "f")
    wanted = LIKE if lender.local else entry
    assert (now.mtime_ns, now.mode) == (wanted.mtime_ns, wanted.mode)


def test_of_another_program(lender: World) -> None:
    side = lender.side
    lender.put_behind("theirs", b"theirs")
    staged = borrow(side, "f", "theirs")
    done = side.commit(staged, None)
    now = look(side, "f")
    assert (now.tag, now.mtime_ns, now.mode) == (done.entry.tag, LIKE.mtime_ns, LIKE.mode)
    assert lender.read_behind("f") == b"theirs"
    found = side.recover("f", staged.op, staged.token)
    assert found is not None
    assert found.tag == now.tag


def test_a_symbolic_link(lender: World) -> None:
    side = lender.side
    push(side, "l", BytesContent(b"target", kind=Kind.LINK, mode=0o777))
    side.commit(borrow(side, "m", "l"), None)
    assert look(side, "m").kind is Kind.LINK
    with side.open("m", look(side, "m")) as content:
        assert b"".join(content.chunks()) == b"target"


def test_several_megabytes(lender: World) -> None:
    data = bytes(range(256)) * (9 << 12)
    push(lender.side, "big", BytesContent(data), op="op-9")
    lender.side.commit(borrow(lender.side, "f", "big"), None)
    assert lender.read_behind("f") == data
    assert known(lender.side, "f").sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("change", ["put", "remove"])
@pytest.mark.parametrize("when", ["before", "between"])
def test_stale_when_the_source_is_not_what_it_was(lender: World, change: str, when: str) -> None:
    side = lender.side
    entry = known(side, "source")

    def happen() -> None:
        if change == "put":
            lender.put_behind("source", b"other")
        else:
            lender.remove_behind("source")

    if when == "before":
        happen()
        with pytest.raises(Stale):
            side.commit(side.borrow("f", "source", entry, LIKE, "op-2"), None)
    else:
        staged = side.borrow("f", "source", entry, LIKE, "op-2")
        happen()
        try:
            side.commit(staged, None)
        except Stale:
            side.discard(staged.token)
        else:
            # It had been copied when it was staged: then it is what it was.
            assert lender.read_behind("f") == b"hello"
            return
    assert lender.read_behind("f") is None


def test_borrowed_is_not_shown_over_another(lender: World) -> None:
    side = lender.side
    staged = borrow(side, "f")
    lender.put_behind("f", b"theirs")
    before = everything(side)
    with pytest.raises(Stale):
        side.commit(staged, None)
    side.discard(staged.token)
    assert everything(side) == before
    assert lender.read_behind("f") == b"theirs"


def test_discard_is_idempotent_and_blind_to_what_is_shown(lender: World) -> None:
    side = lender.side
    staged = borrow(side, "f")
    for _ in range(2):
        side.discard(staged.token)
    assert listing(side) == ["source"]
    staged = borrow(side, "f")
    side.commit(staged, None)
    side.discard(staged.token)
    assert lender.read_behind("f") == lender.read_behind("source") == b"hello"


def test_recover_after_the_commit(lender: World) -> None:
    staged = borrow(lender.side, "f")
    done = lender.side.commit(staged, None)
    lender.crash()
    for _ in range(2):
        found = lender.side.recover("f", staged.op, staged.token)
        assert found is not None
        assert (found.tag, found.size) == (done.entry.tag, 5)
    assert lender.read_behind("f") == b"hello"


def test_recover_before_the_commit(lender: World) -> None:
    staged = borrow(lender.side, "f")
    lender.crash()
    for _ in range(2):
        assert lender.side.recover("f", staged.op, staged.token) is None
    assert files(lender.side) == ["source"]


def test_recover_does_not_take_anothers_bytes_for_ours(lender: World) -> None:
    staged = borrow(lender.side, "f")
    lender.put_behind("f", b"hello")
    lender.crash()
    assert lender.side.recover("f", staged.op, staged.token) is None
    assert lender.read_behind("f") == b"hello"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_borrowed(lender: World, name: str) -> None:
    side = lender.side
    source = f"dir {name[:40]}/{name}"
    push(side, source, BytesContent(b"odd"), op="op-9")
    side.commit(borrow(side, name, source), None)
    assert lender.read_behind(name) == b"odd"
