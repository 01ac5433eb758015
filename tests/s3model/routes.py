"""Which operation a request is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.s3model.wire import Request

CONTROL = "/_model/"
READS = frozenset({"GET", "HEAD"})


def name(request: Request) -> None:
    """Set a request's operation, bucket and key."""
    if request.path.startswith(CONTROL):
        request.operation = "Control"
        return
    target = request.headers.get("x-amz-target")
    if request.method == "POST" and request.path == "/" and target:
        request.operation = target.rpartition(".")[2]
        return
    if request.path.endswith("/.well-known/jwks.json"):
        request.operation = "GetKeys"
        return
    bucket, _, key = request.path.removeprefix("/").partition("/")
    request.bucket, request.key = bucket, key
    if not bucket:
        request.operation = "ListBuckets"
    elif not key:
        request.operation = _of_bucket(request)
        request.key = request.query.get("prefix", "")
    elif "uploads" in request.query or "uploadId" in request.query:
        request.operation = _of_upload(request)
    else:
        request.operation = _of_object(request)


def _of_bucket(request: Request) -> str:
    query = request.query
    if request.method == "GET":
        named = {
            "location": "GetBucketLocation",
            "versioning": "GetBucketVersioning",
            "versions": "ListObjectVersions",
            "uploads": "ListMultipartUploads",
        }
        found = next((named[each] for each in named if each in query), "")
        return found or ("ListObjectsV2" if query.get("list-type") == "2" else "ListObjects")
    if request.method == "PUT":
        return "PutBucketVersioning" if "versioning" in query else "CreateBucket"
    return {"HEAD": "HeadBucket", "DELETE": "DeleteBucket"}.get(request.method, "")


def _of_upload(request: Request) -> str:
    if request.method == "PUT" and "partNumber" in request.query:
        copy = "x-amz-copy-source" in request.headers
        return "UploadPartCopy" if copy else "UploadPart"
    if request.method == "POST":
        made = "uploads" in request.query
        return "CreateMultipartUpload" if made else "CompleteMultipartUpload"
    return {"DELETE": "AbortMultipartUpload", "GET": "ListParts"}.get(request.method, "")


def _of_object(request: Request) -> str:
    if request.query.keys() & {"tagging", "acl", "retention", "legal-hold", "attributes"}:
        return ""
    if request.method == "PUT":
        return "CopyObject" if "x-amz-copy-source" in request.headers else "PutObject"
    named = {"GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
    return named.get(request.method, "")
