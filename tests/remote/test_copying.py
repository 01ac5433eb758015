"""Copies on the server: in one request where conditions are honoured, in parts elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.remote.faulty import Fault
from tests.remote.making import MTIME, PREFIX, Making, put
from tests.remote.test_conditions import GOOD
from vaultsync.core.errors import Blocked, Fatal, Retry, Stale
from vaultsync.core.model import Entry, Kind
from vaultsync.remote import copying
from vaultsync.remote.client import ABSENT, Written
from vaultsync.remote.conditions import probe
from vaultsync.remote.copying import Copy

if TYPE_CHECKING:
    from tests.remote.faulty import FaultyProxy
    from tests.s3model import S3Model

LIKE = Entry(Kind.FILE, 7, "like", mtime_ns=5, mode=0o700)
SHA256 = hashlib.sha256(b"content")
BIG = bytes(range(256)) * (36 << 10)


@pytest.fixture(autouse=True)
def strict(proxy: FaultyProxy) -> None:
    proxy.strict = True


def test_ours_is_copied_with_one_request_that_carries_all_along(
    make: Making, proxy: FaultyProxy, foreign: Any
) -> None:
    side = make.side()
    entry = put(side, "p.txt", b"content", "op-1", ("op-0",))
    before = side.requests
    staged = side.borrow("d/q", "p.txt", entry, LIKE, "op-2")
    assert side.requests == before
    assert (staged.op, staged.sha256, staged.size) == ("op-1", SHA256.hexdigest(), 7)
    shown = side.commit(staged, None).entry
    assert side.requests == before | {"CopyObject": 1}
    sent = proxy.sent("PUT")[-1]
    assert sent["if-none-match"] == "*"
    assert sent["x-amz-copy-source-if-match"] == f'"{entry.tag}"'
    assert sent["x-amz-metadata-directive"] == "COPY"
    seen = side.look("d/q")
    assert seen is not None
    assert replace(seen, stamp=None) == shown
    assert (shown.ops, shown.mtime_ns, shown.mode) == (("op-1", "op-0"), MTIME, 0o640)
    head = foreign.head_object(Bucket=make.bucket, Key=PREFIX + "d/q")
    assert head["ContentType"] == "text/plain"


def test_anothers_is_asked_for_its_metadata_which_stays(
    make: Making, proxy: FaultyProxy, foreign: Any
) -> None:
    foreign.put_object(
        Bucket=make.bucket,
        Key=PREFIX + "p",
        Body=b"content",
        Metadata={"owner": "them", "mtime": "7"},
        ContentType="text/x-theirs",
        CacheControl="no-cache",
    )
    side = make.side()
    seen = side.look("p")
    assert seen is not None
    entry = replace(seen, sha256=SHA256.hexdigest())
    staged = side.borrow("q", "p", entry, LIKE, "op-2")
    shown = side.commit(staged, None).entry
    now = side.look("q")
    assert now is not None
    assert replace(now, stamp=None) == shown
    assert (now.ops, now.sha256) == (("op-2",), SHA256.hexdigest())
    assert (now.mtime_ns, now.mode) == (7_000_000_000, 0o700)
    head = foreign.head_object(Bucket=make.bucket, Key=PREFIX + "q")
    assert (head["ContentType"], head["CacheControl"]) == ("text/x-theirs", "no-cache")
    assert head["Metadata"]["owner"] == "them"
    assert proxy.sent("PUT")[-1]["if-none-match"] == "*"


def test_ours_seen_in_a_listing_keeps_its_own_operation(make: Making) -> None:
    side = make.side()
    entry = put(side, "p", b"content", "op-1", ("op-0",))
    staged = side.borrow("q", "p", replace(entry, ops=(), mode=None), LIKE, "op-2")
    assert staged.op == "op-1"
    shown = side.commit(staged, None).entry
    assert (shown.ops, shown.mode) == (("op-1", "op-0"), 0o640)


@pytest.mark.parametrize("data", [b"content", BIG], ids=["small", "large"])
def test_where_conditions_of_copies_are_ignored_it_is_copied_in_parts(
    make: Making, proxy: FaultyProxy, foreign: Any, data: bytes
) -> None:
    side = make.side(known=replace(GOOD, copy=False))
    entry = put(side, "p.txt", data, "op-1", ("op-0",))
    staged = side.borrow("q", "p.txt", entry, LIKE, "op-2")
    assert side.look("q") is None
    shown = side.commit(staged, None).entry
    assert "CopyObject" not in side.requests
    assert proxy.sent("POST")[-1]["if-none-match"] == "*"
    now = side.look("q")
    assert now is not None
    # moto does not tell at once what it is going to say of the parts of a large object.
    assert replace(now, stamp=None, ops=shown.ops) == shown
    assert (now.ops, now.mtime_ns, now.mode) == (("op-1", "op-0"), MTIME, 0o640)
    assert now.sha256 == hashlib.sha256(data).hexdigest()
    head = foreign.head_object(Bucket=make.bucket, Key=PREFIX + "q")
    assert head["ContentType"] == "text/plain"
    with side.open("q", now) as content:
        assert b"".join(content.chunks()) == data


def test_a_copy_in_parts_is_given_up_by_its_token(make: Making, foreign: Any) -> None:
    side = make.side(known=replace(GOOD, copy=False))
    entry = put(side, "p", b"content", "op-1")
    staged = side.borrow("q", "p", entry, LIKE, "op-2")
    assert len(foreign.list_multipart_uploads(Bucket=make.bucket)["Uploads"]) == 1
    assert make.side().recover("q", "op-1", staged.token) is None
    assert "Uploads" not in foreign.list_multipart_uploads(Bucket=make.bucket)
    with pytest.raises(Retry):
        side.commit(staged, None)


def test_what_fails_while_it_is_copied_in_parts_leaves_nothing(make: Making, foreign: Any) -> None:
    side = make.side(known=replace(GOOD, copy=False))
    entry = put(side, "p", b"content", "op-1")
    with pytest.raises(Stale):
        side.borrow("q", "p", replace(entry, tag="0" * 32), LIKE, "op-2")
    assert "Uploads" not in foreign.list_multipart_uploads(Bucket=make.bucket)


def test_large_objects_are_copied_in_several_parts(
    make: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "MAX_COPY", 8 << 20)
    side = make.side()
    entry = put(side, "p", BIG, "op-1")
    staged = side.borrow("q", "p", entry, LIKE, "op-2")
    shown = side.commit(staged, None).entry
    assert side.requests["UploadPartCopy"] == 2
    assert (shown.tag, shown.ops) == (entry.tag, ("op-1",))
    assert side.look("q") == side.recover("q", "op-1", staged.token)


def test_a_copy_is_refused_unless_both_ends_are_as_expected(make: Making) -> None:
    side = make.side()
    entry = put(side, "p", b"content", "op-1")
    put(side, "q", b"theirs", "op-2")
    with pytest.raises(Stale):
        side.commit(side.borrow("q", "p", entry, LIKE, "op-3"), None)
    staged = side.borrow("r", "p", entry, LIKE, "op-3")
    side.delete("p", entry)
    with pytest.raises(Stale):
        side.commit(staged, None)
    put(side, "p", b"other", "op-4")
    with pytest.raises(Stale):
        side.commit(staged, None)
    assert side.look("r") is None


def test_a_copy_is_recognised_only_with_its_content(make: Making) -> None:
    side = make.side()
    entry = put(side, "p", b"content", "op-1")
    staged = side.borrow("q", "p", entry, LIKE, "op-2")
    assert side.recover("q", "op-1", staged.token) is None
    other = put(side, "q", b"other", "op-1")
    assert side.recover("q", "op-1", staged.token) is None
    side.delete("q", other)
    made = side.commit(staged, None).entry
    found = side.recover("q", "op-1", staged.token)
    assert found is not None
    assert found.tag == made.tag
    side.delete("q", made)
    put(side, "q", b"built upon it", "op-5", ("op-1",))
    assert (side.recover("q", "op-1", staged.token) or made).ops == ("op-5", "op-1")


def test_an_error_in_a_body_with_status_200_is_an_error(make: Making, proxy: FaultyProxy) -> None:
    side = make.side()
    entry = put(side, "p", b"content", "op-1")
    staged = side.borrow("q", "p", entry, LIKE, "op-2")
    proxy.faults.append(Fault("answer", "PUT", "/q", status=200, code="InternalError"))
    with pytest.raises(Retry) as error:
        side.commit(staged, None)
    assert error.value.unknown_outcome
    assert side.look("q") is None


def test_a_body_that_tells_nothing_is_no_success(make: Making, proxy: FaultyProxy) -> None:
    side = make.side()
    entry = put(side, "p", b"content", "op-1")
    proxy.page = b"<CopyObjectResult></CopyObjectResult>"
    proxy.faults.append(Fault("page", "PUT", "/q"))
    with pytest.raises(Retry) as error:
        side.commit(side.borrow("q", "p", entry, LIKE, "op-2"), None)
    assert error.value.unknown_outcome


def test_a_lost_answer_leaves_the_outcome_unknown(make: Making, proxy: FaultyProxy) -> None:
    side = make.side()
    entry = put(side, "p", b"content", "op-1")
    staged = side.borrow("q", "p", entry, LIKE, "op-2")
    proxy.faults.append(Fault("lose", "PUT", "/q"))
    with pytest.raises(Retry) as error:
        side.commit(staged, None)
    assert error.value.unknown_outcome
    assert side.recover("q", staged.op, staged.token) is not None


@pytest.mark.parametrize(
    "written",
    [
        Written("m" * 32, checksum=base64.b64encode(SHA256.digest()).decode()),
        Written("x" * 32 + "-2"),
    ],
)
def test_metadata_of_a_multipart_object_holds_where_the_server_proves_it(written: Written) -> None:
    version = Entry(Kind.FILE, 7, "x" * 32 + "-2", SHA256.hexdigest(), ops=("op-1",))
    assert Copy("q", "op-1", "p", version).shown(written).ops == ("op-1",)
    unproven = Copy("q", "op-1", "p", version).shown(Written("m" * 32))
    assert unproven.ops == ()
    assert unproven.sha256 == SHA256.hexdigest()


def test_what_is_not_known_is_not_copied(make: Making) -> None:
    side = make.side()
    entry = put(side, "p", b"content")
    with pytest.raises(Fatal):
        side.borrow("q", "p", replace(entry, sha256=None), LIKE, "op-2")
    with pytest.raises(Fatal):
        side.borrow("q", "p", replace(entry, size=0), LIKE, "op-2")
    with pytest.raises(Blocked):
        side.borrow("x" * 1024, "p", entry, LIKE, "op-2")


def test_metadata_of_what_was_copied_changes_the_etag_each_time(make: Making) -> None:
    """So that a device that listed the object in the same second sees the change."""
    side = make.side()
    entry = put(side, "f", b"content", "op-1")
    first = side.apply("f", entry, None, 0o700)
    assert first.tag == hashlib.md5(bytes.fromhex(entry.tag)).hexdigest() + "-1"  # noqa: S324
    assert "CopyObject" not in side.requests
    second = side.apply("f", first, None, 0o600)
    assert side.requests["CopyObject"] == 1
    assert (second.mode, second.ops, second.sha256) == (0o600, ("op-1",), entry.sha256)


def test_metadata_is_changed_in_parts_where_conditions_of_copies_are_ignored(make: Making) -> None:
    side = make.side(known=replace(GOOD, copy=False))
    first = side.apply("f", put(side, "f", b"content", "op-1"), None, 0o700)
    side.apply("f", first, None, 0o600)
    assert "CopyObject" not in side.requests


def test_a_copy_in_one_request_onto_what_changed_is_refused(make: Making) -> None:
    transport = make.transport()
    first = put(make.side(), "p", b"content")
    put(make.side(), "q", b"theirs")
    with pytest.raises(Stale):
        transport.copy(PREFIX + "q", PREFIX + "p", first.tag, ABSENT)


def test_a_token_tells_all_that_is_needed(make: Making) -> None:
    side = make.side()
    staged = side.borrow("q", "p", put(side, "p", b"content"), LIKE, "op-2")
    told = json.loads(staged.token)
    assert told == {"path": "q", "upload": "", "sha256": SHA256.hexdigest()}
    side.discard(staged.token)


def test_a_multipart_object_is_copied_as_one_piece_and_still_recognised(on_model: Making) -> None:
    side = on_model.side()
    entry = put(side, "p", BIG, "op-1", ("op-0",))
    staged = side.borrow("q", "p", entry, LIKE, "op-2")
    shown = side.commit(staged, None).entry
    assert shown.tag == hashlib.md5(BIG).hexdigest()  # noqa: S324 - what an ETag is
    now = side.look("q")
    assert now is not None
    assert replace(now, stamp=None) == shown
    assert now.ops == ("op-1", "op-0")
    assert side.requests["CopyObject"] == 1
    assert side.apply("p", entry, None, 0o700).tag == shown.tag
    assert side.requests["CopyObject"] == 2


def test_an_encrypted_object_is_copied_and_recognised(on_model: Making, model: S3Model) -> None:
    model.settings.opaque_etags = True
    side = on_model.side()
    entry = side.look("p") or put(side, "p", b"content", "op-1")
    shown = side.commit(side.borrow("q", "p", entry, LIKE, "op-2"), None).entry
    assert shown.tag != entry.tag
    assert shown.ops == ("op-1",)
    assert (side.look("q") or entry).ops == ("op-1",)


def test_a_server_without_checksums_leaves_the_content_of_a_large_copy_unknown(
    on_model: Making, model: S3Model
) -> None:
    model.settings.checksums = False
    side = on_model.side()
    entry = put(side, "p", BIG, "op-1")
    seen = side.look("p")
    assert seen is not None
    staged = side.borrow("q", "p", replace(entry, tag=seen.tag), LIKE, "op-2")
    shown = side.commit(staged, None).entry
    assert shown.ops == ()
    assert (side.look("q") or entry).sha256 is None
    small = put(side, "r", b"content", "op-3")
    assert side.commit(side.borrow("s", "r", small, LIKE, "op-4"), None).entry.ops == ("op-3",)


@pytest.mark.parametrize("honours", [True, False])
def test_the_model_is_asked_whether_it_honours_them(
    on_model: Making, model: S3Model, honours: bool
) -> None:
    model.settings.copy_conditions = honours
    assert probe(on_model.transport(), PREFIX).copy is honours
    assert on_model.transport().list_page(PREFIX).items == ()
