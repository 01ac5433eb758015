"""Another program with rights on the vault; it knows nothing of conditions or metadata."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from tests.campaign.ledger import made
from tests.campaign.person import FILES, SHARED
from tests.s3model.cognito import CLIENT, IDENTITIES, PROVIDER
from tests.s3model.process import control
from tests.s3model.service import VAULT

if TYPE_CHECKING:
    from tests.campaign.ledger import Ledger

WHO = "foreign"


class Stranger(threading.Thread):
    """Puts and deletes objects, whatever is there.

    Args:
        ledger: The book.
        url: The server.
        email: In whose name.
        seed: Of all choices.
        pause: Seconds between two deeds, on the whole.

    Attributes:
        deeds: How many were answered.
    """

    def __init__(self, ledger: Ledger, url: str, email: str, seed: str, pause: float) -> None:
        super().__init__(name="stranger", daemon=True)
        self.ledger = ledger
        self.deeds = 0
        self.chance = random.Random(seed)
        self._url = url
        self._account = control(url, "POST", "accounts", {"email": email})
        self._pause = pause
        self._ending = threading.Event()
        self._may = threading.Event()
        self._may.set()
        self._keys: dict[str, Any] = {}

    def run(self) -> None:
        """Work until told to end."""
        while not self._ending.wait(self.chance.expovariate(1 / self._pause)):
            if self._may.is_set():
                self.act()

    def rest(self) -> None:
        """Stop for a while."""
        self._may.clear()

    def resume(self) -> None:
        """Go on."""
        self._may.set()

    def end(self) -> None:
        """Stop for good."""
        self._ending.set()
        self.join(60)

    def act(self) -> None:
        """Put or delete one object; whether the answer comes does not matter."""
        path = f"{SHARED}/{self.chance.choice(FILES)}"
        key = f"/{VAULT}/private/{self._account['identity_id']}/{path}"
        deletes = self.chance.random() < 0.3
        data = made(self.ledger.token(WHO), self.chance.choice((60, 3_000, 50_000)))
        try:
            headers = self._headers()
            if deletes:
                self.ledger.note(WHO, "deletes", path)
                self._ask("DELETE", quote(key), b"", headers)
            else:
                self.ledger.passing(WHO, path, data)
                self.ledger.note(WHO, "puts", path, self.ledger.passing(WHO, path, data))
                self._ask("PUT", quote(key), data, headers)
            self.deeds += 1
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            self.ledger.note(WHO, f"is refused: {type(error).__name__}", path)

    def _headers(self) -> dict[str, str]:
        if not self._keys or self._keys["Expiration"] < time.time() + 1:
            token = self._asked(
                "AWSCognitoIdentityProviderService.InitiateAuth",
                {
                    "AuthFlow": "REFRESH_TOKEN_AUTH",
                    "ClientId": CLIENT,
                    "AuthParameters": {"REFRESH_TOKEN": self._account["refresh_token"]},
                },
            )["AuthenticationResult"]["IdToken"]
            self._keys = self._asked(
                "AWSCognitoIdentityService.GetCredentialsForIdentity",
                {
                    "IdentityId": self._account["identity_id"],
                    "Logins": {PROVIDER: token},
                    "IdentityPoolId": IDENTITIES,
                },
            )["Credentials"]
        return {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={self._keys['AccessKeyId']}/x",
            "x-amz-security-token": self._keys["SessionToken"],
        }

    def _asked(self, target: str, content: dict[str, object]) -> Any:
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
        return json.loads(self._ask("POST", "/", json.dumps(content).encode(), headers))

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        where = urlsplit(self._url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            self._keys = {}
            raise ValueError(answer.status)
        return content
