"""Content is only taken from where the very same content is known to be."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from vaultsync.core.model import Action, Base, Entry, Kind, Row, Verb
from vaultsync.core.moves import borrow, is_new

DIGESTS = st.sampled_from([None, "one", "two"])
TAGS = st.sampled_from(["t1", "t2"])
SIZES = st.sampled_from([5, 5, 6])
MODES = st.sampled_from([None, 0o644, 0o755])
ENTRIES = st.builds(
    Entry,
    st.sampled_from([Kind.FILE, Kind.FILE, Kind.LINK]),
    SIZES,
    TAGS,
    DIGESTS,
    st.none(),
    MODES,
)
BASES = st.builds(
    Base,
    st.just(Kind.FILE),
    SIZES,
    st.sampled_from(["one", "two"]),
    TAGS,
    TAGS,
    st.none(),
    MODES,
)
ROWS = st.builds(
    Row,
    st.sampled_from(["a", "b"]),
    st.none() | ENTRIES,
    st.none() | BASES,
    st.none() | ENTRIES,
    local_gone=st.booleans(),
    intents=st.sampled_from([(), (), ("op",)]),
)
FILES = st.builds(Entry, st.just(Kind.FILE), st.sampled_from([5, 6]), TAGS, DIGESTS, mode=MODES)
NEW = st.one_of(
    st.builds(Action, st.just(Verb.PUSH), st.builds(Row, st.just("b"), FILES), st.just("new")),
    st.builds(
        Action,
        st.just(Verb.PULL),
        st.builds(Row, st.just("b"), remote=FILES),
        st.just("new"),
    ),
)


def moved(verb: Verb = Verb.PUSH) -> tuple[Action, Row]:
    """A new file `b`, and the row of `a` that it comes from."""
    base = Base(Kind.FILE, 5, "one", "here", "there", mode=0o644)
    held = Entry(Kind.FILE, 5, "there")
    new = Entry(Kind.FILE, 5, "new", "one", mode=0o644)
    if verb is Verb.PUSH:
        return Action(verb, Row("b", new), "new here"), Row("a", None, base, held)
    held = Entry(Kind.FILE, 5, "here", mode=0o644)
    return Action(verb, Row("b", None, None, new), "new there"), Row("a", held, base, None)


@given(NEW, st.lists(ROWS, max_size=4), st.booleans())
def test_a_source_holds_what_is_wanted(action: Action, rows: list[Row], examined: bool) -> None:
    assert is_new(action)
    got = borrow(action, rows, examined=examined)
    assert got.row is action.row
    if got.source is None:
        assert got is action or (got.verb is Verb.INSPECT and not examined)
        return
    source, pushing = got.source, action.verb is Verb.PUSH
    entry = action.row.local if pushing else action.row.remote
    held, base = source.remote if pushing else source.local, source.base
    assert got.verb is action.verb
    assert source.path != action.path
    assert entry is not None
    assert held is not None
    assert base is not None
    assert held.tag == (base.remote_tag if pushing else base.local_tag)
    assert entry.size == base.size
    # By digest; or two remote versions by their ETag.
    assert entry.sha256 == base.sha256 or (
        not pushing and entry.sha256 is None and entry.tag == base.remote_tag
    )
    assert not source.local_gone
    assert not source.intents


def test_another_content_of_the_same_size_is_not_borrowed() -> None:
    for verb in (Verb.PUSH, Verb.PULL):
        action, source = moved(verb)
        assert source.base is not None
        source = replace(source, base=replace(source.base, sha256="another"))
        assert borrow(action, [source], examined=True) is action


def test_what_is_known_to_be_equal_is_borrowed() -> None:
    for verb in (Verb.PUSH, Verb.PULL):
        action, row = moved(verb)
        assert borrow(action, [row], examined=False).source == row


def test_an_unknown_digest_is_asked_for_once() -> None:
    for verb in (Verb.PUSH, Verb.PULL):
        action, row = moved(verb)
        local, remote = action.row.local, action.row.remote
        blank = replace(
            action.row,
            local=local and replace(local, sha256=None),
            remote=remote and replace(remote, sha256=None),
        )
        unknown = replace(action, row=blank)
        assert borrow(unknown, [row], examined=False).verb is Verb.INSPECT
        assert borrow(unknown, [row], examined=True) == unknown


def test_the_same_etag_is_the_same_content() -> None:
    action, row = moved(Verb.PULL)
    blank = replace(action.row, remote=Entry(Kind.FILE, 5, "there"))
    assert borrow(replace(action, row=blank), [row], examined=False).source == row


def test_an_executable_bit_that_changed_on_the_way_is_sent_with_the_content() -> None:
    action, row = moved()
    local = replace(action.row.local or Entry(Kind.FILE, 5, "new"), mode=0o755)
    changed = replace(action, row=replace(action.row, local=local))
    assert borrow(changed, [row], examined=False).source is None


def test_a_local_tag_is_no_etag() -> None:
    action, row = moved()
    local = replace(action.row.local or Entry(Kind.FILE, 5, "new"), tag="there", sha256=None)
    alike = replace(action, row=replace(action.row, local=local))
    assert borrow(alike, [row], examined=True).source is None


def test_only_new_files_with_content_can_have_been_moved() -> None:
    action, _ = moved()
    assert is_new(action)
    base = Base(Kind.FILE, 5, "one", "here", "there")
    for row in (
        replace(action.row, base=base),
        replace(action.row, local=Entry(Kind.FILE, 0, "new")),
        replace(action.row, local=Entry(Kind.LINK, 5, "new")),
        replace(action.row, remote=Entry(Kind.FILE, 5, "there")),
        Row("b/", Entry(Kind.DIR, 0, "empty")),
    ):
        assert not is_new(replace(action, row=row))
    assert not is_new(replace(action, verb=Verb.DELETE_REMOTE))
