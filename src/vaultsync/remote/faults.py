"""What S3 and the network can answer, sorted by what to do about it.

The only place that knows error codes. Messages never repeat the server's text: it may hold an
access key or a signed request.
"""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    NoCredentialsError,
    ParamValidationError,
    ProxyConnectionError,
    SSLError,
)

from vaultsync.core.errors import Blocked, Refused, Retry, SignIn, Stale, VaultsyncError

LIST = "ListObjectsV2"
VERSIONS = "ListObjectVersions"
_WRITES = frozenset({"PutObject", "CopyObject", "DeleteObject", "CompleteMultipartUpload"})
_EXPIRED = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId"}
    | {"InvalidToken", "TokenRefreshRequired", "UnrecognizedClientException"}
)
_BUSY = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
    | {"RequestThrottled", "BandwidthLimitExceeded", "RequestTimeout", "429"}
)
_DAMAGED = frozenset(
    {"BadDigest", "InvalidDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"}
    | {"XAmzContentChecksumMismatch", "InvalidPart", "InvalidPartOrder", "EntityTooSmall"}
)
_ELSEWHERE = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "301", "307"}
    | {"IllegalLocationConstraintException", "BucketRegionError"}
)
_DENIED = frozenset(
    {"AccessDenied", "AllAccessDisabled", "AccountProblem", "SignatureDoesNotMatch", "403"}
)
_GONE = frozenset({"NoSuchKey", "NoSuchUpload", "NoSuchBucket"})
_CONNECT = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)


class Missing(Stale):
    """There is no such object."""


class Denied(Blocked):
    """The server refused a request for one key, perhaps without saying why.

    Under a policy that grants listing by prefix only, S3 says so of keys that are not there.
    """


class Expired(SignIn):
    """The temporary credentials are not valid any more; new ones may be."""


class Busy(Retry):
    """The server turned the request away before doing anything."""


class Clash(Retry):
    """Another write of the same key was under way. What was begun has to be begun anew."""


class Broken(Retry):
    """The request was sent, and no answer came that tells what became of it."""


def sort(error: Exception, operation: str, key: str) -> VaultsyncError:
    """Translate what botocore raised.

    Args:
        error: A ClientError, or what else a client call can raise.
        operation: The S3 operation's name.
        key: The key that it was about; a listing's prefix.
    """
    if isinstance(error, VaultsyncError):
        return error
    if isinstance(error, ClientError):
        return _answered(error, operation, key)
    return _unanswered(error, operation, key)


def _unanswered(error: Exception, operation: str, key: str) -> VaultsyncError:
    written = operation in _WRITES
    if isinstance(error, ParamValidationError):
        return Blocked(f"'{key}' cannot be sent to S3.", "Rename it.")
    if isinstance(error, NoCredentialsError):
        return Expired("Nobody is signed in.", "Run `vaultsync login`.")
    if isinstance(error, CredentialRetrievalError):
        return Retry("The temporary credentials could not be renewed.", "Check the network.")
    if isinstance(error, SSLError):
        return Retry(
            "The secure connection to the vault failed.",
            "Check the clock and the network; behind an inspecting proxy set AWS_CA_BUNDLE.",
            unknown_outcome=written,
        )
    if isinstance(error, FlexibleChecksumError):
        return Broken(f"'{key}' arrived damaged.")
    if isinstance(error, _CONNECT):
        return Retry("The vault cannot be reached.", "Check the network.")
    if isinstance(error, (BotoCoreError, OSError)):
        return Broken(
            "The connection to the vault broke.", "Check the network.", unknown_outcome=written
        )
    return Broken(
        "What answered is not S3.",
        "Check the endpoint; a guest network may want you to sign in first.",
        unknown_outcome=written,
    )


def _answered(error: ClientError, operation: str, key: str) -> VaultsyncError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    metadata = error.response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    written = operation in _WRITES
    if code == "PreconditionFailed" or status == 412:
        return Stale(f"'{key}' is not what it was.")
    if status == 404 or code in _GONE:
        return _not_found(code, operation, key)
    if code in _EXPIRED:
        return Expired("The sign-in has ended.", "Run `vaultsync login`.")
    if code in _BUSY or status == 429:
        after = metadata.get("HTTPHeaders", {}).get("retry-after", "")
        return Busy("The vault is busy.", after=float(after) if after.isdecimal() else None)
    if code in _DAMAGED:
        return Retry(f"'{key}' arrived damaged at the vault; it was not stored.")
    if status == 409:
        return Clash(f"Somebody else is writing '{key}'.", unknown_outcome=written)
    # An error that came in the body after the status 200 has 500 here, whatever it is.
    if status >= 500 and status not in (501, 507) and code not in _DENIED:
        return Broken(f"The vault has a fault ({code or status}).", unknown_outcome=written)
    return _refused(code or str(status), status, operation, key)


def _not_found(code: str, operation: str, key: str) -> VaultsyncError:
    if code == "NoSuchBucket":
        return Refused("There is no such bucket.", "Check the bucket in the configuration.")
    if code == "NoSuchUpload":
        # It may have been completed by a request whose answer was lost.
        return Retry(f"The upload of '{key}' is gone.", unknown_outcome=operation in _WRITES)
    return Missing(f"'{key}' is not there.")


def _refused(code: str, status: int, operation: str, key: str) -> VaultsyncError:
    if code in _ELSEWHERE or status in (301, 307):
        return Refused("The bucket is in another region.", "Check the region of the bucket.")
    if code == "RequestTimeTooSkewed":
        return Retry("This machine's clock is wrong.", "Set the clock; S3 allows 15 minutes.")
    if code == "InvalidObjectState":
        return Blocked(f"'{key}' is archived.", "Restore it in S3 first.")
    if operation == VERSIONS:
        return Refused(
            f"The vault refused to list old versions ({code}).",
            "The bucket's policy has to grant the signed-in user s3:ListBucketVersions.",
        )
    if operation == LIST:
        return Refused(
            f"The vault refused to be listed ({code}).",
            "Check that the bucket's policy grants the signed-in user this prefix.",
        )
    if code in _DENIED or (status == 400 and operation == "HeadObject"):
        # An answer to HEAD has no body: an expired token looks like any other refusal.
        return Denied(f"The vault refused '{key}' ({code}).", "Check the rights on this object.")
    return Blocked(f"The vault did not take '{key}' ({code}).")
