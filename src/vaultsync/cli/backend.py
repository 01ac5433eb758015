"""Commands about the backend: `cloud template|deploy|outputs|destroy|local|mail`."""

from __future__ import annotations

import json
import os
import select
import signal
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vaultsync.cli.call import Call, Family
from vaultsync.cli.render import printable
from vaultsync.core.errors import Fatal, NotFound, NotRunning, Usage
from vaultsync.paths import local_cloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import boto3

    from vaultsync.config import Cloud

STACK = "vaultsync"
"""Name of the stack when nobody says otherwise."""


@click.group(cls=Family)
def cloud() -> None:
    """The backend of a vault: on AWS, or on this machine."""


def _stack_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which stack, and where."""
    for option in (
        click.option("--endpoint", default="", help="One endpoint for all services."),
        click.option("--region", help="AWS region (default: the one that is configured)."),
        click.option("--stack", default=STACK, show_default=True, help="Name of the stack."),
    ):
        command = option(command)
    return command


@cloud.command()
@click.pass_obj
def template(call: Call) -> None:
    """Print the CloudFormation template."""
    from vaultsync.cloud import stack as stacks  # noqa: PLC0415 - brings boto3

    text = stacks.template()
    call.screen.result({"template": text}, [text.rstrip("\n")])


@cloud.command()
@_stack_options
@click.option(
    "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="For the template."
)
@click.pass_obj
def deploy(
    call: Call, stack: str, region: str | None, endpoint: str, parameters: tuple[str, ...]
) -> None:
    """Create the backend with your AWS administrator's credentials, or bring it up to date."""
    from vaultsync.cloud import stack as stacks  # noqa: PLC0415

    values = dict(_pair(parameter) for parameter in parameters)
    call.screen.note("This takes a minute or two.")
    made = stacks.deploy(stack, values, session=_administrator(region), endpoint_url=endpoint)
    _show(call, made)
    call.screen.note(f"Next: `vaultsync init --stack {stack} --folder PATH`")


@cloud.command()
@_stack_options
@click.option("--amplify", is_flag=True, help="Print amplify_outputs.json, for a web application.")
@click.pass_obj
def outputs(call: Call, stack: str, region: str | None, endpoint: str, amplify: bool) -> None:
    """Print where the backend of a stack is."""
    found = stack_outputs(stack, region, endpoint)
    if amplify:
        from vaultsync.cloud import stack as stacks  # noqa: PLC0415

        told = stacks.amplify_outputs(found)
        call.screen.result(told, [json.dumps(told, indent=2)])
    else:
        _show(call, found)


@cloud.command()
@_stack_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def destroy(call: Call, stack: str, region: str | None, endpoint: str, yes: bool) -> None:
    """Delete the backend with all its accounts. The bucket and its files stay."""
    from vaultsync.cloud import stack as stacks  # noqa: PLC0415

    call.screen.confirm(f"Delete the stack {stack} with all accounts in it?", yes=yes)
    bucket = stacks.destroy(stack, session=_administrator(region), endpoint_url=endpoint)
    call.screen.result({"bucket": bucket})
    call.screen.note(f"Gone. The bucket {bucket} and the files in it are still there.")


@cloud.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Where to listen.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Where to keep it.")
@click.option(
    "--credential-seconds",
    type=click.IntRange(min=5),
    help="Lifetime of temporary credentials (default: an hour).",
)
@click.pass_obj
def local(call: Call, port: int, data: Path | None, credential_seconds: int | None) -> None:
    """Run a cloud on this machine until it is interrupted, for trying out and for tests."""
    from vaultsync.cloud.local import LocalCloud  # noqa: PLC0415 - brings boto3

    with _stopping() as stopped:
        server = LocalCloud(data or local_cloud(call.config_dir), port, credential_seconds)
        with server:
            _show(call, server.cloud)
            call.screen.note(
                f"The local cloud runs at {server.url}, with its data in {server.data}."
                " Ctrl-C ends it.\n"
                "Next, in another terminal: `vaultsync init --local --folder PATH`"
            )
            _wait(server.pid, stopped, server.data / "server.log")


@cloud.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Whose data.")
@click.pass_obj
def mail(call: Call, data: Path | None) -> None:
    """Show the mails that the local cloud has sent, with their codes."""
    from vaultsync.cloud.local import LocalCloud  # noqa: PLC0415 - brings boto3

    folder = data or local_cloud(call.config_dir)
    try:
        messages = LocalCloud(folder, _known(folder)["port"]).messages()
    except OSError as error:
        raise NotRunning(
            "The local cloud is not running.", "Start it with `vaultsync cloud local`."
        ) from error
    rows = [
        {"to": ", ".join(item["To"]), "subject": item["Subject"], "text": item["BodyText"]}
        for item in messages
    ]
    call.screen.result(rows)
    if not call.screen.json:
        call.screen.table(("TO", "SUBJECT", "TEXT"), [tuple(row.values()) for row in rows])
        if not rows:
            call.screen.note("There are no mails.")


def local_outputs(folder: Path) -> Cloud:
    """Where the vault of the local cloud on a data folder lives; NotFound when none ever ran."""
    from vaultsync.config import Cloud  # noqa: PLC0415 - only here as more than a type

    return Cloud(**_known(folder)["outputs"])


def stack_outputs(stack: str, region: str | None, endpoint: str) -> Cloud:
    """Where the vault of a stack lives; raises what `cloud.stack.outputs` raises."""
    from vaultsync.cloud import stack as stacks  # noqa: PLC0415

    return stacks.outputs(stack, session=_administrator(region), endpoint_url=endpoint)


def _known(folder: Path) -> dict[str, Any]:
    """What the local cloud wrote down about itself."""
    try:
        known: dict[str, Any] = json.loads((folder / "cloud.json").read_text())
    except FileNotFoundError as error:
        raise NotFound(
            f"No local cloud has run on the folder {folder}.", "Start one: `vaultsync cloud local`."
        ) from error
    return known


def _show(call: Call, found: Cloud) -> None:
    told = asdict(found)
    lines = [f"{key:<17} {printable(str(value))}" for key, value in told.items() if value]
    call.screen.result(told, lines)


def _administrator(region: str | None) -> boto3.Session:
    """The credentials that AWS tools on this machine use.

    AWS_REGION counts as it does for the other AWS tools; boto3 alone knows AWS_DEFAULT_REGION.
    """
    import boto3  # noqa: PLC0415 - slow to import

    return boto3.Session(region_name=region or os.environ.get("AWS_REGION") or None)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Usage(f"'{text}' is not NAME=VALUE.", "See `vaultsync cloud template`.")
    return name, value


@contextmanager
def _stopping() -> Iterator[int]:
    """Yield a descriptor that can be read once SIGINT or SIGTERM has come."""
    reader, writer = os.pipe()
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda *_: os.write(writer, b".")) for kind in kinds]
    try:
        yield reader
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
        os.close(reader)
        os.close(writer)


def _wait(pid: int | None, stopped: int, log: Path) -> None:
    """Return when somebody wants the server to end; Fatal when it ends by itself."""
    server = os.pidfd_open(pid or 0)
    try:
        ready, _, _ = select.select([server, stopped], [], [])
    finally:
        os.close(server)
    if stopped not in ready:
        raise Fatal("The local cloud has ended by itself.", f"See {log}.")
