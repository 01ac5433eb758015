"""First steps: init, version."""

from __future__ import annotations

import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vaultsync import __version__, config
from vaultsync.cli.call import Call, Verb
from vaultsync.config import Cloud
from vaultsync.core.errors import Misconfigured, Usage
from vaultsync.paths import local_cloud

if TYPE_CHECKING:
    from collections.abc import Iterator

_IDS = ("region", "user_pool_id", "client_id", "identity_pool_id", "bucket")


@click.command(cls=Verb)
@click.option("--local", is_flag=True, help="Use the local cloud of `vaultsync cloud local`.")
@click.option(
    "--from",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Use the backend of an Amplify application: amplify_outputs.json, aws-exports.js, ...",
)
@click.option("--stack", help="Use the backend of this CloudFormation stack.")
@click.option("--region", help="AWS region.")
@click.option("--user-pool", "user_pool_id", metavar="ID", help="Cognito user pool.")
@click.option("--client", "client_id", metavar="ID", help="App client of the user pool.")
@click.option("--identity-pool", "identity_pool_id", metavar="ID", help="Cognito identity pool.")
@click.option("--bucket", help="S3 bucket.")
@click.option("--endpoint", "endpoint_url", metavar="URL", help="One endpoint for all services.")
@click.option("--prefix", help="Where each person's files are, such as private/{identity_id}/.")
@click.option("--folder", type=click.Path(path_type=Path), help="The folder to keep in sync.")
@click.option(
    "--drive",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A drive instead, mounted there.",
)
@click.option("--yes", is_flag=True, help="Do not ask: make the folder, replace the settings.")
@click.pass_obj
def init(
    call: Call, /, *, folder: Path | None, drive: Path | None, yes: bool, **source: Any
) -> None:
    """Bind a folder to a vault, or a drive that shows what is in it and keeps what was used."""
    cloud = _chosen(call, **source)
    if folder is not None and drive is not None:
        raise Usage("A profile is a folder or a drive.", "Give one of --folder and --drive.")
    folder = folder or drive
    if folder is None:
        folder = Path(call.screen.ask("Folder to keep in sync", "--folder PATH"))
    # As written: the environment speaks of one profile, and here it is about all of them.
    known = config.load(call.places.config_file).profiles
    path = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100 - a link is kept as it is
    others = {name: each.folder.path for name, each in known.items() if name != call.profile_name}
    _check_place(call, path, others)
    if call.profile_name in known and known[call.profile_name].cloud != cloud:
        question = f"The profile '{call.profile_name}' belongs to another vault. Replace it?"
        call.screen.confirm(question, yes=yes)
    if not path.exists():
        call.screen.confirm(f"The folder {path} does not exist. Make it?", yes=yes)
        path.mkdir(parents=True)
    # What another vault needed and this one does not is taken out again.
    defaults = {field.name: field.default for field in fields(Cloud)}
    values = {
        f"cloud.{key}": None if value == defaults[key] else value
        for key, value in asdict(cloud).items()
    }
    values["folder.path"] = path
    values["folder.kind"] = None if drive is None else "drive"
    config.save(call.places.config_file, call.profile_name, values)
    kind = "folder" if drive is None else "drive"
    told = {"profile": call.profile_name, kind: str(path), "cloud": asdict(cloud)}
    told["cloud"].pop("client_secret")  # type: ignore[attr-defined]
    call.screen.result(told)
    call.screen.note(f"{path} belongs to the vault {cloud.bucket}.")
    call.screen.note("Next: `vaultsync login`, or `vaultsync signup` for a new account.")


def _chosen(
    call: Call, *, local: bool, file: Path | None, stack: str | None, **ids: str | None
) -> Cloud:
    """The backend that the options name, in one of four ways."""
    given = {key: value for key, value in ids.items() if value is not None}
    ways = [bool(local), file is not None, stack is not None, any(key in given for key in _IDS[1:])]
    if sum(ways) != 1:
        raise Usage(
            "It takes one way to find the vault." if any(ways) else "Which vault is it?",
            "--local, --from FILE, --stack NAME, or --region with --user-pool, --client,"
            " --identity-pool and --bucket.",
        )
    if local:
        from vaultsync.cli.backend import local_outputs  # noqa: PLC0415 - only then

        found = local_outputs(local_cloud(call.config_dir))
    elif file is not None:
        from vaultsync.cloud.amplify import read_backend  # noqa: PLC0415 - only then

        found = read_backend(file)
    elif stack is not None:
        from vaultsync.cli.backend import stack_outputs  # noqa: PLC0415 - brings boto3

        found = stack_outputs(stack, given.get("region"), given.get("endpoint_url", ""))
    else:
        missing = [key for key in _IDS if key not in given]
        if missing:
            options = ", ".join(f"--{key.removesuffix('_id').replace('_', '-')}" for key in missing)
            raise Usage("The vault is not fully named.", f"Also give {options}.")
        return _made(given)
    return _made(asdict(found) | given)


def _made(values: dict[str, str]) -> Cloud:
    """The backend of these values; Misconfigured when they cannot be right."""
    try:
        return Cloud(**values)
    except ValueError as error:
        raise Misconfigured(f"The setting cloud.{error}.", "Mend that value.") from error


def _check_place(call: Call, path: Path, others: dict[str, Path]) -> None:
    """Raise Misconfigured unless a folder may be synced by this profile."""
    real = path.resolve()
    if path.exists() and not path.is_dir():
        raise Misconfigured(f"{path} is not a folder.", "Give a folder with --folder.")
    nearest = next(each for each in (path, *path.parents) if each.exists())
    if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        raise Misconfigured(f"{nearest} is not writable for you.", "Give another --folder.")
    for name, other in others.items():
        if _overlap(real, other.resolve()):
            raise Misconfigured(
                f"{path} and {other}, the folder of profile '{name}', lie one in the other.",
                "Two profiles cannot sync the same files: give another --folder.",
            )
    for ours in _own_folders(call):
        if _overlap(real, ours.resolve()):
            raise Misconfigured(
                f"{path} and {ours}, where vaultsync keeps its own files, lie one in the other.",
                "Give another --folder.",
            )


def _own_folders(call: Call) -> Iterator[Path]:
    yield from (call.places.state_dir, call.places.cache_dir, call.places.socket.parent)
    # Below --config-dir a folder may stand beside the others, but none may hold them.
    if call.config_dir is None:
        yield call.places.config_file.parent


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


@click.command(cls=Verb)
@click.pass_obj
def version(call: Call) -> None:
    """Print the version."""
    call.screen.result({"version": __version__}, [f"vaultsync {__version__}"])
