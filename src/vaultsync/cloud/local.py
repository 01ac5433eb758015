"""A cloud on this machine: S3 and Cognito in one process, for tests, demonstrations and trying out.

It enforces what AWS would: sign-ins, signatures, lifetimes, each person's own prefix, conditional
writes. Users, objects, versions and identity ids survive `stop` and `start`; temporary credentials
do not, so a client has to fetch new ones, as after their expiry.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Self

import boto3
import botocore.session

from vaultsync.cloud import selftest, stack
from vaultsync.core.errors import (
    AnotherInstance,
    Fatal,
    MachineRefused,
    Misconfigured,
    NotFound,
    TimedOut,
)

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from vaultsync.config import Cloud

REGION = "us-east-1"
_HOST = "127.0.0.1"
_ADMINISTRATOR = "test"
"""Access key and secret key of the local cloud's root: no secret, and worth nothing elsewhere."""
_VERSION = "1.5.33"
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_CODE = re.compile(r"\b(\d{6})\b")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class LocalCloud:
    """A cloud on 127.0.0.1 that keeps its data in a folder.

    May be started again after `stop` or `kill`, also by another object on the same folder: it then
    has the same port, users and objects, and the same outputs.

    Attributes:
        data: The folder that everything is kept in.
        credential_seconds: Lifetime of temporary credentials; None for AWS's hour.
    """

    def __init__(self, data: Path, port: int = 0, credential_seconds: int | None = None) -> None:
        """Describe a local cloud; nothing is started yet.

        Args:
            data: The folder to keep everything in; made if it is not there.
            port: On which port of 127.0.0.1 to listen; 0 for the one used before, or a free one.
            credential_seconds: Lifetime of temporary credentials; None for AWS's hour.
        """
        self.data = data
        self.credential_seconds = credential_seconds
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._cloud: Cloud | None = None

    @property
    def url(self) -> str:
        """The endpoint of all services. Raises Misconfigured before the first start."""
        if not self._port:
            raise Misconfigured("the local cloud has not been started yet")
        return f"http://{_HOST}:{self._port}"

    @property
    def cloud(self) -> Cloud:
        """The outputs of the deployed backend. Raises Misconfigured before the first start."""
        if self._cloud is None:
            raise Misconfigured("the local cloud has not been started yet")
        return self._cloud

    @property
    def pid(self) -> int | None:
        """Process id of the server while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> Cloud:
        """Start the server, deploy the backend unless it is there already, and test its walls.

        Returns:
            The outputs, `endpoint_url` included; the same ones at each start with the same data.

        Raises:
            MachineRefused: The extra `local` is not installed, or the port is taken.
            AnotherInstance: Another process runs a local cloud on this folder.
            Fatal: The server did not come up, or lets people at each other's files.
        """
        if self._process is not None:
            return self.cloud
        _require_ministack()
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = self._remembered()
        try:
            self._launch(self._port or known.get("port", 0))
            self._cloud = self._found() or self._deployed()
            self._remember()
            selftest.check_walls(self.session(), self.url)
        except BaseException:
            self.kill()
            raise
        return self.cloud

    def stop(self) -> None:
        """End the server and wait; everything but temporary credentials is kept. Idempotent."""
        self._end(kill=False)

    def kill(self) -> None:
        """End the server as a crash would: users made since the start are lost. Idempotent."""
        self._end(kill=True)

    def session(self) -> boto3.Session:
        """The local cloud's administrator, untouched by the AWS settings of this machine's user."""
        # (configuration key, environment variable, default, conversion) of botocore's settings
        bare = {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
            "ca_bundle": (None, None, None, None),
        }
        core = botocore.session.Session(session_vars=bare)
        return boto3.Session(
            botocore_session=core,
            aws_access_key_id=_ADMINISTRATOR,
            aws_secret_access_key=_ADMINISTRATOR,
            region_name=REGION,
        )

    def messages(self) -> list[dict[str, Any]]:
        """The mails that were sent, oldest first.

        Each has `To` (a list of addresses), `Subject`, `BodyText` and `Timestamp` (seconds since
        the epoch) among its fields.
        """
        accounts = self._get("/_ministack/ses/messages")["messages"]
        mails = [mail for each in accounts.values() for mail in each]
        return sorted(mails, key=lambda mail: float(mail["Timestamp"]))

    def code_for(self, email: str) -> str:
        """The latest verification code that was mailed to an address.

        Raises:
            NotFound: No mail with a code has gone there.
        """
        for mail in reversed(self.messages()):
            code = _CODE.search(mail["BodyText"])
            if code is not None and email in mail["To"]:
                return code[1]
        raise NotFound(f"no mail with a code was sent to {email}")

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def _launch(self, port: int) -> None:
        """Start the server, on a socket that listens already, and wait until it answers.

        The data folder's lock goes to the server as well: it is free when both have let go of it.
        The server ends when its standard input does, that is with this process, however it dies.
        (The kernel's parent-death signal would end it with the thread that called `start`.)
        """
        lock = self._lock()
        try:
            with self._listen(port) as listener, (self.data / "server.log").open("ab") as log:
                self._port = listener.getsockname()[1]
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "vaultsync.cloud.shim"],
                    env=self._environment(listener.fileno()),
                    pass_fds=(listener.fileno(), lock),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                )
        finally:
            os.close(lock)
        self._await_health()

    def _lock(self) -> int:
        """Lock the data folder; returns the descriptor that holds the lock."""
        lock = os.open(self.data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise AnotherInstance(
                f"a local cloud already runs on the folder {self.data}",
                "Use that one, or give another folder.",
            ) from error
        return lock

    def _listen(self, port: int) -> socket.socket:
        """A socket that listens on 127.0.0.1."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((_HOST, port))
            listener.listen(256)
        except OSError as error:
            listener.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise MachineRefused(
                f"the port {port} of the local cloud cannot be used: {error.strerror}",
                "Stop what listens there, or give another --port.",
            ) from error
        return listener

    def _environment(self, listener: int) -> dict[str, str]:
        """All that the server sees of this process's environment: nothing of the user's AWS."""
        kept = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "COVERAGE_PROCESS_START")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "HOME": str(self.data),
            "TMPDIR": str(self.data),
            "AWS_ACCESS_KEY_ID": _ADMINISTRATOR,
            "AWS_SECRET_ACCESS_KEY": _ADMINISTRATOR,
            "AUTH": "true",
            "BIND_HOST": _HOST,
            "GATEWAY_PORT": str(self._port),
            "MINISTACK_REGION": REGION,
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.data / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.data / "objects"),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
            # ministack looks after containers where it finds Docker; there is nothing to find.
            "DOCKER_HOST": f"unix://{self.data / 'no-docker'}",
            "VAULTSYNC_LISTENER": str(listener),
            "VAULTSYNC_CREDENTIAL_SECONDS": str(self.credential_seconds or ""),
        }

    def _await_health(self) -> None:
        """Return once the server answers. The socket listens already: the first request waits."""
        try:
            self._get("/_ministack/health")
        except TimeoutError as error:
            raise TimedOut(
                f"the local cloud did not answer within {_START_SECONDS:.0f} s",
                f"See {self.data / 'server.log'}.",
            ) from error
        except (OSError, ValueError) as error:
            raise Fatal(
                f"the local cloud did not start: {self._last_words()}",
                f"See {self.data / 'server.log'}.",
            ) from error

    def _last_words(self) -> str:
        """The last line that the server logged."""
        lines = (self.data / "server.log").read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    def _get(self, path: str) -> Any:
        """Fetch JSON from the server's own pages."""
        with _DIRECT.open(self.url + path, timeout=_START_SECONDS) as answer:
            return json.load(answer)

    def _found(self) -> Cloud | None:
        """The outputs of the backend, or None when it is not deployed yet."""
        try:
            return stack.outputs(session=self.session(), endpoint_url=self.url)
        except NotFound:
            return None

    def _deployed(self) -> Cloud:
        """Deploy the backend, and restart: ministack saves what it has only when it stops."""
        parameters = {"RequireTls": "false"}
        cloud = stack.deploy(parameters=parameters, session=self.session(), endpoint_url=self.url)
        self.stop()
        self._launch(self._port)
        return cloud

    def _remembered(self) -> dict[str, Any]:
        """What an earlier start wrote down: the port and the outputs."""
        try:
            return dict(json.loads((self.data / "cloud.json").read_text()))
        except FileNotFoundError:
            return {}

    def _remember(self) -> None:
        """Write down the port and the outputs."""
        known = {"port": self._port, "outputs": asdict(self.cloud)}
        (self.data / "cloud.json").write_text(json.dumps(known, indent=2) + "\n")

    def _end(self, *, kill: bool) -> None:
        """End the server and wait for it."""
        process, self._process = self._process, None
        if process is None:
            return
        with process:
            if kill:
                process.kill()
            else:
                process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _require_ministack() -> None:
    """Raise MachineRefused unless the very version that the shim mends is installed."""
    try:
        found = version("ministack")
        version("cryptography")
    except PackageNotFoundError as error:
        raise MachineRefused(
            f"the local cloud needs the package {error.name}, which is not installed",
            "Run `pip install 'vaultsync[local]'`.",
        ) from error
    if found != _VERSION:
        raise MachineRefused(
            f"the local cloud needs ministack {_VERSION}, and {found} is installed",
            "Run `pip install 'vaultsync[local]'`.",
        )
