"""The issuer's public keys: fetched when needed, renewed hourly, and not trusted when they grow old."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from shared.clock import Clock, Moment
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
        self._fetched_at: Moment | None = None
        self._tried_at: Moment | None = None
        self._failed = False
        self._renewal: asyncio.Task[None] | None = None  # held, or the event loop might drop it

    async def with_id(self, key_id: str) -> KeySet:
        """Return the keys, fetched afresh if none of those that can be trusted is called ``key_id``.

        Raises:
            Unavailable: if no keys that can still be trusted are at hand, or the key may be one of those that could not
                be fetched.
        """
        if not self._has(key_id):
            await self._renew_once(lambda: not self._has(key_id))
        elif self._age() > RENEW_AFTER and self._may_fetch() and not self._lock.locked():
            # Behind the back of those whose key is known: an issuer that hangs must not keep them waiting.
            self._renewal = asyncio.create_task(self._renew_once(lambda: self._age() > RENEW_AFTER))
        if self._keys is None or self._age() > TRUST_FOR or (self._failed and not self._has(key_id)):
            raise Unavailable(Unavailable.SIGNING_KEYS)
        return self._keys

    def _has(self, key_id: str) -> bool:
        return self._keys is not None and self._age() <= TRUST_FOR and any(key.kid == key_id for key in self._keys)

    def _age(self) -> float:
        return _since(self._fetched_at)

    def _may_fetch(self) -> bool:
        interval = FIRST_FETCH_INTERVAL if self._keys is None else FETCH_INTERVAL
        return _since(self._tried_at) >= interval

    async def _renew_once(self, still_wanted: Callable[[], bool]) -> None:
        async with self._lock:
            if self._may_fetch() and still_wanted():
                await self._renew()

    async def _renew(self) -> None:
        started = Moment.now(self._clock)  # a machine that stood still must not trust a key for longer
        try:
            published = (await self._fetch())["keys"]
            # Of other kinds of keys, which we do not use, an issuer may publish what the library does not know.
            ours = [key for key in published if key.get("kty") == "RSA" and key.get("use", "sig") == "sig"]
            self._keys = KeySet.import_key_set({"keys": ours})
            self._fetched_at = started
            self._failed = False
        except (OSError, ValueError, LookupError, TypeError, AttributeError, JoseError):
            self._failed = True  # with_id decides whether the known ones can still be trusted
        finally:
            self._tried_at = Moment.now(self._clock)  # only now: who comes meanwhile waits for this fetch


def _since(moment: Moment | None) -> float:
    return float("inf") if moment is None else moment.passed
