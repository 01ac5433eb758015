"""The model as a process of its own, and what can be asked of it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.guards import FOREIGN
from tests.model.asking import outcome
from tests.model.conftest import ONCE
from tests.s3 import foreign_client
from tests.s3model import ModelProcess
from tests.s3model.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

WHERE = {"Bucket": "vault", "Key": "private/f"}


@pytest.fixture(scope="module")
def process() -> Iterator[ModelProcess]:
    with ModelProcess() as running:
        yield running
    assert running.process.returncode == 0


@pytest.fixture
def far(process: ModelProcess) -> Iterator[Any]:
    client = foreign_client(process.url, FOREIGN.merge(ONCE))
    yield client
    client.close()
    process.control("DELETE", "faults")
    process.control("DELETE", "record")


def test_the_url_also_goes_to_a_descriptor() -> None:
    here, there = os.pipe()
    command = [sys.executable, "-m", "tests.s3model", "--ready-fd", str(there)]
    with (
        open(here) as ready,  # noqa: PTH123 - a descriptor
        subprocess.Popen(
            command, cwd=ROOT, pass_fds=[there], stdout=subprocess.PIPE, text=True
        ) as running,
    ):
        os.close(there)
        url = ready.readline()
        assert running.stdout is not None
        assert url == running.stdout.readline()
        running.terminate()
        assert running.wait(30) == 0
    assert url.startswith("http://127.0.0.1:")


def test_faults_are_set_from_outside(process: ModelProcess, far: Any) -> None:
    fault = {"kind": "500", "operations": ["PutObject"], "key": "private/", "count": 1}
    process.control("POST", "faults", fault)
    assert outcome(far.put_object, **WHERE, Body=b"x") == "500 InternalError"
    assert outcome(far.put_object, **WHERE, Body=b"x") == "200"
    assert process.control("GET", "faults")[0]["done"] == 1
    process.control("POST", "faults?seed=7", [{"kind": "503"}, {"kind": "409"}])
    assert [each["kind"] for each in process.control("GET", "faults")] == ["503", "409"]
    with pytest.raises(ValueError, match="no such fault"):
        process.control("POST", "faults", {"kind": "nonsense"})


def test_the_record_is_read_from_outside(process: ModelProcess, far: Any) -> None:
    process.control("DELETE", "record")
    etag = far.put_object(**WHERE, Body=b"x")["ETag"]
    far.put_object(**WHERE, Body=b"yy", IfMatch=etag)
    told = process.control("GET", "record")
    assert told["counters"] == {"PutObject": 2}
    second = told["requests"][1]
    assert (second["operation"], second["key"]) == ("PutObject", "private/f")
    assert second["conditions"] == {"if-match": etag}
    assert (second["bytes_in"], second["status"], second["access_key"]) == (2, 200, "admin")
    assert len(process.control("GET", "record?from=1")["requests"]) == 1
    process.control("DELETE", "record?keep=0")
    far.head_object(**WHERE)
    told = process.control("GET", "record")
    assert (told["counters"], told["requests"]) == ({"HeadObject": 1}, [])
    process.control("DELETE", "record?keep=1")


def test_all_versions_are_told(process: ModelProcess, far: Any) -> None:
    where = {"Bucket": "vault", "Key": "told/f"}
    made = [far.put_object(**where, Body=body)["VersionId"] for body in (b"1", b"22")]
    made.append(far.delete_object(**where)["VersionId"])
    told = process.control("GET", "versions?bucket=vault&prefix=told/")
    assert [each["version"] for each in told] == made
    assert [each["sha256"] for each in told] == [
        hashlib.sha256(b"1").hexdigest(),
        hashlib.sha256(b"22").hexdigest(),
        "",
    ]
    assert [each["operation"] for each in told] == ["PutObject", "PutObject", "DeleteObject"]
    assert sorted(each["time"] for each in told) == [each["time"] for each in told]


def test_settings_are_turned_from_outside(process: ModelProcess, far: Any) -> None:
    process.control("PUT", "settings", {"missing_is_forbidden": True})
    assert outcome(far.head_object, Bucket="vault", Key="gone") == "403"
    process.control("PUT", "settings", {"missing_is_forbidden": False})
    assert process.control("PUT", "latency", {"round_trip": 0.001})["round_trip"] == 0.001
    assert process.control("PUT", "latency", {"round_trip": 0})["round_trip"] == 0
    assert process.control("GET", "state")["settings"]["missing_is_forbidden"] is False
    with pytest.raises(ValueError, match="no such setting: speed"):
        process.control("PUT", "settings", {"speed": 1})
    with pytest.raises(ValueError, match="no such thing"):
        process.control("GET", "nothing")


def test_many_objects_at_once(process: ModelProcess, far: Any) -> None:
    process.control("POST", "buckets", {"name": "full", "versioning": "Enabled"})
    given = {"bucket": "full", "prefix": "p/", "count": 2500, "size": 10}
    assert process.control("POST", "objects", given) == {"keys": 2500}
    pages = list(far.get_paginator("list_objects_v2").paginate(Bucket="full", Prefix="p/"))
    assert [page["KeyCount"] for page in pages] == [1000, 1000, 500]
    first = pages[0]["Contents"][0]
    head = far.head_object(Bucket="full", Key=first["Key"])
    assert (head["ETag"], head["ContentLength"]) == (first["ETag"], 10)
    etag = head["ETag"]
    assert outcome(far.put_object, Bucket="full", Key=first["Key"], Body=b"", IfMatch=etag) == "200"


def test_everybody_can_be_hung_up_on(process: ModelProcess, far: Any) -> None:
    far.head_bucket(Bucket="vault")
    with pytest.raises(ConnectionError):
        process.control("DELETE", "connections")
    assert process.control("GET", "state")["connections"] == 1
