from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    HTTPClientError,
    ReadTimeoutError,
)
from urllib3.exceptions import ProtocolError

from tests.guards import FOREIGN
from tests.model.asking import outcome, read
from tests.model.conftest import ONCE
from tests.s3 import foreign_client
from tests.s3model import Fault, S3Model
from vaultsync.core.errors import Retry, Stale
from vaultsync.remote.client import ABSENT, Condition

if TYPE_CHECKING:
    from vaultsync.remote.boto import BotoTransport

WHERE = {"Bucket": "vault", "Key": "private/f"}
BROKEN = (ConnectionClosedError, HTTPClientError)


def last(model: S3Model) -> tuple[str, int, str]:
    asked = model.record.requests[-1]
    return asked.operation, asked.status, asked.fault


def test_a_lost_request_does_nothing(model: S3Model, s3: Any) -> None:
    model.faults.add(Fault("lost-request", ["PutObject"], count=1))
    with pytest.raises(BROKEN):
        s3.put_object(**WHERE, Body=b"x")
    assert last(model) == ("PutObject", 0, "lost-request")
    assert outcome(s3.head_object, **WHERE) == "404"
    assert outcome(s3.put_object, **WHERE, Body=b"x") == "200"


def test_a_lost_response_hides_what_was_done(model: S3Model, s3: Any) -> None:
    model.faults.add(Fault("lost-response", ["PutObject"], count=1))
    with pytest.raises(BROKEN):
        s3.put_object(**WHERE, Body=b"x")
    assert last(model) == ("PutObject", 200, "lost-response")
    assert read(s3, **WHERE) == b"x"


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("409", "409 ConditionalRequestConflict"),
        ("412", "412 PreconditionFailed"),
        ("500", "500 InternalError"),
        ("503", "503 SlowDown"),
        ("200", "500 InternalError"),
    ],
)
def test_answers_on_command(
    model: S3Model, s3: Any, kind: str, expected: str, applied: bool
) -> None:
    model.faults.add(Fault(kind, ["PutObject"], count=1, applied=applied))
    assert outcome(s3.put_object, **WHERE, Body=b"x") == expected
    assert outcome(s3.head_object, **WHERE) == ("200" if applied else "404")


def test_a_slow_request_is_overtaken(model: S3Model, s3: Any) -> None:
    fault = Fault("slow", key="private/slow", seconds=0.5)
    model.faults.add(fault)
    slow = threading.Thread(
        target=lambda: s3.put_object(Bucket="vault", Key="private/slow", Body=b"x")
    )
    slow.start()
    while not fault.done:
        time.sleep(0.005)
    other = foreign_client(model.url, FOREIGN.merge(ONCE))
    other.put_object(**WHERE, Body=b"x")
    other.close()
    slow.join()
    assert [asked.key for asked in model.record.requests] == ["private/f", "private/slow"]
    assert last(model) == ("PutObject", 200, "slow")


def test_a_slow_answer_ends_the_patience_of_a_client(model: S3Model) -> None:
    hasty = foreign_client(model.url, FOREIGN.merge(ONCE).merge(type(ONCE)(read_timeout=0.2)))
    model.faults.add(Fault("slow", seconds=60))
    with pytest.raises(ReadTimeoutError):
        hasty.head_object(**WHERE)
    hasty.close()


def test_an_answer_is_cut(model: S3Model, s3: Any) -> None:
    body = bytes(300_000)
    s3.put_object(**WHERE, Body=body)
    model.faults.add(Fault("cut", ["GetObject"], count=1))
    got = s3.get_object(**WHERE)
    assert got["ContentLength"] == len(body)
    with got["Body"] as stream, pytest.raises(ProtocolError):
        stream.read()
    assert model.record.requests[-1].bytes_out == len(body) // 2
    assert read(s3, **WHERE) == body


def test_a_request_is_cut(model: S3Model, s3: Any) -> None:
    model.faults.add(Fault("cut", ["PutObject"], count=1))
    with pytest.raises((*BROKEN, OSError)):
        s3.put_object(**WHERE, Body=bytes(30_000_000))
    assert last(model) == ("PutObject", 0, "cut")
    assert outcome(s3.head_object, **WHERE) == "404"


def test_a_request_arrives_twice(model: S3Model, s3: Any) -> None:
    model.faults.add(Fault("duplicate", ["PutObject"], count=2))
    assert outcome(s3.put_object, **WHERE, Body=b"x", IfNoneMatch="*") == "412 PreconditionFailed"
    assert read(s3, **WHERE) == b"x"
    assert outcome(s3.put_object, **WHERE, Body=b"y") == "200"
    assert [wrote.size for wrote in model.record.writes] == [1, 1, 1]


def test_a_late_request_is_applied_when_its_condition_still_holds(model: S3Model, s3: Any) -> None:
    model.faults.add(Fault("late", ["PutObject"], count=1, seconds=0.3))
    with pytest.raises(BROKEN):
        s3.put_object(**WHERE, Body=b"x", IfNoneMatch="*")
    assert outcome(s3.head_object, **WHERE) == "404"
    model.record.wait_for(lambda: last(model) == ("PutObject", 200, "late"))
    assert read(s3, **WHERE) == b"x"


def test_a_late_request_is_refused_when_it_does_not(model: S3Model, s3: Any) -> None:
    model.faults.add(Fault("late", ["PutObject"], count=1, seconds=0.3))
    with pytest.raises(BROKEN):
        s3.put_object(**WHERE, Body=b"x", IfNoneMatch="*")
    s3.put_object(**WHERE, Body=b"other")
    model.record.wait_for(lambda: last(model) == ("PutObject", 412, "late"))
    assert read(s3, **WHERE) == b"other"


def test_a_stale_listing_tells_what_was_there(model: S3Model, s3: Any) -> None:
    for key in ("a", "b", "c", "d"):
        s3.put_object(Bucket="vault", Key=key, Body=b"old")
    age(model, 100)
    s3.delete_object(Bucket="vault", Key="b")
    s3.put_object(Bucket="vault", Key="c", Body=b"newer")
    s3.put_object(Bucket="vault", Key="e", Body=b"old")

    def listed() -> list[tuple[str, int]]:
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket="vault", PaginationConfig={"PageSize": 2}
        )
        return [(item["Key"], item["Size"]) for page in pages for item in page["Contents"]]

    now = [("a", 3), ("c", 5), ("d", 3), ("e", 3)]
    then = [("a", 3), ("b", 3), ("c", 3), ("d", 3)]
    assert listed() == now
    model.faults.set([Fault("stale", seconds=50)])
    assert listed() == then
    # Each page is as old as it is told to be: the second one is fresh again.
    model.faults.set([Fault("stale", seconds=50, count=1)])
    assert listed() == [("a", 3), ("b", 3), ("c", 5), ("d", 3), ("e", 3)]
    model.faults.set([Fault("stale", seconds=1000)])
    assert "Contents" not in s3.list_objects_v2(Bucket="vault")


def age(model: S3Model, seconds: float) -> None:
    """Move all that happened so far into the past."""
    past = model.vault._past
    older = [change._replace(time=change.time - seconds) for change in past]
    model.vault._past = deque(older, past.maxlen)


def test_faults_are_aimed(model: S3Model, s3: Any) -> None:
    model.faults.add(Fault("500", ["PutObject", "GetObject"], key="private/a", skip=1, count=1))
    keys = ["private/b", "private/a1", "private/a2", "private/a3"]
    told = [outcome(s3.put_object, Bucket="vault", Key=key, Body=b"") for key in keys]
    assert told == ["200", "200", "500 InternalError", "200"]
    assert model.faults.all[0].done == 1
    model.faults.clear()
    assert model.faults.all == ()


def test_chance_is_seeded(model: S3Model, s3: Any) -> None:
    def run(seed: int) -> list[str]:
        model.faults.set([Fault("503", probability=0.5)], seed)
        return [outcome(s3.head_object, **WHERE) for _ in range(20)]

    first = run(1)
    assert set(first) == {"404", "503"}
    assert run(1) == first
    assert run(2) != first


def test_a_fault_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="no such fault"):
        Fault("lost")


def test_our_own_transport_meets_them(model: S3Model, transport: BotoTransport) -> None:
    def put(body: bytes, condition: Condition) -> str:
        digest = hashlib.sha256(body).digest()
        given = transport.put("private/f", body, condition, digest=digest, metadata={}, headers={})
        return given.etag

    model.faults.set([Fault("503", count=2)])
    etag = put(b"1", ABSENT)
    assert model.record.counters["PutObject"] == 3

    model.faults.set([Fault("lost-response", ["PutObject"], count=1)])
    with pytest.raises(Retry) as lost:
        put(b"2", Condition(etag))
    assert lost.value.unknown_outcome
    with pytest.raises(Stale):
        put(b"2", Condition(etag))

    model.faults.set([Fault("409", ["DeleteObject"], count=1)])
    head = transport.head("private/f")
    assert head is not None
    with pytest.raises(Retry):
        transport.delete("private/f", head.etag)
    transport.delete("private/f", head.etag)

    model.faults.set([Fault("cut", ["GetObject"], count=1)])
    etag = put(bytes(500_000), ABSENT)
    with pytest.raises(Retry), transport.get("private/f", etag) as answer:
        list(answer)
    with transport.get("private/f", etag) as answer:
        assert b"".join(answer) == bytes(500_000)
