"""What was sent of a large file is not sent again, whatever ended the sending."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.remote.faulty import Fault as Answer
from tests.remote.faulty import FaultyProxy
from tests.remote.making import MTIME, PREFIX, Bytes, Making, put
from tests.s3model import Fault
from vaultsync.core.errors import Blocked, Retry, Stale, VaultsyncError
from vaultsync.remote import upload
from vaultsync.remote.unfinished import Unfinished
from vaultsync.state.store import Store
from vaultsync.state.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.s3model import S3Model
    from vaultsync.remote.bucket import Bucket

PART = 1 << 16
DATA = b"".join(bytes([number]) * PART for number in range(5)) + b"the rest"
PARTS = 6
CHILD = """
import sys
from pathlib import Path
from botocore.credentials import Credentials
from tests.remote.making import PREFIX, Bytes
from tests.remote.test_unfinished import DATA, PART
from vaultsync.remote import upload
from vaultsync.remote.boto import BotoTransport
from vaultsync.remote.bucket import Bucket
from vaultsync.state.uploads import Uploads

upload.PART = PART
transport = BotoTransport("vault", "us-east-1", Credentials("key", "secret"), sys.argv[1])
ledger = Uploads(Path(sys.argv[2]))
bucket = Bucket(transport, PREFIX, "laptop é", lambda _path: False, ledger=ledger)
bucket.stage("f", Bytes(DATA), "op-1")
"""


@pytest.fixture(autouse=True)
def small_parts(model: S3Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with less to carry."""
    monkeypatch.setattr(upload, "PART", PART)
    model.settings.smallest_part = 1


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Uploads]:
    file = tmp_path / "state.db"
    Store(file).close()
    with Uploads(file) as uploads:
        yield uploads


class Sent:
    """What the model was sent."""

    def __init__(self, model: S3Model) -> None:
        self._model = model

    @property
    def arrived(self) -> int:
        """Parts that an answer said had arrived."""
        return sum(
            asked.operation == "UploadPart" and asked.status == 200
            for asked in self._model.record.requests
        )

    @property
    def bytes(self) -> int:
        """Bytes of parts, those that did not arrive included."""
        requests = self._model.record.requests
        return sum(asked.bytes_in for asked in requests if asked.operation == "UploadPart")

    @property
    def operations(self) -> list[str]:
        return [asked.operation for asked in self._model.record.requests]

    @property
    def uploads(self) -> int:
        """Multipart uploads that were begun and not ended."""
        return len(self._model.service.buckets["vault"].uploads)


@pytest.fixture
def sent(model: S3Model) -> Sent:
    return Sent(model)


def interrupted(side: Bucket, model: S3Model, after: int, data: bytes = DATA) -> None:
    """Send `after` parts, then lose the connection for good."""
    model.faults.add(Fault("lost-request", "UploadPart", skip=after))
    with pytest.raises(Retry):
        side.stage("f", Bytes(data), "op-1")
    model.faults.clear()


def test_killed_in_the_middle_nothing_that_arrived_is_sent_again(
    on_model: Making, model: S3Model, ledger: Uploads, sent: Sent, tmp_path: Path
) -> None:
    model.faults.add(Fault("slow", "UploadPart", skip=3, seconds=300))
    arguments = [sys.executable, "-c", CHILD, model.url, str(tmp_path / "state.db")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(arguments, env=environment) as child:
        uploads = model.service.buckets["vault"].uploads
        patience = time.monotonic() + 60
        while not any(len(begun.parts) == 3 for begun in list(uploads.values())):
            assert child.poll() is None
            assert time.monotonic() < patience
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
    model.faults.clear()
    assert sent.arrived == 3
    side = on_model.side(ledger=ledger)
    staged = side.stage("f", Bytes(DATA), "op-2")
    assert staged.op == "op-1"
    assert sent.arrived == PARTS
    assert sent.bytes == len(DATA)
    made = side.commit(staged, None).entry
    seen = side.look("f")
    assert seen is not None
    assert (seen.tag, seen.ops, seen.mtime_ns) == (made.tag, ("op-1",), MTIME)
    assert seen.sha256 == hashlib.sha256(DATA).hexdigest()
    assert ledger.all() == []


@pytest.mark.parametrize("after", [0, 1, PARTS - 1])
def test_a_lost_connection_costs_only_what_was_on_its_way(
    on_model: Making, model: S3Model, ledger: Uploads, sent: Sent, after: int
) -> None:
    interrupted(on_model.side(ledger=ledger), model, after)
    assert sent.arrived == after
    staged = on_model.side(ledger=ledger).stage("f", Bytes(DATA), "op-2")
    assert sent.arrived == PARTS
    assert sent.operations.count("CreateMultipartUpload") == 1
    assert on_model.side(ledger=ledger).commit(staged, None).entry.ops == ("op-1",)


def test_without_checksums_the_etag_of_a_part_tells(
    on_model: Making, model: S3Model, ledger: Uploads, sent: Sent
) -> None:
    model.settings.checksums = False
    interrupted(on_model.side(ledger=ledger), model, 2)
    staged = on_model.side(ledger=ledger).stage("f", Bytes(DATA), "op-2")
    assert sent.arrived == PARTS
    on_model.side(ledger=ledger).commit(staged, None)


def test_a_part_that_is_not_what_it_should_be_is_sent_again(
    on_model: Making, model: S3Model, ledger: Uploads, sent: Sent
) -> None:
    interrupted(on_model.side(ledger=ledger), model, 2)
    for begun in model.service.buckets["vault"].uploads.values():
        number = begun.parts.keys()[0]
        begun.parts[number] = replace(begun.parts[number], checksums={"sha256": "A" * 43 + "="})
    staged = on_model.side(ledger=ledger).stage("f", Bytes(DATA), "op-2")
    assert sent.arrived == PARTS + 1
    on_model.side(ledger=ledger).commit(staged, None)


def test_more_than_a_thousand_parts_are_listed(
    on_model: Making,
) -> None:
    transport = on_model.transport()
    name = transport.create_upload(PREFIX + "f", metadata={}, headers={})
    for number in range(1, 1003):
        digest = hashlib.sha256(b"x").digest()
        transport.upload_part(PREFIX + "f", name, number, b"x", digest)
    found = transport.list_parts(PREFIX + "f", name)
    assert found is not None
    assert [part.number for part in found] == list(range(1, 1003))
    assert (found[-1].size, found[-1].digest) == (1, hashlib.sha256(b"x").digest())
    transport.abort(PREFIX + "f", name)
    assert transport.list_parts(PREFIX + "f", name) is None


CHANGED = {
    "content": Bytes(DATA[:-1] + b"!"),
    "size": Bytes(DATA + b"!"),
    "now small": Bytes(b"small"),
    "mtime": Bytes(DATA, mtime_ns=7),
    "mode": Bytes(DATA, mode=0o700),
}


@pytest.mark.parametrize("change", CHANGED)
def test_another_file_is_begun_anew_and_the_old_upload_given_up(
    on_model: Making, model: S3Model, ledger: Uploads, sent: Sent, change: str
) -> None:
    interrupted(on_model.side(ledger=ledger), model, 2)
    side = on_model.side(ledger=ledger)
    staged = side.stage("f", CHANGED[change], "op-2")
    assert staged.op == "op-2"
    assert sent.uploads == (change != "now small")
    side.commit(staged, None)
    assert sent.uploads == 0
    assert ledger.all() == []


def test_another_version_to_build_upon_is_begun_anew(
    on_model: Making, model: S3Model, ledger: Uploads, sent: Sent
) -> None:
    interrupted(on_model.side(ledger=ledger), model, 2)
    staged = on_model.side(ledger=ledger).stage("f", Bytes(DATA), "op-2", ("op-0",))
    assert staged.op == "op-2"
    assert sent.uploads == 1


@pytest.mark.parametrize("end", ["aborted", "too old"])
def test_an_upload_that_is_gone_or_old_is_begun_anew(
    on_model: Making,
    model: S3Model,
    ledger: Uploads,
    sent: Sent,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
) -> None:
    interrupted(on_model.side(ledger=ledger), model, 2)
    if end == "aborted":
        model.call(model.service.buckets["vault"].uploads.clear)
    else:
        monkeypatch.setattr(upload, "LIMIT", 0)
    side = on_model.side(ledger=ledger)
    staged = side.stage("f", Bytes(DATA), "op-2")
    assert staged.op == "op-2"
    assert sent.uploads == 1
    assert sent.arrived == 2 + PARTS


def test_a_server_that_does_not_list_parts_is_sent_all_again(
    on_model: Making, model: S3Model, ledger: Uploads, sent: Sent
) -> None:
    interrupted(on_model.side(ledger=ledger), model, 2)
    with FaultyProxy(model.url) as proxy:
        proxy.faults.append(Answer("answer", "GET", "uploadId", status=403, code="AccessDenied"))
        side = on_model.side(ledger=ledger, endpoint_url=proxy.url)
        staged = side.stage("f", Bytes(DATA), "op-2")
    assert staged.op == "op-2"
    assert sent.arrived == 2 + PARTS


def test_content_that_changes_while_it_is_sent_ends_the_upload(
    on_model: Making, ledger: Uploads, sent: Sent
) -> None:
    class Torn(Bytes):
        reads = 0

        def read(self, offset: int, length: int) -> bytes:
            self.reads += 1
            if self.reads == PARTS + 4:
                self.data = self.data[:-1] + b"!"
            return super().read(offset, length)

    with pytest.raises(Stale):
        on_model.side(ledger=ledger).stage("f", Torn(DATA), "o")
    assert sent.uploads == 0
    assert ledger.all() == []


def test_what_could_not_be_completed_yet_is_kept(
    on_model: Making, model: S3Model, ledger: Uploads, sent: Sent
) -> None:
    side = on_model.side(ledger=ledger)
    staged = side.stage("f", Bytes(DATA), "op-1")
    model.faults.add(Fault("503", "CompleteMultipartUpload"))
    with pytest.raises(Retry):
        side.commit(staged, None)
    model.faults.clear()
    side.discard(staged.token)
    assert side.recover("f", "op-1", staged.token) is None
    again = on_model.side(ledger=ledger).stage("f", Bytes(DATA), "op-2")
    assert (again.op, again.token) == ("op-1", staged.token)
    assert sent.arrived == PARTS
    side.commit(again, None)


def test_what_is_refused_or_clashes_is_begun_anew(
    on_model: Making, model: S3Model, ledger: Uploads, sent: Sent
) -> None:
    side = on_model.side(ledger=ledger)
    staged = side.stage("f", Bytes(DATA), "op-1")
    model.faults.add(Fault("409", "CompleteMultipartUpload", count=1))
    with pytest.raises(Retry) as error:
        side.commit(staged, None)
    assert error.value.unknown_outcome
    assert side.recover("f", "op-1", staged.token) is None
    assert sent.uploads == 0
    staged = side.stage("f", Bytes(DATA), "op-2")
    assert staged.op == "op-2"
    put(on_model.side(), "f", b"theirs", "op-3")
    with pytest.raises(Stale):
        side.commit(staged, None)
    assert side.recover("f", "op-2", staged.token) is None
    assert sent.uploads == 0
    assert ledger.all() == []


def test_what_was_completed_without_an_answer_is_found(
    on_model: Making, model: S3Model, ledger: Uploads, sent: Sent
) -> None:
    side = on_model.side(ledger=ledger)
    staged = side.stage("f", Bytes(DATA), "op-1")
    model.faults.add(Fault("lost-response", "CompleteMultipartUpload", count=1))
    with pytest.raises(Retry):
        side.commit(staged, None)
    with pytest.raises(Stale):
        on_model.side(ledger=ledger).stage("f", Bytes(DATA), "op-2")
    assert ledger.all() == []
    found = on_model.side(ledger=ledger).recover("f", "op-1", staged.token)
    assert found is not None
    assert found.ops == ("op-1",)
    assert sent.arrived == PARTS


def test_recovering_a_completed_upload_ends_its_record(
    on_model: Making, model: S3Model, ledger: Uploads
) -> None:
    side = on_model.side(ledger=ledger)
    staged = side.stage("f", Bytes(DATA), "op-1")
    model.faults.add(Fault("lost-response", "CompleteMultipartUpload", count=1))
    with pytest.raises(Retry):
        side.commit(staged, None)
    assert on_model.side(ledger=ledger).recover("f", "op-1", staged.token) is not None
    assert ledger.all() == []


def test_deleting_a_path_ends_its_upload(
    on_model: Making, model: S3Model, ledger: Uploads, sent: Sent
) -> None:
    side = on_model.side(ledger=ledger)
    old = put(side, "f", b"old", "op-0")
    interrupted(side, model, 2)
    assert sent.uploads == 1
    side.delete("f", old)
    assert sent.uploads == 0
    assert ledger.all() == []


def test_tidying_ends_what_is_old_or_not_wanted(
    on_model: Making,
    model: S3Model,
    ledger: Uploads,
    sent: Sent,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    side = on_model.side(ledger=ledger)
    interrupted(side, model, 1)
    side.tidy(lambda path: path == "f")
    assert sent.uploads == 1
    before = sent.operations
    side.tidy(lambda _path: False)
    assert sent.uploads == 0
    assert ledger.all() == []
    assert sent.operations[len(before) :] == ["AbortMultipartUpload", "ListParts"]
    interrupted(side, model, 1)
    monkeypatch.setattr(upload, "LIMIT", 0)
    on_model.side(ledger=ledger).tidy(lambda _path: True)
    assert sent.uploads == 0
    assert ledger.all() == []


def test_a_ledger_that_fails_costs_resuming_only(
    on_model: Making, model: S3Model, ledger: Uploads, sent: Sent
) -> None:
    ledger.close()
    with pytest.raises(Blocked):
        ledger.recall("f")
    side = on_model.side(ledger=ledger)
    interrupted(side, model, 1)
    assert sent.uploads == 0
    side.commit(side.stage("f", Bytes(DATA), "op-2"), None)


def test_without_a_ledger_an_interrupted_upload_is_given_up(
    on_model: Making, model: S3Model, sent: Sent
) -> None:
    interrupted(on_model.side(), model, 1)
    assert sent.uploads == 0


def test_closing_does_not_wait_for_parts_that_have_not_begun(
    on_model: Making, model: S3Model, ledger: Uploads, sent: Sent
) -> None:
    side = on_model.side(ledger=ledger)

    class Closing(Bytes):
        reads = 0

        def read(self, offset: int, length: int) -> bytes:
            self.reads += 1
            if self.reads == PARTS + 1:
                # As the daemon does from another thread; it waits for this very part, too.
                side._uploader._pool.shutdown(wait=False, cancel_futures=True)
            return super().read(offset, length)

    with pytest.raises(VaultsyncError):
        side.stage("f", Closing(DATA), "op-1")
    assert sent.uploads == 1
    assert sent.arrived < PARTS


@given(
    st.builds(
        Unfinished,
        st.text(),
        st.text(),
        st.text(),
        st.integers(0, 1 << 50),
        st.integers(1, 1 << 40),
        st.lists(st.binary(min_size=32, max_size=32), max_size=5).map(tuple),
        st.dictionaries(st.text(), st.text()),
        st.floats(0, 1e12),
    )
)
def test_a_record_comes_back_as_it_was(unfinished: Unfinished) -> None:
    assert Unfinished.read(unfinished.text) == unfinished


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"digests": ""}', '{"digests": "", "new": 1}'])
def test_a_record_of_another_version_is_none(text: str) -> None:
    assert Unfinished.read(text) is None
