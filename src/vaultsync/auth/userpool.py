"""One Cognito user pool through one of its app clients: from sign-up to sign-out."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from pycognito import AWSSRP

from vaultsync.auth.challenges import Ask, Challenge, read_challenge
from vaultsync.auth.clients import unsigned_client
from vaultsync.auth.errors import WrongCode, WrongPassword, cloud_errors, error_code, error_words
from vaultsync.auth.tokens import Tokens, Verifier
from vaultsync.core.errors import Misconfigured, Refused, SignIn, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_WRONG_PASSWORD = WrongPassword(
    "The e-mail address or the password is wrong.",
    "Check both and try again; the administrator can set a new password.",
)
_SIGNED_OUT = SignIn("The sign-in has ended.", "Sign in with `vaultsync login`.")
_REFUSED = Refused("Cognito refused the request.")

_REFUSED_REFRESH = {
    "NotAuthorizedException",
    "PasswordResetRequiredException",
    "RefreshTokenReuseException",
    "UserNotConfirmedException",
    "UserNotFoundException",
}
"""Answers to a refresh after which only a new sign-in helps."""

_NO_NEW_REFRESH = {
    "AccessDeniedException",
    "ForbiddenException",
    "InvalidAction",
    "InvalidParameterException",
    "NotAuthorizedException",
    "OperationNotEnabledException",
    "UnknownOperationException",
    "UnsupportedOperationException",
}
"""Answers to GetTokensFromRefreshToken after which the older way of refreshing may still work."""


class UserPool:
    """The sign-in operations of a user pool; nothing here prompts or stores anything.

    Every method may raise Retry (offline, throttled) and Misconfigured (wrong ids or endpoint).
    Safe to be called from several threads.

    Args:
        region: AWS region of the pool.
        user_pool_id: Such as `eu-west-1_AbCdEfGhI`.
        client_id: App client.
        client_secret: Its secret; empty for a public client.
        endpoint_url: Where Cognito answers; empty for AWS.
    """

    def __init__(
        self,
        region: str,
        user_pool_id: str,
        client_id: str,
        client_secret: str = "",
        endpoint_url: str = "",
    ) -> None:
        if user_pool_id.partition("_")[0] != region or not user_pool_id.partition("_")[2]:
            raise Misconfigured(
                f"The user pool id '{user_pool_id}' does not belong to region '{region}'.",
                f"It looks like '{region}_AbCdEfGhI'; check region and user_pool_id.",
            )
        self.region = region
        self.endpoint_url = endpoint_url
        self.user_pool_id = user_pool_id
        self.client_id = client_id
        self._client_secret = client_secret
        self._cognito = unsigned_client("cognito-idp", region, endpoint_url)
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        self.provider = f"cognito-idp.{region}.{suffix}/{user_pool_id}"
        """The pool's name among the logins of an identity pool."""
        self._verifier = Verifier(
            issuer=f"https://{self.provider}",
            audience=client_id,
            keys_url=f"{self._cognito.meta.endpoint_url}/{user_pool_id}/.well-known/jwks.json",
        )

    def __repr__(self) -> str:
        """The pool and the client, never the secret."""
        return f"UserPool({self.user_pool_id!r}, client_id={self.client_id!r})"

    def sign_up(self, email: str, password: str) -> str:
        """Create an account; the pool mails a code for `confirm`.

        Returns:
            Where the code went, masked by the pool; empty when the account needs none.

        Raises:
            AlreadyExists: There is one of this name.
            WeakPassword: The pool's policy does not allow the password.
        """
        with cloud_errors(_REFUSED):
            answer = self._cognito.sign_up(
                **self._named(email),
                Password=password,
                UserAttributes=[{"Name": "email", "Value": email}],
            )
        return _destination(answer)

    def confirm(self, username: str, code: str) -> None:
        """Confirm a new account with the mailed code.

        Raises:
            WrongCode, ExpiredCode: The code is not, or no longer, the right one.
            AlreadyExists: The account is confirmed already.
        """
        with cloud_errors(_REFUSED):
            self._cognito.confirm_sign_up(**self._named(username), ConfirmationCode=code)

    def resend(self, username: str) -> str:
        """Mail another code for `confirm`; returns where it went, masked."""
        with cloud_errors(_REFUSED):
            return _destination(self._cognito.resend_confirmation_code(**self._named(username)))

    def login(self, username: str, password: str) -> Tokens | Challenge:
        """Sign in without sending the password (SRP).

        Returns:
            The tokens, or what the pool asks for next: see `answer`.

        Raises:
            WrongPassword: User name or password is wrong.
            Unconfirmed: The account waits for `confirm`.
            Blocked: The pool asks for something that cannot be answered here.
        """
        proof = AWSSRP(
            username=username,
            password=password,
            pool_id=self.user_pool_id,
            client_id=self.client_id,
            client=self._cognito,
            client_secret=self._client_secret or None,
        )
        sent = proof.get_auth_params()
        with cloud_errors(_WRONG_PASSWORD):
            asked = self._cognito.initiate_auth(
                AuthFlow="USER_SRP_AUTH", AuthParameters=sent, ClientId=self.client_id
            )
            if asked.get("ChallengeName") != "PASSWORD_VERIFIER":
                return self._outcome(asked, username)
            given = asked["ChallengeParameters"]
            if int(given["SRP_B"], 16) % proof.big_n == 0:
                # Such a value would make the proof independent of the password (RFC 5054, 2.5.3).
                raise Refused("The user pool's half of the password proof is not acceptable.")
            answer = self._cognito.respond_to_auth_challenge(
                ClientId=self.client_id,
                ChallengeName="PASSWORD_VERIFIER",
                ChallengeResponses=proof.process_challenge(given, sent),
                # Cognito ties the proof to the secret block; others may use a session as well.
                **({"Session": asked["Session"]} if asked.get("Session") else {}),
            )
        return self._outcome(answer, given.get("USERNAME") or username)

    def answer(
        self, challenge: Challenge, response: str, attributes: Mapping[str, str] | None = None
    ) -> Tokens | Challenge:
        """Answer what the pool asked.

        Args:
            challenge: What `login` or `answer` returned.
            response: A code, a new password, or one of `challenge.choices`.
            attributes: Values for `challenge.required`, with a new password.

        Returns:
            The tokens, or the next question.

        Raises:
            WrongCode: Ask the person again and answer the same challenge.
            ExpiredCode: The sign-in took too long.
            WeakPassword: The pool's policy does not allow the new password.
            Usage: Not one of the choices, or an attribute is missing.
        """
        session = challenge.session
        responses = challenge.responses(response, attributes or {})
        with cloud_errors(WrongCode("The code is wrong.", "Check it and enter it again.")):
            if challenge.ask is Ask.SETUP:
                session = self._verify_authenticator(session, response)
            answer = self._cognito.respond_to_auth_challenge(
                ClientId=self.client_id,
                ChallengeName=challenge.ask.value,
                Session=session,
                ChallengeResponses=responses | self._secret_hash("SECRET_HASH", challenge.username),
            )
        return self._outcome(answer, challenge.username)

    def forgot(self, username: str) -> str:
        """Mail a code for `confirm_forgot`; returns where it went, masked."""
        with cloud_errors(_REFUSED):
            return _destination(self._cognito.forgot_password(**self._named(username)))

    def confirm_forgot(self, username: str, code: str, password: str) -> None:
        """Set a new password with the mailed code.

        Raises:
            WrongCode, ExpiredCode: The code is not, or no longer, the right one.
            WeakPassword: The pool's policy does not allow the password.
        """
        with cloud_errors(_REFUSED):
            self._cognito.confirm_forgot_password(
                **self._named(username), ConfirmationCode=code, Password=password
            )

    def change_password(self, tokens: Tokens, old: str, new: str) -> None:
        """Replace the password of the person who is signed in.

        Raises:
            WrongPassword: The old one is wrong.
            WeakPassword: The pool's policy does not allow the new one.
        """
        wrong = WrongPassword("The old password is wrong.", "Try again.")
        with cloud_errors(wrong):
            self._cognito.change_password(
                PreviousPassword=old, ProposedPassword=new, AccessToken=tokens.access_token
            )

    def sign_out(self, refresh_token: str) -> None:
        """Revoke one refresh token and what was made from it: sign out this device."""
        secret = {"ClientSecret": self._client_secret} if self._client_secret else {}
        with cloud_errors(_REFUSED):
            self._cognito.revoke_token(Token=refresh_token, ClientId=self.client_id, **secret)

    def sign_out_everywhere(self, tokens: Tokens) -> None:
        """Revoke all refresh tokens of the person, on every device.

        Raises:
            SignIn: The tokens were revoked before.
        """
        with cloud_errors(_SIGNED_OUT):
            self._cognito.global_sign_out(AccessToken=tokens.access_token)

    def refresh(
        self,
        refresh_token: str,
        username: str = "",
        save: Callable[[str], None] | None = None,
    ) -> Tokens:
        """Get new tokens without the person. One refresh at a time is the caller's duty.

        Args:
            refresh_token: From the last sign-in or refresh.
            username: `Claims.username`. Needed only for a client with a secret in a pool that does
                not know GetTokensFromRefreshToken.
            save: Called with another refresh token if the pool hands one out, before anything
                else can fail: the pool refuses the old one from then on.

        Raises:
            SignIn: It is revoked or expired, or the account is disabled or gone.
        """
        with cloud_errors(_SIGNED_OUT):
            try:
                answer = self._refreshed(refresh_token, username)
            except ClientError as error:
                if (
                    error_code(error) in _REFUSED_REFRESH
                    and "secret" not in error_words(error).lower()
                ):
                    raise SignIn(
                        f"The sign-in has ended: {error_words(error)}", _SIGNED_OUT.hint
                    ) from error
                raise
        result = answer["AuthenticationResult"]
        if save is not None and result.get("RefreshToken") not in (None, refresh_token):
            save(result["RefreshToken"])
        return self._tokens(result, refresh_token)

    def close(self) -> None:
        """Close the connections."""
        self._cognito.close()

    def _refreshed(self, refresh_token: str, username: str) -> Any:
        """The new way first: a pool that rotates refresh tokens allows no other."""
        try:
            return self._cognito.get_tokens_from_refresh_token(
                RefreshToken=refresh_token,
                ClientId=self.client_id,
                **({"ClientSecret": self._client_secret} if self._client_secret else {}),
            )
        except ClientError as error:
            if error_code(error) not in _NO_NEW_REFRESH:
                raise
            first = error
        try:
            return self._cognito.initiate_auth(
                AuthFlow="REFRESH_TOKEN_AUTH",
                AuthParameters={
                    "REFRESH_TOKEN": refresh_token,
                    **self._secret_hash("SECRET_HASH", username),
                },
                ClientId=self.client_id,
            )
        except ClientError as second:
            # The first answer is about the token; the second may only say that this way is shut.
            raise (first if error_code(first) in _REFUSED_REFRESH else second) from None

    def _outcome(self, answer: Mapping[str, Any], username: str) -> Tokens | Challenge:
        if "AuthenticationResult" in answer:
            return self._tokens(answer["AuthenticationResult"], "")
        challenge = read_challenge(answer, username)
        return self._with_secret(challenge) if challenge.ask is Ask.SETUP else challenge

    def _tokens(self, result: Mapping[str, Any], refresh_token: str) -> Tokens:
        return Tokens(
            id_token=result["IdToken"],
            access_token=result["AccessToken"],
            refresh_token=result.get("RefreshToken") or refresh_token,
            claims=self._verifier.verify(result["IdToken"]),
        )

    def _with_secret(self, challenge: Challenge) -> Challenge:
        with cloud_errors(_REFUSED):
            given = self._cognito.associate_software_token(Session=challenge.session)
        return replace(
            challenge, session=given.get("Session", challenge.session), secret=given["SecretCode"]
        )

    def _verify_authenticator(self, session: str, code: str) -> str:
        """Prove the first code of a new authenticator; returns the session to go on with."""
        answer = self._cognito.verify_software_token(Session=session, UserCode=code)
        if answer.get("Status") != "SUCCESS":
            raise WrongCode("The code is wrong.", "Wait for the next one and enter that.")
        return str(answer.get("Session", session))

    def _named(self, username: str) -> dict[str, str]:
        """The parameters that self-service operations share."""
        if not username:
            raise Usage("The user name is missing.", "Give the account's e-mail address.")
        return {
            "ClientId": self.client_id,
            "Username": username,
            **self._secret_hash("SecretHash", username),
        }

    def _secret_hash(self, field: str, username: str) -> dict[str, str]:
        """Proof of the client's secret for this very user name; nothing for a public client."""
        if not self._client_secret:
            return {}
        digest = hmac.digest(
            self._client_secret.encode(), (username + self.client_id).encode(), hashlib.sha256
        )
        return {field: base64.b64encode(digest).decode()}


def _destination(answer: Mapping[str, Any]) -> str:
    delivery = answer.get("CodeDeliveryDetails") or {}
    return str(delivery.get("Destination", ""))
