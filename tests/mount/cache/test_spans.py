"""Sets of bytes, against a set of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vaultsync.mount.cache.spans import Spans

_pairs = st.tuples(st.integers(0, 40), st.integers(1, 15)).map(lambda pair: (pair[0], sum(pair)))


@given(st.lists(_pairs), _pairs)
def test_spans_are_a_set_of_bytes(pairs: list[tuple[int, int]], asked: tuple[int, int]) -> None:
    spans = Spans()
    rows: dict[int, int] = {}
    expected: set[int] = set()
    for start, stop in pairs:
        absorbed, span = spans.add(start, stop)
        for one in absorbed:
            del rows[one]
        rows[span[0]] = span[1]
        expected |= set(range(start, stop))
    assert list(spans) == sorted(rows.items())
    assert {byte for start, stop in spans for byte in range(start, stop)} == expected
    wanted = set(range(*asked))
    gaps = spans.gaps(*asked)
    assert {byte for start, stop in gaps for byte in range(start, stop)} == wanted - expected
    assert spans.covers(*asked) == (wanted <= expected) == (not gaps)
    assert all(one[1] < other[0] for one, other in zip(list(spans), list(spans)[1:], strict=False))
