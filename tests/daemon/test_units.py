"""The units that come with vaultsync, as systemd itself judges them."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
PROGRAM = Path(sys.executable).parent / "vaultsync"
ANALYZE = shutil.which("systemd-analyze")


def verify(unit: Path, *options: str, runtime: Path) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    runtime.mkdir(mode=0o700, exist_ok=True)
    return subprocess.run(
        [ANALYZE, *options, "--man=no", "--recursive-errors=yes", "verify", str(unit)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def installed(name: str, folder: Path, **replace: str) -> Path:
    """A copy of a unit whose program exists."""
    text = (UNITS / name).read_text()
    lines = [re.sub(r"^(Exec\w+=-?)\S+", rf"\g<1>{PROGRAM}", line) for line in text.splitlines()]
    copy = folder / name.replace("@.", "@root.")
    copy.write_text("\n".join(replace.get(line, line) for line in lines) + "\n")
    return copy


needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


@needs_systemd
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vaultsync.service", ["--user"]),
        ("vaultsync@.service", []),
        ("vaultsync-mount@.service", ["--user"]),
    ],
)
def test_systemd_finds_nothing_wrong(name: str, options: list[str], tmp_path: Path) -> None:
    verdict = verify(installed(name, tmp_path), *options, runtime=tmp_path / "run")
    assert (verdict.returncode, verdict.stderr) == (0, "")


@needs_systemd
def test_the_verdict_would_show_a_misspelt_key(tmp_path: Path) -> None:
    unit = installed("vaultsync.service", tmp_path, **{"UMask=0077": "UMusk=0077"})
    verdict = verify(unit, "--user", runtime=tmp_path / "run")
    assert "UMusk" in verdict.stderr


@pytest.mark.parametrize("name", ["vaultsync.service", "vaultsync@.service"])
def test_what_the_daemon_relies_on(name: str) -> None:
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNITS / name)
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"].split() == ["9", "77", "78"]
    assert "WatchdogSec" in service
    assert service["UMask"] == "0077"
    assert service["RuntimeDirectoryMode"] == "0700"
    assert service["NoNewPrivileges"] == "yes"


def test_what_the_holder_of_a_mount_relies_on() -> None:
    """An unprivileged mount fails under each of these: fusermount3 has to become root."""
    text = (UNITS / "vaultsync-mount@.service").read_text()
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert "--foreground" in service["ExecStart"]
    assert "--wait" in service["ExecStop"]
    assert service["RestartPreventExitStatus"].split() == ["9", "77", "78"]
    sandboxing = r"Private|Protect|Restrict(?!art)|SystemCall|Capability|NoNew|LockPers|ReadOnly"
    assert [key for key in service if re.match(sandboxing, key) and "Prevent" not in key] == []
