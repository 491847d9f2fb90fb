"""The issuer's published keys, over HTTPS."""

from typing import Any

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=5)


async def fetch_keys(uri: str) -> Any:
    """Return the JWK set at ``uri`` as parsed JSON.

    Raises:
        OSError, ValueError: if it cannot be had.
    """
    try:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, session.get(uri) as response:
            response.raise_for_status()
            return await response.json(content_type=None)
    except aiohttp.ClientError as error:
        raise OSError(type(error).__name__) from None
