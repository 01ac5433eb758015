from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsync.core.lookalikes import KEPT, Lookalikes, folded


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("README", "readme", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("STRASSE", "stra\u00dfe", True),
        ("a", "b", False),
        ("cafe", "caf\u00e9", False),
    ],
)
def test_what_looks_alike(one: str, other: str, alike: bool) -> None:
    assert (folded(one) == folded(other)) is alike


@given(st.text())
def test_folding_twice_is_folding_once(name: str) -> None:
    assert folded(folded(name)) == folded(name)


def found(*paths: str) -> list[tuple[str, str]]:
    names = Lookalikes()
    for path in sorted(paths):
        names.show(path)
    assert names.count == len(names.pairs)
    return names.pairs


def test_names_are_compared_within_their_directory() -> None:
    assert found("A/x", "B/X") == []
    assert found("d/", "d/A", "d/B", "d/B/z", "d/a", "e") == [("d/A", "d/a")]


def test_what_lies_between_does_not_hide_a_pair() -> None:
    paths = ("A", "B/", "B/one", "B/two/", "B/two/x", "C", "a", "b/", "b/one")
    assert found(*paths) == [("A", "a"), ("B", "b")]


def test_a_file_and_a_folder_of_one_name_are_no_look_alikes() -> None:
    assert found("a", "a/", "a/b") == []


def test_very_many_are_only_counted() -> None:
    names = Lookalikes()
    paths = sorted(name for number in range(KEPT * 2) for name in (f"a{number}", f"A{number}"))
    for path in paths:
        names.show(path)
    assert (names.count, len(names.pairs)) == (KEPT * 2, KEPT)
