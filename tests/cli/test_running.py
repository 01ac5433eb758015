"""The real daemon, started and stopped by the commands; its cloud cannot be reached."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from vaultsync.paths import places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Program
    from tests.served import PlainVault


@pytest.fixture
def device(program: Program) -> Iterator[Program]:
    yield program
    program("stop")


def test_start_and_stop(device: Program) -> None:
    started = device("start", "--json")
    assert started.code == 0, started.out
    pid = started.json["result"]["pid"]
    assert device("status").code == 0
    assert "vaultsync login" in device().err

    again = device("start")
    assert again.code == 9
    assert str(pid) in again.err
    for command in (["daemon"], ["sync", "--once"]):
        assert device(*command).code == 9

    assert device("stop", "--json").json["result"] == {"pid": pid}
    assert device("status").code == 3
    assert device("start").code == 0


def test_a_daemon_outlives_its_terminal(device: Program) -> None:
    assert device.on_terminal("start").code == 0
    assert device("status").code == 0


def test_a_killed_daemon_is_no_obstacle(device: Program) -> None:
    pid = device("start", "--json").json["result"]["pid"]
    watched = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([watched], [], [], 30)[0]
    os.close(watched)
    assert device("status").code == 3
    assert device("start").code == 0


def test_start_tells_what_the_daemon_said_when_it_cannot_run(device: Program) -> None:
    state = places("default", device.home).state_dir
    state.mkdir(parents=True)
    (state / "lock").mkdir()
    said = device("start")
    assert said.code == 6
    assert str(state / "lock") in said.err


def test_a_foreground_daemon_ends_at_a_signal(device: Program) -> None:
    with subprocess.Popen(device.command("daemon"), stderr=subprocess.PIPE, text=True) as daemon:
        try:
            while device("status").code == 3:
                assert daemon.poll() is None
            daemon.terminate()
            assert daemon.wait(30) == 0
        finally:
            daemon.kill()


def test_steering_reaches_the_daemon(program: Program, vault: PlainVault) -> None:
    for command in ("sync", "pause", "resume"):
        said = program(command, "--json")
        assert said.json == {
            "schema": 1,
            "ok": True,
            "command": command,
            "result": {},
            "warnings": [],
        }
        assert program(command, "--quiet").err == ""
    assert vault.told == [(word,) for word in ("sync", "pause", "resume") for _ in range(2)]
