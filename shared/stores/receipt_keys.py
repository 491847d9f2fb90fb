"""The keys that sign receipts (P6): in Key Vault, which they never leave, or in a file for local use."""

import asyncio
import base64
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import HttpResponseError
from azure.keyvault.keys import JsonWebKey, KeyVaultKeyIdentifier
from azure.keyvault.keys.aio import KeyClient
from azure.keyvault.keys.crypto import SignatureAlgorithm
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from shared.clock import Clock
from shared.model.signatures import ALGORITHM, CURVE, header_of
from shared.ports import StoreUnavailable
from shared.stores.calls import Calls, retry_after

_COORDINATE_BYTES = 32
_LIST_AGAIN_AFTER = 60.0
_TRY_AGAIN_AFTER = 5.0

_log = logging.getLogger(__name__)

_TOO_MANY_REQUESTS = 429
_PATIENCE_SECONDS = 1


def _refused(error: HttpResponseError) -> StoreUnavailable:
    return StoreUnavailable(
        f"vault-{error.status_code or 'unauthenticated'}",
        throttled=error.status_code == _TOO_MANY_REQUESTS,
        retry_after=retry_after(getattr(error.response, "headers", None)),
    )


_call = Calls("vault", 20.0, _refused, not_understood=(AttributeError, TypeError, ValueError))


class LocalSigner:
    """Keys in memory: the first one signs, and all are published. For development and tests."""

    def __init__(self, keys: Sequence[ECKey]) -> None:
        """Sign with the first of ``keys``.

        Raises:
            ValueError: if there is none, if one is not EC P-256, or if the first has no private half.
        """
        if not keys or not keys[0].is_private or any(key.curve_name != CURVE for key in keys):
            raise ValueError("the keys must be EC P-256, the first with its private half")
        self._keys = keys

    @classmethod
    def read(cls, file: Path) -> "LocalSigner":
        """Return the signer whose private keys ``file`` holds: a JWK Set."""
        return cls([ECKey.import_key(key) for key in json.loads(file.read_text(encoding="utf-8"))["keys"]])

    async def sign(self, claims: Mapping[str, Any]) -> str:
        """See ``ReceiptSigner``."""
        key = self._keys[0]
        return jws.serialize_compact(header_of(key), json.dumps(claims), key, algorithms=[ALGORITHM])

    async def public_keys(self) -> Sequence[Mapping[str, Any]]:
        """See ``ReceiptSigner``."""
        return [_published(key) for key in self._keys]


class KeyVaultSigner:
    """A key in Key Vault: its current version signs, and all versions are published.

    Which version is current is asked at each signing, so that a rotation counts at once. What is published is asked
    for again after a minute at most: anybody may call for it, and must not use up what the vault answers in a second.
    """

    def __init__(self, client: KeyClient, name: str, clock: Clock) -> None:
        self._client = client
        self._name = name
        self._clock = clock
        self._lock = asyncio.Lock()
        self._versions: dict[str, ECKey | None] = {}  # a version's key never changes; None is one that cannot sign
        self._list_again_at = float("-inf")
        self._failure: str | None = None

    @classmethod
    def connect(cls, address: str, credential: AsyncTokenCredential, clock: Clock) -> "KeyVaultSigner":
        """Return the signer with the key at ``address``; nothing is sent yet.

        Args:
            address: of the key, without a version: ``https://{vault}.vault.azure.net/keys/{name}``.
            credential: the identity to use; it needs to get, list and sign with the key.
            clock: what tells when to list the versions again.
        """
        key = KeyVaultKeyIdentifier(address)
        # Few and quick retries: the next purge takes an unsigned receipt up again.
        options: Any = {"retry_total": 2, "retry_backoff_max": 2, "connection_timeout": 5, "read_timeout": 15}
        options["raw_response_hook"] = _refuse_long_waits
        return cls(KeyClient(key.vault_url, credential, **options), key.name, clock)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def sign(self, claims: Mapping[str, Any]) -> str:
        """See ``ReceiptSigner``.

        Raises:
            StoreUnavailable: if the vault cannot be reached or refuses, if the key is not EC P-256, or if what comes
                back is not its signature.
        """
        async with _call():
            current = await self._client.get_key(self._name)
            version = str(current.properties.version)
            key = _public_half(current.key)
            if key is None:
                raise StoreUnavailable("vault-key-not-p256")
            signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header_of(key), claims))
            crypto = self._client.get_cryptography_client(self._name, key_version=version)
            result = await crypto.sign(SignatureAlgorithm.es256, hashlib.sha256(signed.encode()).digest())
            # Key Vault answers R and S side by side, as JWS wants them (RFC 7518, 3.4), and not in DER.
            token = f"{signed}.{_base64url(result.signature)}"
        try:
            jws.deserialize_compact(token, key, algorithms=[ALGORITHM])
        except JoseError:
            raise StoreUnavailable("vault-signature-wrong") from None  # a receipt that nobody could verify is none
        self._versions[version] = key
        return token

    async def public_keys(self) -> Sequence[Mapping[str, Any]]:
        """See ``ReceiptSigner``.

        A version that Key Vault does not show because it is disabled is left out, unless it has been seen before.

        Raises:
            StoreUnavailable: if the vault cannot be reached or refuses.
        """
        async with self._lock:
            if self._clock.monotonic() >= self._list_again_at:
                self._failure = await self._list_versions()
                again_after = _LIST_AGAIN_AFTER if self._failure is None else _TRY_AGAIN_AFTER
                self._list_again_at = self._clock.monotonic() + again_after
            if self._failure is not None:
                raise StoreUnavailable(self._failure)
        return [_published(key) for key in self._versions.values() if key is not None]

    async def _list_versions(self) -> str | None:
        """Get the versions that are not known yet, and return the code of what failed, or None."""
        try:
            async with _call():
                async for listed in self._client.list_properties_of_key_versions(self._name):
                    if str(listed.version) not in self._versions:
                        await self._get_version(str(listed.version), enabled=listed.enabled is not False)
        except StoreUnavailable as error:
            return error.code
        return None if self._versions else "vault-no-key"

    async def _get_version(self, version: str, *, enabled: bool) -> None:
        try:
            got = await self._client.get_key(self._name, version)
        except HttpResponseError as error:
            if enabled or error.status_code != 403:
                raise
            # The others are not held back for it. Whoever disabled it may have had a reason to.
            _log.warning("a disabled version of the receipt key cannot be published")
            return
        self._versions[version] = _public_half(got.key)


def _refuse_long_waits(response: Any) -> None:
    """Let a call fail at once that is told to wait for longer; the SDK would wait, and then have no time to tell."""
    answer = response.http_response
    if answer.status_code == _TOO_MANY_REQUESTS:
        asked = retry_after(answer.headers)
        if asked is not None and asked > _PATIENCE_SECONDS:
            raise StoreUnavailable(f"vault-{_TOO_MANY_REQUESTS}", throttled=True, retry_after=asked)


def _public_half(key: JsonWebKey) -> ECKey | None:
    """Return the public key that Key Vault shows, or None if it is not EC P-256."""
    members: Any = key  # the SDK sets its attributes where a type checker does not see them
    if members.kty not in {"EC", "EC-HSM"} or members.crv != CURVE:
        return None
    if len(members.x) != _COORDINATE_BYTES or len(members.y) != _COORDINATE_BYTES:
        return None
    return ECKey.import_key({"kty": "EC", "crv": CURVE, "x": _base64url(members.x), "y": _base64url(members.y)})


def _published(key: ECKey) -> Mapping[str, Any]:
    members = key.as_dict(private=False)
    public = {name: members[name] for name in ("kty", "crv", "x", "y")}
    return {**public, "kid": key.thumbprint(), "use": "sig", "alg": ALGORITHM}


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
