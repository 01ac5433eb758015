"""From sign-up to sign-out against the local cloud."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from vaultsync import config

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Program
    from tests.conftest import Person
    from vaultsync.cloud.local import LocalCloud

PASSWORD = "Correct-horse-9-battery"


@pytest.fixture
def device(bare: Program, cloud: LocalCloud) -> Program:
    """A profile of the local cloud; nobody is signed in."""
    bare.folder.mkdir()
    settings: dict[str, object] = {
        f"cloud.{key}": value for key, value in asdict(cloud.cloud).items()
    }
    settings |= {"folder.path": bare.folder, "auth.store": "file"}
    config.save(bare.home / "config.toml", "default", settings)
    return bare


def test_from_sign_up_to_sign_out(device: Program, cloud: LocalCloud) -> None:
    email = f"{secrets.token_hex(6)}@example.com"
    said = device("signup", email, "--password-stdin", "--json", typed=PASSWORD + "\n")
    assert said.json["result"]["username"] == email

    early = device("login", "--password-stdin", "--json", typed=PASSWORD)
    assert early.code == 4
    assert early.json["error"]["code"] == "unconfirmed"

    assert device("verify", "--resend").code == 0
    wrong = device("verify", "000000" if cloud.code_for(email) != "000000" else "111111")
    assert wrong.code == 10
    assert device("verify", cloud.code_for(email)).code == 0

    bad = device("login", "--password-stdin", typed="Wrong-horse-9-battery")
    assert (bad.code, bad.out) == (4, "")
    good = device("login", "--password-stdin", "--json", typed=PASSWORD)
    assert good.json["result"]["store"] == "file"

    who = device("whoami")
    assert who.out == f"{email}\n"
    told = device("whoami", "--json").json["result"]
    assert told["email"] == email
    assert told["identity_id"].startswith("us-east-1:")

    keys = json.loads(device("credentials").out)
    assert keys["Version"] == 1
    assert keys["AccessKeyId"].startswith("ASIA")
    assert keys == device("credentials", "--json").json["result"] or keys["SessionToken"]

    assert device("logout").code == 0
    for command in ("whoami", "logout", "credentials"):
        assert device(command).code == 4


def test_no_secret_is_left_in_any_file_but_the_store(
    device: Program, new_person: Callable[[], Person]
) -> None:
    person = new_person()
    assert device("login", person.email, "--password-stdin", typed=person.password).code == 0
    token = (device.home / "state/default/secrets/refresh-token").read_text()
    for path in device.home.rglob("*"):
        if path.is_file() and path.name != "refresh-token":
            assert token not in path.read_text(errors="replace")
            assert person.password not in path.read_text(errors="replace")


def test_a_person_types_the_password_unseen(
    device: Program, new_person: Callable[[], Person]
) -> None:
    person = new_person()
    said = device.on_terminal(
        "login",
        answers=(
            ("E-mail address:", f"{person.email}\n"),
            ("Password:", f"{person.password}\n"),
        ),
    )
    assert said.code == 0
    assert f"Signed in as {person.email}" in said.out
    assert person.password not in said.out


def test_signing_out_everywhere_ends_the_other_devices_sign_in(
    device: Program, new_person: Callable[[], Person]
) -> None:
    person = new_person()
    words = ("login", person.email, "--password-stdin")
    assert device(*words, typed=person.password).code == 0
    store = device.home / "state/default/secrets/refresh-token"
    other = store.read_text()
    assert device(*words, typed=person.password).code == 0
    assert device("logout", "--everywhere").code == 0
    store.write_text(other)
    assert device("whoami").code == 4


def test_offline_is_told_as_such(device: Program) -> None:
    said = device(
        "login",
        "ann@example.com",
        "--password-stdin",
        typed=PASSWORD,
        VAULTSYNC_CLOUD_ENDPOINT_URL="http://127.0.0.1:9",
    )
    assert said.code == 8
    assert PASSWORD not in said.err


def test_a_password_must_be_there(device: Program) -> None:
    assert device("login", "ann@example.com", "--password-stdin").code == 2
