"""The issuer's public keys: fetched when needed, renewed hourly, and not trusted when they grow old."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from shared.clock import Clock
from shared.problems import Unavailable

RENEW_AFTER = 3600.0
"""Seconds after which the keys are fetched again."""

TRUST_FOR = 24 * 3600.0
"""Seconds for which known keys are trusted while the issuer cannot be reached; then nobody is let in."""

FETCH_INTERVAL = 30.0
"""Seconds between two fetches at least, so that tokens with invented key ids cannot make us load the issuer."""

FIRST_FETCH_INTERVAL = 1.0
"""The same while no keys are known at all, so that service begins soon after the issuer is back."""


class SigningKeys:
    """A cache of a JWK set."""

    def __init__(self, fetch: Callable[[], Awaitable[Any]], clock: Clock) -> None:
        """Take the keys from ``fetch``, which returns a JWK set (RFC 7517) as parsed JSON."""
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: KeySet | None = None
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")

    async def with_id(self, key_id: str) -> KeySet:
        """Return the keys, fetched afresh if none of those known is called ``key_id`` or they are an hour old.

        Raises:
            Unavailable: if no keys that can still be trusted are at hand.
        """
        if self._wanting(key_id):
            async with self._lock:
                if self._wanting(key_id):
                    await self._renew()
        if self._keys is None or self._clock.monotonic() - self._fetched_at > TRUST_FOR:
            raise Unavailable("The issuer's signing keys cannot be had.")
        return self._keys

    def _wanting(self, key_id: str) -> bool:
        now = self._clock.monotonic()
        if now - self._tried_at < (FIRST_FETCH_INTERVAL if self._keys is None else FETCH_INTERVAL):
            return False
        old = now - self._fetched_at > RENEW_AFTER
        return old or self._keys is None or all(key.kid != key_id for key in self._keys)

    async def _renew(self) -> None:
        started = self._clock.monotonic()
        try:
            self._keys = KeySet.import_key_set(await self._fetch())
            self._fetched_at = started
        except (OSError, ValueError, KeyError, TypeError, JoseError):
            pass  # with_id decides whether the known ones can still be trusted
        finally:
            self._tried_at = self._clock.monotonic()  # only now: who comes meanwhile waits for this fetch
