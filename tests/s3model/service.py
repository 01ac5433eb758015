"""The server: what every request passes through, faults, distance and record included."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from tests.s3model import answers, routes
from tests.s3model.answers import RefusedError, element, xml
from tests.s3model.cognito import JWKS, Cognito
from tests.s3model.control import Control
from tests.s3model.faults import ANSWERS, Faults
from tests.s3model.latency import Latency, Pipe
from tests.s3model.listing import Listings
from tests.s3model.multipart import Multipart
from tests.s3model.objects import Objects
from tests.s3model.record import Record, access_key
from tests.s3model.settings import Settings
from tests.s3model.state import Bucket
from tests.s3model.wire import Connection, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.s3model.faults import Fault
    from tests.s3model.wire import Request

log = logging.getLogger(__name__)
VAULT = "vault"
"""The bucket that is there from the start, with versions, as our own backend has them."""


class Service:
    """All state of one model server. Everything happens on its event loop's thread.

    Attributes:
        settings: What kind of server it is.
        latency: How far away it is.
        faults: What goes wrong.
        record: What was asked and written.
        buckets: By name.
        cognito: Accounts and credentials.
        connections: Those that are open.
        quiet: Set while there are none.
    """

    def __init__(self) -> None:
        self.settings = Settings()
        self.latency = Latency()
        self.faults = Faults()
        self.record = Record()
        self.buckets: dict[str, Bucket] = {VAULT: Bucket(VAULT, "Enabled")}
        self.cognito = Cognito(self.settings)
        self.connections: dict[int, Connection] = {}
        self.quiet = asyncio.Event()
        self.quiet.set()
        self._shared: dict[str, float] = {}
        self._numbers = 0
        self._connections = 0
        self._waiting: set[asyncio.TimerHandle] = set()
        self._control = Control(self)
        objects = Objects(self.buckets, self.settings, self.record)
        multipart = Multipart(objects, self.settings)
        listings = Listings(objects)
        self._handlers: dict[str, Callable[[Request], Response]] = {
            "PutObject": objects.put,
            "GetObject": objects.get,
            "HeadObject": objects.get,
            "DeleteObject": objects.delete,
            "CopyObject": objects.copy,
            "ListObjectsV2": listings.current,
            "ListObjects": listings.current,
            "ListObjectVersions": listings.versions,
            "CreateMultipartUpload": multipart.create,
            "UploadPart": multipart.upload_part,
            "UploadPartCopy": multipart.copy_part,
            "CompleteMultipartUpload": multipart.complete,
            "AbortMultipartUpload": multipart.abort,
            "ListParts": multipart.list_parts,
            "ListMultipartUploads": multipart.list_uploads,
            "ListBuckets": self._list_buckets,
            "CreateBucket": self._create_bucket,
            "HeadBucket": lambda request: self._of_bucket(request, ""),
            "DeleteBucket": self._delete_bucket,
            "GetBucketLocation": lambda request: self._of_bucket(
                request, f"<LocationConstraint {answers.NAMESPACE}/>"
            ),
            "GetBucketVersioning": self._versioning,
            "PutBucketVersioning": self._set_versioning,
        }

    def connection(self) -> Connection:
        """A protocol for a new connection."""
        self._connections += 1
        return Connection(self, self._connections)

    def connected(self, connection: Connection) -> tuple[Pipe, Pipe]:
        self.connections[connection.number] = connection
        self.quiet.clear()
        return Pipe(self.latency, "up", self._shared), Pipe(self.latency, "down", self._shared)

    def lost(self, connection: Connection) -> None:
        self.connections.pop(connection.number, None)
        if not self.connections:
            self.quiet.set()

    def begin(self, request: Request) -> None:
        self._numbers += 1
        request.number = self._numbers
        request.arrived = time.time()
        routes.name(request)
        if request.operation == "Control":
            return
        fault = request.fault = self.faults.pick(request.operation, request.key)
        if fault is not None and fault.kind == "cut" and request.method in ("PUT", "POST"):
            request.cut_at = request.length // 2

    def cut(self, request: Request) -> None:
        self.record.add(request, 0, 0, "cut")

    def finish(self, connection: Connection, request: Request) -> None:
        if request.operation == "Control":
            connection.reply(self._control.answer(request))
            return
        wait = self.latency.before(first=request.first)
        if request.fault is not None and request.fault.kind == "slow":
            wait += request.fault.seconds
        if wait > 0:
            self._later(wait, lambda: self._act(connection, request))
        else:
            self._act(connection, request)

    def close(self) -> None:
        """Hang up on everybody and forget what waits."""
        for handle in self._waiting:
            handle.cancel()
        self._waiting.clear()
        self.drop()

    def drop(self) -> None:
        """Hang up on everybody; what they have asked for and what is late is done all the same."""
        for connection in list(self.connections.values()):
            connection.hang_up()

    def apply(self, request: Request) -> Response:
        """Do what a request asks for, whatever goes wrong beside."""
        request_id = f"{request.number:016X}"
        try:
            response = self._handled(request)
        except RefusedError as refused:
            response = answers.error(refused, request_id, request.method)
        except Exception as error:
            log.warning("%s %s", request.method, request.target, exc_info=True)
            broken = RefusedError(501, "ModelFailed", repr(error))
            response = answers.error(broken, request_id, request.method)
        headers = response.headers
        headers["x-amz-request-id"] = request_id
        headers["Date"] = answers.http_date(int(time.time()))
        headers["Server"] = "model"
        return response

    def _act(self, connection: Connection, request: Request) -> None:
        """Answer, or do what the fault wants instead."""
        fault = request.fault
        kind = fault.kind if fault is not None else ""
        if fault is not None and kind in ("lost-request", "late"):
            self._note(request, None, kind)
            connection.hang_up()
            if kind == "late":
                self._later(fault.seconds, lambda: self._apply_late(request))
            return
        if fault is not None and kind in ANSWERS:
            response = self._misfortune(request, fault)
        else:
            if kind == "duplicate":
                self._note(request, self.apply(request), kind)
            response = self.apply(request)
        keep = response.size // 2 if kind == "cut" else None
        self._note(request, response, kind, keep)
        if kind == "lost-response":
            connection.hang_up()
        else:
            connection.reply(response, keep)

    def _misfortune(self, request: Request, fault: Fault) -> Response:
        if fault.applied:
            self.apply(request)
        status, code = ANSWERS[fault.kind]
        refused = RefusedError(status, code, "The model was told to say so.")
        response = answers.error(refused, f"{request.number:016X}", request.method)
        response.headers["Date"] = answers.http_date(int(time.time()))
        return response

    def _apply_late(self, request: Request) -> None:
        self._note(request, self.apply(request), "late")

    def _note(
        self, request: Request, response: Response | None, fault: str, keep: int | None = None
    ) -> None:
        status = response.status if response is not None else 0
        size = response.size if response is not None else 0
        self.record.add(request, status, size if keep is None else keep, fault)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        def run() -> None:
            self._waiting.discard(handle)
            act()

        handle = asyncio.get_running_loop().call_later(seconds, run)
        self._waiting.add(handle)

    def _handled(self, request: Request) -> Response:
        if request.operation == "GetKeys":
            if request.path != JWKS:
                raise RefusedError(404, "NotFound")
            return self.cognito.jwks()
        if not request.bucket and request.operation != "ListBuckets":
            return self.cognito.answer(request)
        if self.settings.credentials_are_checked:
            self._check_credentials(request)
        handler = self._handlers.get(request.operation)
        if handler is None:
            raise RefusedError(501, "NotImplemented", "Not in this model.")
        return handler(request)

    def _check_credentials(self, request: Request) -> None:
        name = access_key(request.headers)
        if not name:
            raise answers.denied()
        keys = self.cognito.keys.get(name)
        if keys is None:
            raise RefusedError(403, "InvalidAccessKeyId", "The key id you provided is unknown.")
        if request.headers.get("x-amz-security-token") != keys.session_token:
            raise RefusedError(400, "InvalidToken", "The provided token is malformed.")
        if keys.ends <= time.time():
            raise RefusedError(400, "ExpiredToken", "The provided token has expired.")
        own = f"private/{keys.account.identity_id}/"
        if self.settings.prefixes_are_checked and not request.key.startswith(own):
            raise answers.denied()

    def _found(self, request: Request) -> Bucket:
        if request.bucket not in self.buckets:
            raise RefusedError(404, "NoSuchBucket", "The specified bucket does not exist")
        return self.buckets[request.bucket]

    def _of_bucket(self, request: Request, text: str) -> Response:
        self._found(request)
        return xml(text) if text else Response(200, {"x-amz-bucket-region": "us-east-1"}, length=0)

    def _list_buckets(self, request: Request) -> Response:
        names = "".join(f"<Bucket>{element('Name', name)}</Bucket>" for name in self.buckets)
        return xml(
            f"<ListAllMyBucketsResult {answers.NAMESPACE}><Buckets>{names}</Buckets>"
            "</ListAllMyBucketsResult>"
        )

    def _create_bucket(self, request: Request) -> Response:
        self.buckets.setdefault(request.bucket, Bucket(request.bucket))
        return Response(200, {"Location": f"/{request.bucket}"})

    def _delete_bucket(self, request: Request) -> Response:
        if self._found(request).objects:
            raise RefusedError(409, "BucketNotEmpty")
        del self.buckets[request.bucket]
        return Response(204)

    def _versioning(self, request: Request) -> Response:
        status = element("Status", self._found(request).versioning or None)
        text = f"<VersioningConfiguration {answers.NAMESPACE}>{status}</VersioningConfiguration>"
        return xml(text)

    def _set_versioning(self, request: Request) -> Response:
        on = b">Enabled<" in bytes(request.body)
        self._found(request).versioning = "Enabled" if on else "Suspended"
        return Response(200)
