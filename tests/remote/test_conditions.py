"""A server that ignores conditions is noticed before the first write, and not written to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from botocore.credentials import Credentials

from tests.conftest import member_of, sign_up
from tests.remote.faulty import Fault
from tests.remote.making import PREFIX, Bytes, Making, put
from vaultsync.core.errors import Blocked, Retry
from vaultsync.core.model import MARKER, Entry, Kind
from vaultsync.remote.conditions import Conditions, Permit, probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.remote.faulty import FaultyProxy
    from vaultsync.cloud.local import LocalCloud

GOOD = Conditions(put=True, complete=True, delete=True, versioned=True, copy=True)
POORER = {"put": ("PUT", "/private/"), "delete": ("DELETE", "/private/")}


@pytest.fixture
def keys(foreign: Any, bucket_name: str) -> Callable[[], list[str]]:
    """Call it for all that is stored, unfinished uploads included."""

    def stored() -> list[str]:
        there = foreign.list_objects_v2(Bucket=bucket_name).get("Contents", [])
        uploads = foreign.list_multipart_uploads(Bucket=bucket_name).get("Uploads", [])
        return [each["Key"].removeprefix(PREFIX) for each in (*there, *uploads)]

    return stored


def test_a_good_server(cloud: LocalCloud) -> None:
    member = member_of(cloud, sign_up(cloud))
    with Making(cloud.url, cloud.cloud.bucket, Credentials(*member.keys.values())) as making:
        found = probe(making.transport(), member.prefix)
        left = making.transport().list_page(member.prefix)
    # ministack ignores what is asked of a copy's destination.
    assert found == replace(GOOD, copy=False)
    assert found.honoured
    assert left.items == ()


@pytest.mark.parametrize("poor", [None, *POORER])
def test_each_condition_that_is_ignored_is_noticed(
    make: Making, proxy: FaultyProxy, keys: Callable[[], list[str]], poor: str | None
) -> None:
    if poor is not None:
        proxy.deaf.append(POORER[poor])
    found = probe(make.transport(), PREFIX)
    # moto ignores what Complete is told and what is asked of copies, all by itself.
    assert found == Conditions(poor != "put", False, poor != "delete", False, False)
    assert not found.honoured
    assert keys() == []


def test_copies_that_heed_what_is_asked_of_them(
    make: Making, proxy: FaultyProxy, keys: Callable[[], list[str]]
) -> None:
    proxy.strict = True
    assert probe(make.transport(), PREFIX).copy
    assert keys() == []


@pytest.mark.parametrize(
    "ignored", ["if-none-match", "if-match", "x-amz-copy-source-if-match", "all of them"]
)
def test_each_condition_of_copies_that_is_ignored_is_noticed(
    make: Making, proxy: FaultyProxy, keys: Callable[[], list[str]], ignored: str
) -> None:
    proxy.strict = True
    proxy.blind.add(ignored)
    if ignored == "all of them":
        proxy.strict = False
    assert not probe(make.transport(), PREFIX).copy
    assert keys() == []


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (400, "InvalidRequest")])
def test_a_server_that_cannot_copy_can_do_all_the_rest(
    make: Making, proxy: FaultyProxy, status: int, code: str
) -> None:
    proxy.faults.append(Fault("answer", "PUT", "-copy", 99, status, code))
    found = probe(make.transport(), PREFIX)
    assert found.put
    assert not found.copy


def test_what_is_known_is_restored_only_when_it_is_complete() -> None:
    kept = dict(GOOD.written())
    assert Conditions.restored(kept) == GOOD
    del kept["copy"]
    assert Conditions.restored(kept) is None
    assert Conditions.restored({**GOOD.written(), "later": True}) is None


def test_a_bucket_with_versions(make: Making, foreign: Any, bucket_name: str) -> None:
    foreign.put_bucket_versioning(Bucket=bucket_name, VersioningConfiguration={"Status": "Enabled"})
    assert probe(make.transport(), PREFIX).versioned


def test_only_control_objects_are_touched(make: Making, proxy: FaultyProxy) -> None:
    probe(make.transport(), PREFIX)
    assert proxy.seen
    assert all(f"/{PREFIX}.vaultsync/probe-" in unquote(path) for _, path, _ in proxy.seen)


def test_a_fault_proves_nothing_and_the_question_is_asked_again(
    make: Making, proxy: FaultyProxy
) -> None:
    permit = Permit(make.transport(), PREFIX)
    proxy.faults.append(Fault("drop", "PUT"))
    with pytest.raises(Retry):
        permit.to_delete()
    assert permit.known is None
    permit.to_delete()
    assert permit.known is not None


def test_what_is_known_is_not_asked_again(make: Making, proxy: FaultyProxy) -> None:
    permit = Permit(make.transport(), PREFIX)
    permit.to_delete()
    asked = len(proxy.seen)
    with pytest.raises(Blocked):
        permit.to_write()
    Permit(make.transport(), PREFIX, GOOD).to_write()
    assert len(proxy.seen) == asked


@pytest.mark.parametrize("poor", ["put", "complete"])
def test_without_conditions_the_vault_is_only_read(
    make: Making, keys: Callable[[], list[str]], poor: str
) -> None:
    first = put(make.side(), "theirs", b"x")
    side = make.side(known=replace(GOOD, **{poor: False}))
    with pytest.raises(Blocked, match="ignores the conditions of uploads") as refused:
        side.stage("mine", Bytes(b"y"), "op")
    assert "safety.allow_unconditional" in refused.value.hint
    with pytest.raises(Blocked):
        side.make_directory("folder/")
    with pytest.raises(Blocked):
        side.apply("theirs", first, None, 0o700)
    found = side.look("theirs")
    assert found is not None
    with side.open("theirs", found) as content:
        assert b"".join(content.chunks()) == b"x"
    assert keys() == ["theirs"]


def test_without_conditional_deletes_nothing_is_deleted(make: Making) -> None:
    side = make.side(known=replace(GOOD, delete=False))
    mine = put(side, "mine", b"x")
    with pytest.raises(Blocked, match="ignores the condition of a deletion"):
        side.delete("mine", mine)
    with pytest.raises(Blocked):
        side.delete("folder/", Entry(Kind.DIR, 0, MARKER))
    assert side.look("mine") is not None


def test_a_person_may_take_the_risk(make: Making) -> None:
    side = make.side(known=Conditions(False, False, False, False, False), regardless=True)
    side.delete("mine", put(side, "mine", b"x"))
    assert side.look("mine") is None


def test_missing_rights_to_delete_say_nothing_against_the_server(
    make: Making, proxy: FaultyProxy
) -> None:
    proxy.faults.append(
        Fault("answer", "DELETE", "x-id=DeleteObject", 9, status=403, code="AccessDenied")
    )
    assert probe(make.transport(), PREFIX).delete
