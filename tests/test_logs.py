from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from vaultsync import logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "Zx9Q7sEcReTvAlUe"
TOKEN = "eyJraWQiOiJhYmMiLCJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ"

LEAKS = [
    f"got {TOKEN} back",
    "eyJjdHkiOiJKV1QiLCJlbmMiOiJBMjU2R0NNIn0.Zx9Q.c2Vj.cmV0.dGFn of five parts",
    "key ASIAIOSFODNN7EXAMPLE and AKIAIOSFODNN7EXAMPLE",
    f"https://ann:{SECRET}@example.com/x",
    f"GET /k?X-Amz-Credential=Q/20260101&X-Amz-Security-Token={SECRET}%3D&X-Amz-Signature={SECRET}",
    f"x-amz-security-token: {SECRET}",
    json.dumps({"SecretAccessKey": SECRET, "SessionToken": SECRET, "RefreshToken": SECRET}),
    repr({"Password": SECRET, "PreviousPassword": SECRET, "SECRET_HASH": SECRET}),
    f"client_secret={SECRET} access_token={SECRET}",
    f"Authorization: AWS4-HMAC-SHA256 SignedHeaders=host, Signature={SECRET}",
]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("vaultsync")
    before, levels = list(root.handlers), (root.level, ours.level)
    yield
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.mark.parametrize("line", LEAKS)
def test_secrets_never_reach_a_log(line: str) -> None:
    shown = logs.redact(line)
    for secret in (SECRET, TOKEN, "ASIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE", "cmV0"):
        assert secret not in shown
    assert "[hidden]" in shown


@pytest.mark.parametrize(
    "line",
    [
        "pushed documents/tokens and passwords.txt (12 B)",
        "vault eu-west-1:0f3e6a1c-1111-2222-3333-444455556666 at https://example.com:443/x",
        "the password is wrong",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert logs.redact(line) == line


def test_a_traceback_is_redacted_too(tmp_path: Path) -> None:
    file = tmp_path / "state" / "daemon.log"
    logs.setup("info", file)
    try:
        int(f"password={SECRET}")
    except ValueError:
        logging.getLogger("vaultsync.test").exception("failed with %s", TOKEN)
    text = file.read_text()
    assert "Traceback" in text
    assert SECRET not in text
    assert TOKEN not in text


def test_the_file_is_private_and_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "ROTATE_AT", 1_000)
    file = tmp_path / "daemon.log"
    logs.setup("info", file)
    for number in range(60):
        logging.getLogger("vaultsync.test").info("line %d %s", number, "x" * 80)
    found = sorted(path.name for path in tmp_path.glob("daemon.log*"))
    assert found == ["daemon.log", "daemon.log.1", "daemon.log.2", "daemon.log.3"]
    assert all(stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600 for name in found)


def test_levels_are_ours_and_libraries_stay_quiet(tmp_path: Path) -> None:
    file = tmp_path / "daemon.log"
    for level, mine, theirs in (("debug", True, False), ("info", False, False)):
        logs.setup(level, file)
        logging.getLogger("vaultsync.test").debug("mine at %s", level)
        logging.getLogger("botocore.endpoint").debug("theirs at %s", level)
        text = file.read_text()
        assert (f"mine at {level}" in text) == mine
        assert (f"theirs at {level}" in text) == theirs


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "import logging\nfrom vaultsync import logs\n" + code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    return done.stderr


SAY = "logging.getLogger('vaultsync.x').warning('one\\ntwo')"


def test_on_stderr_lines_have_times() -> None:
    assert "WARNING vaultsync.x: one\ntwo" in run(f"logs.setup('info'); {SAY}")


def test_for_the_journal_every_line_has_its_priority() -> None:
    here = (
        "import os, sys; s = os.fstat(2);"
        "os.environ['JOURNAL_STREAM'] = f'{s.st_dev}:{s.st_ino}'; logs.setup('info');"
    )
    assert run(here + SAY) == "<4>vaultsync.x: one\n<4>two\n"


def test_a_journal_that_is_somebody_elses_is_not_taken_for_ours() -> None:
    assert "<4>" not in run(f"logs.setup('info'); {SAY}", JOURNAL_STREAM="1:2")
