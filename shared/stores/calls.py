"""How every call to Azure is bounded in time, and what becomes of an SDK's exceptions, whose texts may say too much."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from shared.ports import RETRY_AFTER_MAX, StoreUnavailable, TryAgain

_REFUSALS = 300


class Unreachable(Exception):
    """No attempt was answered; whether one of them was carried out is unknown."""


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls to one kind of store; an instance called gives the context in which one of them is made.

    Attributes:
        store: what the codes of its failures begin with.
        seconds: the time that one call has, retries included.
        refused: what an answer means that is an error.
        not_understood: what the SDK raises on an answer that is not such a store's.
    """

    store: str
    seconds: float
    refused: Callable[[HttpResponseError], Exception]
    not_understood: tuple[type[Exception], ...] = ()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        """Bound the call's time, and turn the SDK's exceptions into ours, which hold a code.

        Raises:
            TryAgain: ``{store}-timeout``, ``{store}-unreachable``.
            StoreUnavailable: ``{store}-not-understood``.
            Exception: what ``refused`` has made of an answer.
        """
        try:
            async with asyncio.timeout(self.seconds):
                yield
        except TimeoutError:
            raise TryAgain(f"{self.store}-timeout") from None
        except ClientAuthenticationError as error:  # perhaps without an answer: the identity got no token
            raise self.refused(error) from None
        except HttpResponseError as error:
            # The SDK calls it an answer, too, when the connection ends before there is one, or in the middle of it.
            if (error.status_code or 0) < _REFUSALS:
                raise TryAgain(f"{self.store}-unreachable") from None
            raise self.refused(error) from None
        except (AzureError, OSError, Unreachable):
            raise TryAgain(f"{self.store}-unreachable") from None
        except self.not_understood:
            raise StoreUnavailable(f"{self.store}-not-understood") from None


def retry_after(headers: Mapping[str, str] | None) -> float | None:
    """Return how many seconds an answer asks to wait, at most ``RETRY_AFTER_MAX``; None if it does not say.

    What is no number and no date, or lies in the past, says nothing.

    Args:
        headers: the answer's, whatever the letter case of their names; None if there are none.
    """
    told = {name.lower(): value for name, value in (headers or {}).items()}
    found = [_seconds(told.get("retry-after"))] + [
        None if (number := _number(told.get(name))) is None else number / 1000
        for name in ("x-ms-retry-after-ms", "retry-after-ms")
    ]
    asked = next((each for each in found if each is not None), None)
    return None if asked is None else min(asked, RETRY_AFTER_MAX)


def _seconds(text: str | None) -> float | None:
    """Return what ``Retry-After`` says (RFC 9110, 10.2.3), counted from now if it is a date."""
    number = _number(text)
    if number is not None or text is None:
        return number
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    # The machine's time and not the service's, which may be moved for a test.
    left = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return left if left >= 0 else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if number >= 0 and not math.isnan(number) else None
