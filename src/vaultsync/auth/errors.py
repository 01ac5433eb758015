"""What Cognito and botocore raise, translated once into what to do about it."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's, which is no OSError
    HTTPClientError,
    ParamValidationError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from vaultsync.core.errors import (
    Fatal,
    Misconfigured,
    Refused,
    Retry,
    SignIn,
    Usage,
    VaultsyncError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class WrongPassword(SignIn):
    """The user name or the password is wrong; the pool does not say which."""

    code = "wrong-password"


class Unconfirmed(SignIn):
    """The account exists, but its e-mail address was never confirmed."""

    code = "unconfirmed"


class WrongCode(Refused):
    """A code that was typed in is not the one that was sent or shown."""

    code = "wrong-code"


class ExpiredCode(Refused):
    """A code, or the sign-in it belongs to, is too old."""

    code = "expired-code"


class WeakPassword(Refused):
    """The pool's password policy does not allow this password."""

    code = "weak-password"


class AlreadyExists(Refused):
    """There is an account of this name already, or it is confirmed already."""

    code = "already-exists"


class Throttled(Retry):
    """Too many attempts; the same call may succeed later."""

    code = "throttled"


def error_code(error: ClientError) -> str:
    """The service's name for an error, such as `NotAuthorizedException`."""
    return error.response.get("Error", {}).get("Code", "")


def error_words(error: ClientError) -> str:
    """The service's sentence about an error; it holds no secret."""
    return error.response.get("Error", {}).get("Message", "") or error_code(error)


@contextmanager
def cloud_errors(not_authorized: VaultsyncError) -> Iterator[None]:
    """Translate what a request to Cognito raises inside the block.

    Args:
        not_authorized: What a plain NotAuthorizedException means here: it is the one answer whose
            meaning depends on the question. A copy is raised.
    """
    try:
        yield
    except (ClientError, BotoCoreError, ResponseParserError) as error:
        raise translated(error, not_authorized) from error


def translated(error: Exception, not_authorized: VaultsyncError) -> VaultsyncError:
    """The error of ours that says the same as `error`, a ClientError or an error of botocore."""
    if isinstance(error, ClientError):
        return _answered(error, not_authorized)
    if isinstance(error, SSLError):
        return Retry(
            "The cloud's TLS certificate could not be verified.",
            "Check the clock, a captive portal, or AWS_CA_BUNDLE if a proxy inspects TLS.",
        )
    if isinstance(error, (ConnectionError, HTTPClientError)):
        return Retry("The sign-in service cannot be reached.", "Check the network connection.")
    if isinstance(error, ResponseParserError):
        return Misconfigured(
            "Something other than Cognito answers at the endpoint.", "Check endpoint_url."
        )
    if isinstance(error, ParamValidationError):
        return Usage(
            "A value is empty, too short or too long for Cognito.", "Check what you typed."
        )
    return Fatal(f"The AWS library failed: {type(error).__name__}.")


def _answered(error: ClientError, not_authorized: VaultsyncError) -> VaultsyncError:
    code, words = error_code(error), error_words(error)
    if code == "NotAuthorizedException":
        return _not_authorized(words) or copy.copy(not_authorized)
    if code in _MEANINGS:
        kind, message, hint = _MEANINGS[code]
        return kind(message.format(words=words.rstrip(".")), hint)
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400) >= 500:
        return Retry("The sign-in service has a passing fault.", "It is tried again.")
    return Refused(f"Cognito refused: {words} ({code}).")


def _not_authorized(words: str) -> VaultsyncError | None:
    """Cognito uses one exception for many refusals; only the sentence tells them apart."""
    lower = words.lower()
    for part, kind, message, hint in _REFUSALS:
        if part in lower:
            return kind(message, hint)
    return None


_LATER = "Wait some minutes, then try again."
_NEW_CODE = "Ask for a new one with `vaultsync verify --resend`."

_REFUSALS: tuple[tuple[str, type[VaultsyncError], str, str], ...] = (
    (
        "attempts exceeded",
        Throttled,
        "Too many wrong passwords: the account is locked for a while.",
        _LATER,
    ),
    ("disabled", Refused, "This account is disabled.", "Ask the administrator of the vault."),
    (
        "temporary password has expired",
        Refused,
        "The temporary password has expired.",
        "Ask the administrator for a new one.",
    ),
    (
        "invalid session",
        ExpiredCode,
        "The sign-in took too long.",
        "Start again with `vaultsync login`.",
    ),
    (
        "cannot be confirmed",
        AlreadyExists,
        "This account is confirmed already.",
        "Go on with `vaultsync login`.",
    ),
    ("access token", SignIn, "The sign-in has ended.", "Sign in with `vaultsync login`."),
    (
        "secret",
        Misconfigured,
        "The app client's secret is missing or wrong.",
        "Check client_id and client_secret.",
    ),
)
"""Parts of NotAuthorizedException's sentences, in lower case, and what they mean."""

_MEANINGS: dict[str, tuple[type[VaultsyncError], str, str]] = {
    "UserNotFoundException": (
        WrongPassword,
        "There is no account of this name.",
        "Check the spelling, or create one with `vaultsync signup`.",
    ),
    "UserNotConfirmedException": (
        Unconfirmed,
        "The account's e-mail address is not confirmed yet.",
        "Enter the code from the mail with `vaultsync verify`.",
    ),
    "PasswordResetRequiredException": (
        WrongPassword,
        "The administrator asks for a new password.",
        "Set it in the vault's web application, or ask the administrator.",
    ),
    "UsernameExistsException": (
        AlreadyExists,
        "There is an account of this name already.",
        "Sign in with `vaultsync login`, or `vaultsync verify` if it was never confirmed.",
    ),
    "AliasExistsException": (
        AlreadyExists,
        "Another account has confirmed this e-mail address.",
        "Sign in to that one with `vaultsync login`.",
    ),
    "CodeMismatchException": (WrongCode, "The code is wrong.", "Check it and enter it again."),
    "EnableSoftwareTokenMFAException": (
        WrongCode,
        "The code is wrong.",
        "Wait for the next one in the authenticator app and enter that.",
    ),
    "ExpiredCodeException": (ExpiredCode, "The code is not valid any more.", _NEW_CODE),
    "InvalidPasswordException": (WeakPassword, "{words}.", "Choose a stronger password."),
    "PasswordHistoryPolicyViolationException": (
        WeakPassword,
        "This password was used before.",
        "Choose another one.",
    ),
    "TooManyRequestsException": (Throttled, "The sign-in service is busy.", _LATER),
    "TooManyFailedAttemptsException": (Throttled, "Too many wrong codes.", _LATER),
    "LimitExceededException": (Throttled, "Too many attempts.", _LATER),
    "CodeDeliveryFailureException": (
        Refused,
        "The code could not be sent.",
        "Check the address; the administrator may have to raise the mail quota.",
    ),
    "ResourceNotFoundException": (
        Misconfigured,
        "A pool or its app client does not exist: {words}.",
        "Check region, user_pool_id, client_id and identity_pool_id.",
    ),
    "InvalidParameterException": (Refused, "Cognito refused: {words}.", ""),
    "InvalidIdentityPoolConfigurationException": (
        Misconfigured,
        "The identity pool has no usable role: {words}.",
        "The administrator can mend it with `vaultsync cloud deploy`.",
    ),
}
