"""The local cloud as a process: what it keeps, what it forgets, and what it leaves behind."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from vaultsync.cloud import local, selftest, stack
from vaultsync.cloud.local import LocalCloud
from vaultsync.core.errors import (
    AnotherInstance,
    Fatal,
    MachineRefused,
    Misconfigured,
    NotFound,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def put(place: LocalCloud, member: Any, name: str, body: bytes) -> None:
    with closing(member.s3(place)) as s3:
        s3.put_object(Bucket=place.cloud.bucket, Key=member.prefix + name, Body=body)


def get(place: LocalCloud, member: Any, name: str) -> bytes:
    with (
        closing(member.s3(place)) as s3,
        s3.get_object(Bucket=place.cloud.bucket, Key=member.prefix + name)["Body"] as body,
    ):
        return bytes(body.read())


def test_people_and_files_outlive_a_stop_and_a_crash_and_credentials_do_not(
    tmp_path: Path, new_member: Callable[..., Any], sign_in: Callable[..., Any]
) -> None:
    place = LocalCloud(tmp_path / "cloud")
    outputs = place.start()
    member = new_member(place)
    put(place, member, "file", b"kept")
    place.stop()

    place = LocalCloud(tmp_path / "cloud")
    assert place.start() == outputs
    with pytest.raises(ClientError) as caught:
        get(place, member, "file")
    assert caught.value.response["Error"]["Code"] == "InvalidAccessKeyId"
    place.kill()

    with place:
        assert place.cloud == outputs
        returned = sign_in(place, member.person)
        assert returned.identity_id == member.identity_id
        assert get(place, returned, "file") == b"kept"


def test_a_crash_right_after_the_first_start_keeps_the_outputs(tmp_path: Path) -> None:
    place = LocalCloud(tmp_path / "cloud")
    outputs = place.start()
    place.kill()
    with place:
        assert place.cloud == outputs


def test_temporary_credentials_end_when_asked_to(
    tmp_path: Path, new_member: Callable[..., Any]
) -> None:
    with LocalCloud(tmp_path / "cloud", credential_seconds=3) as place:
        member = new_member(place)
        put(place, member, "file", b"in time")
        assert refusal_in_the_end(lambda: get(place, member, "file")) == "ExpiredToken"


def refusal_in_the_end(request: Callable[[], object]) -> str:
    """Repeat a request until it is refused; the error code."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            request()
        except ClientError as error:
            return error.response["Error"]["Code"]
    return "never"


def test_only_one_local_cloud_runs_on_a_folder(cloud: LocalCloud) -> None:
    with pytest.raises(AnotherInstance, match="already runs"):
        LocalCloud(cloud.data).start()
    with urllib.request.urlopen(f"{cloud.url}/_ministack/health") as answer:  # noqa: S310
        assert answer.status == 200


def test_a_taken_port_is_refused_with_a_hint(cloud: LocalCloud, tmp_path: Path) -> None:
    port = int(cloud.url.rpartition(":")[2])
    with pytest.raises(MachineRefused, match=str(port)) as caught:
        LocalCloud(tmp_path / "cloud", port=port).start()
    assert "--port" in caught.value.hint


def test_starting_twice_and_stopping_twice_is_harmless(cloud: LocalCloud, tmp_path: Path) -> None:
    pid = cloud.pid
    assert cloud.start() == cloud.cloud
    assert cloud.pid == pid
    never_started = LocalCloud(tmp_path / "cloud")
    never_started.stop()
    with pytest.raises(Misconfigured):
        _ = never_started.url


def test_it_listens_on_loopback_only(cloud: LocalCloud) -> None:
    port = f"{int(cloud.url.rpartition(':')[2]):04X}"
    with open("/proc/net/tcp") as table:  # noqa: PTH123 - the kernel's, not a file
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(f":{port}")] == [
        f"0100007F:{port}"
    ]


def test_the_users_aws_settings_do_not_leak_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_PROFILE": "nobody",
        "AWS_ACCESS_KEY_ID": "AKIAREALLYMINE000000",
        "AWS_SECRET_ACCESS_KEY": "real-secret",
        "AWS_SESSION_TOKEN": "real-token",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    with LocalCloud(tmp_path / "cloud") as place:
        assert place.cloud.region == local.REGION
        with open(f"/proc/{place.pid}/environ", "rb") as file:  # noqa: PTH123
            assert b"real-" not in file.read()


def test_the_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, threading\n"
        "from vaultsync.cloud.local import LocalCloud\n"
        "place = LocalCloud(pathlib.Path(sys.argv[1]))\n"
        "starter = threading.Thread(target=place.start)\n"
        "starter.start(); starter.join()\n"
        "print(place.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "cloud")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        server = int(parent.stdout.readline())
        watch = os.pidfd_open(server)
        parent.kill()
    try:
        # A pidfd becomes readable when its process has ended.
        ended, _, _ = select.select([watch], [], [], 20)
        assert ended
    finally:
        os.close(watch)
    assert (tmp_path / "cloud" / "state" / "cognito.json").exists()


def test_a_server_that_dies_at_once_is_reported_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "hypercorn").mkdir()
    (tmp_path / "hypercorn" / "__init__.py").write_text("raise SystemExit('no server today')")
    place = LocalCloud(tmp_path / "cloud")
    with pytest.raises(Fatal, match="no server today") as caught:
        place.start()
    assert "server.log" in caught.value.hint
    assert place.pid is None


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(local, "version", absent)
    with pytest.raises(MachineRefused, match="ministack") as caught:
        LocalCloud(tmp_path / "cloud").start()
    assert "pip install 'vaultsync[local]'" in caught.value.hint
    monkeypatch.setattr(local, "version", lambda _: "9.9")
    with pytest.raises(MachineRefused, match=r"9\.9 is installed"):
        LocalCloud(tmp_path / "cloud").start()
    assert not (tmp_path / "cloud").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("s3:prefix: private/${cognito-identity.amazonaws.com:sub}/*", "list the bucket"),
        ("/private/${!cognito-identity.amazonaws.com:sub}/*", "another's prefix"),
    ],
)
def test_the_self_test_fails_loudly_when_a_wall_is_missing(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, change: str, told: str
) -> None:
    text = stack.template()
    open_wide = change.replace("private/${cognito-identity.amazonaws.com:sub}/*", '"*"').replace(
        "/private/${!cognito-identity.amazonaws.com:sub}/*", "/*"
    )
    assert change in text
    without = text.replace(change, open_wide)
    if "s3:prefix" in change:
        without = without.replace("StringLike:\n", "StringLikeIfExists:\n")
    monkeypatch.setattr(stack, "template", lambda: without)
    before = inventory(cloud)
    with pytest.raises(Fatal, match=told):
        selftest.check_walls(cloud.session(), cloud.url)
    assert inventory(cloud) == before


@pytest.mark.parametrize(
    ("trust", "other"),
    [("aud: !Ref IdentityPool", "aud: another-pool"), ("amr: authenticated", "amr: sms")],
)
def test_a_role_is_given_only_to_whom_it_trusts(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, trust: str, other: str
) -> None:
    text = stack.template()
    assert trust in text
    monkeypatch.setattr(stack, "template", lambda: text.replace(trust, other))
    with pytest.raises(Fatal, match="InvalidIdentityPoolConfiguration"):
        selftest.check_walls(cloud.session(), cloud.url)


def test_the_self_test_leaves_nothing_behind(cloud: LocalCloud) -> None:
    session = cloud.session()
    before = inventory(cloud)
    selftest.check_walls(session, cloud.url)
    assert inventory(cloud) == before


def inventory(place: LocalCloud) -> set[str]:
    """All buckets and user pools."""
    session = place.session()
    with (
        closing(session.client("s3", endpoint_url=place.url)) as s3,
        closing(session.client("cognito-idp", endpoint_url=place.url)) as pools,
    ):
        names = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        listed = pools.list_user_pools(MaxResults=60)["UserPools"]
        return names | {pool["Id"] for pool in listed}


def test_mails_are_found_by_their_address(
    cloud: LocalCloud, new_person: Callable[..., Any]
) -> None:
    email, _ = new_person()
    mine = [mail for mail in cloud.messages() if mail["To"] == [email]]
    assert cloud.code_for(email) in mine[-1]["BodyText"]
    with pytest.raises(NotFound, match="nobody@example"):
        cloud.code_for("nobody@example.com")


def test_a_page_in_a_browser_may_use_the_bucket(cloud: LocalCloud) -> None:
    request = urllib.request.Request(  # noqa: S310
        f"{cloud.url}/{cloud.cloud.bucket}/private/x",
        method="OPTIONS",
        headers={
            "Origin": "http://localhost:3000",
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "authorization,x-amz-meta-mtime",
        },
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "x-amz-version-id" in answer.headers["Access-Control-Expose-Headers"]


def test_what_it_remembers_holds_no_secret(cloud: LocalCloud) -> None:
    known = json.loads((cloud.data / "cloud.json").read_text())
    assert set(known) == {"port", "outputs"}
    assert cloud.data.stat().st_mode & 0o077 == 0


def test_a_signal_ends_it_in_good_order(tmp_path: Path) -> None:
    place = LocalCloud(tmp_path / "cloud")
    place.start()
    assert place.pid is not None
    watch = os.pidfd_open(place.pid)
    os.kill(place.pid, signal.SIGINT)
    assert select.select([watch], [], [], 20)[0]
    os.close(watch)
    place.stop()
    assert (tmp_path / "cloud" / "state" / "cognito.json").exists()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{place.url}/_ministack/health")  # noqa: S310
