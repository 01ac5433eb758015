"""What `vaultsync demo` shows, one function a step; its docstring is the line of the checklist.

A step does what a person would do, and raises when the outcome is not as it should be. It returns
what was seen.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vaultsync.cli.demo.files import plant
from vaultsync.cli.demo.world import PASSWORD, CommandFailed, Device, differences, paths, settle
from vaultsync.core.errors import Fatal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from vaultsync.cloud.local import LocalCloud

ANN, BOB = "ann@example.com", "bob@example.com"
LIFETIME = 30
"""Seconds that temporary credentials live in the demonstration; AWS gives an hour."""
_LETTER = "documents/letter.txt"
_ARCHIVE = 60
"""Files whose deletion is more than anybody does by the way."""
FILM = 150_000_000
"""Bytes of a file that takes a moment to send."""


@dataclass
class World:
    """What the steps share.

    Attributes:
        home: The temporary folder.
        cloud: The local cloud.
        laptop: Ann's first device.
        desktop: Ann's second device.
        other: Bob's device; he signs in and syncs nothing.
        drive: Ann's third device, whose files are in a drive.
        drive_daemon: That device's daemon, once it runs.
        mountable: Whether this machine can mount a drive.
        lease: The first temporary credentials that Ann was given.
    """

    home: Path
    cloud: LocalCloud
    laptop: Device
    desktop: Device
    other: Device
    drive: Device
    mountable: bool
    lease: dict[str, Any] = field(default_factory=dict)
    drive_daemon: int = 0

    @property
    def devices(self) -> tuple[Device, Device]:
        """Both of Ann's."""
        return self.laptop, self.desktop

    def s3(self, keys: dict[str, Any] | None) -> S3Client:
        """S3 with somebody's temporary credentials, or as nobody at all.

        Args:
            keys: What `vaultsync credentials` printed; None to send no signature.
        """
        import boto3  # noqa: PLC0415 - heavy, and only the demonstration's own proofs need it
        from botocore import UNSIGNED  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415

        config = Config(proxies={}, retries={"total_max_attempts": 1})
        if keys is None:
            config = config.merge(Config(signature_version=UNSIGNED))
            keys = {}
        return boto3.client(
            "s3",
            region_name=self.cloud.cloud.region,
            endpoint_url=self.cloud.url,
            config=config,
            aws_access_key_id=keys.get("AccessKeyId"),
            aws_secret_access_key=keys.get("SecretAccessKey"),
            aws_session_token=keys.get("SessionToken"),
        )


def cloud_starts(world: World) -> str:
    """A cloud on this machine, with the backend deployed from its template."""
    return f"bucket {world.cloud.start().bucket}"


def people_sign_up(world: World) -> str:
    """Two people sign up with the codes from their mail, and sign in."""
    cloud = world.cloud.cloud
    for email, devices in ((ANN, world.devices), (BOB, (world.other,))):
        first = devices[0]
        first.init(cloud)
        first.run("signup", email, "--password-stdin", typed=PASSWORD)
        first.run("verify", email, world.cloud.code_for(email))
        first.run("login", email, "--password-stdin", typed=PASSWORD)
        for device in devices[1:]:
            device.join(cloud, email)
    world.lease = world.laptop.run("credentials")
    return f"{ANN} on two devices, {BOB} on one"


def daemons_start(world: World) -> str:
    """Two daemons start and come to rest."""
    for device in world.devices:
        device.run("start")
    settle(*world.devices)
    return "laptop and desktop"


def files_arrive(world: World) -> str:
    """A tree of files arrives on the other device, byte for byte, with times and modes."""
    plant(world.laptop.folder)
    _same(world)
    found = (world.desktop.folder / path for path in paths(world.desktop.folder))
    files = [path for path in found if path.is_file()]
    return f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.0f} MB"


def edits_travel(world: World) -> str:
    """Edits, new files and a renamed folder travel in both directions."""
    (world.laptop.folder / "documents/table.csv").write_text("edited,on,the,laptop\n")
    (world.desktop.folder / "documents/new.txt").write_text("written on the desktop\n")
    (world.desktop.folder / "photos/screens").rename(world.desktop.folder / "screenshots")
    settle(world.desktop, world.laptop)
    _same(world)
    expect((world.laptop.folder / "screenshots").is_dir(), "the renamed folder did not arrive")
    expect(not (world.laptop.folder / "photos/screens").exists(), "the old folder is still there")
    return "two edits, twelve files renamed"


def conflict_keeps_both(world: World) -> str:
    """Two edits of one file, made apart, are both kept on both devices."""
    for device in world.devices:
        device.run("stop")
    versions = set()
    for device in world.devices:
        text = f"Dear all,\nthis is what I wrote on the {device.name}.\n"
        (device.folder / _LETTER).write_text(text)
        versions.add(text)
    for device in world.devices:
        device.run("start")
    settle(*world.devices, *world.devices)
    _same(world)
    copies = list((world.laptop.folder / "documents").glob("letter*"))
    expect({path.read_text() for path in copies} == versions, "a version of the letter is missing")
    expect(len(copies) == len(versions), "there are more copies than versions")
    return next(path.name for path in copies if path != world.laptop.folder / _LETTER)


def deletion_travels(world: World) -> str:
    """A file deleted on one device goes on the other, and nothing else does."""
    before = paths(world.desktop.folder)
    gone = "photos/2026/holiday 03.jpg"
    (world.laptop.folder / gone).unlink()
    _same(world)
    went = before - paths(world.desktop.folder)
    expect(went == {gone}, f"what went is {sorted(went)}")
    return gone


def mass_deletion_waits(world: World) -> str:
    """A mass deletion waits for a person's word while all else goes on, and is undone."""
    archive = world.laptop.folder / "archive"
    archive.mkdir()
    for number in range(_ARCHIVE):
        (archive / f"{number:02}.txt").write_text(f"page {number} of the archive\n")
    _same(world)
    shutil.rmtree(archive)
    (world.laptop.folder / "documents/meanwhile.txt").write_text("this one travels\n")
    try:
        world.laptop.settle()
    except CommandFailed as error:
        expect(error.word == "guard", error.message)
    world.desktop.settle()
    count = sum(item["count"] for item in world.laptop.run("held", "list"))
    expect(count == _ARCHIVE, f"{count} deletions are held")
    there = len(list((world.desktop.folder / "archive").iterdir()))
    expect(there == _ARCHIVE, f"{there} of the files are on the desktop")
    expect((world.desktop.folder / "documents/meanwhile.txt").is_file(), "a new file was held too")
    world.laptop.run("held", "restore")
    _same(world)
    expect(len(list(archive.iterdir())) == _ARCHIVE, "not all files are back")
    return f"{count} deletions held, and the files brought back"


def daemon_is_killed(world: World) -> str:
    """A daemon killed in the middle of an upload goes on with it; nobody sees half a file."""
    world.laptop.run("stop")
    film = world.laptop.folder / "film.bin"
    film.write_bytes(random.Random(2).randbytes(FILM))  # noqa: S311 - a film, not a secret
    daemon = world.laptop.run("start")["pid"]
    parts, ends = 0, time.monotonic() + 60
    while not parts and time.monotonic() < ends:
        parts = world.laptop.run("status")["requests"].get("UploadPart", 0)
    os.kill(daemon, signal.SIGKILL)
    world.desktop.settle()
    expect(not (world.desktop.folder / "film.bin").exists(), "the upload was over already")
    world.laptop.run("start")
    _same(world)
    again = world.laptop.run("status")["requests"].get("UploadPart", 0)
    return f"{parts} parts were sent before it died, {again} after"


def strangers_are_refused(world: World) -> str:
    """Another person, and anybody without a sign-in, cannot list, read, write or delete."""
    bucket, key = world.cloud.cloud.bucket, _key_of(world, _LETTER)
    owner = world.s3(world.laptop.run("credentials"))
    before = owner.get_object(Bucket=bucket, Key=key)["Body"].read()
    prefix = key.removesuffix(_LETTER)
    asked = 0
    for keys in (world.other.run("credentials"), None):
        stranger = world.s3(keys)
        requests: tuple[Callable[[S3Client], object], ...] = (
            lambda s3: s3.list_objects_v2(Bucket=bucket, Prefix=prefix),
            lambda s3: s3.list_objects_v2(Bucket=bucket),
            lambda s3: s3.get_object(Bucket=bucket, Key=key),
            lambda s3: s3.put_object(Bucket=bucket, Key=key, Body=b"overwritten"),
            lambda s3: s3.put_object(Bucket=bucket, Key=prefix + "planted.txt", Body=b"planted"),
            lambda s3: s3.delete_object(Bucket=bucket, Key=key),
        )
        for request in requests:
            code = _refusal(request, stranger)
            expect(code in ("AccessDenied", "403"), f"a stranger's request gave {code or 'data'}")
            asked += 1
    after = owner.get_object(Bucket=bucket, Key=key)["Body"].read()
    expect(after == before, "the letter was changed all the same")
    return f"{asked} requests, all of them AccessDenied"


def session_expires(world: World) -> str:
    """Credentials run out, S3 refuses them, and the daemons carry on with fresh ones."""
    from datetime import datetime  # noqa: PLC0415 - here alone

    expiry = datetime.fromisoformat(world.lease["Expiration"]).timestamp()
    time.sleep(max(0.0, expiry + 1 - time.time()))
    bucket, key = world.cloud.cloud.bucket, _key_of(world, _LETTER)
    code = _refusal(lambda s3: s3.get_object(Bucket=bucket, Key=key), world.s3(world.lease))
    gone = code in ("ExpiredToken", "InvalidToken", "InvalidAccessKeyId")
    expect(gone, f"S3 answered {code or 'data'} to the old credentials")
    (world.laptop.folder / "documents/after the session.txt").write_text("still here\n")
    _same(world)
    return f"{code} for the old ones after {LIFETIME} s"


def cloud_comes_back(world: World) -> str:
    """The cloud goes away and comes back; what was edited meanwhile arrives."""
    world.cloud.stop()
    for device in world.devices:
        (device.folder / f"documents/offline on the {device.name}.txt").write_text("cut off\n")
    world.cloud.start()
    settle(world.desktop, world.laptop)
    _same(world)
    return "edited on both sides without it"


def nothing_is_left(world: World) -> str:
    """Everything stops, and nothing is left running."""
    if world.mountable:
        world.drive.run("unmount")
    running = (*world.devices, world.drive) if world.mountable else world.devices
    for device in running:
        device.run("stop")
        try:
            device.run("status")
        except CommandFailed as error:
            expect(error.word == "not-running", f"{device.name}: {error.message}")
        else:
            raise Fatal(f"the daemon of the {device.name} still answers")
    world.cloud.stop()
    return f"{len(running)} daemons and the cloud"


FOUNDATIONS = (cloud_starts, people_sign_up, daemons_start)
"""Without these nothing else can be shown."""

STEPS = (
    files_arrive,
    edits_travel,
    conflict_keeps_both,
    deletion_travels,
    mass_deletion_waits,
    daemon_is_killed,
    strangers_are_refused,
    session_expires,
    cloud_comes_back,
)

LAST = nothing_is_left
"""What is done whatever happened before."""


def _same(world: World) -> None:
    """Wait for rest and compare both folders; Fatal when they differ."""
    settle(*world.devices)
    found = differences(world.laptop.folder, world.desktop.folder)
    expect(not found, "; ".join(found[:3]) + (f"; {len(found) - 3} more" if found[3:] else ""))


def expect(holds: bool, otherwise: str) -> None:
    """Raise Fatal with that sentence unless it holds."""
    if not holds:
        raise Fatal(otherwise)


def _key_of(world: World, path: str) -> str:
    """The object of one of Ann's files, found by the administrator, whatever vaultsync says."""
    s3 = world.cloud.session().client("s3", endpoint_url=world.cloud.url)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=world.cloud.cloud.bucket)
    keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
    return next(key for key in keys if key.endswith("/" + path))


def _refusal(request: Callable[[S3Client], object], s3: S3Client) -> str:
    """The error code that a request is answered with; empty when it is granted."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - see World.s3

    try:
        request(s3)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""
