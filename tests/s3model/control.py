"""The model's own API below `/_model/`, JSON in and out, for judges in other processes."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from tests.s3model.cognito import CLIENT, IDENTITIES, POOL, REGION
from tests.s3model.faults import Fault
from tests.s3model.routes import CONTROL
from tests.s3model.state import Bucket, Version
from tests.s3model.wire import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.s3model.service import Service
    from tests.s3model.wire import Request


class Control:
    """What can be asked of and set in a running model.

    Args:
        service: The model.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._verbs: dict[tuple[str, str], Callable[[dict[str, str], Any], object]] = {
            ("GET", "state"): self._state,
            ("PUT", "settings"): self._set_settings,
            ("PUT", "latency"): self._set_latency,
            ("GET", "faults"): self._faults,
            ("POST", "faults"): self._add_faults,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "record"): self._record,
            ("DELETE", "record"): self._clear_record,
            ("GET", "versions"): self._versions,
            ("POST", "objects"): self._seed,
            ("POST", "buckets"): self._bucket,
            ("POST", "accounts"): self._account,
            ("DELETE", "credentials"): self._expire,
            ("DELETE", "connections"): self._drop,
        }

    def answer(self, request: Request) -> Response:
        """Serve one request."""
        verb = self._verbs.get((request.method, request.path.removeprefix(CONTROL)))
        if verb is None:
            known = sorted(f"{method} {CONTROL}{path}" for method, path in self._verbs)
            return _json({"error": "no such thing", "known": known}, 404)
        try:
            given = json.loads(bytes(request.body)) if len(request.body) else {}
            return _json(verb(request.query, given))
        except (KeyError, TypeError, ValueError) as error:
            return _json({"error": f"{type(error).__name__}: {error}"}, 400)

    def _state(self, query: dict[str, str], given: Any) -> object:
        """Settings, distance, counters, and what is in the buckets."""
        service = self._service
        return {
            "settings": asdict(service.settings),
            "latency": asdict(service.latency),
            "counters": dict(service.record.counters),
            "requests": len(service.record.requests),
            "writes": len(service.record.writes),
            "connections": len(service.connections),
            "buckets": {
                name: {
                    "versioning": bucket.versioning,
                    "keys": len(bucket.objects),
                    "uploads": [[upload.key, upload.id] for upload in bucket.uploads.values()],
                }
                for name, bucket in service.buckets.items()
            },
        }

    def _set_settings(self, query: dict[str, str], given: Any) -> object:
        return _set(self._service.settings, given)

    def _set_latency(self, query: dict[str, str], given: Any) -> object:
        return _set(self._service.latency, given)

    def _faults(self, query: dict[str, str], given: Any) -> object:
        return [asdict(fault) for fault in self._service.faults.all]

    def _add_faults(self, query: dict[str, str], given: Any) -> object:
        """One fault, or a list of them; with `?seed=N` they replace all others."""
        faults = [Fault(**each) for each in (given if isinstance(given, list) else [given])]
        if "seed" in query:
            self._service.faults.set(faults, int(query["seed"]))
        else:
            self._service.faults.add(*faults)
        return {"faults": len(self._service.faults.all)}

    def _clear_faults(self, query: dict[str, str], given: Any) -> object:
        self._service.faults.clear()
        return {}

    def _record(self, query: dict[str, str], given: Any) -> object:
        """Counters, and the requests from the `from`th on."""
        record = self._service.record
        start = int(query.get("from", 0))
        found = [asdict(asked) for asked in record.requests[start:]]
        return {"counters": dict(record.counters), "requests": found}

    def _clear_record(self, query: dict[str, str], given: Any) -> object:
        """Forget the requests; `?keep=0` only counts those to come, `?keep=1` keeps them again."""
        record = self._service.record
        record.clear()
        record.keep = query.get("keep", "1" if record.keep else "0") != "0"
        return {}

    def _versions(self, query: dict[str, str], given: Any) -> object:
        """All that was ever written or deleted, in order; of one bucket, below one prefix."""
        bucket, prefix = query.get("bucket"), query.get("prefix", "")
        return [
            asdict(wrote)
            for wrote in self._service.record.writes
            if bucket in (None, wrote.bucket) and wrote.key.startswith(prefix)
        ]

    def _seed(self, query: dict[str, str], given: Any) -> object:
        """Put `count` objects of `size` bytes below `prefix` at once; they share their bytes."""
        bucket = self._service.buckets[given["bucket"]]
        body = b"\0" * int(given.get("size", 0))
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        now, shared, none = int(time.time()), (body,), {}  # type: ignore[var-annotated]
        width = int(given.get("per_directory", 1000))
        prefix = given["prefix"]
        made = {}
        for number in range(int(given["count"])):
            key = f"{prefix}{number // width:05d}/{number % width:05d}"
            made[key] = Version(key, shared, len(body), etag, now, none, none)
        bucket.objects.update(made)
        return {"keys": len(bucket.objects)}

    def _bucket(self, query: dict[str, str], given: Any) -> object:
        """Make a bucket, or set its versioning: empty, `Enabled` or `Suspended`."""
        bucket = self._service.buckets.setdefault(given["name"], Bucket(given["name"]))
        bucket.versioning = given.get("versioning", bucket.versioning)
        return {"name": bucket.name, "versioning": bucket.versioning}

    def _account(self, query: dict[str, str], given: Any) -> object:
        """Sign a person in on one more device; all that a profile needs."""
        cognito = self._service.cognito
        account = cognito.account(given["email"])
        return {
            "email": account.email,
            "sub": account.sub,
            "identity_id": account.identity_id,
            "refresh_token": cognito.refresh_token(account),
            "cloud": {
                "region": REGION,
                "user_pool_id": POOL,
                "client_id": CLIENT,
                "identity_pool_id": IDENTITIES,
            },
        }

    def _expire(self, query: dict[str, str], given: Any) -> object:
        self._service.cognito.expire()
        return {}

    def _drop(self, query: dict[str, str], given: Any) -> object:
        """Hang up on everybody; also on who asks."""
        self._service.drop()
        return {}


def _set(target: Any, given: dict[str, object]) -> object:
    known = {field.name for field in fields(target)}
    unknown = given.keys() - known
    if unknown:
        raise ValueError(f"no such setting: {', '.join(sorted(unknown))}")
    for name, value in given.items():
        setattr(target, name, value)
    return asdict(target)


def _json(content: object, status: int = 200) -> Response:
    return Response(status, {"Content-Type": "application/json"}, (json.dumps(content).encode(),))
