"""What a pool may ask between the password and the tokens, as values for a person to answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from vaultsync.core.errors import Blocked, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping


class Ask(StrEnum):
    """What the pool asks for, by Cognito's own names."""

    NEW_PASSWORD = "NEW_PASSWORD_REQUIRED"  # noqa: S105 - a challenge's name
    TOTP = "SOFTWARE_TOKEN_MFA"
    SMS = "SMS_MFA"
    EMAIL = "EMAIL_OTP"
    SETUP = "MFA_SETUP"
    SELECT = "SELECT_MFA_TYPE"


_QUESTIONS = {
    Ask.NEW_PASSWORD: "Choose a new password",
    Ask.TOTP: "Enter the code of your authenticator app",
    Ask.SMS: "Enter the code sent by text message",
    Ask.EMAIL: "Enter the code sent by e-mail",
    Ask.SETUP: "Add the shown secret to your authenticator app and enter the code it gives",
    Ask.SELECT: "Choose how to prove that it is you",
}

_ANSWER_FIELD = {
    Ask.NEW_PASSWORD: "NEW_PASSWORD",
    Ask.TOTP: "SOFTWARE_TOKEN_MFA_CODE",
    Ask.SMS: "SMS_MFA_CODE",
    Ask.EMAIL: "EMAIL_OTP_CODE",
    Ask.SELECT: "ANSWER",
}


@dataclass(frozen=True, slots=True)
class Challenge:
    """A question of the pool. After a wrong answer the same value can be answered again.

    Attributes:
        ask: What is asked for.
        username: The pool's name for the account.
        session: What ties the answer to the question; valid for some minutes.
        destination: Where a code went, masked by the pool; empty when none was sent.
        choices: For SELECT the possible answers, for SETUP the methods that can be set up.
        required: For NEW_PASSWORD the attributes that must be given with it, such as `name`.
        secret: For SETUP what to add to the authenticator app (base32).
    """

    ask: Ask
    username: str
    session: str = field(repr=False)
    destination: str = ""
    choices: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)

    @property
    def question(self) -> str:
        """One line to show to the person."""
        where = f" ({self.destination})" if self.destination else ""
        return _QUESTIONS[self.ask] + where

    def responses(self, response: str, attributes: Mapping[str, str]) -> dict[str, str]:
        """The fields of Cognito's ChallengeResponses for an answer.

        Raises:
            Usage: The answer is none of the choices, or a required attribute is missing.
        """
        if self.ask is Ask.SELECT and response not in self.choices:
            raise Usage(f"'{response}' cannot be chosen.", f"One of: {', '.join(self.choices)}.")
        missing = [name for name in self.required if not attributes.get(name)]
        if missing:
            raise Usage(f"The pool also asks for: {', '.join(missing)}.")
        fields = {"USERNAME": self.username}
        if self.ask in _ANSWER_FIELD:
            fields[_ANSWER_FIELD[self.ask]] = response
        return fields | {f"userAttributes.{name}": value for name, value in attributes.items()}


def read_challenge(answer: Mapping[str, Any], username: str) -> Challenge:
    """Make a value of Cognito's answer to a sign-in that is not finished.

    Args:
        answer: The response of InitiateAuth or RespondToAuthChallenge.
        username: The name to answer with when the response does not give another.

    Raises:
        Blocked: The pool asks for something that this program cannot answer.
    """
    name = str(answer.get("ChallengeName", ""))
    given: Mapping[str, str] = answer.get("ChallengeParameters") or {}
    if name not in set(Ask):
        raise Blocked(f"The user pool asks for '{name}'.", _UNKNOWN.get(name, _ASK_ADMINISTRATOR))
    ask = Ask(name)
    choices = _list(given.get("MFAS_CAN_CHOOSE")) or _list(given.get("MFAS_CAN_SETUP"))
    if ask is Ask.SETUP and Ask.TOTP not in choices:
        raise Blocked(
            "The user pool wants a second factor to be set up that is not an authenticator app.",
            "Set it up in the vault's web application, then sign in here.",
        )
    return Challenge(
        ask=ask,
        username=given.get("USER_ID_FOR_SRP") or given.get("USERNAME") or username,
        session=str(answer.get("Session", "")),
        destination=given.get("CODE_DELIVERY_DESTINATION", ""),
        choices=choices,
        required=tuple(
            item.removeprefix("userAttributes.") for item in _list(given.get("requiredAttributes"))
        ),
    )


def _list(text: str | None) -> tuple[str, ...]:
    """Cognito writes lists as JSON text within the text parameters of a challenge."""
    return tuple(str(item) for item in json.loads(text)) if text else ()


_ASK_ADMINISTRATOR = "Ask the administrator of the user pool to allow sign-in without it."

_UNKNOWN = {
    "DEVICE_SRP_AUTH": "Ask the administrator to turn off remembered devices for this user pool.",
}
