from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsync.core.model import Kind
from vaultsync.remote import metadata
from vaultsync.remote.client import Head
from vaultsync.remote.metadata import Authorship

CONTENT = b"some content"
SHA256 = hashlib.sha256(CONTENT)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
FULL = base64.b64encode(SHA256.digest()).decode()
COMPOSITE = metadata.composite([SHA256.digest()])
OURS = {"vs-sha256": SHA256.hexdigest(), "vs-bind": MD5, "vs-op": "o3", "vs-anc": "o2,o1"}


def head(etag: str, checksum: str | None, **fields: str) -> Head:
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return Head(etag, len(CONTENT), "", checksum=checksum, metadata=named)


@given(st.integers(-(10**20), 10**20))
def test_an_mtime_comes_back_to_the_nanosecond(nanoseconds: int) -> None:
    assert metadata.parse_mtime(metadata.format_mtime(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1700000000.123456789", 1_700_000_000_123_456_789),
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000.", 1_700_000_000_000_000_000),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("1700000000.1234567899", 1_700_000_000_123_456_789),
        ("0.000000001", 1),
        ("-0.000000001", -1),
        ("1.7e9", None),
        ("", None),
        ("soon", None),
        (".5", None),
        ("9" * 40, None),
        ("٣", None),
    ],
)
def test_an_mtime_of_other_programs_is_read_with_integers(
    text: str, nanoseconds: int | None
) -> None:
    assert metadata.parse_mtime(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("0100750", 0o100750),
        ("100750", 0o100750),
        ("33256", 0o100750),
        ("0120777", 0o120777),
        ("41471", 0o120777),
        ("0755", 0o755),
        ("0", 0),
        ("65535", 65535),
        ("65536", 0o65536),
        ("99999", None),
        ("089", None),
        ("-1", None),
        ("", None),
        ("rwx", None),
        ("7" * 30, None),
    ],
)
def test_a_mode_is_octal_with_a_leading_zero_or_when_too_large_for_decimal(
    text: str, mode: int | None
) -> None:
    assert metadata.parse_mode(text) == mode


def test_a_mode_gives_kind_and_nothing_but_permission_bits() -> None:
    assert metadata.read(head("e", None, mode="0106755")).mode == 0o755
    assert metadata.read(head("e", None, mode="0120777")).kind is Kind.LINK
    assert metadata.read(head("e", None, mode="0100644")).kind is Kind.FILE


@pytest.mark.parametrize(
    ("etag", "checksum", "bind", "ops"),
    [
        pytest.param(MD5, FULL, MD5, ("o3", "o2", "o1"), id="the server's own digest"),
        pytest.param("kms", FULL, MD5, ("o3", "o2", "o1"), id="an ETag that is no MD5"),
        pytest.param(MD5, None, MD5, ("o3", "o2", "o1"), id="no checksum, ETag as written"),
        pytest.param("x-1", COMPOSITE, COMPOSITE, ("o3", "o2", "o1"), id="composite as written"),
    ],
)
def test_fields_bound_to_the_bytes_count(
    etag: str, checksum: str | None, bind: str, ops: tuple[str, ...]
) -> None:
    entry = metadata.read(Head(etag, 12, "", None, checksum, OURS | {"vs-bind": bind}))
    assert entry.ops == ops
    assert entry.sha256 == SHA256.hexdigest()


@pytest.mark.parametrize(
    ("etag", "checksum", "bind"),
    [
        pytest.param("0" * 32, None, MD5, id="other bytes, no checksum"),
        pytest.param("x-1", None, COMPOSITE, id="a multipart ETag says nothing"),
        pytest.param("x-2", COMPOSITE[:-1] + "2", COMPOSITE, id="other parts"),
        pytest.param("0" * 32, None, "", id="never bound"),
    ],
)
def test_fields_of_other_bytes_are_ignored(etag: str, checksum: str | None, bind: str) -> None:
    entry = metadata.read(Head(etag, 12, "", None, checksum, OURS | {"vs-bind": bind}))
    assert entry.ops == ()
    assert entry.sha256 is None


def test_other_bytes_with_a_checksum_have_their_own_digest_and_not_our_ops() -> None:
    other = hashlib.sha256(b"other")
    full = base64.b64encode(other.digest()).decode()
    entry = metadata.read(Head("e", 5, "", None, full, OURS))
    assert entry.sha256 == other.hexdigest()
    assert entry.ops == ()


def test_at_most_seven_ancestors_are_written_and_read() -> None:
    entry = metadata.read(head("e", None))
    ancestry = tuple(f"o{number}" for number in range(20))
    fields = metadata.write(entry, SHA256.hexdigest(), MD5, Authorship("new", ancestry, "é/x"))
    assert fields["vs-anc"].split(",") == list(ancestry[:7])
    assert all(value.isascii() for value in fields.values())
    assert metadata.read(Head(MD5, 12, "", None, FULL, fields)).ops == ("new", *ancestry[:7])


def test_a_copy_keeps_foreign_fields_and_drops_ours_when_they_speak_of_other_bytes() -> None:
    foreign = {"owner": "somebody", **OURS}
    unbound = Head("0" * 32, 12, "", metadata=foreign)
    assert metadata.carried(unbound, None, None) == {"owner": "somebody"}
    true = Head(MD5, 12, "", None, FULL, foreign)
    copied = metadata.carried(true, SHA256.hexdigest(), COMPOSITE)
    assert copied == foreign | {"vs-bind": COMPOSITE}
