from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from vaultsync import config

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Program, Said

IDS = {
    "--region": "eu-west-1",
    "--user-pool": "eu-west-1_abc",
    "--client": "client",
    "--identity-pool": "eu-west-1:pool",
    "--bucket": "bucket",
}


def init(program: Program, folder: Path, *words: str, **ids: str) -> Said:
    named = IDS | {f"--{key.replace('_', '-')}": value for key, value in ids.items()}
    pairs = [word for pair in named.items() for word in pair if pair[1]]
    return program("init", *pairs, "--folder", str(folder), *words)


def test_a_folder_is_bound_to_a_vault_given_by_its_ids(bare: Program) -> None:
    bare.folder.mkdir()
    said = init(bare, bare.folder, "--json", endpoint="http://127.0.0.1:4566", prefix="p/{sub}/")
    assert said.code == 0
    assert said.json["result"]["cloud"]["bucket"] == "bucket"
    file = bare.home / "config.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    profile = config.load(file).profile("default")
    assert profile.folder.path == bare.folder
    assert profile.cloud.prefix == "p/{sub}/"
    assert profile.cloud.endpoint_url == "http://127.0.0.1:4566"


def test_a_relative_folder_is_written_down_absolute(
    bare: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare.folder.mkdir()
    monkeypatch.chdir(bare.folder.parent)
    ids = [word for pair in IDS.items() for word in pair]
    said = bare("init", *ids, "--folder", "folder", "--json")
    assert said.json["result"]["folder"] == str(bare.folder)


def test_an_amplify_applications_file_is_enough(bare: Program, tmp_path: Path) -> None:
    outputs = {
        "version": "1.4",
        "auth": {
            "aws_region": "eu-west-1",
            "user_pool_id": "eu-west-1_abc",
            "user_pool_client_id": "client",
            "identity_pool_id": "eu-west-1:pool",
        },
        "storage": {"aws_region": "eu-west-1", "bucket_name": "shared"},
    }
    file = tmp_path / "amplify_outputs.json"
    file.write_text(json.dumps(outputs))
    bare.folder.mkdir()
    said = bare("init", "--from", str(file), "--folder", str(bare.folder), "--json")
    assert said.json["result"]["cloud"]["bucket"] == "shared"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "--from FILE"),
        (["--local", "--stack", "x"], "--from FILE"),
        (["--bucket", "b"], "--user-pool"),
    ],
)
def test_the_vault_must_be_named_in_one_way(bare: Program, words: list[str], hint: str) -> None:
    bare.folder.mkdir()
    said = bare("init", *words, "--folder", str(bare.folder))
    assert said.code == 2
    assert hint in said.err
    assert not (bare.home / "config.toml").exists()


def test_without_a_local_cloud_there_is_nothing_to_bind_to(bare: Program) -> None:
    said = bare("init", "--local", "--folder", str(bare.folder))
    assert said.code == 11
    assert "vaultsync cloud local" in said.err


def test_wrong_ids_are_refused_before_anything_is_written(bare: Program) -> None:
    bare.folder.mkdir()
    said = init(bare, bare.folder, endpoint="127.0.0.1")
    assert said.code == 78
    assert "cloud.endpoint_url" in said.err
    assert not (bare.home / "config.toml").exists()


def test_a_folder_is_made_only_with_consent(bare: Program) -> None:
    said = init(bare, bare.folder)
    assert said.code == 2
    assert "--yes" in said.err
    assert not bare.folder.exists()
    assert init(bare, bare.folder, "--yes").code == 0
    assert bare.folder.is_dir()


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 130), ("\n", 130)])
def test_a_person_is_asked_before_a_folder_is_made(bare: Program, answer: str, code: int) -> None:
    said = bare.on_terminal(
        "init",
        *(word for pair in IDS.items() for word in pair),
        answers=(("Folder to keep in sync", f"{bare.folder}\n"), ("Make it?", answer)),
    )
    assert said.code == code
    assert bare.folder.is_dir() == (code == 0)
    assert (bare.home / "config.toml").exists() == (code == 0)


def test_a_file_is_no_folder(bare: Program) -> None:
    bare.folder.write_text("x")
    said = init(bare, bare.folder)
    assert said.code == 78
    assert "is not a folder" in said.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_must_be_writable(bare: Program) -> None:
    bare.folder.mkdir(mode=0o500)
    assert init(bare, bare.folder).code == 78


@pytest.mark.parametrize("place", ["inner", "", ".."])
def test_two_profiles_never_share_files(program: Program, tmp_path: Path, place: str) -> None:
    folder = program.folder / place if place else tmp_path / "link"
    if not place:
        folder.symlink_to(program.folder)
    said = init(program, folder, "--yes", "--profile", "second")
    assert said.code == 78
    assert "profile 'default'" in said.err
    assert not (program.folder / "inner").exists()


@pytest.mark.parametrize("place", ["", "state", "state/default/x", "run"])
def test_our_own_files_are_never_synced(bare: Program, place: str) -> None:
    said = init(bare, bare.home / place, "--yes")
    assert said.code == 78
    assert "its own files" in said.err


def test_another_vault_for_a_profile_needs_consent(program: Program) -> None:
    said = init(program, program.folder, bucket="another")
    assert said.code == 2
    file = program.home / "config.toml"
    assert config.load(file).profile("default").cloud.bucket == "bucket"
    assert init(program, program.folder, "--yes", bucket="another").code == 0
    assert config.load(file).profile("default").cloud.bucket == "another"


def test_binding_again_drops_what_the_other_vault_had(program: Program) -> None:
    assert init(program, program.folder, "--yes").code == 0
    profile = config.load(program.home / "config.toml").profile("default")
    assert profile.cloud.endpoint_url == ""
    assert profile.auth.store == "file"
