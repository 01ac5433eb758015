from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.served import PlainVault, serving
from vaultsync.core import errors
from vaultsync.core.errors import (
    AnotherInstance,
    Fatal,
    MachineRefused,
    NotFound,
    NotRunning,
    Refused,
    Retry,
    SignIn,
    TimedOut,
    Usage,
    VaultsyncError,
)
from vaultsync.core.model import Held, State, Status, Transfer, Verb, Waiting
from vaultsync.core.standing import Condition, Standing
from vaultsync.daemon import server, wire
from vaultsync.daemon.client import Client
from vaultsync.daemon.server import Server, listen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FULL = Status(
    state=State.SYNCING,
    reason="because",
    hint="try",
    files=12,
    bytes=3_000_000_000,
    pending=3,
    blocked=1,
    conflicts=2,
    held=60,
    transfers=(Transfer(Verb.PUSH, "grüße/a b.txt", 77, 1_700_000_000.25),),
    observed=9,
    scanned_at=1_700_000_001.5,
    polled_at=None,
    requests={"GET": 4},
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "run" / "default.sock"


@pytest.fixture
def vault(place: Path) -> Iterator[PlainVault]:
    with serving(PlainVault(), place) as served:
        yield served


@pytest.fixture
def client(vault: PlainVault, place: Path) -> Client:
    return Client(place)


def ask(place: Path, method: str, target: str) -> tuple[int, dict[str, Any]]:
    """A request as any other program would send it."""
    connection = http.client.HTTPConnection("vaultsync", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(os.fspath(place))
    with contextlib.closing(connection):
        connection.request(method, target)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_a_status_comes_back_as_it_was(vault: PlainVault, client: Client) -> None:
    for status in (FULL, Status(State.SIGN_IN_NEEDED)):
        vault.now = status
        assert client.status() == status


def test_times_on_the_wire_are_rfc_3339_in_utc(vault: PlainVault, place: Path) -> None:
    vault.now = FULL
    code, told = ask(place, "GET", "/v1/status")
    assert code == 200
    assert told["ok"] is True
    assert told["schema"] == 1
    assert told["result"]["scanned_at"] == "2023-11-14T22:13:21.500Z"
    assert told["result"]["bytes"] == 3_000_000_000


@pytest.mark.parametrize("rows", [0, 1, 1500])
def test_waiting_and_conflicts_with_no_one_and_many_rows(
    vault: PlainVault, client: Client, rows: int
) -> None:
    vault.items = [Waiting(f"f{n}", "retry", "slow", "", 1_700_000_000.0) for n in range(rows)]
    vault.pairs = [(f"c{n}", f"o{n}") for n in range(rows)]
    assert client.waiting() == vault.items[:1000]
    assert client.waiting(5000) == vault.items
    assert client.conflicts() == vault.pairs


def test_what_is_held_comes_back_as_it_was(vault: PlainVault, client: Client) -> None:
    vault.holds = [
        Held("changes", "Much.", 2, 1_700_000_000.5, ("a", "grüße/b")),
        Held("vault", "Missing.", 0, 1_700_000_001.0),
    ]
    assert client.held() == vault.holds
    assert client.allow_held() == 2
    assert client.restore_held("changes") == 2
    assert vault.told == [("allow", None), ("restore", "changes")]


def test_why_carries_any_path(vault: PlainVault, client: Client) -> None:
    for path in ("a b.txt", "?&#%41+ü/日本.txt", "line\nbreak", ""):
        assert client.why(path)["path"] == path


def test_how_a_path_stands_comes_back_as_it_was(vault: PlainVault, client: Client) -> None:
    vault.standings = [
        Standing("ü b.txt", Condition.PENDING, "It waits.", "Wait.", 1_700_000_000.5),
        Standing("", None, counts={"synced": 3}),
    ]
    assert client.standing("ü b.txt") == vault.standings[0]
    assert client.standing("") == vault.standings[1]
    with pytest.raises(NotFound):
        client.standing("nothing")


def test_commands_arrive(vault: PlainVault, client: Client) -> None:
    client.sync()
    client.pause()
    client.resume()
    assert vault.told == [("sync",), ("pause",), ("resume",)]
    assert not vault.stopped.is_set()
    client.stop()
    assert vault.stopped.is_set()


def test_waiting_for_rest_blocks_nobody_else(vault: PlainVault, client: Client) -> None:
    waiters = [threading.Thread(target=client.wait_at_rest, args=(30.0,)) for _ in range(60)]
    for waiter in waiters:
        waiter.start()
    assert client.status() == vault.now
    assert all(waiter.is_alive() for waiter in waiters)
    vault.rest.set()
    for waiter in waiters:
        waiter.join(10)
        assert not waiter.is_alive()
    assert vault.told == [("wait", 30.0)] * 60


ALL_ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, VaultsyncError)
]


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_every_error_comes_back_as_itself(
    vault: PlainVault, client: Client, kind: type[VaultsyncError]
) -> None:
    vault.problem = kind("It went wrong.", "Try that.")
    with pytest.raises(kind) as caught:
        client.wait_at_rest(1)
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.hint) == ("It went wrong.", "Try that.")


def test_an_error_that_only_another_room_knows_comes_back_as_its_family(
    vault: PlainVault, client: Client
) -> None:
    class WrongPassword(SignIn):
        code = "wrong-password"

    vault.problem = WrongPassword("No.", "")
    with pytest.raises(SignIn) as caught:
        client.sync()
    assert type(caught.value) is SignIn


def test_a_fault_of_ours_is_told_without_its_details(
    vault: PlainVault, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    vault.problem = ValueError("inner detail")
    with pytest.raises(Fatal) as caught:
        client.sync()
    assert "inner" not in str(caught.value)
    assert "inner detail" in caplog.text


@pytest.mark.parametrize(
    ("problem", "code"),
    [(SignIn("x"), 401), (Refused("x"), 403), (Retry("x"), 503), (TimedOut("x"), 504)],
)
def test_http_status_tells_other_programs(
    vault: PlainVault, place: Path, problem: VaultsyncError, code: int
) -> None:
    vault.problem = problem
    got, told = ask(place, "POST", "/v1/sync")
    assert got == code
    assert told["error"]["code"] == problem.code


@pytest.mark.parametrize(
    ("method", "target", "code", "word"),
    [
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "/v1/sync", 405, "not-found"),
        ("GET", "/v1/why", 400, "usage"),
        ("GET", "/v1/waiting?limit=many", 400, "usage"),
        ("GET", "/v1/waiting?limit=-1", 400, "usage"),
        ("POST", "/v1/wait?timeout=nan", 400, "usage"),
    ],
)
def test_wrong_requests_get_an_envelope(
    vault: PlainVault, place: Path, method: str, target: str, code: int, word: str
) -> None:
    got, told = ask(place, method, target)
    assert got == code
    assert told["ok"] is False
    assert told["error"]["code"] == word


def test_the_socket_is_for_its_owner_only(vault: PlainVault, place: Path) -> None:
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700


def test_a_folder_that_others_could_enter_is_closed_to_them(place: Path) -> None:
    place.parent.mkdir(mode=0o755)
    listen(place).close()
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700


def test_a_folder_that_is_a_link_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    place.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MachineRefused):
        listen(place)


def test_another_user_is_hung_up_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "listen", lambda path: listen(path, user=os.getuid() + 1))
    with serving(PlainVault(), place), pytest.raises(NotRunning):
        Client(place).status()


def test_a_second_daemon_is_refused_and_the_first_goes_on(
    vault: PlainVault, client: Client, place: Path
) -> None:
    with pytest.raises(AnotherInstance):
        Server(PlainVault(), place, lambda: None).start()
    assert client.status() == vault.now


def test_the_socket_of_a_dead_daemon_is_replaced(place: Path) -> None:
    code = (
        "import os, pathlib, sys; from vaultsync.daemon.server import listen;"
        "s = listen(pathlib.Path(sys.argv[1])); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(place)], check=True)
    assert place.is_socket()
    with pytest.raises(NotRunning):
        Client(place).status()
    with serving(PlainVault(), place) as vault:
        assert Client(place).status() == vault.now


def test_of_two_daemons_that_start_at_once_one_serves(place: Path) -> None:
    for _ in range(20):
        won: list[socket.socket] = []
        barrier = threading.Barrier(4)

        def compete(won: list[socket.socket] = won, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            with contextlib.suppress(AnotherInstance):
                won.append(listen(place))

        threads = [threading.Thread(target=compete) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        won[0].close()


def test_after_the_end_nobody_answers_and_nothing_is_left(place: Path) -> None:
    with serving(PlainVault(), place):
        pass
    assert not place.exists()
    with pytest.raises(NotRunning):
        Client(place).status()


def test_the_server_ends_although_somebody_waits(place: Path) -> None:
    vault = PlainVault()
    failures: list[VaultsyncError] = []

    def wait() -> None:
        try:
            Client(place).wait_at_rest(600)
        except VaultsyncError as error:
            failures.append(error)

    with serving(vault, place):
        waiter = threading.Thread(target=wait)
        waiter.start()
        while not vault.told:
            Client(place).status()
    waiter.join(10)
    vault.rest.set()
    assert [type(failure) for failure in failures] == [NotRunning]


def test_a_daemon_that_does_not_answer_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaultsync.daemon.client.ANSWER_SECONDS", 0.1)
    with listen(place), pytest.raises(TimedOut):
        Client(place).wait_at_rest(0)


def test_unknown_errors_of_a_newer_daemon_are_fatal() -> None:
    assert type(wire.error_from_json({"code": "new", "message": "m"})) is Fatal
    assert type(wire.error_from_json({"code": "usage"})) is Usage
    assert type(wire.error_from_json({"code": "not-found"})) is NotFound


def test_about_names_the_process(client: Client) -> None:
    assert client.about()["pid"] == os.getpid()
