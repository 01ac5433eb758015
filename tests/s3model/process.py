"""A model server as a process of its own, steered over HTTP."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]


class ModelProcess:
    """Runs `python -m tests.s3model` while the block runs.

    Attributes:
        url: Its endpoint.
        process: The process.
    """

    def __init__(self, port: int = 0) -> None:
        self.url = ""
        self._command = [sys.executable, "-m", "tests.s3model", "--port", str(port)]

    def control(self, method: str, path: str, given: object = None) -> Any:
        """Ask it something, or set something; see `control`."""
        return control(self.url, method, path, given)

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise OSError(f"the model ended with {self.process.wait()}")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()


def control(url: str, method: str, path: str, given: object = None) -> Any:
    """Ask a model something, as in `control(url, "POST", "faults", {"kind": "500"})`."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    try:
        body = None if given is None else json.dumps(given)
        connection.request(method, f"/_model/{path}", body)
        answer = connection.getresponse()
        content = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(content["error"])
    return content
