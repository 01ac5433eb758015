"""S3 as one bucket in memory, and a client whose requests get lost, late, and delivered twice."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, TypeVar

from vaultsync.core.errors import Retry, Stale
from vaultsync.remote.client import Head, Listed, Page, Part, Written
from vaultsync.remote.faults import Broken, Busy, Denied, Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.sync.simulation.world import World
    from vaultsync.remote.client import Condition, VersionPage

T = TypeVar("T")

PREFIX = "private/person/"
LATEST = 15 * 60.0
"""Seconds after which a request cannot arrive any more."""


@dataclass(frozen=True)
class Object:
    """One version of an object."""

    body: bytes
    etag: str
    modified: str
    version: str
    checksum: str | None
    metadata: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def head(self) -> Head:
        return Head(
            self.etag,
            len(self.body),
            self.modified,
            self.version,
            self.checksum,
            dict(self.metadata),
            dict(self.headers),
        )


@dataclass
class Upload:
    """A multipart upload under way."""

    key: str
    metadata: Mapping[str, str]
    headers: Mapping[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Late:
    """A request that is still on its way."""

    due: float
    what: str
    apply: Callable[[], object]


class Cloud:
    """The bucket: versioned, strongly consistent, whole seconds."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.objects: dict[str, Object] = {}
        self.kept: Counter[bytes] = Counter()
        self.ever: dict[str, set[str]] = {}
        self.uploads: dict[str, Upload] = {}
        self.late: list[Late] = []
        self.writes = 0
        self._count = 0

    def tree(self) -> dict[str, bytes]:
        """All objects by path; a directory's marker ends with `/`."""
        return {key[len(PREFIX) :]: self.objects[key].body for key in sorted(self.objects)}

    def links(self) -> set[str]:
        """Paths of objects that say they are symbolic links, with bytes that bear it out."""
        found = set()
        for key, stored in self.objects.items():
            if stored.metadata.get("mode", "").startswith("012"):
                found.add(key[len(PREFIX) :])
        return found

    def deliver(self) -> None:
        """Let what is due arrive."""
        now = self.world.clock.time
        for late in sorted(
            (late for late in self.late if late.due <= now), key=lambda late: late.due
        ):
            self.late.remove(late)
            self.arrive(late)

    def arrive(self, late: Late) -> None:
        """One late request takes effect, if its condition holds now."""
        try:
            late.apply()
        except (Stale, Denied, Retry) as error:
            self.world.note("cloud", f"late {late.what}: {type(error).__name__}")
        else:
            self.world.note("cloud", f"late {late.what}: done")

    # What requests do when they arrive

    def write(
        self,
        key: str,
        body: bytes,
        condition: Condition | None,
        metadata: Mapping[str, str],
        headers: Mapping[str, str],
        parts: Sequence[bytes] | None = None,
    ) -> Written:
        if condition is not None:
            self._require(key, condition)
        self._count += 1
        digest = checksum = None
        if parts is None:
            etag = hashlib.md5(body).hexdigest()  # noqa: S324 - what an ETag is
            digest = hashlib.sha256(body).digest()
            checksum = base64.b64encode(digest).decode()
        else:
            joined = b"".join(hashlib.md5(part).digest() for part in parts)  # noqa: S324
            etag = f"{hashlib.md5(joined).hexdigest()}-{len(parts)}"  # noqa: S324
            checksum = composite([hashlib.sha256(part).digest() for part in parts])
        modified = datetime.fromtimestamp(int(self.world.clock.time), UTC)
        self.objects[key] = Object(
            body,
            etag,
            modified.strftime("%Y-%m-%dT%H:%M:%SZ"),
            f"v{self._count}",
            checksum if self.world.scenario.checksums and condition is not None else None,
            dict(metadata),
            dict(headers),
        )
        self.kept[body] += 1
        path = key[len(PREFIX) :]
        self.ever.setdefault(path, set()).add(hashlib.sha256(body).hexdigest())
        self.writes += 1
        return Written(etag, f"v{self._count}")

    def remove(self, key: str, etag: str | None) -> None:
        found = self.objects.get(key)
        if found is None:
            raise self.nothing(key)
        if etag is not None and found.etag != etag:
            raise Stale(f"'{key}' is not what it was.")
        del self.objects[key]
        self.writes += 1

    def version(self, key: str, etag: str) -> Object:
        """What a copy is made of."""
        found = self.objects.get(key)
        if found is None:
            raise Missing(f"'{key}' is not there.")
        if found.etag != etag:
            raise Stale(f"'{key}' is not what it was.")
        return found

    def nothing(self, key: str) -> Exception:
        if self.world.scenario.denies:
            return Denied(f"The vault refused '{key}'.")
        return Missing(f"'{key}' is not there.")

    def _require(self, key: str, condition: Condition) -> None:
        found = self.objects.get(key)
        if condition.etag is None:
            if found is not None:
                raise Stale(f"'{key}' is there.")
        elif found is None:
            raise Missing(f"'{key}' is not there.")
        elif found.etag != condition.etag:
            raise Stale(f"'{key}' is not what it was.")


def composite(digests: list[bytes]) -> str:
    whole = hashlib.sha256(b"".join(digests)).digest()
    return f"{base64.b64encode(whole).decode('ascii')}-{len(digests)}"


def part_of(number: int, body: bytes) -> Part:
    etag = hashlib.md5(body).hexdigest()  # noqa: S324 - what an ETag is
    return Part(number, etag, hashlib.sha256(body).digest(), len(body))


class MemoryAnswer:
    """The answer to a GET."""

    def __init__(self, head: Head, body: bytes) -> None:
        self.head = head
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        if self._body:
            yield self._body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Client:
    """`remote.client.Transport` to the cloud, over a network full of accidents.

    Args:
        cloud: The bucket.
        between: Called with words at each boundary: before a request leaves, before its answer is
            seen.
        accident: Draws what becomes of a request; "" for nothing unusual.
    """

    def __init__(
        self,
        cloud: Cloud,
        between: Callable[[str], None],
        accident: Callable[[str], str],
    ) -> None:
        self._cloud = cloud
        self._between = between
        self._accident = accident
        self._uploads = 0
        self.attempts = 0
        self.requests: dict[str, int] = {}

    @property
    def bucket(self) -> str:
        return "bucket"

    def close(self) -> None:
        pass

    def put(
        self,
        key: str,
        body: bytes,
        condition: Condition,
        *,
        digest: bytes,
        metadata: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Written:
        assert hashlib.sha256(body).digest() == digest
        what = f"put {key[len(PREFIX) :]} {body!r} if {condition.etag}"
        return self._write(what, lambda: self._cloud.write(key, body, condition, metadata, headers))

    def delete(self, key: str, etag: str) -> None:
        what = f"delete {key[len(PREFIX) :]} if {etag}"
        self._write(what, lambda: self._cloud.remove(key, etag))

    def complete(
        self,
        key: str,
        upload: str,
        parts: Sequence[Part],
        condition: Condition,
        checksum: str | None = None,
    ) -> Written:
        def apply() -> Written:
            found = self._cloud.uploads.get(upload)
            if found is None:
                raise Retry(f"The upload of '{key}' is gone.", unknown_outcome=True)
            bodies = [found.parts[part.number] for part in parts]
            digests = [hashlib.sha256(body).digest() for body in bodies]
            assert checksum in (None, composite(digests))
            written = self._cloud.write(
                key, b"".join(bodies), condition, found.metadata, found.headers, bodies
            )
            del self._cloud.uploads[upload]
            return written

        return self._write(f"complete {key[len(PREFIX) :]} if {condition.etag}", apply)

    def get(
        self,
        key: str,
        etag: str,
        first: int = 0,
        last: int | None = None,
        version: str | None = None,
    ) -> MemoryAnswer:
        assert version is None

        def apply() -> MemoryAnswer:
            found = self._cloud.objects.get(key)
            if found is None:
                raise self._cloud.nothing(key)
            if found.etag != etag:
                raise Stale(f"'{key}' is not what it was.")
            end = len(found.body) if last is None else last + 1
            return MemoryAnswer(found.head, found.body[first:end])

        return self._read(f"get {key[len(PREFIX) :]}", apply)

    def list_versions(
        self, prefix: str, *, more: tuple[str, str] | None = None, limit: int = 1000
    ) -> VersionPage:
        raise AssertionError("nobody looks for old versions here")

    def head(self, key: str, part: int | None = None, version: str | None = None) -> Head | None:
        """Describe an object; this server does not tell the size of a part."""
        assert version is None

        def apply() -> Head | None:
            found = self._cloud.objects.get(key)
            if found is None and self._cloud.world.scenario.denies:
                raise self._cloud.nothing(key)
            return None if found is None else found.head

        return self._read(f"head {key[len(PREFIX) :]}", apply)

    def list_page(
        self, prefix: str, *, after: str = "", more: str | None = None, limit: int = 1000
    ) -> Page:
        start = after if more is None else more
        limit = min(limit, 3)

        def apply() -> Page:
            keys = sorted(
                key for key in self._cloud.objects if key.startswith(prefix) and key > start
            )
            items = []
            for key in keys[:limit]:
                found = self._cloud.objects[key]
                items.append(Listed(key, len(found.body), found.etag, found.modified))
            return Page(tuple(items), keys[limit - 1] if len(keys) > limit else None)

        return self._read(f"list {prefix[len(PREFIX) :]} after {start[len(PREFIX) :]}", apply)

    def create_upload(
        self, key: str, *, metadata: Mapping[str, str], headers: Mapping[str, str]
    ) -> str:
        def apply() -> str:
            self._cloud.writes += 1
            name = f"upload{self._cloud.writes}"
            self._cloud.uploads[name] = Upload(key, dict(metadata), dict(headers))
            return name

        return self._read(f"create upload {key[len(PREFIX) :]}", apply)

    def upload_part(self, key: str, upload: str, number: int, body: bytes, digest: bytes) -> Part:
        assert hashlib.sha256(body).digest() == digest
        return self._read(
            f"upload part {number} {key[len(PREFIX) :]}",
            lambda: self._add_part(key, upload, number, body),
        )

    def copy(
        self,
        key: str,
        source: str,
        source_etag: str,
        condition: Condition,
        *,
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Written:
        def apply() -> Written:
            found = self._cloud.version(source, source_etag)
            fields = found.metadata if metadata is None else metadata
            standing = found.headers if metadata is None else headers or {}
            return self._cloud.write(key, found.body, condition, fields, standing)

        what = f"copy {source[len(PREFIX) :]} if {source_etag} to {key[len(PREFIX) :]}"
        return self._write(f"{what} if {condition.etag}", apply)

    def copy_part(
        self,
        key: str,
        upload: str,
        number: int,
        source: str,
        etag: str,
        span: tuple[int, int] | None,
    ) -> Part:
        def apply() -> Part:
            found = self._cloud.version(source, etag)
            first, last = span or (0, len(found.body) - 1)
            return self._add_part(key, upload, number, found.body[first : last + 1])

        return self._read(f"copy part {number} {key[len(PREFIX) :]}", apply)

    def _add_part(self, key: str, upload: str, number: int, body: bytes) -> Part:
        found = self._cloud.uploads.get(upload)
        if found is None:
            raise Retry(f"The upload of '{key}' is gone.")
        found.parts[number] = body
        return part_of(number, body)

    def abort(self, key: str, upload: str) -> None:
        self._read(f"abort {key}", lambda: self._cloud.uploads.pop(upload, None))

    def list_parts(self, key: str, upload: str) -> list[Part] | None:
        def apply() -> list[Part] | None:
            found = self._cloud.uploads.get(upload)
            if found is None:
                return None
            return [part_of(number, body) for number, body in sorted(found.parts.items())]

        return self._read(f"list parts {key}", apply)

    def _read(self, what: str, apply: Callable[[], T]) -> T:
        """A request that is repeated at will: it arrives or it does not."""
        self._between(what)
        accident = self._accident("read")
        if accident:
            self._cloud.world.note("cloud", f"{what}: {accident}")
            raise Retry("The vault cannot be reached.") if accident == "lost" else Busy("Busy.")
        answer = apply()
        self._between(f"answer to {what}")
        return answer

    def _write(self, what: str, apply: Callable[[], T]) -> T:
        """A request whose fate may stay unknown."""
        cloud, world = self._cloud, self._cloud.world
        self.attempts += 1
        self._between(what)
        accident = self._accident("write")
        world.note("cloud", f"{what} {accident}".rstrip())
        match accident:
            case "offline":
                raise Retry("The vault cannot be reached.")
            case "busy":
                raise Busy("Busy.")
            case "conflict":
                raise Retry("Somebody else is writing.", unknown_outcome=True)
            case "lost":
                raise Broken("No answer.", unknown_outcome=True)
            case "late":
                due = world.clock.time + world.chance.choice((1.0, 10.0, 60.0, 300.0, LATEST))
                due = world.clock.time + world.chance.uniform(0.0, due - world.clock.time)
                cloud.late.append(Late(due, what, apply))
                raise Broken("No answer.", unknown_outcome=True)
            case "unanswered":
                try:
                    apply()
                except (Stale, Denied, Retry) as error:
                    world.note("cloud", f"  {type(error).__name__}, unanswered")
                self._between(f"no answer to {what}")
                raise Broken("No answer.", unknown_outcome=True)
            case "twice":
                apply()
                self._between(f"second delivery of {what}")
        try:
            answer = apply()
        except (Stale, Denied, Retry) as error:
            world.note("cloud", f"  {type(error).__name__}")
            self._between(f"refusal of {what}")
            raise
        self._between(f"answer to {what}")
        return answer
