"""The desktop's keyring as a secret store, asked in a way that can neither hang nor nag."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Generic, TypeVar

from vaultsync.core.errors import Blocked, Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring.backend import KeyringBackend

KEYRING_SECONDS = 5.0
"""How long a keyring may take to answer; one that is locked waits for a person instead."""

_USE_FILE = "Unlock the desktop's keyring, or sign in with `vaultsync login --store file`."

_Result = TypeVar("_Result")


class KeyringLocked(Retry):
    """The keyring is locked, or not there yet: wait for the person to open it."""

    code = "keyring-locked"


class KeyringStore:
    """The desktop's keyring, through the `keyring` library, each call with a time limit.

    A call that does not come back is left to itself, and no other is begun before it ends: a
    locked keyring shows its dialog once, however often it is asked.

    Args:
        profile: The profile's name, unique among all profiles of this person.
        client_id: The app client.
        backend: Which keyring; by default the desktop's, looked for at the first call.
        timeout: Seconds that each call may take.
    """

    name = "keyring"

    def __init__(
        self,
        profile: str,
        client_id: str,
        *,
        backend: KeyringBackend | None = None,
        timeout: float = KEYRING_SECONDS,
    ) -> None:
        if backend is not None:
            _refuse_unsafe(backend)
        self._backend = backend
        self._service = f"vaultsync:{profile}"
        self._user = client_id
        self._timeout = timeout
        self._pending: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def place(self) -> str:
        """Which keyring, for `status` and `doctor`."""
        return f"the keyring, entry '{self._service}'"

    def read(self) -> str | None:
        """The secret, or None.

        Raises:
            KeyringLocked: The keyring does not answer now.
            Blocked: It is of a kind that may not be used.
        """
        return self._ask(lambda keyring: keyring.get_password(self._service, self._user))

    def write(self, secret: str) -> None:
        """Keep the secret and read it back. Raises as `read` does."""
        self._ask(lambda keyring: keyring.set_password(self._service, self._user, secret))
        if self.read() != secret:
            raise Blocked("The keyring does not hold what was just written to it.", _USE_FILE)

    def delete(self) -> None:
        """Forget the secret; no error if there is none. Raises as `read` does."""

        def forget(keyring: KeyringBackend) -> None:
            if keyring.get_password(self._service, self._user) is not None:
                keyring.delete_password(self._service, self._user)

        self._ask(forget)

    def prove(self) -> None:
        """Raise, as `write` does, unless the keyring keeps what it is given."""
        self._ask(lambda keyring: keyring.set_password("vaultsync:probe", self._user, "probe"))
        found = self._ask(lambda keyring: keyring.get_password("vaultsync:probe", self._user))
        if found != "probe":
            raise Blocked("The keyring does not keep what it is given.", _USE_FILE)
        self._ask(lambda keyring: keyring.delete_password("vaultsync:probe", self._user))

    def _ask(self, question: Callable[[KeyringBackend], _Result]) -> _Result:
        def work() -> _Result:
            backend = self._backend = self._backend or _desktop_keyring()
            if _is_locked(backend):
                raise _locked()
            return question(backend)

        with self._lock:
            if self._pending is not None and self._pending.is_alive():
                raise _locked()
            call = _Call(work)
            self._pending = call
            call.start()
            call.join(self._timeout)
            if call.is_alive():
                raise _locked()
            self._pending = None
        return call.result()


class _Call(threading.Thread, Generic[_Result]):
    """One question to the keyring, in a thread that may be abandoned."""

    def __init__(self, work: Callable[[], _Result]) -> None:
        super().__init__(name="keyring", daemon=True)
        self._work = work
        self._results: list[_Result] = []
        self._error: Exception | None = None

    def run(self) -> None:
        """Do the work and keep its outcome."""
        try:
            self._results.append(self._work())
        except Exception as error:  # noqa: BLE001 - a backend may raise anything; `result` sorts it
            self._error = error

    def result(self) -> _Result:
        """The answer. Raises KeyringLocked for whatever went wrong in the keyring."""
        if isinstance(self._error, (Blocked, Retry)):
            raise self._error
        if self._error is not None:
            raise KeyringLocked(
                f"The keyring does not answer properly: {type(self._error).__name__}.", _USE_FILE
            ) from self._error
        return self._results[0]


def _locked() -> KeyringLocked:
    return KeyringLocked("The keyring is locked or does not answer.", _USE_FILE)


def _desktop_keyring() -> KeyringBackend:
    """The running Secret Service or KWallet, or what PYTHON_KEYRING_BACKEND names.

    keyring's own choice is remembered from its first call on, also when the desktop was not up
    yet, and may be a plain file; so the two are asked for by name, each time.
    """
    from keyring import core  # noqa: PLC0415 - slow to import, and most commands need no secret
    from keyring.backends import SecretService, kwallet  # noqa: PLC0415

    if os.environ.get("PYTHON_KEYRING_BACKEND"):
        named = core.load_env()
        if named is not None:
            _refuse_unsafe(named)
            return named
    for kind in (SecretService.Keyring, kwallet.DBusKeyring, kwallet.DBusKeyringKWallet4):
        if kind.viable:
            return kind()
    raise KeyringLocked("There is no keyring to ask (yet).", _USE_FILE)


def _refuse_unsafe(backend: KeyringBackend) -> None:
    """Refuse keyrings that forget, that write plain files, that prompt, or that hide another.

    The library gives a priority below 1 to those it does not recommend: null, fail, and the
    files of keyrings.alt, which either are not encrypted or ask for a password on the terminal.
    """
    from keyring.backends import chainer  # noqa: PLC0415 - see above

    if isinstance(backend, chainer.ChainerBackend) or backend.priority < 1:
        raise Blocked(f"The keyring '{backend.name}' may not be used for secrets.", _USE_FILE)


def _is_locked(backend: KeyringBackend) -> bool:
    """Whether a Secret Service would have to ask the person first; looking does not ask."""
    from keyring.backends import SecretService  # noqa: PLC0415 - see above

    if not isinstance(backend, SecretService.Keyring):
        return False
    import secretstorage  # noqa: PLC0415 - not there on every desktop

    with closing(secretstorage.dbus_init()) as bus:
        try:
            return secretstorage.Collection(bus).is_locked()
        except secretstorage.ItemNotFoundException:
            return True
