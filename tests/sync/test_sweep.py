"""What a listing adds to what is known."""

from __future__ import annotations

from dataclasses import replace

from vaultsync.core.model import Absence, Entry, Kind, Row
from vaultsync.sync.sweep import there

LINK = Entry(Kind.LINK, 3, "etag", "a" * 64, mode=0o777, stamp="monday", ops=("op",))
KNOWN = Row("link", remote=LINK, remote_absence=Absence.PRESENT)
LISTED = Entry(Kind.FILE, 3, "etag", stamp="monday")
"""A listing does not tell links from files."""


def test_a_listing_does_not_take_back_that_something_is_a_link() -> None:
    assert there(KNOWN, LISTED) is KNOWN


def test_a_listing_of_another_time_or_content_has_to_be_looked_at() -> None:
    restamped = there(KNOWN, replace(LISTED, stamp="tuesday"))
    assert restamped.remote == replace(LISTED, kind=Kind.LINK, stamp="tuesday")
    assert there(KNOWN, replace(LISTED, tag="other")).remote == replace(LISTED, tag="other")
