"""How long things take at least; how long at most is the machine's affair."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.model.asking import outcome, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.s3model import S3Model

WHERE = {"Bucket": "vault", "Key": "private/f"}


def seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def test_distance_delays_every_request_and_more_the_first(model: S3Model, s3: Any) -> None:
    model.latency.round_trip = 0.05
    model.latency.service = 0.02
    model.latency.setup = 2

    def ask() -> None:
        assert outcome(s3.head_object, **WHERE) == "404"

    assert seconds(ask) >= 0.17
    assert seconds(ask) >= 0.07
    assert {asked.connection for asked in model.record.requests} == {1}


def test_a_client_that_asks_to_go_on_pays_a_round_trip_more(model: S3Model, s3: Any) -> None:
    outcome(s3.head_object, **WHERE)
    model.latency.round_trip = 0.1
    # botocore sends the body anyhow after a second.
    assert seconds(lambda: s3.put_object(**WHERE, Body=b"x")) >= 0.2
    assert model.record.requests[-1].status == 200


def test_uploads_take_their_time(model: S3Model, s3: Any) -> None:
    model.latency.up = 1_000_000
    assert seconds(lambda: s3.put_object(**WHERE, Body=bytes(300_000))) >= 0.28
    assert model.record.requests[-1].bytes_in == 300_000
    model.latency.up = 0
    assert read(s3, **WHERE) == bytes(300_000)


def test_downloads_take_their_time(model: S3Model, s3: Any) -> None:
    s3.put_object(**WHERE, Body=bytes(300_000))
    model.latency.total_down = 1_000_000
    assert seconds(lambda: read(s3, **WHERE)) >= 0.28
    assert seconds(lambda: read(s3, **WHERE)) >= 0.28
    assert model.record.requests[-1].bytes_out == 300_000
