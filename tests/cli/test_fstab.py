"""What mount(8) runs for a line of /etc/fstab."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from vaultsync.cli.fstab import FAILED, USAGE, parsed
from vaultsync.core.errors import Misconfigured

if TYPE_CHECKING:
    from pathlib import Path


def mount(*words: str | Path) -> subprocess.CompletedProcess[str]:
    helper = [sys.executable, "-c", "from vaultsync.cli.fstab import main; main()"]
    return subprocess.run(
        [*helper, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_the_options_mean() -> None:
    assert parsed("") == ([], [], None)
    assert parsed("rw,noauto,user,_netdev,x-gvfs-show") == ([], [], None)
    line = "ro,allow_other,cache_size=2.5,backend=kernel,config_dir=/c,as=ann"
    words = ["--read-only", "--allow-other", "--cache-size", "2.5", "--backend", "kernel"]
    assert parsed(line) == (["--config-dir", "/c"], words, "ann")
    with pytest.raises(Misconfigured, match="sync"):
        parsed("rw,sync")


def test_what_makes_no_sense_is_said_and_nothing_is_mounted(tmp_path: Path) -> None:
    for options, word in {"sync": "sync", "as=nobody-of-that-name": "no user"}.items():
        said = mount("default", tmp_path, "-o", options)
        assert (said.returncode, word in said.stderr) == (USAGE, True)
    said = mount("default", tmp_path / "missing")
    assert (said.returncode, "missing" in said.stderr) == (USAGE, True)
    assert mount("default", tmp_path, "-f").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_root_becomes_the_person_whose_drive_it_is() -> None:
    program = (
        "import os; from vaultsync.cli.fstab import become; become('nobody');"
        "print(os.getresuid(), os.getresgid(), os.environ['HOME'], 'XDG_STATE_HOME' in os.environ)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"XDG_STATE_HOME": "/root"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    nobody = pwd.getpwnam("nobody")
    uid, gid = nobody.pw_uid, nobody.pw_gid
    assert said.stdout == f"{(uid,) * 3} {(gid,) * 3} {nobody.pw_dir} False\n"


def test_a_mount_that_fails_has_its_own_code(tmp_path: Path) -> None:
    said = mount("default", tmp_path, "-o", f"config_dir={tmp_path}")
    assert said.returncode == FAILED
    assert "vaultsync init" in said.stderr
