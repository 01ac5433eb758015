"""A signed-in person: identity and AWS credentials, kept fresh for as long as the sign-in lasts."""

from __future__ import annotations

import copy
import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

from vaultsync.auth.clients import isolated_session
from vaultsync.auth.identitypool import Held, IdentityPool, LiveCredentials, NotAccepted, now
from vaultsync.auth.turn import turn
from vaultsync.core.errors import Blocked, Fatal, Retry, SignIn, VaultsyncError

if TYPE_CHECKING:
    from pathlib import Path

    from botocore.credentials import ReadOnlyCredentials
    from botocore.session import Session as BotocoreSession

    from vaultsync.auth.secrets import SecretStore
    from vaultsync.auth.tokens import Claims, Tokens
    from vaultsync.auth.userpool import UserPool

LOOK_SECONDS = 60.0
"""How often the store is looked at for a sign-out by another process."""
SIGNED_OUT_SECONDS = 5.0
"""How often the store is looked at for a new sign-in while there is none."""
LONGEST_PAUSE = 60.0
"""Seconds between two tries at most while the cloud cannot be reached."""

_log = logging.getLogger(__name__)


class AnotherVault(Fatal):
    """The person who signed in is not the one whose vault this profile syncs."""

    code = "another-vault"


class Session:
    """One signed-in person. Safe to be called from any thread.

    Whatever needs credentials, a signed request included, may meet SignIn (no sign-in, or it has
    ended; until the store holds another one), Retry (offline, throttled, keyring locked),
    AnotherVault, Refused, Misconfigured or Blocked.

    Args:
        pool: The user pool that the person belongs to; closed by whoever made it.
        identity_pool_id: The identity pool that turns its tokens into AWS credentials.
        store: Where the refresh token is kept.
        lock_file: Held while a refresh token is used, so that processes take turns.
        expected_identity_id: Whose vault this profile syncs; empty when not known yet.
    """

    def __init__(
        self,
        pool: UserPool,
        identity_pool_id: str,
        store: SecretStore,
        lock_file: Path,
        expected_identity_id: str = "",
    ) -> None:
        self.credentials = LiveCredentials(self._current)
        """For boto: give it to clients, or use `botocore`."""
        self._pool = pool
        self._identities = IdentityPool(
            pool.region, identity_pool_id, pool.provider, pool.endpoint_url
        )
        self._store = store
        self._lock_file = lock_file
        self._identity_id = expected_identity_id
        self._lock = threading.RLock()
        self._held: Held | None = None
        self._tokens: Tokens | None = None
        self._tokens_until = 0.0
        self._unsaved = ""
        self._refused: tuple[str, VaultsyncError] | None = None
        self._problem: VaultsyncError | None = None
        self._attempts = 0
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def identity_id(self) -> str:
        """The identity id, such as `eu-west-1:0f…`; asked for once when not known yet."""
        if not self._identity_id:
            self._current()
        return self._identity_id

    @property
    def claims(self) -> Claims:
        """Who the person is, from the last verified id token."""
        tokens = self._tokens
        return (tokens or self.tokens()).claims

    @property
    def problem(self) -> VaultsyncError | None:
        """Why the last renewal failed, or None. Asks nobody."""
        return self._problem

    def tokens(self) -> Tokens:
        """Tokens that are valid for a while yet, refreshed when they are not."""
        with self._lock:
            if self._tokens is not None and now() < self._tokens_until:
                return self._tokens
            with turn(self._lock_file):
                return self._refresh()

    def botocore(self) -> BotocoreSession:
        """A botocore session that signs as this person, whatever the machine's AWS settings say."""
        session = isolated_session()
        session.register_component("credential_provider", _Provider(self.credentials))
        return session

    def credential_process(self) -> dict[str, str | int]:
        """The credentials as AWS tools read them from a `credential_process`."""
        with self._lock:
            frozen = self._current()
            left = self._held.ends - now() if self._held else 0.0
        ends = datetime.now(UTC) + timedelta(seconds=left)
        return {
            "Version": 1,
            "AccessKeyId": frozen.access_key or "",
            "SecretAccessKey": frozen.secret_key or "",
            "SessionToken": frozen.token or "",
            "Expiration": ends.isoformat(timespec="seconds"),
        }

    def renew(self, failed: str = "") -> None:
        """Get new credentials, unless somebody else just did.

        Call it when a request was answered with ExpiredToken, InvalidAccessKeyId or InvalidToken,
        then send that request once more. However many threads call at once, one renews and all
        get its outcome.

        Args:
            failed: The access key id that was not accepted; the call returns at once when newer
                credentials are held. Empty: those held at the moment of the call.
        """
        attempts, entered = self._attempts, self._held
        with self._lock:
            if failed:
                newer = self._held is not None and self._held.frozen.access_key != failed
            else:
                newer = self._held is not entered
            if newer:
                return
            if self._attempts != attempts and self._problem is not None:
                _raise_again(self._problem)
            try:
                self._hold(self._exchanged())
            except VaultsyncError as error:
                self._fail(error)
                raise
            finally:
                self._attempts += 1

    def sign_in(self, tokens: Tokens) -> None:
        """Take over a new sign-in, once it is known to be for the right vault, and keep it.

        Raises:
            AnotherVault: It is another person's; the old sign-in stays as it was.
        """
        with self._lock, turn(self._lock_file):
            held = self._exchange(tokens)
            self._store.write(tokens.refresh_token)
            self._remember(tokens)
            self._hold(held)
        self._wake.set()

    def sign_out(self, *, everywhere: bool = False) -> None:
        """End the sign-in: revoke it in the cloud and forget it here.

        It is forgotten here even when the cloud cannot be told; then the error says so.

        Args:
            everywhere: End the person's sign-ins on all other devices too.
        """
        with self._lock, turn(self._lock_file):
            stored = self._store.read()
            try:
                if stored and everywhere:
                    self._tokens = None
                    tokens = self._refresh()
                    stored = tokens.refresh_token
                    self._pool.sign_out_everywhere(tokens)
                if stored:
                    self._pool.sign_out(stored)
            except SignIn:
                _log.info("The sign-in had ended before.")
            except Retry as error:
                raise Retry(
                    f"Signed out here, but the cloud could not be told: {error.message}",
                    "If this device is not safe: sign in and `vaultsync logout --everywhere`.",
                ) from error
            finally:
                self._store.delete()
                self._fail(_nobody())
        self._wake.set()

    def wake(self) -> None:
        """Look at the store now: somebody has signed in or out in another process."""
        self._wake.set()

    def start(self) -> None:
        """Begin to keep the credentials fresh in the background. Idempotent."""
        with self._lock:
            if self._thread is None:
                self._closing = False
                self._thread = threading.Thread(
                    target=self._keep_fresh, name="credentials", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """End the background thread, after its request if one is under way. Idempotent."""
        self._closing = True
        self._wake.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        self._identities.close()

    def _current(self) -> ReadOnlyCredentials:
        """What botocore calls for each signature."""
        for _ in range(2):
            held = self._held
            if held is not None and held.usable:
                return held.frozen
            self.renew(held.frozen.access_key or "" if held else "")
        raise Retry("The credentials that Cognito gives have ended when they arrive.")

    def _exchanged(self) -> Held:
        """Credentials for the sign-in in the store."""
        fresh = self._tokens is None
        try:
            return self._exchange(self.tokens())
        except NotAccepted:
            if fresh:
                raise
        # The id token was an older one: it may have ended early, by a revocation for instance.
        self._tokens = None
        return self._exchange(self.tokens())

    def _exchange(self, tokens: Tokens) -> Held:
        identity_id = self._identities.identify(tokens.id_token)
        if self._identity_id and identity_id != self._identity_id:
            raise AnotherVault(
                f"This profile syncs the vault of {self._identity_id}, but the sign-in of"
                f" '{tokens.claims.email or tokens.claims.username}' opens {identity_id}.",
                "Sign in with the other account, or make a second profile for this one.",
            )
        return self._identities.credentials(identity_id, tokens.id_token)

    def _refresh(self) -> Tokens:
        """Use the refresh token. The caller holds the lock and has the turn."""
        if self._unsaved:
            self._save(self._unsaved)
        stored = self._store.read()
        if stored is None:
            raise _nobody()
        if self._refused is not None and self._refused[0] == stored:
            _raise_again(self._refused[1])
        username = self._tokens.claims.username if self._tokens else ""
        try:
            tokens = self._pool.refresh(stored, username, self._save)
        except SignIn as error:
            self._refused = (stored, error)
            raise
        self._remember(tokens)
        return tokens

    def _save(self, refresh_token: str) -> None:
        """Keep a rotated token: until the store has it, this process holds the only copy."""
        self._unsaved = refresh_token
        self._store.write(refresh_token)
        self._unsaved = ""

    def _remember(self, tokens: Tokens) -> None:
        lifetime = tokens.claims.lifetime
        self._tokens = tokens
        self._tokens_until = now() + lifetime - min(300.0, lifetime / 3)

    def _hold(self, held: Held) -> None:
        self._identity_id = held.identity_id
        self._held = held
        self._refused = None
        self._problem = None

    def _fail(self, error: VaultsyncError) -> None:
        """Note a failure; after the end of a sign-in nothing of it may be used any more."""
        if isinstance(error, AnotherVault) and self._tokens is not None:
            self._refused = (self._tokens.refresh_token, error)
        if isinstance(error, (SignIn, AnotherVault)):
            self._held = None
            self._tokens = None
        self._problem = error

    def _keep_fresh(self) -> None:
        failures = 0
        while not self._closing:
            try:
                pause = self._tend()
                failures = 0
            except VaultsyncError as error:
                if failures == 0:
                    _log.warning("%s", error.message)
                pause = _pause_after(error, failures)
                failures += 1
            self._wake.wait(pause)
            self._wake.clear()

    def _tend(self) -> float:
        """Do what is due; returns the seconds until the next thing may be."""
        self._look()
        held = self._held
        if held is None or held.until_renewal <= 0:
            self.renew(held.frozen.access_key or "" if held else "")
            held = self._held
        return min(LOOK_SECONDS, max(0.1, held.until_renewal)) if held else 0.0

    def _look(self) -> None:
        """Notice that another process has signed out."""
        if self._held is None:
            return
        try:
            stored = self._store.read()
        except (Retry, Blocked):
            return  # A keyring that was locked again matters only once it is needed.
        if stored is None:
            with self._lock:
                self._fail(_nobody())


class _Provider:
    """What botocore asks for credentials when they are not given to it."""

    def __init__(self, credentials: LiveCredentials) -> None:
        self._credentials = credentials

    def load_credentials(self) -> LiveCredentials:
        """The person's."""
        return self._credentials


def _nobody() -> SignIn:
    return SignIn("Nobody is signed in.", "Sign in with `vaultsync login`.")


def _raise_again(error: VaultsyncError) -> NoReturn:
    """Raise a copy: the traceback of one error object would grow with each raise."""
    raise copy.copy(error)


def _pause_after(error: VaultsyncError, failures: int) -> float:
    if isinstance(error, (SignIn, AnotherVault)):
        return SIGNED_OUT_SECONDS
    if isinstance(error, Retry) and error.after is not None:
        return error.after
    return min(LONGEST_PAUSE, 2.0**failures)
