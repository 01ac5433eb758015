from __future__ import annotations

import stat
from pathlib import Path

import pytest

from vaultsync import config
from vaultsync.config import Origin, load, save
from vaultsync.core.errors import Misconfigured

GOOD = """\
# my vault
[profile.home.cloud]  # from the stack
region = "eu-west-1"
user_pool_id = "eu-west-1_abc"
client_id = "client"
identity_pool_id = "eu-west-1:pool"
bucket = "bucket"

[profile.home.folder]
path = "/srv/vault"  # on the big disk
poll_seconds = 5
ignore = ["*.iso"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    return path


def test_settings_are_read_and_the_rest_has_defaults(file: Path) -> None:
    profile = load(file).profile("home")
    assert profile.cloud.bucket == "bucket"
    assert profile.folder.path == Path("/srv/vault")
    assert profile.folder.poll_seconds == 5.0
    assert isinstance(profile.folder.poll_seconds, float)
    assert profile.folder.ignore == ("*.iso",)
    assert profile.folder.mode == "two-way"
    assert profile.auth.store == "auto"
    assert profile.device.name


def test_a_missing_file_holds_no_profiles(tmp_path: Path) -> None:
    found = load(tmp_path / "none.toml")
    assert found.profiles == {}
    with pytest.raises(Misconfigured) as caught:
        found.profile("default")
    assert "vaultsync init" in caught.value.hint


def test_an_unknown_profile_names_the_known_ones(file: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(file).profile("work")
    assert "--profile work" in caught.value.hint
    assert "home" in caught.value.hint


def test_a_flag_beats_the_environment_beats_the_profile_beats_the_default(file: Path) -> None:
    environment = {
        "VAULTSYNC_FOLDER_POLL_SECONDS": "7.5",
        "VAULTSYNC_FOLDER_IGNORE": "*.a\n*.b\n",
        "VAULTSYNC_LIMITS_TRANSFERS": "3",
    }
    profile = load(file, environment, {"limits.transfers": 4}).profile("home")
    assert profile.limits.transfers == 4
    assert profile.folder.poll_seconds == 7.5
    assert profile.folder.ignore == ("*.a", "*.b")
    assert profile.origins["limits.transfers"] is Origin.FLAG
    assert profile.origins["folder.poll_seconds"] is Origin.ENVIRONMENT
    assert profile.origins["folder.path"] is Origin.PROFILE
    assert profile.origins["log.level"] is Origin.DEFAULT


@pytest.mark.parametrize(
    ("wrong", "where", "hint"),
    [
        ("[profile.home.folder]\npath='/x'\npol_seconds = 3", "line 10", "'poll_seconds'"),
        ("[profile.home.foldr]\npath='/x'", "line 8", "'folder'"),
        ("[profile.home]\nxyzzy = 1", "line 9", "Known here"),
        ("[profiles.home]\nx = 1", "unknown key 'profiles'", "'profile'"),
    ],
)
def test_an_unknown_key_says_where_and_what_may_be_meant(
    file: Path, wrong: str, where: str, hint: str
) -> None:
    file.write_text(GOOD.partition("\n[profile.home.folder]")[0] + wrong + "\n")
    with pytest.raises(Misconfigured) as caught:
        load(file)
    assert str(file) in caught.value.message
    assert where in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ('"bucket"', "7", "text"),
        ('"bucket"', '""', "text"),
        ("= 5", '= "often"', "a number"),
        ("= 5", "= true", "a number"),
        ("= 5", "= 0.1", "between 0.2 and 86400"),
        ("= 5", "= nan", "between"),
        ("= 5", '= 5\nmode = "upload-only"', "'two-way'"),
        ('["*.iso"]', '"*.iso"', "list"),
        ('["*.iso"]', "[1]", "list"),
        ('"/srv/vault"', '""', "path"),
    ],
)
def test_a_wrong_value_says_what_it_must_be(file: Path, old: str, new: str, wanted: str) -> None:
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(Misconfigured) as caught:
        load(file)
    assert wanted in caught.value.hint
    assert ", line " in caught.value.message


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VAULTSYNC_LIMITS_TRANSFERS", "many"),
        ("VAULTSYNC_LIMITS_TRANSFERS", "0"),
        ("VAULTSYNC_LOG_LEVEL", "loud"),
        ("VAULTSYNC_CLOUD_PREFIX", "private/{name}/"),
        ("VAULTSYNC_CLOUD_PREFIX", "private"),
        ("VAULTSYNC_CLOUD_ENDPOINT_URL", "127.0.0.1:4566"),
        ("VAULTSYNC_CLOUD_ENDPOINT_URL", "http://me:secret@127.0.0.1"),
        ("VAULTSYNC_FOLDER_PATH", "relative/folder"),
    ],
)
def test_a_wrong_variable_is_refused(file: Path, variable: str, value: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(file, {variable: value})
    assert variable.removeprefix("VAULTSYNC_").lower().replace("_", ".", 1) in caught.value.message


def test_a_missing_setting_is_named(file: Path) -> None:
    file.write_text(GOOD.replace('bucket = "bucket"\n', ""))
    with pytest.raises(Misconfigured) as caught:
        load(file)
    assert "cloud.bucket" in caught.value.message


@pytest.mark.parametrize("text", ["[profile.home", "x = ", "\ufeffx = 1", "profile = 3"])
def test_what_is_not_toml_is_refused_with_its_place(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(Misconfigured) as caught:
        load(file)
    assert str(file) in caught.value.message


def test_what_is_not_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(Misconfigured):
        load(file)


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "a" * 33, "ü"])
def test_a_profile_name_is_a_file_name(name: str) -> None:
    with pytest.raises(Misconfigured):
        config.check_name(name)


def test_saving_keeps_comments_and_everything_else(file: Path) -> None:
    save(file, "home", {"folder.path": Path("/new"), "auth.username": "ann@example.com"})
    text = file.read_text()
    assert "# my vault" in text
    assert "# from the stack" in text
    assert 'path = "/new"  # on the big disk' in text
    profile = load(file).profile("home")
    assert profile.auth.username == "ann@example.com"
    assert profile.folder.ignore == ("*.iso",)


def test_saving_adds_a_profile_beside_others(file: Path) -> None:
    settings = {
        f"cloud.{key}": "x"
        for key in ("region", "user_pool_id", "client_id", "identity_pool_id", "bucket")
    }
    save(file, "work", {**settings, "folder.path": "/w", "folder.ignore": ("a", "b")})
    assert list(load(file).profiles) == ["home", "work"]
    assert load(file).profile("work").folder.ignore == ("a", "b")


def test_saving_makes_a_private_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a" / "config.toml"
    save(file, "home", {"auth.username": "x"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]
    file.chmod(0o644)
    save(file, "home", {"auth.username": "y"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_saving_follows_a_link_and_keeps_it(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    save(link, "home", {"auth.username": "x"})
    assert link.is_symlink()
    assert load(file).profile("home").auth.username == "x"


def test_a_broken_file_is_not_overwritten(file: Path) -> None:
    file.write_text("[profile.home\n")
    with pytest.raises(Misconfigured):
        save(file, "home", {"auth.username": "x"})
    assert file.read_text() == "[profile.home\n"


@pytest.mark.parametrize(("text", "allowed"), [("true", True), ("false", False)])
def test_a_switch_is_true_or_false(file: Path, text: str, allowed: bool) -> None:
    assert load(file).profile("home").safety.allow_unconditional is False
    variable = {"VAULTSYNC_SAFETY_ALLOW_UNCONDITIONAL": text}
    assert load(file, variable).profile("home").safety.allow_unconditional is allowed
    file.write_text(GOOD + f"\n[profile.home.safety]\nallow_unconditional = {text}\n")
    assert load(file).profile("home").safety.allow_unconditional is allowed


@pytest.mark.parametrize("text", ["yes", "1", "True"])
def test_a_switch_is_nothing_else(file: Path, text: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(file, {"VAULTSYNC_SAFETY_ALLOW_UNCONDITIONAL": text})
    assert "true or false" in caught.value.hint
