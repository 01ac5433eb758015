"""Every state of one and of two paths comes to rest as it must.

`python -m tests.sync.exhaustive --paths 3` does the same for three.
"""

from __future__ import annotations

from itertools import chain, islice

import pytest

from tests.sync.exhaustive.states import one_path, two_paths
from tests.sync.exhaustive.verdicts import described, judge

PARTS = 24


@pytest.mark.parametrize("part", range(PARTS))
def test_every_state_of_two_paths_comes_to_rest_as_it_must(part: int) -> None:
    judged = 0
    for nodes in islice(chain(one_path(), two_paths()), part, None, PARTS):
        judged += 1
        found = judge(nodes)
        assert not found, described(nodes, found)
    assert judged > 500
