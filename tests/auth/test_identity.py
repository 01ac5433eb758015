"""Credentials stay fresh, one refresh at a time, and the end of a sign-in is never hidden."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from tests.auth.conftest import signed_in
from vaultsync.auth.desktop import KeyringLocked
from vaultsync.auth.identity import AnotherVault, Session
from vaultsync.auth.identitypool import IdentityPool
from vaultsync.auth.secrets import FileStore
from vaultsync.auth.tokens import Claims, Tokens
from vaultsync.auth.turn import turn
from vaultsync.cloud.local import LocalCloud
from vaultsync.core.errors import Misconfigured, Refused, Retry, SignIn, VaultsyncError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vaultsync.auth.userpool import UserPool

    SessionOf = Callable[..., Session]
    NewPerson = Callable[..., tuple[str, str]]

SHORT = 5
"""Seconds that credentials of the impatient cloud are good for."""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud of our own, with short-lived credentials; it may be stopped and started."""
    local = LocalCloud(tmp_path_factory.mktemp("impatient"), credential_seconds=SHORT)
    with local:
        yield local


@pytest.fixture
def session(
    cloud: LocalCloud, pool: UserPool, login: Callable[[], Tokens], session_of: SessionOf
) -> Session:
    """Somebody who has just signed in."""
    made = session_of(pool, cloud)
    made.sign_in(login())
    return made


def eventually(happens: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def count(session: Session) -> list[str]:
    """The requests that the identity pool gets from now on."""
    sent: list[str] = []
    session._identities._cognito.meta.events.register(
        "before-send", lambda request, **_: sent.append(request.headers["X-Amz-Target"].decode())
    )
    return sent


def put(session: Session, local: LocalCloud, key: str) -> None:
    client: Any = session.botocore().create_client(
        "s3", region_name=local.cloud.region, endpoint_url=local.url
    )
    try:
        client.put_object(Bucket=local.cloud.bucket, Key=key, Body=b"x", IfNoneMatch="*")
    finally:
        client.close()


def test_a_session_opens_the_persons_own_prefix_and_no_other(
    cloud: LocalCloud, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The machine's own AWS settings must not matter.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWRONG")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    put(session, cloud, f"private/{session.identity_id}/mine")
    with pytest.raises(ClientError, match="AccessDenied"):
        put(session, cloud, "private/somebody-else/theirs")
    assert session.claims.email.endswith("@example.com")
    credentials = session.credentials
    assert tuple(credentials.get_frozen_credentials())[:3] == (
        credentials.access_key,
        credentials.secret_key,
        credentials.token,
    )
    assert session.problem is None


def test_secrets_do_not_show(session: Session) -> None:
    frozen = session.credentials.get_frozen_credentials()
    shown = repr((session, session.credentials, session._held, session._tokens))
    assert frozen.secret_key
    assert frozen.token
    assert frozen.secret_key not in shown
    assert frozen.token not in shown


def test_a_later_process_goes_on_with_what_the_store_holds(
    cloud: LocalCloud, pool: UserPool, session: Session, session_of: SessionOf
) -> None:
    later = session_of(pool, cloud, session.identity_id)
    assert later.identity_id == session.identity_id
    assert later.claims == session.claims
    put(later, cloud, f"private/{later.identity_id}/later")


def test_other_tools_get_the_same_credentials(session: Session) -> None:
    told = session.credential_process()
    assert told["Version"] == 1
    assert told["AccessKeyId"] == session.credentials.access_key
    assert told["SecretAccessKey"] == session.credentials.secret_key
    assert told["SessionToken"] == session.credentials.token
    left = datetime.fromisoformat(str(told["Expiration"])) - datetime.now(UTC)
    assert left.total_seconds() == pytest.approx(3600, abs=30)


def test_without_a_sign_in_there_are_no_credentials(
    cloud: LocalCloud, pool: UserPool, session_of: SessionOf
) -> None:
    nobody = session_of(pool, cloud)
    for ask in (
        nobody.renew,
        nobody.tokens,
        nobody.credentials.get_frozen_credentials,
        lambda: nobody.identity_id,
        lambda: nobody.claims,
    ):
        with pytest.raises(SignIn) as needed:
            ask()
        assert "vaultsync login" in needed.value.hint
    assert isinstance(nobody.problem, SignIn)


def test_credentials_are_renewed_before_they_end_and_without_a_request(
    impatient: LocalCloud,
    pool_of: Callable[..., UserPool],
    new_person: NewPerson,
    session_of: SessionOf,
) -> None:
    pool = pool_of(impatient)
    session = session_of(pool, impatient)
    session.sign_in(signed_in(pool, *new_person(impatient)))
    sent = count(session)
    session.start()
    session.start()
    seen = set()

    def three_seen() -> bool:
        held = session._held
        assert held is not None
        assert held.usable
        seen.add(held.frozen.access_key)
        return len(seen) == 3

    eventually(three_seen)
    assert len([target for target in sent if target.endswith("GetId")]) <= len(seen)
    put(session, impatient, f"private/{session.identity_id}/renewed")


def test_expired_credentials_are_renewed_by_the_request_that_needs_them(
    impatient: LocalCloud,
    pool_of: Callable[..., UserPool],
    new_person: NewPerson,
    session_of: SessionOf,
) -> None:
    pool = pool_of(impatient)
    session = session_of(pool, impatient)
    session.sign_in(signed_in(pool, *new_person(impatient)))
    old = session.credentials.get_frozen_credentials()
    eventually(lambda: session._held is not None and not session._held.usable)
    put(session, impatient, f"private/{session.identity_id}/expired")
    assert session.credentials.access_key != old.access_key


def test_a_restarted_cloud_forgets_credentials_but_not_the_sign_in(
    impatient: LocalCloud,
    pool_of: Callable[..., UserPool],
    new_person: NewPerson,
    session_of: SessionOf,
) -> None:
    pool = pool_of(impatient)
    session = session_of(pool, impatient)
    session.sign_in(signed_in(pool, *new_person(impatient)))
    session.start()
    impatient.stop()
    try:
        with pytest.raises(Retry):
            session.renew()
        eventually(lambda: isinstance(session.problem, Retry))
    finally:
        impatient.start()
    eventually(lambda: session.problem is None)
    put(session, impatient, f"private/{session.identity_id}/again")


def test_many_threads_cause_one_renewal(session: Session) -> None:
    failed = session.credentials.access_key
    assert failed
    sent = count(session)
    barrier = threading.Barrier(16)

    def renew() -> str | None:
        barrier.wait()
        session.renew(failed)
        return session.credentials.access_key

    with ThreadPoolExecutor(16) as threads:
        keys = {job.result() for job in [threads.submit(renew) for _ in range(16)]}
    assert len(keys) == 1
    assert failed not in keys
    assert len(sent) == 2

    session.renew(failed)
    assert len(sent) == 2
    session.renew()
    assert len(sent) == 4


def test_many_threads_share_one_failure_too(session: Session) -> None:
    began, go_on = threading.Event(), threading.Event()
    attempts = []

    def unreachable(request: Any, **_: Any) -> None:
        attempts.append(request)
        began.set()
        go_on.wait(30)
        raise Retry("The cable is cut.")

    session._identities._cognito.meta.events.register("before-send", unreachable)
    with ThreadPoolExecutor(8) as threads:
        jobs = [threads.submit(session.renew)]
        began.wait(30)
        jobs += [threads.submit(session.renew) for _ in range(7)]
        eventually(threads._work_queue.empty)
        go_on.set()
        for job in jobs:
            with pytest.raises(Retry, match="cable"):
                job.result()
    # A thread that had not yet come to the lock when the first one failed tries for itself.
    assert len(attempts) <= 2
    assert session.credentials.access_key


def test_a_sign_out_elsewhere_is_noticed_and_so_is_the_next_sign_in(
    cloud: LocalCloud, pool: UserPool, session_of: SessionOf, new_person: NewPerson
) -> None:
    email, password = new_person()
    daemon, command = session_of(pool, cloud), session_of(pool, cloud)
    command.sign_in(signed_in(pool, email, password))
    daemon.start()
    eventually(lambda: daemon._held is not None)

    command.sign_out()
    daemon.wake()
    eventually(lambda: isinstance(daemon.problem, SignIn))
    with pytest.raises(SignIn):
        daemon.credentials.get_frozen_credentials()

    command.sign_in(signed_in(pool, email, password))
    daemon.wake()
    eventually(lambda: daemon.problem is None)
    assert daemon.credentials.access_key


def test_a_revoked_sign_in_is_refused_once_and_then_until_there_is_another(
    cloud: LocalCloud, pool: UserPool, session_of: SessionOf, new_person: NewPerson, tmp_path: Path
) -> None:
    email, password = new_person()
    session, elsewhere = session_of(pool, cloud), signed_in(pool, email, password)
    session.sign_in(signed_in(pool, email, password))
    pool.sign_out_everywhere(elsewhere)
    session._tokens = None
    with pytest.raises(SignIn):
        session.renew()

    asked: list[object] = []
    pool._cognito.meta.events.register("before-send", lambda **_: asked.append(None))
    for _ in range(2):
        with pytest.raises(SignIn):
            session.credentials.get_frozen_credentials()
    assert not asked

    store = FileStore(tmp_path / "secrets" / "refresh-token")
    store.write(signed_in(pool, email, password).refresh_token)
    assert session.credentials.access_key
    assert session.problem is None


def test_signing_out_revokes_and_forgets(
    cloud: LocalCloud, pool: UserPool, session: Session, session_of: SessionOf
) -> None:
    token = session.tokens().refresh_token
    session.sign_out()
    with pytest.raises(SignIn):
        pool.refresh(token)
    with pytest.raises(SignIn):
        session.credentials.get_frozen_credentials()
    session.sign_out()
    assert session_of(pool, cloud)._store.read() is None


def test_signing_out_everywhere_ends_the_other_device(
    cloud: LocalCloud, pool: UserPool, session_of: SessionOf, new_person: NewPerson, tmp_path: Path
) -> None:
    email, password = new_person()
    here = session_of(pool, cloud)
    there = session_of(pool, cloud, store=FileStore(tmp_path / "there" / "token"))
    for device in (here, there):
        device.sign_in(signed_in(pool, email, password))
    here.sign_out(everywhere=True)
    there._tokens = None
    with pytest.raises(SignIn):
        there.renew()


def test_signing_out_offline_forgets_and_says_that_the_cloud_was_not_told(
    session: Session,
) -> None:
    def unreachable(**_: Any) -> None:
        raise Retry("The cable is cut.")

    session._pool._cognito.meta.events.register("before-send", unreachable)
    with pytest.raises(Retry, match="Signed out here"):
        session.sign_out()
    assert session._store.read() is None


def test_another_persons_sign_in_is_another_vault(
    cloud: LocalCloud,
    pool: UserPool,
    session: Session,
    session_of: SessionOf,
    login: Callable[[], Tokens],
    tmp_path: Path,
) -> None:
    mine, other = session.tokens().refresh_token, login()
    later = session_of(pool, cloud, session.identity_id)
    with pytest.raises(AnotherVault, match=other.claims.email):
        later.sign_in(other)
    store = FileStore(tmp_path / "secrets" / "refresh-token")
    assert store.read() == mine

    # Somebody puts it there all the same.
    store.write(other.refresh_token)
    with pytest.raises(AnotherVault):
        later.credentials.get_frozen_credentials()
    sent = count(later)
    with pytest.raises(AnotherVault):
        later.credentials.get_frozen_credentials()
    assert not sent

    store.write(mine)
    assert later.credentials.access_key


def test_a_wrong_identity_pool_is_said_to_be_wrong(
    cloud: LocalCloud, pool: UserPool, login: Callable[[], Tokens], tmp_path: Path
) -> None:
    missing = Session(
        pool,
        f"{cloud.cloud.region}:00000000-0000-0000-0000-000000000000",
        FileStore(tmp_path / "token"),
        tmp_path / "lock",
    )
    with pytest.raises(Misconfigured):
        missing.sign_in(login())
    missing.close()
    assert not (tmp_path / "token").exists()


def test_a_tampered_id_token_opens_nothing(cloud: LocalCloud, login: Callable[[], Tokens]) -> None:
    outputs = cloud.cloud
    provider = f"cognito-idp.{outputs.region}.amazonaws.com/{outputs.user_pool_id}"
    identities = IdentityPool(outputs.region, outputs.identity_pool_id, provider, cloud.url)
    head, body, signature = login().id_token.split(".")
    with pytest.raises(Refused):
        identities.identify(f"{head}.{body}.{signature[::-1]}")
    identities.close()


def test_a_clock_that_is_wrong_does_not_end_credentials_early() -> None:
    server_now = datetime.now(UTC) - timedelta(hours=5)
    identities = IdentityPool("eu-west-1", "eu-west-1:pool", "provider", "http://127.0.0.1:9")
    with Stubber(identities._cognito) as script:
        script.add_response(
            "get_credentials_for_identity",
            {
                "Credentials": {
                    "AccessKeyId": "ASIA",
                    "SecretKey": "s",
                    "SessionToken": "t",
                    "Expiration": server_now + timedelta(hours=1),
                },
                "ResponseMetadata": {
                    "HTTPHeaders": {"date": format_datetime(server_now, usegmt=True)}
                },
            },
        )
        held = identities.credentials("eu-west-1:me", "token")
    identities.close()
    assert held.usable
    assert held.lifetime == pytest.approx(3600, abs=2)
    assert held.until_renewal == pytest.approx(2700, abs=5)


class RotatingPool:
    """A pool that gives a new refresh token at each refresh and takes each one once.

    The pool's memory is a file, so that several processes meet the same pool.
    """

    region, provider, endpoint_url = "eu-west-1", "provider", "http://127.0.0.1:9"

    def __init__(self, memory: Path) -> None:
        self.memory = memory
        self.fails_after_rotation = False

    def refresh(self, refresh_token: str, username: str, save: Callable[[str], None]) -> Tokens:
        if self.memory.read_text() != refresh_token:
            raise SignIn("This refresh token was used before.")
        time.sleep(0.002)
        new = str(int(refresh_token) + 1)
        self.memory.write_text(new)
        save(new)
        if self.fails_after_rotation:
            raise Retry("The cable is cut.")
        return Tokens("id", "access", new, Claims("sub", "name", "a@example.com", 3600))


def rotate(folder: Path, times: int) -> None:
    """What each of several processes does: get tokens again and again."""
    session = Session(
        RotatingPool(folder / "pool"),  # type: ignore[arg-type]
        "eu-west-1:pool",
        FileStore(folder / "token"),
        folder / "lock",
    )
    for _ in range(times):
        session._tokens = None
        session.tokens()
    session.close()


def test_processes_take_turns_with_a_rotating_token(tmp_path: Path) -> None:
    (tmp_path / "pool").write_text("0")
    FileStore(tmp_path / "token").write("0")
    program = (
        "import pathlib, sys; from tests.auth.test_identity import rotate;"
        "rotate(pathlib.Path(sys.argv[1]), 25)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for worker in workers:
        _, said = worker.communicate(timeout=60)
        assert worker.returncode == 0, said.decode()
    assert (tmp_path / "pool").read_text() == "50"
    assert FileStore(tmp_path / "token").read() == "50"


def test_threads_take_turns_too(tmp_path: Path) -> None:
    (tmp_path / "pool").write_text("0")
    FileStore(tmp_path / "token").write("0")
    with ThreadPoolExecutor(4) as threads:
        for job in [threads.submit(rotate, tmp_path, 5) for _ in range(4)]:
            job.result()
    assert (tmp_path / "pool").read_text() == "20"


class LockedStore(FileStore):
    """A store that is locked while told so."""

    locked = False

    def read(self) -> str | None:
        self._check()
        return super().read()

    def write(self, secret: str) -> None:
        self._check()
        super().write(secret)

    def _check(self) -> None:
        if self.locked:
            raise KeyringLocked("The keyring is locked.")


@pytest.fixture
def rotating(tmp_path: Path) -> Iterator[tuple[Session, RotatingPool, LockedStore]]:
    pool, store = RotatingPool(tmp_path / "pool"), LockedStore(tmp_path / "token")
    pool.memory.write_text("0")
    store.write("0")
    session = Session(pool, "eu-west-1:pool", store, tmp_path / "lock")  # type: ignore[arg-type]
    yield session, pool, store
    session.close()


def test_a_rotated_token_survives_what_fails_after_it(
    rotating: tuple[Session, RotatingPool, LockedStore],
) -> None:
    session, pool, store = rotating
    pool.fails_after_rotation = True
    with pytest.raises(Retry, match="cable"):
        session.tokens()
    assert store.read() == "1"
    pool.fails_after_rotation = False
    assert session.tokens().refresh_token == "2"


def test_a_rotated_token_that_could_not_be_saved_is_saved_later(
    rotating: tuple[Session, RotatingPool, LockedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, pool, store = rotating

    def locked(_: str) -> None:
        raise KeyringLocked("The keyring is locked.")

    with monkeypatch.context() as patched:
        patched.setattr(store, "write", locked)
        with pytest.raises(KeyringLocked):
            session.tokens()
    assert pool.memory.read_text() == "1"
    assert store.read() == "0"
    assert session.tokens().refresh_token == "2"
    assert store.read() == "2"


def test_a_locked_keyring_is_waited_for(
    rotating: tuple[Session, RotatingPool, LockedStore],
) -> None:
    session, _, store = rotating
    store.locked = True
    with pytest.raises(VaultsyncError) as locked:
        session.credentials.get_frozen_credentials()
    assert locked.value.code == "keyring-locked"
    assert session.problem is not None
    assert session.problem.code == "keyring-locked"
    store.locked = False
    assert session.tokens()


def test_a_turn_ends_with_its_holder_and_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / "lock"
    with turn(lock):
        with pytest.raises(Retry, match="too long"), turn(lock, timeout=0.05):
            pass
        holder = subprocess.Popen(["sleep", "60"], close_fds=True)
    try:
        with turn(lock, timeout=0.05):
            assert lock.stat().st_mode & 0o777 == 0o600
    finally:
        holder.kill()
        holder.wait()
