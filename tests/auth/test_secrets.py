"""A kept secret is durable, only its owner's, and never in a keyring that cannot be trusted."""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from typing import TYPE_CHECKING

import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from vaultsync.auth import desktop
from vaultsync.auth.secrets import FileStore, KeyringLocked, KeyringStore, choose
from vaultsync.core.errors import Blocked, Misconfigured, VaultsyncError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class MemoryKeyring(KeyringBackend):
    """An open keyring that forgets when the test ends."""

    priority = 5

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


class WaitingKeyring(MemoryKeyring):
    """A locked keyring: each call shows a dialog and waits for the person."""

    def __init__(self) -> None:
        super().__init__()
        self.unlocked = threading.Event()
        self.dialogs = 0

    def get_password(self, service: str, username: str) -> str | None:
        if not self.unlocked.is_set():
            self.dialogs += 1
            self.unlocked.wait(60)
        return super().get_password(service, username)


class ForgetfulKeyring(MemoryKeyring):
    def set_password(self, service: str, username: str, password: str) -> None:
        pass


class BrokenKeyring(MemoryKeyring):
    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError("the bus is gone")


class PlainFileKeyring(MemoryKeyring):
    """As keyrings.alt has them."""

    priority = 0.5  # type: ignore[assignment]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "secrets" / "refresh-token"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_keeps_the_last_secret_until_it_is_deleted(path: Path) -> None:
    store = FileStore(path)
    assert store.read() is None
    store.delete()
    store.write("one")
    store.write("two")
    assert FileStore(path).read() == "two"
    store.delete()
    assert store.read() is None
    assert not list(path.parent.iterdir())


def test_a_file_and_its_folder_are_their_owners_alone(path: Path) -> None:
    path.parent.mkdir(parents=True, mode=0o755)
    path.parent.chmod(0o755)
    before = os.umask(0)
    try:
        FileStore(path).write("secret")
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700


def test_an_old_secret_stays_when_the_new_one_cannot_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(path)
    store.write("old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full_disk)
        with pytest.raises(Blocked, match="No space left"):
            store.write("new")
    assert store.read() == "old"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_file_that_others_could_read_is_closed_and_said(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FileStore(path)
    store.write("a-token")
    path.chmod(0o640)
    with caplog.at_level(logging.WARNING):
        assert store.read() == "a-token"
    assert "other users" in caplog.text
    assert "a-token" not in caplog.text
    assert mode(path) == 0o600


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("planted")
    path.parent.mkdir(parents=True)
    path.symlink_to(elsewhere)
    with pytest.raises(Blocked):
        FileStore(path).read()
    FileStore(path).write("secret")
    assert elsewhere.read_text() == "planted"
    assert FileStore(path).read() == "secret"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(path: Path) -> None:
    store = FileStore(path)
    store.write("secret")
    os.chown(path, 65534, 65534)
    with pytest.raises(Blocked, match="another user"):
        store.read()


def test_a_place_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = FileStore(tmp_path / "file" / "refresh-token")
    for call in (store.read, store.delete, lambda: store.write("secret")):
        with pytest.raises(Blocked, match="cannot be kept"):
            call()


def test_a_keyring_keeps_one_secret_for_each_profile_and_client() -> None:
    keyring = MemoryKeyring()
    work, home = (KeyringStore(name, "client", backend=keyring) for name in ("work", "home"))
    other = KeyringStore("work", "other", backend=keyring)
    assert work.read() is None
    work.write("one")
    home.write("two")
    assert (work.read(), home.read(), other.read()) == ("one", "two", None)
    work.delete()
    work.delete()
    assert (work.read(), home.read()) == (None, "two")
    assert "work" in work.place
    assert work.name == "keyring"


@pytest.mark.parametrize(
    "kind", [null.Keyring, fail.Keyring, chainer.ChainerBackend, PlainFileKeyring]
)
def test_keyrings_that_forget_prompt_or_hide_are_refused(
    kind: Callable[[], KeyringBackend],
) -> None:
    with pytest.raises(Blocked, match="may not be used"):
        KeyringStore("work", "client", backend=kind())


def test_a_locked_keyring_is_waited_for_and_asked_once() -> None:
    keyring = WaitingKeyring()
    store = KeyringStore("work", "client", backend=keyring, timeout=0.05)
    for _ in range(3):
        with pytest.raises(KeyringLocked) as locked:
            store.read()
        assert locked.value.code == "keyring-locked"
    assert keyring.dialogs == 1
    keyring.unlocked.set()
    assert store._pending is not None
    store._pending.join(10)
    store.write("secret")
    assert store.read() == "secret"


def test_a_call_that_waits_takes_no_longer_than_it_may() -> None:
    keyring = WaitingKeyring()
    store = KeyringStore("work", "client", backend=keyring, timeout=0.05)
    began = time.monotonic()
    with pytest.raises(KeyringLocked):
        store.read()
    assert time.monotonic() - began < 5
    keyring.unlocked.set()


def test_what_is_written_is_read_back() -> None:
    with pytest.raises(Blocked, match="just written"):
        KeyringStore("work", "client", backend=ForgetfulKeyring()).write("secret")


def test_a_keyring_that_breaks_is_waited_for() -> None:
    with pytest.raises(KeyringLocked, match="RuntimeError"):
        KeyringStore("work", "client", backend=BrokenKeyring()).read()


def use(monkeypatch: pytest.MonkeyPatch, backend: KeyringBackend) -> None:
    monkeypatch.setattr(desktop, "_desktop_keyring", lambda: backend)


def test_at_login_an_open_keyring_is_chosen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = MemoryKeyring()
    use(monkeypatch, keyring)
    store = choose("auto", profile="work", client_id="client", file=path)
    assert store.name == "keyring"
    assert not keyring.kept
    store.write("secret")
    assert choose("keyring", profile="work", client_id="client", file=path).read() == "secret"
    assert choose("file", profile="work", client_id="client", file=path).read() is None


@pytest.mark.parametrize("kind", [WaitingKeyring, ForgetfulKeyring, BrokenKeyring])
def test_at_login_a_keyring_that_does_not_work_gives_way_to_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, kind: Callable[[], KeyringBackend]
) -> None:
    keyring = kind()
    use(monkeypatch, keyring)
    store = choose("auto", profile="work", client_id="client", file=path, timeout=0.05)
    assert store.name == "file"
    assert store.place == str(path)
    if isinstance(keyring, WaitingKeyring):
        keyring.unlocked.set()


def test_without_a_desktop_the_file_is_chosen_and_the_keyring_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND", raising=False)
    assert choose("auto", profile="work", client_id="client", file=path).name == "file"
    with pytest.raises(KeyringLocked, match="no keyring"):
        choose("keyring", profile="work", client_id="client", file=path).read()


def test_a_person_may_name_the_keyring_but_not_an_unsafe_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    assert choose("auto", profile="work", client_id="client", file=path).name == "file"
    with pytest.raises(Blocked, match="may not be used"):
        choose("keyring", profile="work", client_id="client", file=path).read()


def test_there_is_no_other_kind_of_store(path: Path) -> None:
    with pytest.raises(Misconfigured) as wrong:
        choose("vault", profile="work", client_id="client", file=path)
    assert isinstance(wrong.value, VaultsyncError)
