"""The requests to storage that every batch of captures makes, sent without the SDK.

The SDK's pipeline costs several times the CPU of the request itself. Here it is one attempt, under a signature for one
blob that storage itself lets expire (D11), and nothing else. Everything rarer goes through the SDK.
"""

import asyncio
import hashlib
import hmac
import io
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote

import aiohttp
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobSasPermissions, StorageErrorCode, UserDelegationKey, generate_blob_sas
from azure.storage.blob.aio import BlobServiceClient
from yarl import URL

from shared.model import deadlines
from shared.ports import ConsentExpired, Permit, WritePermit
from shared.stores.calls import Unreachable, retry_after

_VERSION = "2023-11-03"
_ATTEMPT_SECONDS = aiohttp.ClientTimeout(total=15, sock_connect=5)
_FORBIDDEN = 403
_CREATE, _ADD = BlobSasPermissions(create=True), BlobSasPermissions(add=True)
_WRITE = BlobSasPermissions(create=True, write=True)
_KEY_SECONDS = 24 * 3600.0
_RENEW_BEFORE_SECONDS = 3600.0
_NOT_AGAIN_SECONDS = 60.0
_FETCH_SECONDS = 10.0
_BEHIND = timedelta(minutes=5)
_IN_QUERY = str.maketrans({each: quote(each) for each in "+=:"})
"""What of base64, and of an instant, means something else in a query."""

Key = str | UserDelegationKey
"""An account's own key in base64, or an identity's."""


class SigningKeys(Protocol):
    """What signatures are made with."""

    async def current(self) -> Key:
        """Return the key to sign with now."""
        ...

    def refused(self) -> None:
        """Take note that storage refused a signature."""
        ...


@dataclass(frozen=True, slots=True)
class ByKey:
    """An account's own key, for local use."""

    key: str

    async def current(self) -> Key:
        """See ``SigningKeys``."""
        return self.key

    def refused(self) -> None:
        """See ``SigningKeys``: there is no other."""


class ByIdentity:
    """The user delegation keys of an Entra identity: fetched once a day, of the seven that Azure allows."""

    def __init__(self, client: BlobServiceClient) -> None:
        self._client = client
        self._key: UserDelegationKey | None = None
        self._fetched_at = self._expires_on = 0.0
        """In seconds since 1970, by the machine's clock, which is the one that storage compares with."""
        self._fetching = asyncio.Lock()

    async def current(self) -> Key:
        """See ``SigningKeys``.

        Raises:
            azure.core.exceptions.AzureError, TimeoutError: if there is no key, and none can be had.
        """
        key, left = self._key, self._expires_on - time.time()
        good = left > deadlines.SIGNATURE_SECONDS
        # While another request fetches a new one, this one is good for minutes yet.
        if key is not None and good and (left >= _RENEW_BEFORE_SECONDS or self._fetching.locked()):
            return key
        async with self._fetching:
            if self._key is None or self._key is key:
                try:
                    async with asyncio.timeout(_FETCH_SECONDS):
                        await self._fetch()
                except (AzureError, TimeoutError):
                    if key is None or not good:
                        raise
                    return key
            assert self._key is not None
            return self._key

    async def _fetch(self) -> None:
        now = datetime.now(UTC)
        expiry = now + timedelta(seconds=_KEY_SECONDS)
        self._key = await self._client.get_user_delegation_key(now - _BEHIND, expiry)
        self._fetched_at, self._expires_on = now.timestamp(), expiry.timestamp()

    def refused(self) -> None:
        """See ``SigningKeys``: the key was withdrawn, perhaps; or the signature came late, so not once for each."""
        if time.time() - self._fetched_at >= _NOT_AGAIN_SECONDS:
            self._key = None


@dataclass(frozen=True, slots=True)
class Form:
    """Signatures by one key for one use, as the SDK makes them, with places for what differs from blob to blob.

    The SDK is asked once for each key: asked for each blob, it took a twentieth of the CPU of a whole POST, and with an
    identity's key twice as much.

    Attributes:
        secret: the key's bytes.
        signed: what is signed, with ``{container}``, ``{blob}`` and ``{expiry}``.
        query: what says so to storage, with ``{expiry}``.
    """

    secret: bytes = field(repr=False)
    signed: str
    query: str

    @classmethod
    @lru_cache(1024)
    def of(cls, account: str, permission: BlobSasPermissions, key: Key) -> "Form":
        """Return the form of what a key of an account signs for a use."""
        signed: list[str] = []
        query = generate_blob_sas(
            account,
            "{container}",
            "{blob}",
            account_key=key if isinstance(key, str) else None,
            user_delegation_key=None if isinstance(key, str) else key,
            permission=permission,
            expiry="{expiry}",
            sts_hook=signed.append,
        )
        secret = key if isinstance(key, str) else key.value
        assert secret is not None
        query = query.partition("&sig=")[0].replace(quote("{expiry}"), "{expiry}")
        return cls(b64decode(secret), signed[0], query)

    def signature(self, container: str, blob: str, expiry: datetime) -> str:
        """Return the query that lets whoever has it use one blob until ``expiry``, in UTC."""
        until = expiry.isoformat(timespec="seconds").replace("+00:00", "Z")
        signed = self.signed.format(container=container, blob=blob, expiry=until)
        signature = b64encode(hmac.digest(self.secret, signed.encode(), hashlib.sha256)).decode()
        return f"{self.query.format(expiry=until.translate(_IN_QUERY))}&sig={signature.translate(_IN_QUERY)}"


@dataclass(frozen=True, slots=True)
class Answered:
    """What storage answered.

    Attributes:
        status: of the answer.
        code: its error code, if any.
        offset: where an appended block begins.
        retry_after: how many seconds it asks to wait, if it does.
    """

    status: int
    code: str
    offset: int
    retry_after: float | None = None


class Uploads:
    """Writes to one account."""

    def __init__(self, endpoint: str, account: str, keys: SigningKeys) -> None:
        """Prepare uploads; nothing is sent yet.

        Args:
            endpoint: of the account's blob service, without a slash at the end.
            account: the account's name, as it goes into signatures.
            keys: what to sign with.
        """
        self._endpoint = endpoint
        self._account = account
        self._keys = keys
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def put(
        self, permit: Permit, container: str, blob: str, content: bytes, headers: Mapping[str, str]
    ) -> Answered:
        """Put a new blob, whose type is in ``headers``, unless one of that name exists.

        Raises:
            ConsentExpired: if ``permit`` does not hold; then nothing was sent.
            Unreachable: if there was no answer.
            azure.core.exceptions.AzureError: if the identity gets no key.
        """
        return await self._send(permit, container, blob, content, {"If-None-Match": "*", **headers}, _CREATE)

    async def append(self, permit: Permit, container: str, blob: str, content: bytes) -> Answered:
        """Append a block to an append blob.

        Raises:
            ConsentExpired, Unreachable, azure.core.exceptions.AzureError: as ``put``.
        """
        return await self._send(permit, container, blob, content, {}, _ADD, "comp=appendblock&")

    async def replace(
        self, permit: WritePermit, container: str, blob: str, content: bytes, headers: Mapping[str, str]
    ) -> Answered:
        """Put a blob, whose type is in ``headers``, as far as the conditions in them allow.

        Raises:
            ConsentExpired, Unreachable, azure.core.exceptions.AzureError: as ``put``.
        """
        return await self._send(permit, container, blob, content, headers, _WRITE)

    async def stage(self, permit: WritePermit, container: str, blob: str, block_id: str, content: bytes) -> Answered:
        """Put a block of a block blob, by its id in base64.

        Raises:
            ConsentExpired, Unreachable, azure.core.exceptions.AzureError: as ``put``.
        """
        query = f"comp=block&blockid={quote(block_id, safe='')}&"
        return await self._send(permit, container, blob, content, {}, _WRITE, query)

    async def put_staged(self, permit: WritePermit, container: str, blob: str, block_ids: Sequence[str]) -> Answered:
        """Make a new blob of staged blocks, by their ids in base64, unless one of that name exists.

        Raises:
            ConsentExpired, Unreachable, azure.core.exceptions.AzureError: as ``put``.
        """
        listed = "".join(f"<Uncommitted>{each}</Uncommitted>" for each in block_ids)
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
        headers = {"If-None-Match": "*", "x-ms-blob-content-type": "application/gzip"}
        return await self._send(permit, container, blob, body, headers, _WRITE, "comp=blocklist&")

    async def _send(
        self,
        permit: WritePermit,
        container: str,
        blob: str,
        content: bytes,
        headers: Mapping[str, str],
        permission: BlobSasPermissions,
        query: str = "",
    ) -> Answered:
        key = await self._keys.current()
        signature = self._sign(permit, container, blob, permission, key)
        if self._session is None:
            # No cookies: an account sends none that anything could need.
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(timeout=_ATTEMPT_SECONDS, auto_decompress=False, cookie_jar=jar)
        url = URL(f"{self._endpoint}/{container}/{blob}?{query}{signature}", encoded=True)
        body = io.BytesIO(content)  # bytes alone are written as one piece, which blocks everybody else meanwhile
        all_headers = {"x-ms-version": _VERSION, **headers}
        # As late as can be: to fetch a key may have taken longer than the permit holds.
        if not permit.holds:
            raise ConsentExpired
        try:
            # A redirect is not followed: it could lead out of the geo.
            async with self._session.put(url, data=body, headers=all_headers, allow_redirects=False) as answer:
                await answer.read()  # or the connection could not be used again
                code, offset = answer.headers.get("x-ms-error-code", ""), answer.headers.get("x-ms-blob-append-offset")
                wait = None if answer.ok else retry_after(answer.headers)
                answered = Answered(answer.status, code, int(offset or 0), wait)
        except (aiohttp.ClientError, TimeoutError):
            raise Unreachable from None
        if (answered.status, code) == (_FORBIDDEN, StorageErrorCode.AUTHENTICATION_FAILED.value):
            self._keys.refused()
        return answered

    def _sign(self, permit: WritePermit, container: str, blob: str, permission: BlobSasPermissions, key: Key) -> str:
        # The machine's time and not the service's, which may be moved for a test: storage knows no other. Read before
        # what is left, so that a machine that stops in between shortens the signature and never lengthens it.
        machine = datetime.now(UTC)
        expiry = machine + timedelta(seconds=max(permit.seconds_left, 0.0))
        return Form.of(self._account, permission, key).signature(container, blob, expiry)
