from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.remote.faulty import ALWAYS, Fault, FaultyProxy
from tests.remote.making import PREFIX, Bytes, Making, put
from vaultsync.core.errors import Blocked, Refused, Retry, SignIn, Stale, VaultsyncError
from vaultsync.core.model import Entry, Kind
from vaultsync.remote.boto import ATTEMPTS
from vaultsync.remote.faults import Broken, Busy, Clash, Denied, Missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.remote.bucket import Bucket

BIG = bytes(range(256)) * (36 << 10)
THERE = Entry(Kind.FILE, 5, "0" * 32)


def put_new(side: Bucket) -> object:
    return put(side, "new", b"new")


def overwrite(side: Bucket) -> object:
    return side.commit(side.stage("f", Bytes(b"other"), "o2"), THERE)


def copy(side: Bucket) -> object:
    version = replace(THERE, sha256="0" * 64, ops=("op-0",))
    return side.commit(side.borrow("new", "f", version, THERE, "op-1"), None)


def remove(side: Bucket) -> object:
    side.delete("f", THERE)
    return None


def read(side: Bucket) -> object:
    return side.open("f", THERE)


def look(side: Bucket) -> object:
    return side.look("f")


def listed(side: Bucket) -> object:
    return list(side.entries())


ANSWERS = [
    (put_new, "PUT", 412, "PreconditionFailed", Stale, None),
    (put_new, "PUT", 409, "ConditionalRequestConflict", Retry, True),
    (overwrite, "PUT", 404, "NoSuchKey", Stale, None),
    (put_new, "PUT", 500, "InternalError", Retry, True),
    (put_new, "PUT", 503, "ServiceUnavailable", Retry, True),
    (put_new, "PUT", 502, "", Retry, True),
    (put_new, "PUT", 503, "SlowDown", Busy, False),
    (put_new, "PUT", 429, "TooManyRequests", Busy, False),
    (put_new, "PUT", 400, "RequestTimeout", Busy, False),
    (put_new, "PUT", 400, "BadDigest", Retry, False),
    (put_new, "PUT", 403, "AccessDenied", Blocked, None),
    (put_new, "PUT", 403, "RequestTimeTooSkewed", Retry, False),
    (put_new, "PUT", 404, "NoSuchBucket", Refused, None),
    (put_new, "PUT", 301, "PermanentRedirect", Refused, None),
    (put_new, "PUT", 400, "ExpiredToken", SignIn, None),
    (put_new, "PUT", 403, "InvalidAccessKeyId", SignIn, None),
    (put_new, "PUT", 400, "InvalidToken", SignIn, None),
    (put_new, "PUT", 400, "EntityTooLarge", Blocked, None),
    (put_new, "PUT", 507, "XMinioStorageFull", Blocked, None),
    (copy, "PUT", 412, "PreconditionFailed", Stale, None),
    (copy, "PUT", 404, "NoSuchKey", Missing, None),
    (copy, "PUT", 409, "ConditionalRequestConflict", Clash, True),
    (copy, "PUT", 501, "NotImplemented", Blocked, None),
    (copy, "PUT", 200, "", Broken, True),
    (copy, "PUT", 200, "InternalError", Broken, True),
    (copy, "PUT", 200, "SlowDown", Busy, False),
    (copy, "PUT", 200, "AccessDenied", Blocked, None),
    (copy, "PUT", 200, "NoSuchKey", Missing, None),
    (remove, "DELETE", 500, "InternalError", Retry, True),
    (remove, "DELETE", 409, "ConditionalRequestConflict", Retry, True),
    (read, "GET", 412, "PreconditionFailed", Stale, None),
    (read, "GET", 404, "NoSuchKey", Missing, None),
    (read, "GET", 403, "InvalidObjectState", Blocked, None),
    (read, "GET", 500, "InternalError", Broken, False),
    (read, "GET", 503, "SlowDown", Busy, False),
    (look, "HEAD", 500, "", Broken, False),
    (listed, "GET", 403, "AccessDenied", Refused, None),
    (listed, "GET", 404, "NoSuchBucket", Refused, None),
    (listed, "GET", 400, "AuthorizationHeaderMalformed", Refused, None),
    (listed, "GET", 400, "ExpiredToken", SignIn, None),
    (listed, "GET", 500, "InternalError", Broken, False),
    (listed, "GET", 200, "", Broken, False),
    (look, "HEAD", 200, "", Broken, False),
    (read, "GET", 200, "", Broken, False),
    (put_new, "PUT", 200, "", Broken, True),
    (remove, "DELETE", 200, "", Broken, True),
]


@pytest.mark.parametrize(
    ("act", "method", "status", "code", "kind", "unknown"),
    ANSWERS,
    ids=[f"{each[0].__name__}-{each[2]}-{each[3]}" for each in ANSWERS],
)
def test_each_answer_is_sorted_by_what_to_do(
    make: Making,
    proxy: FaultyProxy,
    act: Callable[[Bucket], object],
    method: str,
    status: int,
    code: str,
    kind: type[VaultsyncError],
    unknown: bool | None,
) -> None:
    proxy.faults = [Fault("answer", method, times=ALWAYS, status=status, code=code)]
    with pytest.raises(kind) as caught:
        act(make.side())
    assert getattr(caught.value, "unknown_outcome", None) is unknown
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("fault", ["drop", "lose", "hang"])
@pytest.mark.parametrize("act", [put_new, remove])
def test_a_write_without_an_answer_has_an_unknown_outcome_and_is_sent_once(
    make: Making, proxy: FaultyProxy, act: Callable[[Bucket], object], fault: str
) -> None:
    proxy.faults = [Fault(fault, method, times=ALWAYS) for method in ("PUT", "DELETE")]
    side = make.side(timeout=0.3)
    with pytest.raises(Retry) as caught:
        act(side)
    assert caught.value.unknown_outcome
    assert len(proxy.sent("PUT") + proxy.sent("DELETE")) == 1


@pytest.mark.parametrize("fault", ["drop", "lose", "hang"])
@pytest.mark.parametrize("act", [read, look, listed])
def test_a_read_without_an_answer_is_sent_again_a_few_times(
    make: Making, proxy: FaultyProxy, act: Callable[[Bucket], object], fault: str
) -> None:
    proxy.faults = [Fault(fault, times=ALWAYS)]
    with pytest.raises(Retry) as caught:
        act(make.side(timeout=0.2))
    assert not caught.value.unknown_outcome
    assert len(proxy.seen) == ATTEMPTS


def test_what_passes_by_itself_is_not_noticed(make: Making, proxy: FaultyProxy) -> None:
    pauses: list[float] = []
    side = make.side(pause=pauses.append)
    proxy.faults = [
        Fault("answer", "PUT", times=2, status=503, code="SlowDown"),
        Fault("answer", "HEAD", times=1, status=500),
        Fault("drop", "GET", times=1),
    ]
    entry = put(side, "f", b"hello")
    assert side.look("f") is not None
    with side.open("f", entry) as content:
        assert content.read(0, 9) == b"hello"
    assert len(pauses) == 4
    assert side.requests == {"PutObject": 3, "HeadObject": 2, "GetObject": 2}


def test_how_long_to_wait_is_passed_on(make: Making, proxy: FaultyProxy) -> None:
    headers = {"Retry-After": "17"}
    proxy.faults = [
        Fault("answer", "PUT", times=ALWAYS, status=503, code="SlowDown", headers=headers)
    ]
    with pytest.raises(Retry) as caught:
        put_new(make.side())
    assert caught.value.after == 17


def test_a_cut_connection_is_taken_up_where_it_broke(make: Making, proxy: FaultyProxy) -> None:
    side = make.side()
    entry = put(side, "f", BIG)
    proxy.faults = [
        Fault("cut", "GET", keep=3_000_000),
        Fault("drop", "GET"),
        Fault("cut", "GET", keep=1),
    ]
    with side.open("f", entry) as content:
        assert b"".join(content.chunks()) == BIG
    ranges = [sent["range"] for sent in proxy.sent("GET")]
    assert ranges[0] == f"bytes=0-{len(BIG) - 1}"
    assert len(set(ranges)) == 3
    assert all(sent["if-match"] == f'"{entry.tag}"' for sent in proxy.sent("GET"))


def test_a_version_that_changes_during_a_cut_download_is_never_mixed(
    make: Making, proxy: FaultyProxy
) -> None:
    side = make.side()
    entry = put(side, "f", BIG)
    proxy.faults = [Fault("cut", "GET", keep=3_000_000)]
    with side.open("f", entry) as content:
        pieces = content.chunks()
        next(pieces)
        side.commit(side.stage("f", Bytes(BIG[::-1]), "o2"), entry)
        with pytest.raises(Stale):
            list(pieces)


def test_a_download_that_gets_nowhere_ends(make: Making, proxy: FaultyProxy) -> None:
    side = make.side()
    entry = put(side, "f", BIG)
    proxy.faults = [Fault("cut", "GET", times=ALWAYS, keep=0)]
    with side.open("f", entry) as content, pytest.raises(Retry):
        list(content.chunks())


@pytest.mark.parametrize("data", [b"small", BIG], ids=["small", "large"])
def test_after_a_lost_answer_recovering_finds_that_it_was_ours(
    make: Making, proxy: FaultyProxy, data: bytes
) -> None:
    side = make.side()
    staged = side.stage("f", Bytes(data), "our-op")
    proxy.faults = [Fault("lose", "PUT"), Fault("lose", "POST")]
    with pytest.raises(Retry) as caught:
        side.commit(staged, None)
    assert caught.value.unknown_outcome
    found = side.recover("f", "our-op", staged.token)
    assert found is not None
    assert found.sha256 == Bytes(data).sha256()
    assert found.ops == ("our-op",)


def test_after_a_dropped_request_recovering_finds_nothing(
    make: Making, proxy: FaultyProxy, foreign: Any
) -> None:
    side = make.side()
    staged = side.stage("f", Bytes(BIG), "our-op")
    proxy.faults = [Fault("drop", "POST")]
    with pytest.raises(Retry):
        side.commit(staged, None)
    foreign.put_object(Bucket=make.bucket, Key=PREFIX + "f", Body=b"theirs")
    assert side.recover("f", "our-op", staged.token) is None
    assert "Uploads" not in foreign.list_multipart_uploads(Bucket=make.bucket)


def test_a_part_that_fails_is_sent_again(make: Making, proxy: FaultyProxy) -> None:
    side = make.side()
    proxy.faults = [
        Fault("lose", "PUT", "partNumber=1"),
        Fault("answer", "PUT", "partNumber=2", status=500, code="InternalError"),
    ]
    put(side, "f", BIG)
    assert side.requests["UploadPart"] == 4
    assert (side.look("f") or THERE).sha256 == Bytes(BIG).sha256()


def test_an_upload_whose_parts_fail_for_good_is_given_up(
    make: Making, proxy: FaultyProxy, foreign: Any
) -> None:
    proxy.faults = [Fault("answer", "PUT", "partNumber", times=ALWAYS, status=500)]
    with pytest.raises(Retry):
        make.side().stage("f", Bytes(BIG), "o")
    assert "Uploads" not in foreign.list_multipart_uploads(Bucket=make.bucket)


def test_a_conflict_on_completion_wants_a_new_upload(make: Making, proxy: FaultyProxy) -> None:
    side = make.side()
    staged = side.stage("f", Bytes(BIG), "o")
    proxy.faults = [Fault("answer", "POST", "uploadId", status=409, code="OperationAborted")]
    with pytest.raises(Retry):
        side.commit(staged, None)
    side.discard(staged.token)
    put(side, "f", BIG, "o2")


def test_new_credentials_are_fetched_once_and_the_request_sent_again(
    make: Making, proxy: FaultyProxy
) -> None:
    fetched: list[int] = []
    side = make.side(on_expired=lambda: fetched.append(1))
    proxy.faults = [Fault("answer", "PUT", status=400, code="ExpiredToken")]
    put(side, "f", b"x")
    assert fetched == [1]
    proxy.faults = [Fault("answer", "PUT", times=ALWAYS, status=400, code="ExpiredToken")]
    with pytest.raises(SignIn):
        put(side, "g", b"x")
    assert fetched == [1, 1]


def test_an_expired_token_is_recognised_behind_a_head_without_a_body(
    make: Making, proxy: FaultyProxy
) -> None:
    fetched: list[int] = []
    side = make.side(on_expired=lambda: fetched.append(1))
    put(side, "f", b"x")
    proxy.faults = [
        # botocore asks where the bucket is when a HEAD is answered so.
        Fault("answer", "HEAD", status=400, times=2),
        Fault("answer", "GET", status=400, code="ExpiredToken"),
    ]
    assert side.look("f") is not None
    assert fetched == [1]


def test_many_threads_fetch_new_credentials_only_once(make: Making, proxy: FaultyProxy) -> None:
    fetched: list[int] = []
    side = make.side(on_expired=lambda: fetched.append(1))
    together = threading.Barrier(4)
    expired = [Fault("answer", "PUT", status=400, code="ExpiredToken", times=4)]
    proxy.hold = together
    proxy.faults = expired
    threads = [threading.Thread(target=put, args=(side, f"f{number}", b"x")) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == [1]
    assert len(list(side.entries())) == 4


def test_what_fetching_credentials_raises_is_passed_on(make: Making, proxy: FaultyProxy) -> None:
    def offline() -> None:
        raise Retry("The sign-in service cannot be reached.")

    proxy.faults = [Fault("answer", "PUT", status=400, code="ExpiredToken")]
    with pytest.raises(Retry, match="sign-in service"):
        put_new(make.side(on_expired=offline))


def test_a_refused_head_of_a_missing_key_means_that_it_is_missing(
    make: Making, proxy: FaultyProxy
) -> None:
    side = make.side()
    put(side, "f", b"x")
    proxy.faults = [Fault("answer", times=ALWAYS, method="HEAD", status=403)]
    assert side.look("absent") is None
    with pytest.raises(Denied):
        side.look("f")


def test_a_refused_read_or_delete_of_a_missing_key_means_that_it_is_missing(
    make: Making, proxy: FaultyProxy
) -> None:
    side = make.side()
    gone = put(side, "f", b"x")
    side.delete("f", gone)
    where = "eu-1%3A2-3/"
    proxy.faults = [
        Fault("answer", "GET", where + "f", status=403, code="AccessDenied", times=ALWAYS),
        Fault("answer", "DELETE", status=403, code="AccessDenied", times=ALWAYS),
    ]
    with pytest.raises(Stale):
        side.open("f", gone)
    side.delete("f", gone)
    kept = put(side, "f", b"x")
    with pytest.raises(Blocked):
        side.open("f", kept)
    with pytest.raises(Blocked):
        side.delete("f", kept)


def test_a_page_of_something_else_is_not_an_empty_vault(make: Making, proxy: FaultyProxy) -> None:
    proxy.page = b"<html><body>Welcome to our network</body></html>"
    proxy.faults = [Fault("page", times=ALWAYS)]
    side = make.side()
    for act in (listed, look, read, put_new):
        with pytest.raises(Retry, match="not S3"):
            act(side)
    with pytest.raises(Retry, match="not S3"):
        side.check()


def test_a_listing_that_breaks_raises_in_the_middle(
    make: Making, proxy: FaultyProxy, foreign: Any
) -> None:
    for name in "abcd":
        foreign.put_object(Bucket=make.bucket, Key=PREFIX + name, Body=b"x")
    side = make.side()
    pages = side._listing.below("", limit=2)
    next(pages)
    proxy.faults = [Fault("answer", "GET", times=ALWAYS, status=500, code="InternalError")]
    next(pages)
    with pytest.raises(Retry):
        next(pages)
