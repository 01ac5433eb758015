"""What kind of server it is: AWS as it is now, or a poorer one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Settings:
    """Switches; all may be turned while it runs.

    Attributes:
        put_conditions: Whether PutObject honours If-Match and If-None-Match.
        complete_conditions: Whether CompleteMultipartUpload does.
        delete_conditions: Whether DeleteObject honours If-Match.
        copy_conditions: Whether CopyObject honours them for its destination.
        checksums: Whether checksums are verified, kept and told.
        opaque_etags: ETags that are no digests, other ones for each write, as with KMS.
        missing_is_forbidden: 403 for GET and HEAD of a missing key, as S3 answers when listing is
            granted under a condition on the prefix.
        versions_may_go: Whether DeleteObject takes a versionId; else 403, as our policy has it.
        uploads_may_be_listed: Whether ListMultipartUploads is allowed; else 403.
        credentials_are_checked: Whether unknown and expired access keys are refused.
        prefixes_are_checked: With the former: whether a person reaches the own prefix only.
        smallest_part: Bytes that each part but the last must have.
        digests: Whether the SHA-256 of every write is computed for the record.
        credential_seconds: How long new temporary credentials live.
        token_seconds: How long new id tokens live.
        rotation: Whether each refresh gives a new refresh token and ends the old one.
    """

    put_conditions: bool = True
    complete_conditions: bool = True
    delete_conditions: bool = True
    copy_conditions: bool = True
    checksums: bool = True
    opaque_etags: bool = False
    missing_is_forbidden: bool = False
    versions_may_go: bool = True
    uploads_may_be_listed: bool = False
    credentials_are_checked: bool = False
    prefixes_are_checked: bool = False
    smallest_part: int = 5 << 20
    digests: bool = True
    credential_seconds: float = 3600.0
    token_seconds: int = 3600
    rotation: bool = False
