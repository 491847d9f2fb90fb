"""The one request to storage that every capture makes, sent without the SDK.

The SDK's pipeline costs several times the CPU of the request itself. What it does for this one request is here: an
Entra token or a key, a new attempt after what may pass, and nothing else. Everything rarer goes through the SDK.
"""

import asyncio
import io
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Protocol

import aiohttp
from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas
from yarl import URL

from shared.stores.calls import Unreachable

_VERSION = "2023-11-03"
_SCOPE = "https://storage.azure.com/.default"
_ATTEMPTS = 3
_ATTEMPT_SECONDS = aiohttp.ClientTimeout(total=15, sock_connect=5)
_BACKOFF_SECONDS = 1.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_UNAUTHORIZED = 401
_RENEW_BEFORE_SECONDS = 300.0
_AUTHORIZE_SECONDS = 10.0
_SAS_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a request is authorised with: a query string (a shared access signature) or headers (a token)."""

    query: str
    headers: Mapping[str, str]
    expires_on: float
    """In seconds since 1970, by the machine's clock, which is the one that storage compares with."""


class Authorizer(Protocol):
    """Makes authorisations."""

    async def authorize(self) -> Authorization:
        """Return a new one."""
        ...


@dataclass(frozen=True, slots=True)
class ByIdentity:
    """An Entra identity's tokens."""

    credential: AsyncTokenCredential

    async def authorize(self) -> Authorization:
        """See ``Authorizer``."""
        token: AccessToken = await self.credential.get_token(_SCOPE)
        return Authorization("", {"Authorization": f"Bearer {token.token}"}, token.expires_on)


@dataclass(frozen=True, slots=True)
class ByKey:
    """A key, for local use: signatures that allow to write a blob, and nothing else."""

    account: str
    key: str

    async def authorize(self) -> Authorization:
        """See ``Authorizer``."""
        expiry = datetime.now(UTC) + _SAS_LIFETIME
        permission, types = AccountSasPermissions(create=True, write=True), ResourceTypes(object=True)
        query: str = generate_account_sas(self.account, self.key, types, permission, expiry)
        return Authorization(query, {}, expiry.timestamp())


class Uploads:
    """Puts new blobs into one account."""

    def __init__(self, endpoint: str, authorizer: Authorizer) -> None:
        """Prepare uploads; nothing is sent yet.

        Args:
            endpoint: of the account's blob service, without a slash at the end.
            authorizer: what to authorise them with.
        """
        self._endpoint = endpoint
        self._authorizer = authorizer
        self._authorization: Authorization | None = None
        self._authorizing = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def put(self, container: str, blob: str, content: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """Put a block blob unless one of that name exists, and return the status and storage's error code, if any.

        What may pass is tried again: 408, 429, 5xx, and a connection that fails. So 409 ``BlobAlreadyExists`` may be
        about an earlier attempt's own blob.

        Raises:
            Unreachable: if no attempt was answered.
            azure.core.exceptions.AzureError: if the identity gets no token.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                status, code = await self._attempt(f"{self._endpoint}/{container}/{blob}", content, headers)
            except (aiohttp.ClientError, TimeoutError):
                if attempt == _ATTEMPTS:
                    raise Unreachable from None
            else:
                if status not in _PASSING or attempt == _ATTEMPTS:
                    return status, code
            await asyncio.sleep(_BACKOFF_SECONDS + random.random())  # noqa: S311 - so that not all come back at once
        raise AssertionError("unreachable")

    async def _attempt(self, address: str, content: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        authorization = await self._authorize()
        if self._session is None:
            # No cookies: an account sends none that anything could need.
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(timeout=_ATTEMPT_SECONDS, auto_decompress=False, cookie_jar=jar)
        url = URL(f"{address}?{authorization.query}" if authorization.query else address, encoded=True)
        fixed = {
            "x-ms-version": _VERSION,
            "x-ms-date": formatdate(usegmt=True),
            "x-ms-blob-type": "BlockBlob",
            "If-None-Match": "*",
        }
        sent = {**fixed, **headers, **authorization.headers}
        body = io.BytesIO(content)  # bytes alone are written as one piece, which blocks everybody else meanwhile
        # A redirect is not followed: it could lead out of the geo.
        async with self._session.put(url, data=body, headers=sent, allow_redirects=False) as answer:
            if answer.status == _UNAUTHORIZED and self._authorization is authorization:
                self._authorization = None  # withdrawn before its time, perhaps
            await answer.read()  # or the connection could not be used again
            return answer.status, answer.headers.get("x-ms-error-code", "")

    async def _authorize(self) -> Authorization:
        current = self._authorization
        left = 0.0 if current is None else current.expires_on - time.time()
        if current is not None and (left >= _RENEW_BEFORE_SECONDS or (left > 0 and self._authorizing.locked())):
            return current  # while another request asks for a new one, this one is good for some minutes yet
        async with self._authorizing:
            if self._authorization is not None and self._authorization is not current:
                return self._authorization
            try:
                async with asyncio.timeout(_AUTHORIZE_SECONDS):
                    self._authorization = await self._authorizer.authorize()
            except (AzureError, TimeoutError):
                if current is None or left <= 0:
                    raise
                return current
            return self._authorization
