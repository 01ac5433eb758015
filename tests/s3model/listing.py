"""Listings: a page costs what is on it, whatever the size of the bucket."""

from __future__ import annotations

import base64
import heapq
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.s3model.answers import NAMESPACE, element, invalid, iso, said, xml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.s3model.objects import Objects
    from tests.s3model.state import Bucket, Version
    from tests.s3model.wire import Request, Response

_LAST = "\U0010ffff"
_PLAIN = re.compile(r"[A-Za-z0-9_.\-~/]*")


class Listings:
    """What is in a bucket.

    Args:
        objects: Whose buckets.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def current(self, request: Request) -> Response:
        """ListObjectsV2, and the ListObjects that came before it."""
        bucket = self._objects.bucket(request.bucket)
        query = request.query
        version2 = query.get("list-type") == "2"
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        limit = _limit(query.get("max-keys"))
        speak = _speaker(query.get("encoding-type"))
        if not version2:
            after = query.get("marker", "")
        elif query.get("continuation-token"):
            after = _decoded(query["continuation-token"])
        else:
            after = query.get("start-after", "")
        items, groups, last = _page(_source(bucket, request), prefix, delimiter, after, limit)
        text = "".join(_listed(item, speak) for item in items)
        text += "".join(
            f"<CommonPrefixes><Prefix>{speak(group)}</Prefix></CommonPrefixes>" for group in groups
        )
        head = [
            element("Name", bucket.name),
            f"<Prefix>{speak(prefix)}</Prefix><MaxKeys>{limit}</MaxKeys>",
            f"<Delimiter>{speak(delimiter)}</Delimiter>" if delimiter else "",
            element("EncodingType", query.get("encoding-type")),
            f"<IsTruncated>{str(last is not None).lower()}</IsTruncated>",
        ]
        if version2:
            head.append(f"<KeyCount>{len(items) + len(groups)}</KeyCount>")
            if query.get("start-after"):
                head.append(f"<StartAfter>{speak(query['start-after'])}</StartAfter>")
            head.append(element("ContinuationToken", query.get("continuation-token")))
            if last is not None:
                head.append(element("NextContinuationToken", _encoded(last)))
        else:
            head.append(f"<Marker>{speak(after)}</Marker>")
            if last is not None:
                head.append(f"<NextMarker>{speak(last)}</NextMarker>")
        joined = "".join(head)
        return xml(f"<ListBucketResult {NAMESPACE}>{joined}{text}</ListBucketResult>")

    def versions(self, request: Request) -> Response:
        """ListObjectVersions."""
        bucket = self._objects.bucket(request.bucket)
        query = request.query
        prefix, limit = query.get("prefix", ""), _limit(query.get("max-keys"))
        key_marker, id_marker = query.get("key-marker", ""), query.get("version-id-marker", "")
        speak = _speaker(query.get("encoding-type"))
        shown: list[tuple[Version, bool]] = []
        cut = False
        for version, latest in _versions(bucket, prefix, key_marker, id_marker):
            if len(shown) == limit:
                cut = True
                break
            shown.append((version, latest))
        text = "".join(_versioned(version, speak, latest=latest) for version, latest in shown)
        more = ""
        if cut and shown:
            last = shown[-1][0]
            more = (
                f"<NextKeyMarker>{speak(last.key)}</NextKeyMarker>"
                f"{element('NextVersionIdMarker', last.id)}"
            )
        return xml(
            f"<ListVersionsResult {NAMESPACE}>{element('Name', bucket.name)}"
            f"<Prefix>{speak(prefix)}</Prefix><KeyMarker>{speak(key_marker)}</KeyMarker>"
            f"{element('VersionIdMarker', id_marker)}<MaxKeys>{limit}</MaxKeys>"
            f"{element('EncodingType', query.get('encoding-type'))}"
            f"<IsTruncated>{str(cut).lower()}</IsTruncated>{more}{text}</ListVersionsResult>"
        )


def _source(bucket: Bucket, request: Request) -> Callable[[str, bool], Iterator[Version]]:
    """What gives the versions from a key on; for a stale listing those of a moment ago."""
    fault = request.fault
    then: dict[str, Version | None] = {}
    if fault is not None and fault.kind == "stale":
        then = bucket.since(time.time() - fault.seconds)
    past = sorted(key for key, version in then.items() if version is not None)

    def now(key: str, inclusive: bool) -> Iterator[Version]:
        for each in bucket.objects.irange(key, inclusive=(inclusive, True)):
            version = bucket.objects[each]
            if not version.deleted and each not in then:
                yield version

    def both(key: str, inclusive: bool) -> Iterator[Version]:
        gone = (then[each] for each in past if each > key or (inclusive and each == key))
        old = (version for version in gone if version is not None)
        return heapq.merge(now(key, inclusive), old, key=lambda version: version.key)

    return both if then else now


def _page(
    source: Callable[[str, bool], Iterator[Version]],
    prefix: str,
    delimiter: str,
    after: str,
    limit: int,
) -> tuple[list[Version], list[str], str | None]:
    """One page: its keys, its common prefixes, and where the next one goes on (None: the end)."""
    items: list[Version] = []
    groups: list[str] = []
    if not limit:
        return items, groups, None
    # What was on the page before may be a common prefix: all below it is behind us.
    skip = delimiter and after.startswith(prefix) and delimiter in after[len(prefix) :]
    if skip and after.endswith(delimiter):
        walk = source(after + _LAST, False)
    else:
        walk = source(max(after, prefix), after < prefix)
    last = after
    while True:
        version = next(walk, None)
        if version is None or not version.key.startswith(prefix):
            return items, groups, None
        if len(items) + len(groups) == limit:
            return items, groups, last
        rest = version.key[len(prefix) :]
        if delimiter and delimiter in rest:
            group = prefix + rest[: rest.index(delimiter) + len(delimiter)]
            groups.append(group)
            last = group
            walk = source(group + _LAST, False)
        else:
            items.append(version)
            last = version.key


def _versions(
    bucket: Bucket, prefix: str, key_marker: str, id_marker: str
) -> Iterator[tuple[Version, bool]]:
    """Every version behind the markers, and whether it is the newest of its key."""
    start = max(prefix, key_marker)
    for key in bucket.objects.irange(start):
        if not key.startswith(prefix):
            return
        newest = bucket.objects[key]
        if key != key_marker:
            yield from ((version, version is newest) for version in newest.chain())
        elif id_marker:
            chain = newest.chain()
            for version in chain:
                if version.id == id_marker:
                    break
            yield from ((version, False) for version in chain)


def _listed(version: Version, speak: Callable[[str], str]) -> str:
    storage = version.headers.get("x-amz-storage-class", "STANDARD")
    return (
        f"<Contents><Key>{speak(version.key)}</Key><LastModified>{iso(version.modified)}"
        f"</LastModified><ETag>&quot;{version.etag}&quot;</ETag><Size>{version.size}</Size>"
        f"<StorageClass>{storage}</StorageClass></Contents>"
    )


def _versioned(version: Version, speak: Callable[[str], str], *, latest: bool) -> str:
    about = (
        f"<Key>{speak(version.key)}</Key><VersionId>{version.id}</VersionId>"
        f"<IsLatest>{str(latest).lower()}</IsLatest>"
        f"<LastModified>{iso(version.modified)}</LastModified>"
    )
    if version.deleted:
        return f"<DeleteMarker>{about}</DeleteMarker>"
    return (
        f"<Version>{about}<ETag>&quot;{version.etag}&quot;</ETag><Size>{version.size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Version>"
    )


def _limit(text: str | None) -> int:
    if text is None:
        return 1000
    if not text.isdecimal():
        raise invalid("Provided max-keys not an integer or within integer range", "InvalidArgument")
    return min(1000, int(text))


def _speaker(encoding: str | None) -> Callable[[str], str]:
    """What writes keys: percent-encoded when that was asked for."""
    return _percent if encoding == "url" else said


def _percent(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote(text, safe="/-_.~")


def _encoded(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _decoded(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError:
        raise invalid("The continuation token provided is incorrect", "InvalidArgument") from None
