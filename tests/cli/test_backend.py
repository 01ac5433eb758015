from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from vaultsync import config

if TYPE_CHECKING:
    from tests.cli.conftest import Program
    from vaultsync.cloud.local import LocalCloud

ADMINISTRATOR = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
}


def test_the_template_is_printed(bare: Program) -> None:
    said = bare("cloud", "template")
    assert "AWSTemplateFormatVersion" in said.out
    assert (
        bare("cloud", "template", "--json").json["result"]["template"].strip() == said.out.strip()
    )


def test_outputs_of_a_stack(bare: Program, cloud: LocalCloud) -> None:
    words = ("cloud", "outputs", "--endpoint", cloud.url)
    assert cloud.cloud.bucket in bare(*words, **ADMINISTRATOR).out
    told = bare(*words, "--json", **ADMINISTRATOR).json["result"]
    assert told["user_pool_id"] == cloud.cloud.user_pool_id
    amplify = json.loads(bare(*words, "--amplify", **ADMINISTRATOR).out)
    assert amplify["storage"]["bucket_name"] == cloud.cloud.bucket


def test_a_stack_that_is_not_there(bare: Program, cloud: LocalCloud) -> None:
    words = ("--stack", "nothing-of-that-name", "--endpoint", cloud.url)
    assert bare("cloud", "outputs", *words, **ADMINISTRATOR).code == 11
    assert bare("cloud", "destroy", *words, "--yes", **ADMINISTRATOR).code == 11


def test_destroying_needs_consent(bare: Program, cloud: LocalCloud) -> None:
    said = bare("cloud", "destroy", "--endpoint", cloud.url, **ADMINISTRATOR)
    assert said.code == 2
    assert "--yes" in said.err
    assert bare("cloud", "outputs", "--endpoint", cloud.url, **ADMINISTRATOR).code == 0


def test_a_parameter_is_a_pair(bare: Program) -> None:
    assert bare("cloud", "deploy", "--parameter", "novalue").code == 2


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_local_cloud_runs_until_it_is_told_to_end(bare: Program, end: signal.Signals) -> None:
    command = bare.command("cloud", "local", "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            told = json.loads(server.stdout.readline())["result"]
            assert bare("init", "--local", "--folder", str(bare.folder), "--yes").code == 0
            assert bare("cloud", "mail").out == ""
            assert bare("cloud", "local").code == 9
            server.send_signal(end)
            assert server.wait(30) == 0
        finally:
            server.kill()
    profile = config.load(bare.home / "config.toml").profile("default")
    assert profile.cloud.bucket == told["bucket"]
    assert bare("cloud", "mail").code == 3


def test_a_local_cloud_that_ends_by_itself_is_told(bare: Program) -> None:
    command = bare.command("cloud", "local", "--json")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            children = f"/proc/{server.pid}/task/{server.pid}/children"
            with open(children) as listed:  # noqa: PTH123 - a file of the kernel
                subprocess.run(["kill", "-9", *listed.read().split()], check=True)
            assert server.wait(30) == 1
            assert "ended by itself" in server.stdout.read()
        finally:
            server.kill()


def test_mail_shows_the_codes(bare: Program, cloud: LocalCloud) -> None:
    email = f"mail-{time.time_ns()}@example.com"
    words = {
        "--region": cloud.cloud.region,
        "--user-pool": cloud.cloud.user_pool_id,
        "--client": cloud.cloud.client_id,
        "--identity-pool": cloud.cloud.identity_pool_id,
        "--bucket": cloud.cloud.bucket,
        "--endpoint": cloud.url,
        "--folder": str(bare.folder),
    }
    assert bare("init", *(word for pair in words.items() for word in pair), "--yes").code == 0
    typed = "Correct-horse-9-battery"
    assert bare("signup", email, "--password-stdin", typed=typed).code == 0
    rows = bare("cloud", "mail", "--data", str(cloud.data), "--json").json["result"]
    assert any(cloud.code_for(email) in row["text"] and row["to"] == email for row in rows)
    lines = bare("cloud", "mail", "--data", str(cloud.data)).out.splitlines()
    assert len(lines) == len(rows)
