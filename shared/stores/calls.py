"""How every call to Azure is bounded in time, and what becomes of an SDK's exceptions, whose texts may say too much."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from shared.ports import StoreUnavailable, TryAgain

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
