from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.remote.making import MTIME, PREFIX, Bytes, Making, put
from tests.s3model import Fault
from vaultsync.core.errors import Blocked, Refused, Retry, Stale
from vaultsync.core.model import IMPLIED, MARKER, Entry, Kind, Seen
from vaultsync.remote.upload import part_size

if TYPE_CHECKING:
    from tests.remote.faulty import FaultyProxy
    from tests.s3model import S3Model

BIG = bytes(range(256)) * (36 << 10)
ODD = [
    "a b",
    "ümläut é",
    "e\u0301 decomposed",
    "日本語/文件.txt",
    "100%+#?&=;:@,$!*'()[]{}|^`~",
    "quo\"te's <tag>",
    "back\\slash",
    "tab\tin it",
    "..hidden",
    "%2Fescaped%20",
    "emoji 🗝️",
    "a=b&prefix=c",
    "deep/" * 20 + "x",
]


@pytest.mark.parametrize("data", [b"", b"hello", BIG], ids=["nothing", "small", "large"])
def test_what_is_written_is_read_back_completely(make: Making, data: bytes) -> None:
    side = make.side()
    committed = put(side, "d/file.txt", data, "op-1", ("op-0",))
    seen = side.look("d/file.txt")
    assert seen is not None
    assert seen.sha256 == hashlib.sha256(data).hexdigest()
    assert (seen.mtime_ns, seen.mode, seen.size) == (MTIME, 0o640, len(data))
    assert seen.ops == ("op-1", "op-0")
    assert (committed.tag, committed.sha256, committed.ops) == (seen.tag, seen.sha256, seen.ops)
    assert (committed.mtime_ns, committed.mode) == (seen.mtime_ns, seen.mode)
    with side.open("d/file.txt", seen) as content:
        assert b"".join(content.chunks()) == data
        assert b"".join(content.chunks()) == data
        assert content.read(3, 10) == data[3:13]
        assert content.read(len(data) - 2, 100) == data[-2:]
        assert content.sha256() == seen.sha256
        assert content.md5() == hashlib.md5(data, usedforsecurity=False).hexdigest()
        assert content.entry.ops == seen.ops


def test_a_small_file_costs_one_request_each_way(make: Making) -> None:
    side = make.side()
    entry = put(side, "file", b"hello")
    assert side.requests == {"PutObject": 1}
    with side.open("file", entry) as content:
        b"".join(content.chunks())
        assert content.sha256() == entry.sha256
    assert side.requests == {"PutObject": 1, "GetObject": 1}


def test_every_write_and_read_carries_its_condition(make: Making, proxy: FaultyProxy) -> None:
    side = make.side()
    first = put(side, "f", b"1")
    second = side.commit(side.stage("f", Bytes(b"2"), "o2"), first).entry
    with side.open("f", second):
        pass
    put(side, "g", BIG)
    side.delete("f", second)
    puts = [sent for sent in proxy.sent("PUT") if "x-amz-meta-vs-op" in sent]
    assert puts[0]["if-none-match"] == "*"
    assert puts[1]["if-match"] == f'"{first.tag}"'
    assert all(len(sent["x-amz-checksum-sha256"]) == 44 for sent in proxy.sent("PUT"))
    assert not any("expect" in sent for sent in proxy.sent("PUT"))
    assert proxy.sent("GET")[0]["if-match"] == f'"{second.tag}"'
    assert proxy.sent("POST")[-1]["if-none-match"] == "*"
    assert proxy.sent("DELETE")[0]["if-match"] == f'"{second.tag}"'


def test_a_true_content_type_is_sent(make: Making, proxy: FaultyProxy) -> None:
    side = make.side()
    for path in ("a.txt", "b.tar.gz", "c", "d.JPG", "data:text"):
        put(side, path, b"x")
    types = [sent["content-type"] for sent in proxy.sent("PUT")]
    octets = "application/octet-stream"
    assert types == ["text/plain", "application/gzip", octets, "image/jpeg", octets]


def test_a_commit_on_another_version_changes_nothing(make: Making) -> None:
    side = make.side()
    old = put(side, "f", b"old")
    new = side.commit(side.stage("f", Bytes(b"new"), "o2"), old).entry
    with pytest.raises(Stale):
        side.commit(side.stage("f", Bytes(b"newer"), "o3"), old)
    with pytest.raises(Stale):
        side.commit(side.stage("f", Bytes(b"newer"), "o3"), None)
    with pytest.raises(Stale):
        side.commit(side.stage("nothing", Bytes(b"newer"), "o4"), old)
    assert side.look("f") == side.look("f")
    assert (side.look("f") or old).tag == new.tag
    assert side.look("nothing") is None


def test_small_content_that_changes_after_staging_is_not_sent(
    make: Making, proxy: FaultyProxy
) -> None:
    side = make.side()
    content = Bytes(b"before")
    staged = side.stage("f", content, "o")
    content.data = b"after!"
    with pytest.raises(Stale):
        side.commit(staged, None)
    assert not proxy.sent("PUT")


def test_large_content_that_changes_while_it_is_sent_is_given_up(
    make: Making, foreign: Any
) -> None:
    class Torn(Bytes):
        reads = 0

        def read(self, offset: int, length: int) -> bytes:
            self.reads += 1
            if self.reads == 4:
                self.data = self.data[:-1] + b"!"
            return super().read(offset, length)

    side = make.side()
    with pytest.raises(Stale):
        side.stage("f", Torn(BIG), "o")
    assert "Uploads" not in foreign.list_multipart_uploads(Bucket=make.bucket)


def test_large_content_that_changed_before_the_commit_is_not_shown(make: Making) -> None:
    side = make.side()
    content = Bytes(BIG)
    staged = side.stage("f", content, "o")
    content.stale = True
    with pytest.raises(Stale):
        side.commit(staged, None)
    assert side.look("f") is None
    side.discard(staged.token)


def test_a_discarded_upload_is_gone_and_may_be_discarded_again(make: Making, foreign: Any) -> None:
    side = make.side()
    staged = side.stage("f", Bytes(BIG), "o")
    assert json.loads(staged.token)["path"] == "f"
    assert len(foreign.list_multipart_uploads(Bucket=make.bucket)["Uploads"]) == 1
    for _ in range(2):
        side.discard(staged.token)
    assert "Uploads" not in foreign.list_multipart_uploads(Bucket=make.bucket)
    with pytest.raises(Retry) as error:
        side.commit(staged, None)
    assert error.value.unknown_outcome


def test_recovering_tells_whether_it_happened_and_gives_up_what_did_not(
    make: Making, foreign: Any
) -> None:
    side = make.side()
    staged = side.stage("f", Bytes(BIG), "o1")
    assert side.recover("f", "o1", staged.token) is None
    assert "Uploads" not in foreign.list_multipart_uploads(Bucket=make.bucket)
    staged = side.stage("f", Bytes(BIG), "o2")
    made = side.commit(staged, None).entry
    for _ in range(2):
        found = side.recover("f", "o2", staged.token)
        assert found is not None
        assert found.tag == made.tag
    later = side.commit(side.stage("f", Bytes(b"later"), "o3", ("o2", "o1")), made).entry
    built_upon = side.recover("f", "o2", staged.token)
    assert built_upon is not None
    assert built_upon.ops == ("o3", "o2", "o1")
    assert built_upon.tag == later.tag
    assert side.recover("f", "never", "") is None
    assert side.recover("absent", "o2", "") is None


def test_a_version_that_went_cannot_be_opened_or_read_on(make: Making) -> None:
    side = make.side()
    old = put(side, "f", BIG)
    small = put(side, "g", b"g")
    content = side.open("f", old)
    side.commit(side.stage("f", Bytes(b"new"), "o2"), old)
    with pytest.raises(Stale):
        content.read(0, 10)
    with pytest.raises(Stale):
        list(content.chunks())
    with pytest.raises(Stale):
        side.open("f", old)
    side.delete("g", small)
    with pytest.raises(Stale):
        side.open("g", small)


def test_identify_believes_the_server_then_an_etag_then_the_bytes(
    make: Making, foreign: Any
) -> None:
    side = make.side()
    ours = put(side, "ours", b"content")
    assert side.identify("ours", ours).sha256 == hashlib.sha256(b"content").hexdigest()
    assert "GetObject" not in side.requests
    foreign.put_object(Bucket=make.bucket, Key=PREFIX + "theirs", Body=b"content")
    theirs = side.look("theirs")
    assert theirs is not None
    assert theirs.sha256 is None
    like = Bytes(b"content")
    assert side.identify("theirs", theirs, like).sha256 == like.sha256()
    assert "GetObject" not in side.requests
    assert side.identify("theirs", theirs, Bytes(b"another")).sha256 == like.sha256()
    assert side.requests["GetObject"] == 1
    with pytest.raises(Stale):
        side.identify("theirs", Entry(Kind.FILE, 7, "other"))
    with pytest.raises(Stale):
        side.identify("absent", theirs)


def test_deleting_needs_the_version_and_gone_is_done(make: Making) -> None:
    side = make.side()
    old = put(side, "f", b"old")
    new = side.commit(side.stage("f", Bytes(b"new"), "o2"), old).entry
    with pytest.raises(Stale):
        side.delete("f", old)
    assert side.look("f") is not None
    side.delete("f", new)
    side.delete("f", new)
    assert side.look("f") is None


def test_a_directory_is_its_marker_or_its_children(make: Making) -> None:
    side = make.side()
    assert side.look("d/") is None
    assert side.make_directory("d/") == Entry(Kind.DIR, 0, MARKER)
    assert side.make_directory("d/") == Entry(Kind.DIR, 0, MARKER)
    assert side.look("d/") == Entry(Kind.DIR, 0, MARKER)
    child = put(side, "d/e/f", b"x")
    assert side.look("d/e/") == Entry(Kind.DIR, 0, IMPLIED)
    side.delete("d/", Entry(Kind.DIR, 0, MARKER))
    side.delete("d/e/", Entry(Kind.DIR, 0, IMPLIED))
    assert side.look("d/") == Entry(Kind.DIR, 0, IMPLIED)
    assert side.make_directory("d/") == Entry(Kind.DIR, 0, MARKER)
    side.delete("d/e/f", child)
    side.delete("d/e/", Entry(Kind.DIR, 0, IMPLIED))
    side.delete("d/", Entry(Kind.DIR, 0, MARKER))
    side.delete("d/", Entry(Kind.DIR, 0, MARKER))
    assert list(side.entries()) == []


def test_an_object_with_content_and_a_directorys_name_is_no_marker(
    make: Making, foreign: Any
) -> None:
    foreign.put_object(Bucket=make.bucket, Key=PREFIX + "d/", Body=b"content")
    side = make.side()
    side.delete("d/", Entry(Kind.DIR, 0, MARKER))
    assert foreign.head_object(Bucket=make.bucket, Key=PREFIX + "d/")["ContentLength"] == 7


def test_a_refusal_alone_does_not_make_a_directory(model: S3Model, on_model: Making) -> None:
    model.faults.add(Fault("412", ["PutObject"], count=1))
    side = on_model.side()
    with pytest.raises(Stale):
        side.make_directory("d/")
    assert side.make_directory("d/") == side.look("d/")


def test_a_directory_is_not_made_over_a_file(make: Making) -> None:
    side = make.side()
    put(side, "d", b"x")
    put(side, "d-", b"x")
    with pytest.raises(Blocked):
        side.make_directory("d/")


@pytest.mark.parametrize("data", [b"", b"hello", BIG], ids=["nothing", "small", "large"])
def test_metadata_is_changed_without_sending_content(
    make: Making, foreign: Any, data: bytes
) -> None:
    side = make.side()
    put(side, "f.txt", data, "o1", ("o0",))
    before = side.look("f.txt")
    assert before is not None
    after = side.apply("f.txt", before, 123, None)
    assert (after.mtime_ns, after.mode) == (123, 0o640)
    assert (after.sha256, after.ops, after.size) == (before.sha256, before.ops, before.size)
    again = side.apply("f.txt", after, None, 0o751, "o2")
    assert (again.mtime_ns, again.mode) == (123, 0o751)
    assert (again.sha256, again.ops) == (before.sha256, ("o2", *before.ops))
    seen = side.look("f.txt")
    assert seen is not None
    assert replace(seen, stamp=None) == again
    assert side.recover("f.txt", "o2", "") == seen
    found = foreign.get_object(Bucket=make.bucket, Key=PREFIX + "f.txt")
    with found["Body"] as body:
        assert body.read() == data
    assert found["ContentType"] == "text/plain"
    with pytest.raises(Stale):
        side.apply("f.txt", Entry(Kind.FILE, 0, "other"), 1, None)


def test_changing_metadata_keeps_what_other_programs_wrote(make: Making, foreign: Any) -> None:
    foreign.put_object(
        Bucket=make.bucket,
        Key=PREFIX + "f",
        Body=b"x",
        Metadata={"owner": "them"},
        CacheControl="no-cache",
    )
    side = make.side()
    entry = side.look("f")
    assert entry is not None
    side.apply("f", entry, 5, 0o600, "o")
    head = foreign.head_object(Bucket=make.bucket, Key=PREFIX + "f")
    assert head["Metadata"] == {"owner": "them", "mtime": "0.000000005", "mode": "0100600"}
    assert head["CacheControl"] == "no-cache"


def test_a_symbolic_link_is_an_object_that_holds_its_target(make: Making, foreign: Any) -> None:
    side = make.side()
    link = Bytes(b"../target", mode=None, kind=Kind.LINK)
    committed = side.commit(side.stage("l", link, "o"), None).entry
    seen = side.look("l")
    assert seen is not None
    assert seen.kind is committed.kind is Kind.LINK
    head = foreign.head_object(Bucket=make.bucket, Key=PREFIX + "l")
    assert head["Metadata"]["mode"] == "0120777"


@pytest.mark.parametrize("path", ODD)
def test_odd_names_go_there_and_back(make: Making, foreign: Any, path: str) -> None:
    side = make.side()
    entry = put(side, path, b"odd")
    keys = [item["Key"] for item in foreign.list_objects_v2(Bucket=make.bucket)["Contents"]]
    assert keys == [PREFIX + path]
    files = [each.path for each in side.entries() if isinstance(each, Seen) and each.entry.size]
    assert files == [path]
    assert side.look(path) is not None
    with side.open(path, entry) as content:
        assert b"".join(content.chunks()) == b"odd"
    changed = side.apply(path, entry, 1, None)
    side.delete(path, changed)
    assert side.look(path) is None


def test_a_key_may_have_1024_bytes_and_not_one_more(make: Making) -> None:
    side = make.side()
    longest = ("ü" * 100 + "/") * 10
    longest = longest[:400] + "x" * (1024 - len((PREFIX + longest[:400]).encode()))
    assert len((PREFIX + longest).encode()) == 1024
    put(side, longest, b"x")
    assert side.look(longest) is not None
    with pytest.raises(Blocked):
        side.stage(longest + "x", Bytes(b"x"), "o")
    with pytest.raises(Blocked):
        side.stage("bad\udcff", Bytes(b"x"), "o")


def test_a_check_names_what_is_wrong(make: Making) -> None:
    make.side().check()
    with pytest.raises(Refused, match="no such bucket"):
        make.side(bucket="there-is-no-such-bucket").check()
    with pytest.raises(Retry, match="cannot be reached"):
        make.side(endpoint_url="http://127.0.0.1:9").check()


def test_a_missing_bucket_is_not_a_missing_file(make: Making) -> None:
    with pytest.raises(Refused):
        make.side(bucket="there-is-no-such-bucket").look("f")


def test_parts_stay_within_what_s3_takes() -> None:
    assert part_size(1) == 8 << 20
    assert part_size(5 << 40) >= (5 << 40) / 9000
    assert -(-(5 << 40) // part_size(5 << 40)) <= 9000


def test_the_settings_of_the_machine_do_not_choose_the_credentials(
    make: Making, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "there-is-none")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    make.side().check()
    sent = proxy.sent("GET")[-1]
    assert "Credential=key/" in sent["authorization"]
    assert sent["x-amz-security-token"] == "token"
